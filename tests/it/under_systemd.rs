//! Services under a real `systemd --user`, in a namespace of its own.

use std::process::Command;

use serde_json::Value;

use super::sandbox::{Sandbox, program};

/// Runs shell lines as root under a systemd of its own, and gives the JSON
/// documents that they print, one a line.
fn under_systemd(sandbox: &Sandbox, script: &str) -> Vec<Value> {
    let manager = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/user-manager");
    let programs = program("heph-ops").parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let output = Command::new(manager)
        .args(["root", "bash", "-euc", script])
        .env("HEPH_LAB_HOME", sandbox.home())
        .env("PATH", path)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}\n{err}");
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

const FUNCTIONS: &str = "
    ops() { heph-ops \"$@\" --json; }
    install() { ops install-service --scope user --settle-ms 100 --role spoke \"$@\"; }
    show() { systemctl --user show heph-spoke --property \"$1\" --value | jq --raw-input .; }
";

#[test]
fn installed_changed_killed_broken_and_removed() {
    let sandbox = Sandbox::new();
    let script = format!(
        "{FUNCTIONS}
        install
        install
        install --sync-interval-secs 9
        ops restart --settle-ms 100
        show UnitFileState
        install --bin /bin/false || true
        ops status
        ops stop
        ops status || true
        ops start --settle-ms 100
        ops uninstall-service
        show LoadState
        ops status"
    );
    let said = under_systemd(&sandbox, &script);
    let status = |n: usize| said[n]["status"].as_str().unwrap_or_default();
    let service = |n: usize| &said[n]["data"]["services"][0];

    assert_eq!((status(0), &said[0]["data"]["manager"]), ("installed", &"systemd".into()));
    assert_eq!(status(1), "already_installed");
    assert_eq!(said[1]["data"]["pid"], said[0]["data"]["pid"], "nobody was restarted");
    assert_eq!(status(2), "updated");
    assert_ne!(said[2]["data"]["pid"], said[1]["data"]["pid"], "one restart");
    assert_eq!(status(3), "restarted");
    assert_eq!(said[4], "enabled");
    assert_eq!(said[5]["error"]["code"], "crash_loop", "{}", said[5]);
    assert!(said[5]["error"]["message"].as_str().unwrap().contains("put back"), "{}", said[5]);
    assert_eq!((status(6), &service(6)["state"]), ("ok", &"active".into()), "{}", said[6]);
    assert_eq!(status(7), "stopped");
    assert_eq!(service(8)["state"], "inactive");
    assert_eq!(status(9), "started");
    assert_eq!(status(10), "uninstalled");
    assert_eq!(said[11], "not-found");
    assert_eq!(said[12]["data"]["services"], serde_json::json!([]));
}

#[test]
fn a_service_of_the_machine_needs_a_systemd_that_runs_the_machine() {
    let sandbox = Sandbox::new();
    let script = format!("{FUNCTIONS} ops install-service --role spoke --scope system || true");
    let said = under_systemd(&sandbox, &script);
    assert_eq!(said[0]["error"]["code"], "no_service_manager", "{}", said[0]);
    assert!(said[0]["error"]["hint"].as_str().unwrap().contains("--scope user"));
}

#[test]
fn a_unit_that_is_not_ours_is_refused() {
    let sandbox = Sandbox::new();
    let script = format!(
        "{FUNCTIONS}
        mkdir -p ~/.config/systemd/user
        printf '[Service]\\nExecStart=/bin/true\\n' > ~/.config/systemd/user/heph-spoke.service
        install || true"
    );
    let said = under_systemd(&sandbox, &script);
    assert_eq!(said[0]["error"]["code"], "unit_foreign", "{}", said[0]);
}
