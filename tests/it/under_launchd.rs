//! Services under launchd, as far as it can be modelled: tests/lab/launchd is
//! a program that keeps real processes and answers as launchctl is known to.

use std::{path::Path, process::Command};

use serde_json::Value;

use super::sandbox::{Ended, Sandbox, program, wait_for};

/// A home, and a launchd of its own.
pub struct Mac {
    pub sandbox: Sandbox,
}

impl Mac {
    /// Nobody is logged in at the screen.
    pub fn headless() -> Self {
        Self { sandbox: Sandbox::new() }
    }

    /// Somebody is.
    pub fn new() -> Self {
        let mac = Self::headless();
        mac.launchctl(&["model-login"]);
        mac
    }

    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/launchd");
        let path = format!("{model}:{}", std::env::var("PATH").unwrap());
        let mut command = self.sandbox.command(program);
        command
            .env("PATH", path)
            .env("LAUNCHD_MODEL", self.sandbox.path("launchd"))
            .env("LAUNCHD_MODEL_FOR", std::process::id().to_string())
            .env("LAUNCHD_MODEL_SPEED", "50");
        command
    }

    pub fn launchctl(&self, words: &[&str]) -> Ended {
        self.command("launchctl").args(words).output().unwrap().into()
    }

    pub fn ops(&self, words: &[&str]) -> Ended {
        self.command(program("heph-ops")).args(words).output().unwrap().into()
    }

    pub fn install(&self, words: &[&str]) -> Ended {
        let usual = ["install-service", "--role", "spoke", "--manager", "launchd"];
        let scope = ["--scope", "user", "--settle-ms", "50", "--json"];
        self.ops(&[&usual[..], &scope, words].concat())
    }

    fn status(&self) -> Value {
        self.ops(&["status", "--json"]).json()["data"]["services"][0].clone()
    }

    fn plist(&self) -> std::path::PathBuf {
        self.sandbox.path("Library/LaunchAgents/heph-spoke.plist")
    }

    /// What launchd was told since a moment, without what it was asked.
    fn told(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.sandbox.path("launchd/calls.jsonl")).unwrap();
        let argv = |line: &str| {
            let call: Value = serde_json::from_str(line).unwrap();
            let words = call["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
            words.collect::<Vec<_>>().join(" ")
        };
        calls.lines().map(argv).filter(|argv| !argv.starts_with("print")).collect()
    }

    fn knob(&self, words: &[&str]) {
        self.launchctl(&[&["model-knob"], words].concat()).expect(0);
    }
}

impl Drop for Mac {
    fn drop(&mut self) {
        self.launchctl(&["model-stop"]);
    }
}

fn check_plists(files: &[&Path]) {
    let check = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/plist-check");
    let output = Command::new(check).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn installed_unchanged_changed_and_removed() {
    let mac = Mac::new();
    let first = mac.install(&[]).expect(0).json();
    assert_eq!(
        (&first["status"], &first["data"]["manager"]),
        (&"installed".into(), &"launchd".into())
    );
    assert_eq!(first["warnings"], serde_json::json!([]), "{first}");
    check_plists(&[&mac.plist()]);
    let told = mac.told().len();
    let again = mac.install(&[]).expect(0).json();
    assert_eq!((&again["status"], &again["changed"]), (&"already_installed".into(), &false.into()));
    assert_eq!(again["data"]["pid"], first["data"]["pid"], "nobody was restarted");
    assert_eq!(mac.told().len(), told, "launchd was only asked");
    let changed = mac.install(&["--sync-interval-secs", "9"]).expect(0).json();
    assert_eq!(changed["status"], "updated");
    assert_ne!(changed["data"]["pid"], first["data"]["pid"], "one restart");
    let third = mac.install(&["--log-format", "json"]).expect(0).json();
    assert_eq!(third["data"]["kept"], serde_json::json!(["--sync-interval-secs"]));
    let text = std::fs::read_to_string(mac.plist()).unwrap();
    assert!(text.contains("--sync-interval-secs") && text.contains("--log-format"), "{text}");
    mac.knob(&["linger", "20"]);
    mac.ops(&["uninstall-service"]).expect(0);
    assert!(!mac.plist().exists());
    let uid = rustix_uid();
    assert_eq!(mac.launchctl(&["print", &format!("gui/{uid}/heph-spoke")]).code, 113);
    assert!(mac.sandbox.device_db().exists(), "data stays");
}

fn rustix_uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid()
}

