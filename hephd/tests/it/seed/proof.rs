//! The proof by itself: whatever differs is named, and only what differs.

use hephd::store::proof::{Proof, compare, prove};

use super::*;

const STORE: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value);
    CREATE TABLE plain (a, b);
    CREATE TABLE keyed (k TEXT, n INT, PRIMARY KEY (k, n DESC)) WITHOUT ROWID;
    CREATE VIRTUAL TABLE found USING fts5 (body);
    INSERT INTO meta VALUES ('owner_id', 'erich');
    INSERT INTO plain VALUES (1, 'ab'), (2, NULL), (2, NULL), ('3', x'63'), (0.5, '');
    INSERT INTO keyed VALUES ('a', 1), ('a', 2), ('b', 1);
    INSERT INTO found VALUES ('some words');";

fn proof_of(more: &str) -> Proof {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(STORE).unwrap();
    conn.execute_batch(more).unwrap();
    prove(&conn, &mut |_, _| ()).unwrap()
}

#[test]
fn equal_stores_have_equal_proofs_however_they_were_written() {
    let other =
        "VACUUM; INSERT INTO keyed VALUES ('A', 7); DELETE FROM keyed WHERE k = 'A'; ANALYZE;
                 DROP TABLE sqlite_stat1; DROP TABLE IF EXISTS sqlite_stat4";
    assert_eq!(compare(&proof_of(""), &proof_of("VACUUM")), None);
    assert_eq!(compare(&proof_of(""), &proof_of(other)), None);
}

#[test]
fn meta_alone_may_differ() {
    assert_eq!(compare(&proof_of(""), &proof_of("INSERT INTO meta VALUES ('x', 1)")), None);
}

#[test]
fn every_difference_is_found_and_named() {
    let changes = [
        ("UPDATE plain SET a = '1' WHERE a = 1", "table plain"),
        ("UPDATE plain SET a = 1.0 WHERE a = 1", "table plain"),
        ("UPDATE plain SET a = 4602678819172646912 WHERE a = 0.5", "table plain"),
        ("UPDATE plain SET a = 12, b = 'b' WHERE a = 1", "table plain"),
        ("UPDATE plain SET b = '' WHERE a = 2", "table plain"),
        ("UPDATE plain SET b = 'c' WHERE a = '3'", "table plain"),
        ("UPDATE plain SET rowid = 9 WHERE rowid = 5", "table plain"),
        ("DELETE FROM plain WHERE a = 2", "3 there"),
        (
            "DELETE FROM plain WHERE rowid = 3; INSERT INTO plain VALUES (1, 'ab')",
            "its 5 rows differ",
        ),
        ("UPDATE keyed SET n = 3 WHERE n = 2", "table keyed"),
        ("UPDATE found_content SET c0 = 'other words'", "table found_content"),
        ("CREATE INDEX more ON plain (a)", "the schema"),
        ("CREATE TABLE more (a)", "the schema"),
        ("PRAGMA user_version = 3", "user_version"),
        ("PRAGMA application_id = 3", "application_id"),
    ];
    for (change, name) in changes {
        let found = compare(&proof_of(""), &proof_of(change)).unwrap_or_default();
        assert!(found.contains(name), "{change}: {found:?}");
    }
}
