//! Sources that are damaged, or that mean harm.

use std::os::unix::fs::FileExt;

use super::*;

/// A small store, so that few of its bytes are idle.
fn small_store(db: &Path) {
    let conn = Connection::open(db).unwrap();
    conn.execute_batch(
        "PRAGMA page_size = 1024; PRAGMA journal_mode = DELETE;
         CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);
         CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT UNIQUE);
         INSERT INTO meta VALUES ('owner_id', 'erich'), ('origin', '00000000000000aa');
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
         INSERT INTO notes SELECT i, 'note ' || i || printf('%0*d', i % 90, 0) FROM n;",
    )
    .unwrap();
}

/// A seed of a damaged source is refused, or equal to what another SQLite
/// reads in that source; never half there.
fn refused_or_equal(lab: &Lab, what: &str) -> bool {
    let before = files_of(&lab.source());
    let ended = lab.seed();
    assert_eq!(before, files_of(&lab.source()), "{what}: the source has changed");
    lab.assert_tidy();
    match &ended {
        Ok(_) => assert_eq!(dump(&lab.source()), dump(&lab.target()), "{what}"),
        Err(error) => {
            assert_eq!(error.exit_code(), 4, "{what}: {error}");
            lab.assert_no_target();
        }
    }
    ended.is_ok()
}

#[test]
fn case_22_one_wrong_byte_is_refused_or_harmless() {
    const FLIPS: usize = 500;
    let whole = Lab::new();
    small_store(&whole.source());
    let bytes = fs::read(whole.source()).unwrap();
    let mut seeded = 0;
    for flip in 0..FLIPS {
        // Half of them in the first page, where a byte means most.
        let at = if flip % 2 == 0 { flip * 1024 / FLIPS } else { flip * bytes.len() / FLIPS };
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (flip % 8);
        let lab = Lab::new();
        fs::write(lab.source(), &damaged).unwrap();
        seeded += usize::from(refused_or_equal(&lab, &format!("byte {at}")));
    }
    assert!((1..FLIPS).contains(&seeded), "{seeded} of {FLIPS} were taken");
}

#[test]
fn case_23_a_truncated_file_is_refused() {
    let whole = Lab::with_store();
    let bytes = fs::read(whole.source()).unwrap();
    for pages in 1..bytes.len() / 4096 {
        let lab = Lab::new();
        fs::write(lab.source(), &bytes[..pages * 4096]).unwrap();
        assert!(!refused_or_equal(&lab, &format!("{pages} pages")));
    }
}

#[test]
fn case_40_triggers_on_meta_do_not_run() {
    let lab = Lab::new();
    foreign_store(&lab.source(), "WAL")
        .execute_batch(
            "CREATE TRIGGER gone AFTER DELETE ON meta BEGIN DELETE FROM words; END;
             CREATE TRIGGER more AFTER INSERT ON meta BEGIN INSERT INTO loose VALUES ('more'); END;
             CREATE TABLE on_meta (key TEXT REFERENCES meta(key) ON DELETE CASCADE);
             INSERT INTO on_meta VALUES ('theme');",
        )
        .unwrap();
    lab.seed().unwrap();
    assert_eq!(dump(&lab.source()), dump(&lab.target()));
}

#[test]
fn rows_that_need_a_key_of_one_device_are_not_dropped_in_silence() {
    let lab = Lab::new();
    foreign_store(&lab.source(), "WAL")
        .execute_batch(
            "CREATE TABLE on_meta (key TEXT REFERENCES meta(key) ON DELETE CASCADE);
             INSERT INTO on_meta VALUES ('hub_url');",
        )
        .unwrap();
    lab.refused(Code::StoreCorrupt);
}

#[test]
fn a_virtual_table_of_an_unknown_module_is_proved_by_its_shadow() {
    let lab = Lab::new();
    foreign_store(&lab.source(), "WAL")
        .execute_batch(
            "CREATE TABLE vec_rows (a); INSERT INTO vec_rows VALUES (x'00'), (x'01');
             PRAGMA writable_schema = ON;
             INSERT INTO sqlite_schema VALUES
                 ('table', 'vec', 'vec', 0, 'CREATE VIRTUAL TABLE vec USING nobody_has_this(a)');",
        )
        .unwrap();
    let receipt = lab.seed().unwrap();
    assert!(receipt.tables.iter().any(|table| table.proof.name == "vec_rows" && table.equal));
    assert_eq!(sqlite3(&lab.target(), "SELECT count(*) FROM vec_rows"), "2\n");
}

#[test]
fn a_copy_that_differs_is_never_published() {
    let lab = Lab::new();
    let conn = Connection::open(lab.source()).unwrap();
    // More than SQLite keeps in memory, so that it reads what was changed.
    conn.execute_batch(
        "CREATE TABLE meta (key, value); INSERT INTO meta VALUES ('owner_id', 'erich');
         CREATE TABLE notes (body); INSERT INTO notes VALUES ('a needle');
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)
         INSERT INTO notes SELECT randomblob(1000) FROM n;",
    )
    .unwrap();
    drop(conn);
    let tamper = |progress| match progress {
        Progress::Copying { bytes, of } if bytes == of => {
            let staged = files_below(lab.target().parent().unwrap());
            let staged = staged.iter().find(|path| path.contains(".new-")).unwrap();
            let copy = fs::OpenOptions::new().write(true).open(staged).unwrap();
            let bytes = fs::read(staged).unwrap();
            let needle = bytes.windows(8).position(|bytes| bytes == b"a needle").unwrap_or(0);
            copy.write_all_at(b"a noodle", needle as u64).unwrap();
        }
        _ => {}
    };
    let ended = seed_from(&lab.source(), &lab.target(), &tamper);
    let error = ended.unwrap_err();
    assert!(error.code == Code::StoreCorrupt && error.message.contains("table notes"), "{error}");
    lab.assert_tidy();
    lab.assert_no_target();
}