#[test]
fn what_does_not_start_is_put_back_and_runs() {
    let mac = Mac::new();
    let first = mac.install(&["--sync-interval-secs", "9"]).expect(0).json();
    let before = std::fs::read_to_string(mac.plist()).unwrap();
    let broken = mac.install(&["--bin", "/bin/false"]).expect(1).json();
    assert!(broken["error"]["message"].as_str().unwrap().contains("put back"), "{broken}");
    assert_eq!(std::fs::read_to_string(mac.plist()).unwrap(), before);
    let status = mac.status();
    assert_eq!(status["state"], "active", "{status}");
    assert_ne!(status["pid"], first["data"]["pid"]);
}

#[test]
fn a_first_install_that_fails_leaves_nothing_with_launchd() {
    let mac = Mac::new();
    mac.install(&["--bin", "/bin/false"]).expect(1);
    assert!(!mac.plist().exists());
    assert_eq!(mac.status(), Value::Null);
    mac.install(&[]).expect(0);
}

#[test]
fn what_launchd_is_known_to_answer_is_waited_for() {
    let mac = Mac::new();
    mac.install(&[]).expect(0);
    // The old job goes slowly; three bootstraps fail; the job does not spawn
    // unless it is told to; somebody has turned it off.
    let mut interval = 10;
    for knobs in [
        &["linger", "20"][..],
        &["fail-bootstrap", "5", "3"],
        &["fail-bootstrap", "37", "2"],
        &["fail-bootstrap", "119", "1"],
        &["code-bootout", "36"],
        &["never-spawns", "heph-spoke"],
    ] {
        mac.knob(knobs);
        interval += 1;
        let interval = interval.to_string();
        let done = mac.install(&["--sync-interval-secs", &interval]);
        assert_eq!(done.code, 0, "{knobs:?}: {}{}", done.out, done.err);
        assert_eq!(mac.status()["state"], "active", "{knobs:?}");
        mac.knob(&[knobs[0]]);
    }
}

#[test]
fn a_service_that_somebody_turned_off_is_turned_on() {
    let mac = Mac::new();
    mac.install(&[]).expect(0);
    let target = format!("gui/{}/heph-spoke", rustix_uid());
    mac.ops(&["stop"]).expect(0);
    mac.launchctl(&["disable", &target]).expect(0);
    let again = mac.install(&[]).expect(0).json();
    assert_eq!(again["status"], "updated");
    mac.launchctl(&["model-reboot"]).expect(0);
    mac.launchctl(&["model-login"]).expect(0);
    wait_for("the service after a reboot", || mac.status()["state"] == "active");
}

#[test]
fn killed_it_is_started_again() {
    let mac = Mac::new();
    let first = mac.install(&[]).expect(0).json()["data"]["pid"].clone();
    Command::new("kill").args(["-9", &first.to_string()]).status().unwrap();
    wait_for("another process", || {
        let pid = mac.status()["pid"].clone();
        pid.is_u64() && pid != first
    });
}

#[test]
fn a_mac_that_nobody_sits_at_runs_it_until_the_next_reboot_and_says_so() {
    let mac = Mac::headless();
    let first = mac.install(&[]).expect(0).json();
    assert_eq!(first["warnings"][0]["code"], "gone_after_reboot", "{first}");
    mac.launchctl(&["model-login"]).expect(0);
    // Now it is to live where it comes back.
    let moved = mac.install(&[]).expect(0).json();
    assert_eq!(
        (&moved["status"], &moved["warnings"]),
        (&"updated".into(), &serde_json::json!([])),
        "{moved}"
    );
    is_only_at_the_screen(&mac);
}

