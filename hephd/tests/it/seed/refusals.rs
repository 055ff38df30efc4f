//! What a seed will not do, and what it leaves as it was.

use std::os::unix::fs::symlink;

use hephd::store::file::StoreLock;

use super::*;

#[test]
fn case_07_a_store_of_another_owner_stays() {
    let lab = Lab::with_store();
    lab.at_target().execute("UPDATE meta SET value = 'x' WHERE key = 'owner_id'", []).unwrap();
    let error = lab.refused(Code::TargetHasOtherOwner);
    assert!(error.message.contains(OWNER), "{error}");
}

#[test]
fn case_08_newer_ops_stay() {
    let lab = Lab::with_store();
    add_op(&lab.at_target(), "1700000000000-0001-00000000000000aa");
    lab.refused(Code::TargetHasNewerData);
}

#[test]
fn an_equal_store_stays() {
    let lab = Lab::with_store();
    drop(lab.at_target());
    lab.refused(Code::TargetNotEmpty);
}

#[test]
fn what_is_no_store_stays() {
    for bytes in [&b""[..], b"a letter to a friend"] {
        let lab = Lab::with_store();
        drop(lab.at_target());
        fs::write(lab.target(), bytes).unwrap();
        lab.refused(Code::TargetNotEmpty);
    }
}

#[test]
fn case_11_what_is_left_of_a_lost_store_is_named() {
    for (suffix, bytes) in [("-wal", &b"x"[..]), ("-journal", b"x"), ("-journal", b"")] {
        let lab = Lab::with_store();
        fs::create_dir_all(lab.target().parent().unwrap()).unwrap();
        fs::write(beside(&lab.target(), suffix), bytes).unwrap();
        let error = lab.refused(Code::TargetSidecarLeft);
        assert!(error.message.contains(suffix), "{error}");
    }
}

#[test]
fn what_reading_leaves_counts_as_absent() {
    let lab = Lab::with_store();
    fs::create_dir_all(lab.target().parent().unwrap()).unwrap();
    fs::write(beside(&lab.target(), "-wal"), "").unwrap();
    fs::write(beside(&lab.target(), "-shm"), [7; 32768]).unwrap();
    lab.seed().unwrap();
    assert!(!beside(&lab.target(), "-wal").exists() && !beside(&lab.target(), "-shm").exists());
    assert_eq!(dump(&lab.source()), dump(&lab.target()));
}

#[test]
fn case_12_a_hub_at_work_on_the_target_is_named() {
    let lab = Lab::with_store();
    drop(lab.at_target());
    let hub = StoreLock::take(&lab.target()).unwrap();
    let error = lab.refused(Code::StoreInUse);
    drop(hub);
    assert!(error.message.contains(&std::process::id().to_string()), "{error}");
}

#[test]
fn case_24_what_is_no_store_is_no_source() {
    let other =
        |path: &Path, sql: &str| Connection::open(path).unwrap().execute_batch(sql).unwrap();
    let makers: [&dyn Fn(&Path); 8] = [
        &|path| fs::write(path, "").unwrap(),
        &|path| fs::write(path, "text ".repeat(1000)).unwrap(),
        &|path| fs::create_dir(path).unwrap(),
        &|path| other(path, "CREATE TABLE notes (a)"),
        &|path| other(path, "CREATE TABLE meta (key, val)"),
        &|path| other(path, "CREATE TABLE t (key, value); CREATE VIEW meta AS SELECT * FROM t"),
        &|path| other(path, "CREATE TABLE meta (key, value); PRAGMA application_id = 7"),
        &|path| {
            other(
                path,
                "CREATE TABLE meta (key, value); INSERT INTO meta VALUES ('owner_id', 'a b')",
            )
        },
    ];
    for make in makers {
        let lab = Lab::new();
        make(&lab.source());
        lab.refused(Code::NotAHephStore);
        lab.assert_no_target();
    }
}

#[test]
fn a_source_that_is_not_there_is_named() {
    let lab = Lab::new();
    let error = lab.refused(Code::SourceNotFound);
    assert!(error.message.contains("laptop/heph.db"), "{error}");
    lab.assert_no_target();
}

/// A source with something said to its SQLite.
fn source_with(sql: &str) -> Lab {
    let lab = Lab::new();
    foreign_store(&lab.source(), "WAL").execute_batch(sql).unwrap();
    lab
}

#[test]
fn case_25_a_row_that_refers_to_nothing_is_damage() {
    let lab = source_with("PRAGMA foreign_keys = OFF; INSERT INTO links VALUES (1, 7777)");
    let error = lab.refused(Code::StoreCorrupt);
    assert!(error.message.contains("links"), "{error}");
    lab.assert_no_target();
}

#[test]
fn case_26_a_newer_schema_needs_a_newer_program() {
    let sql = "PRAGMA application_id = 0x48455048; PRAGMA user_version = 9999";
    source_with(sql).refused(Code::SchemaNewer);
}

#[test]
fn case_29_one_owner_no_more_and_no_less() {
    let two = "CREATE TABLE m AS SELECT * FROM meta; DROP TABLE meta; ALTER TABLE m RENAME TO meta;
               INSERT INTO meta VALUES ('owner_id', 'another')";
    let error = source_with(two).refused(Code::NotAHephStore);
    assert!(error.message.contains("2 values of owner_id"), "{error}");
    let none = source_with("DELETE FROM meta WHERE key = 'owner_id'");
    let error = none.refused(Code::NotAHephStore);
    assert!(error.message.contains("no owner_id"), "{error}");
    none.assert_no_target();
}

#[test]
fn case_30_a_hub_is_no_device() {
    let error = source_with("INSERT INTO meta VALUES ('role', 'hub')").refused(Code::SourceIsHub);
    assert!(error.hint.contains("seed from a device"), "{}", error.hint);
}

#[test]
fn case_33_a_symbolic_link_is_no_target() {
    let lab = Lab::with_store();
    fs::create_dir_all(lab.target().parent().unwrap()).unwrap();
    symlink(lab.dir.path().join("elsewhere"), lab.target()).unwrap();
    lab.refused(Code::SameFile);
    assert!(!lab.dir.path().join("elsewhere").exists());
}

#[test]
fn case_34_a_store_is_not_seeded_from_itself() {
    let lab = Lab::with_store();
    fs::create_dir_all(lab.target().parent().unwrap()).unwrap();
    fs::hard_link(lab.source(), lab.target()).unwrap();
    lab.refused(Code::SameFile);
}

#[test]
fn case_35_a_folder_of_everybody_is_no_place() {
    let lab = Lab::with_store();
    let folder = lab.target().parent().unwrap().to_owned();
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    lab.refused(Code::InsecurePermissions);
}

#[test]
fn names_that_are_sqlites_own_are_usage_errors() {
    let lab = Lab::with_store();
    let to = beside(&lab.source(), "-wal");
    let error = seed_from(&lab.source(), &to, &|_| ()).unwrap_err();
    assert_eq!((error.code, error.exit_code()), (Code::Usage, 2));
}

#[test]
fn a_folder_of_ones_own_below_tmp_is_a_place() {
    let lab = Lab::with_store();
    let shared = lab.dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let seed_below = |mode| {
        fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
        let to = shared.join(format!("{mode:o}/heph.db"));
        seed_from(&lab.source(), &to, &|_| ())
    };
    assert!(seed_below(0o1777).is_ok());
    assert_eq!(seed_below(0o777).unwrap_err().code, Code::InsecurePermissions);
    assert_eq!(files_below(&shared).iter().filter(|path| path.contains("/777")).count(), 0);
}
