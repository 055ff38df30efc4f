//! What a service is given: what its manager cannot do is refused, what was given
//! can be taken away, and a record is a file that people edit.

use std::path::Path;

use super::sandbox::{Sandbox, program};

#[test]
fn what_a_manager_does_not_do_is_refused_and_what_was_given_can_be_taken_away() {
    let sandbox = Sandbox::new();
    let code = |words: &[&str], exit: i32| {
        let words = [&["--role", "spoke", "--json"], words].concat();
        sandbox.install(&words).expect(exit).json()["error"]["code"].clone()
    };
    assert_eq!(code(&["--backup-dir", "/srv/b"], 4), "not_supported");
    assert_eq!(code(&["--hardening", "strict"], 4), "not_supported");
    for label in ["heph-hub-backup", "-f", "heph@", "heph.service", "a b"] {
        assert_eq!(code(&[&format!("--label={label}")], 2), "usage", "{label}");
    }
    assert_eq!(code(&["--env", "HEPH_UNIT=1"], 2), "usage");
    assert_eq!(code(&["--unset", "hub-ulr"], 2), "usage");
    let logs = sandbox.path("logs").display().to_string();
    code(&["--log-dir", &logs, "--env", "A=1", "--env", "B=2", "--keyring"], 0);
    assert!(sandbox.path("logs/heph-spoke.log").is_file());
    code(&["--unset", "env.A", "--unset", "keyring", "--unset", "log-dir"], 0);
    let record = std::fs::read_to_string(sandbox.path(".config/heph/heph-spoke.toml")).unwrap();
    assert!(!record.contains("A =") && record.contains("B = \"2\""), "{record}");
    assert!(!record.contains("keyring") && !record.contains("log-dir"), "{record}");
}

#[test]
fn a_record_that_was_edited_is_told_of_and_applied_by_an_install() {
    let sandbox = Sandbox::new();
    sandbox.device();
    let record = sandbox.path(".config/heph/heph-spoke.toml");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(
        &record,
        format!("{text}\n[flags]\nlog-format = \"json\"\n")
            .replace("[flags]\n\n[flags]", "[flags]"),
    )
    .unwrap();
    let other = sandbox.path(".config/heph/other.toml");
    std::fs::copy(&record, &other).unwrap();
    let ended = sandbox.ops(&["stop", "other"]).expect(2);
    assert!(ended.err.contains("its label is heph-spoke, not other"), "{}", ended.err);
    std::fs::remove_file(other).unwrap();
    assert_eq!(
        sandbox.install(&["--role", "spoke", "--json"]).expect(0).json()["status"],
        "updated"
    );
}

/// The store is another service's: what it is refused for, it does not remove.
#[test]
fn the_loser_of_two_installs_removes_nothing_of_the_winners() {
    let sandbox = Sandbox::new();
    let db = sandbox.path("one/heph.db").display().to_string();
    let installs = ["a", "b"].map(|label| {
        let words =
            ["install-service", "--manager", "process", "--role", "spoke", "--settle-ms", "50"];
        let mut install = sandbox.command(program("heph-ops"));
        install.args(words).args(["--label", label, "--db", &db]).spawn().unwrap()
    });
    let won = installs.map(|mut install| install.wait().unwrap().success());
    assert!(won.contains(&true), "one of them has it");
    assert!(Path::new(&db).is_file());
    for label in ["a", "b"] {
        sandbox.ops(&["stop", label]);
    }
}
