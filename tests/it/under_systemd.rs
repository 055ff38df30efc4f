//! Services under a real `systemd --user`, in a namespace of its own.

use std::process::Command;

use serde_json::Value;

use super::sandbox::{Sandbox, program};

/// Runs shell lines as root under a systemd of its own, and gives the JSON
/// documents that they print, one a line.
pub fn under_systemd(sandbox: &Sandbox, script: &str) -> Vec<Value> {
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

/// A comment restarts nobody; a setting that the command line does not show does,
/// also where it was written and nobody came to the restart.
#[test]
fn a_unit_counts_by_what_it_means_and_a_process_by_what_it_was_started_with() {
    let sandbox = Sandbox::new();
    let script = format!(
        "{FUNCTIONS}
        unit=~/.config/systemd/user/heph-spoke.service
        install --env A=1
        sed --in-place 's/^# It is written anew/# It was written anew/; s/^UMask=0077/UMask = 0077/' $unit
        install
        install
        grep --count 'was written anew' $unit
        install --env A=2 --no-start
        show MainPID
        install
        show MainPID
        sed --in-place 's/^UMask.*/UMask=0022/' $unit
        install
        grep --count UMask=0077 $unit
        install --env 'B=a secret' --check
        install --backup-dir ~/backups
        systemctl --user is-active heph-spoke-backup.timer | jq --raw-input .
        systemctl --user start heph-spoke-backup.service
        ls ~/backups | grep --count zst
        install
        install --unset backup-dir
        ls ~/.config/systemd/user | grep --count backup || true
        HEPH_UNDER_TEST=1 install --env A=3 || true"
    );
    let said = under_systemd(&sandbox, &script);
    let status = |n: usize| said[n]["status"].as_str().unwrap_or_default();
    // systemd wants to read the file again, and that is all that is done.
    assert_eq!((status(0), status(1)), ("installed", "updated"));
    let said = &said[1..];
    let status = |n: usize| said[n]["status"].as_str().unwrap_or_default();
    assert_eq!((status(1), &said[2]), ("already_installed", &1.into()));
    assert_eq!(said[1]["data"]["pid"], said[0]["data"]["pid"]);
    assert_eq!((status(3), status(5)), ("updated", "updated"), "{}", said[5]);
    assert_eq!(said[4], said[0]["data"]["pid"].to_string(), "it was not to be started");
    assert_ne!(said[6], said[4], "it runs with A=2 now");
    assert_eq!((status(7), &said[8]), ("updated", &1.into()), "what a person broke is mended");
    assert_eq!((status(9), status(10), &said[11]), ("updated", "updated", &"active".into()));
    assert_eq!((&said[12], status(13)), (&1.into(), "already_installed"));
    assert_eq!(said[10]["data"]["pid"], said[7]["data"]["pid"], "a timer restarts nobody");
    assert_eq!((status(14), &said[15]), ("updated", &0.into()));
    assert_eq!(said[16]["error"]["code"], "not_supported", "{}", said[16]);
}
