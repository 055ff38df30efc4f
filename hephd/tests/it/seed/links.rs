//! Symbolic links on the way to the target, and in its place.

use std::{
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::*;
use crate::running::wait_for;

/// Whoever keeps the data on another disk has a link to it, and gets the store
/// where the link leads. The store remembers that place, not the link.
#[test]
fn case_33_a_linked_folder_is_the_one_it_leads_to() {
    let lab = Lab::with_store();
    let (disk, link) = (lab.dir.path().join("disk"), lab.dir.path().join("server"));
    fs::create_dir(&disk).unwrap();
    symlink(&disk, &link).unwrap();
    let real = disk.canonicalize().unwrap().join("heph/heph.db");
    let receipt = lab.seed().unwrap();
    assert_eq!(receipt.target, real.display().to_string());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::symlink_metadata(&real).unwrap().is_file());
    assert_eq!(dump(&lab.source()), dump(&real));
    for to in [lab.target(), real] {
        assert!(matches!(look(&lab.source(), &to).unwrap(), Look::AlreadySeeded(_)));
    }
    lab.assert_tidy();
}

/// The folder that counts is the one that a link leads to.
#[test]
fn case_33_a_linked_folder_that_is_no_place_is_refused() {
    let lab = Lab::with_store();
    let (disk, link) = (lab.dir.path().join("disk"), lab.dir.path().join("server"));
    symlink(&disk, &link).unwrap();
    let error = lab.seed().unwrap_err();
    assert_eq!((error.code, error.exit_code()), (Code::Usage, 2), "{error}");
    assert!(!disk.exists(), "no folder is made where a link leads nowhere");
    fs::create_dir(&disk).unwrap();
    fs::set_permissions(&disk, fs::Permissions::from_mode(0o777)).unwrap();
    lab.refused(Code::InsecurePermissions);
    assert!(files_below(&disk).is_empty());
}

/// Puts a link in the target's place and takes away whatever is there, again
/// and again.
fn keep_swapping(to: &Path, victim: &Path, stop: &AtomicBool) {
    let spare = to.with_file_name("spare");
    // Long enough for a seed to get to its end, or half way there.
    let mut absent = (0..23).map(|n| n * 7 % 23).cycle().map(Duration::from_millis);
    while !stop.load(Ordering::Acquire) {
        symlink(victim, &spare).unwrap();
        fs::rename(&spare, to).unwrap();
        thread::sleep(Duration::from_millis(4));
        let _ = fs::remove_file(to);
        thread::sleep(absent.next().unwrap());
    }
}

/// Ends the other thread also where the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn case_33_a_link_that_comes_and_goes_leads_no_byte_elsewhere() {
    const ROUNDS: usize = 25;
    let lab = Lab::with_store();
    fs::create_dir_all(lab.target().parent().unwrap()).unwrap();
    // A store of somebody's, and a file that is none.
    let victims = [lab.dir.path().join("other.db"), lab.dir.path().join("letter")];
    drop(foreign_store(&victims[0], "WAL"));
    fs::write(&victims[1], "to a friend").unwrap();
    for victim in &victims {
        let (target, stop, before) = (lab.target(), AtomicBool::new(false), files_of(victim));
        let refused = thread::scope(|scope| {
            scope.spawn(|| keep_swapping(&target, victim, &stop));
            let _stop = StopAtEnd(&stop);
            let absent = || fs::symlink_metadata(&target).is_err();
            let round = |_: &usize| {
                wait_for("nothing to be there", absent);
                lab.seed().is_err()
            };
            (0..ROUNDS).filter(round).count()
        });
        assert_eq!(before, files_of(victim), "{refused} of {ROUNDS} were refused");
        assert!((1..ROUNDS).contains(&refused), "{refused} of {ROUNDS} were refused");
        let _ = fs::remove_file(lab.target());
        lab.assert_tidy();
    }
}
