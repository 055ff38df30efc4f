//! Where source and target lie, what the clock says, and who else is at work.

use std::{
    sync::{Arc, Barrier, atomic::AtomicU64},
    thread,
};

use hephd::{
    clock::{Clock, Entropy},
    store::{Birth, Store, file::StoreLock, seed::SeededFrom},
};

use super::{
    hot::{seed_where, snatch},
    *,
};
use crate::asked::full;

/// A device whose daemon was killed, and whose log somebody took away.
#[test]
fn case_05_a_log_that_is_gone_after_a_crash_is_told() {
    let lab = Lab::with_store();
    let lock = beside(&lab.source(), ".lock");
    fs::write(&lock, "4194304\nstore\n\n").unwrap();
    let warnings = lab.seed().unwrap().warnings;
    assert!(warnings.iter().any(|w| w.code == "source_log_missing"), "{warnings:?}");

    // One that ended in order has no log, and that is right.
    let lab = Lab::with_store();
    StoreLock::take(&lab.source()).unwrap().note_store().unwrap();
    assert_eq!(
        fs::read_to_string(beside(&lab.source(), ".lock")).unwrap().lines().nth(2),
        Some("closed")
    );
    assert!(lab.seed().unwrap().warnings.is_empty());
}

/// The device was itself seeded once, and its receipt counts more ops than it
/// has.
#[test]
fn case_05_a_source_with_fewer_ops_than_its_receipt_is_refused() {
    let lab = Lab::with_store();
    lab.seed().unwrap();
    let (middle, last) = (lab.target(), lab.dir.path().join("last/heph.db"));
    let conn = Connection::open(&middle).unwrap();
    conn.execute_batch("DELETE FROM ops WHERE rowid = (SELECT max(rowid) FROM ops)").unwrap();
    drop(conn);
    let error = seed_from(&middle, &last, &|_| ()).unwrap_err();
    assert_eq!(error.code, Code::StoreCorrupt);
    assert!(error.message.contains("has 1 ops, and had 2"), "{error}");
    assert!(!last.exists());
    lab.assert_tidy();
}

#[test]
fn case_13_a_hub_that_starts_meanwhile_makes_the_store_or_finds_one() {
    let rounds = full(40, 500);
    let mut seeded = 0;
    for _ in 0..rounds {
        let lab = Lab::with_store();
        fs::create_dir_all(lab.target().parent().unwrap()).unwrap();
        let start = Barrier::new(2);
        let (made, born) = thread::scope(|scope| {
            let hub = scope.spawn(|| {
                start.wait();
                let owner = "another".parse().unwrap();
                Store::create(&lab.target(), &Birth::Owned(owner), &Entropy::System)
            });
            start.wait();
            (lab.seed(), hub.join().unwrap())
        });
        assert!(made.is_ok() != born.is_ok(), "exactly one wins: {made:?} {born:?}");
        let owner = meta(&lab.target(), "owner_id");
        assert_eq!(owner, if made.is_ok() { OWNER } else { "another" });
        match made {
            Ok(_) => assert_eq!(dump(&lab.source()), dump(&lab.target())),
            Err(error) => assert_eq!(error.exit_code(), 4, "{error}"),
        }
        seeded += usize::from(receipt_path(&lab.target()).exists());
        lab.assert_tidy();
    }
    println!("{seeded} of {rounds} were seeded");
}

/// The staging file lies where the store will, so nothing crosses from one
/// filesystem to another but bytes.
#[test]
fn case_19_the_target_may_be_on_another_filesystem() {
    let lab = Lab::with_store();
    fs::create_dir_all(lab.target().parent().unwrap()).unwrap();
    let other = r#"mount -t tmpfs -o size=64m,mode=700 tmpfs "$1""#;
    seed_where(&lab, other, &lab.target(), "\n");
}

#[test]
fn case_21_a_read_only_target_is_refused() {
    let lab = Lab::with_store();
    fs::create_dir_all(lab.target().parent().unwrap()).unwrap();
    let script = r#"mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" "$1""#;
    let said = seed_where(&lab, script, &lab.target(), "insecure_permissions");
    assert!(said.contains("Read-only"), "{said}");
    assert!(files_below(lab.target().parent().unwrap()).is_empty());
}

#[test]
fn case_27_an_older_schema_of_ours_is_refused_and_stays() {
    let lab = Lab::with_store();
    let conn = Connection::open(lab.source()).unwrap();
    conn.execute_batch("PRAGMA application_id = 0x48455048; PRAGMA user_version = 1").unwrap();
    drop(conn);
    let error = lab.refused(Code::SchemaOlder);
    assert!(error.message.contains("schema 1"), "{error}");
}

/// A machine without a battery for its clock.
#[test]
fn case_32_a_clock_behind_every_id_is_no_trouble() {
    let lab = Lab::with_store();
    let year = 365 * 24 * 3600 * 1000;
    let clock = Clock::Manual(Arc::new(AtomicU64::new(1_700_000_000_000 - year)));
    let machine = Machine { clock, ..Machine::this() };
    let source = lab.source();
    let target = lab.target();
    let receipt = seed::seed(Source::Store(&source), &wish(&target), &machine, &|_| ()).unwrap();
    assert_eq!(receipt.at, "2022-11-14T22:13:20Z");
    assert_eq!(receipt.warnings[0].code, "op_ahead");
    assert_eq!(dump(&lab.source()), dump(&lab.target()));
}

/// What a mark says is read as the next release will read it.
#[test]
fn a_mark_without_a_digest_is_one() {
    let mark = r#"{"source":"/a","owner":"o","origin":null,"at":"2026-01-01T00:00:00Z"}"#;
    let mark: SeededFrom = serde_json::from_str(mark).unwrap();
    assert_eq!(mark.sha256, None);
}

/// The hand-made way, on a device that was stopped in order, and ours: both
/// stores differ in nothing but `meta`.
#[test]
fn the_hand_made_way_makes_the_same_store() {
    let lab = Lab::with_store();
    let by_hand = lab.dir.path().join("by-hand.db");
    snatch(&lab.source(), &by_hand);
    let conn = Connection::open(&by_hand).unwrap();
    conn.execute("DELETE FROM meta WHERE key = 'origin'", []).unwrap();
    drop(conn);
    lab.seed().unwrap();
    assert_eq!(dump(&by_hand), dump(&lab.target()));
}
