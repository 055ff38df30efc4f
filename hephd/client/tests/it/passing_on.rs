//! `heph daemon` is the heph-ops beside it.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::home::{Ended, HEPH, Home};

const STAND_IN: &str = "#!/bin/sh\nprintf '%s|' \"$@\"\necho complaint >&2\nexit 7\n";

#[test]
fn words_output_and_exit_code_are_passed_on() {
    let home = Home::empty();
    fs::create_dir(home.path("bin")).unwrap();
    fs::copy(HEPH, home.path("bin/heph")).unwrap();
    home.file("bin/heph-ops", STAND_IN);
    fs::set_permissions(home.path("bin/heph-ops"), fs::Permissions::from_mode(0o755)).unwrap();
    let heph = home.path("bin/heph").to_str().unwrap().to_owned();
    let run = |args: &[&str]| -> Ended { home.command(&heph).args(args).output().unwrap().into() };
    let ended = run(&["daemon", "start"]);
    assert_eq!((ended.code, &*ended.out, &*ended.err), (7, "start|", "complaint\n"));
    assert_eq!(
        run(&["daemon", "status", "heph-spoke", "--json", "-q"]).out,
        "status|heph-spoke|--json|-q|"
    );
    let before = run(&["-q", "--json", "--color", "never", "daemon", "status", "-f"]);
    assert_eq!(before.out, "status|--json|--quiet|--color=never|-f|");
}

#[test]
fn without_heph_ops_it_says_what_is_missing() {
    let home = Home::empty();
    fs::create_dir(home.path("bin")).unwrap();
    fs::copy(HEPH, home.path("bin/heph")).unwrap();
    let heph = home.path("bin/heph").to_str().unwrap().to_owned();
    let ended: Ended = home.command(&heph).args(["daemon", "stop"]).output().unwrap().into();
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.err.contains("cannot run heph-ops"), "{ended:?}");
}
