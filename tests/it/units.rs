//! What is written for systemd, word for word, and what systemd makes of it.

use std::process::Command;

use super::sandbox::Sandbox;

fn printed(words: &[&str]) -> String {
    let sandbox = Sandbox::new();
    let mut all = vec!["install-service", "--print", "--bin", "/usr/bin/hephd"];
    all.extend(words);
    let home = sandbox.home().display().to_string();
    sandbox.ops(&all).expect(0).out.replace(&home, "/home/me")
}

#[test]
fn a_hub_unit_spells_every_flag_out() {
    let unit =
        printed(&["--role", "hub", "--http-addr", "127.0.0.1:8787", "--env", "RUST_LOG=info"]);
    // The edition is of the whole text, with a home that is another each time.
    let (before, edition) = unit.split_once("HEPH_UNIT=").unwrap();
    let after = &edition[edition.find('"').unwrap()..];
    insta::assert_snapshot!(format!("{before}HEPH_UNIT=EDITION{after}"));
}

#[test]
fn odd_words_come_out_as_they_went_in() {
    let odd = r#"/srv/a b/"q"/100%/$HOME/c\d/ü/heph.db"#;
    let unit = printed(&["--role", "spoke", "--db", odd, "--socket", "/run/h.sock"]);
    let line = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    let wanted = r#""/srv/a b/\"q\"/100%%/$HOME/c\\d/ü/heph.db""#;
    assert!(line.contains(wanted), "{line}");
}

#[test]
fn systemd_itself_finds_nothing_to_say_about_the_units() {
    for role in ["hub", "spoke"] {
        let dir = tempfile::tempdir().unwrap();
        let unit = dir.path().join(format!("heph-{role}.service"));
        let text = printed(&["--role", role]).replace("/usr/bin/hephd", "/bin/true");
        std::fs::write(&unit, text).unwrap();
        let mut verify = Command::new("systemd-analyze");
        let output = verify.args(["verify", "--man=no"]).arg(&unit).output().unwrap();
        // It exits 0 on keys that it does not know, so its silence is what counts.
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{role}");
        assert!(output.status.success());
    }
}