/// Whoever logs in there has it loaded a second time, and that one finds the store
/// in use.
#[test]
fn a_start_after_the_first_login_at_the_screen_brings_it_there() {
    let mac = Mac::headless();
    mac.install(&[]).expect(0);
    mac.launchctl(&["model-login"]).expect(0);
    let started = mac.ops(&["start", "--settle-ms", "50", "--json"]).expect(0).json();
    assert_eq!(started["status"], "started", "{started}");
    is_only_at_the_screen(&mac);
    let again = mac.ops(&["start", "--settle-ms", "50", "--json"]).expect(0).json();
    assert_eq!(again["status"], "already_started", "{again}");
}

#[track_caller]
fn is_only_at_the_screen(mac: &Mac) {
    let uid = rustix_uid();
    assert_eq!(mac.launchctl(&["print", &format!("user/{uid}/heph-spoke")]).code, 113);
    mac.launchctl(&["print", &format!("gui/{uid}/heph-spoke")]).expect(0);
}

#[test]
fn a_launchctl_that_hangs_is_told_of() {
    let mac = Mac::new();
    mac.install(&[]).expect(0);
    mac.knob(&["hang-bootout", "before"]);
    let hung = mac.install(&["--sync-interval-secs", "9"]).expect(1).json();
    assert!(hung["error"]["message"].as_str().unwrap().contains("has not answered"), "{hung}");
    mac.knob(&["hang-bootout"]);
    mac.install(&["--sync-interval-secs", "9"]).expect(0);
}

#[test]
fn a_list_that_is_not_ours_is_refused() {
    let mac = Mac::new();
    std::fs::create_dir_all(mac.plist().parent().unwrap()).unwrap();
    std::fs::write(mac.plist(), "<plist version=\"1.0\"><dict/></plist>").unwrap();
    assert_eq!(mac.install(&[]).expect(4).json()["error"]["code"], "unit_foreign");
}

#[test]
fn what_it_logs_goes_where_a_mac_keeps_logs() {
    let mac = Mac::new();
    mac.install(&["--log-format", "text"]).expect(0);
    let log = mac.sandbox.path("Library/Logs/heph-spoke.err.log");
    assert!(log.is_file() && mac.sandbox.path("Library/Logs/heph-spoke.out.log").is_file());
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn backups_by_themselves_are_a_job_beside_it() {
    let mac = Mac::new();
    let folder = mac.sandbox.path("backups").display().to_string();
    mac.install(&["--backup-dir", &folder, "--backup-every", "12h"]).expect(0);
    let job = mac.sandbox.path("Library/LaunchAgents/heph-spoke-backup.plist");
    check_plists(&[&mac.plist(), &job]);
    let target = format!("gui/{}/heph-spoke-backup", rustix_uid());
    mac.launchctl(&["kickstart", &target]).expect(0);
    wait_for("a backup", || {
        std::fs::read_dir(&folder).is_ok_and(|all| {
            all.flatten().any(|file| file.path().extension().is_some_and(|e| e == "zst"))
        })
    });
    assert_eq!(mac.install(&[]).expect(0).json()["status"], "already_installed");
    mac.install(&["--unset", "backup-dir"]).expect(0);
    assert!(!job.exists());
    assert_eq!(mac.launchctl(&["print", &target]).code, 113);
}

#[test]
fn a_domain_that_is_gone_and_a_job_that_never_spawns_are_told() {
    let mac = Mac::new();
    for code in ["112", "125"] {
        mac.knob(&["fail-bootstrap", code, "1"]);
        let refused = mac.install(&[]).expect(1).json();
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("logged in at its screen"), "{code}: {refused}");
        assert!(message.contains("removed again"), "{code}: {refused}");
    }
    mac.knob(&["cannot-spawn", "heph-spoke"]);
    let silent = mac.install(&["--timeout", "2"]).expect(1).json();
    assert_eq!(silent["error"]["code"], "not_ready", "{silent}");
    assert!(silent["error"]["message"].as_str().unwrap().contains("it is waiting"), "{silent}");
    assert!(!mac.plist().exists());
    mac.knob(&["cannot-spawn"]);
    mac.install(&[]).expect(0);
}
