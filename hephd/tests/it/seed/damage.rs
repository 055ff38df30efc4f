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

/// A small store's bytes, its last page of rows, by its number from one, and
/// where in the file that page begins.
fn small_store_and_a_leaf() -> (Vec<u8>, usize, usize) {
    const LEAF: u8 = 13;
    let lab = Lab::new();
    small_store(&lab.source());
    let bytes = fs::read(lab.source()).unwrap();
    let leaf = bytes.chunks(1024).rposition(|page| page[0] == LEAF).unwrap();
    (bytes, leaf + 1, leaf * 1024)
}

/// A number of two bytes, as pages have them.
fn number(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

/// Seeds these bytes: a refusal that names the page, and nothing made.
fn refused_for_page(bytes: &[u8], page: usize, what: &str) {
    let lab = Lab::new();
    fs::write(lab.source(), bytes).unwrap();
    let error = lab.refused(Code::StoreCorrupt);
    let told = error.message.to_lowercase();
    assert!(told.contains(&format!("page {page}")), "{what}: {error}");
    assert!(!told.contains('\n'), "a cause is one line: {error}");
    lab.assert_no_target();
}

#[test]
fn case_22_a_refusal_names_the_page_that_is_damaged() {
    let (whole, page, at) = small_store_and_a_leaf();
    // What kind of page it is, how many rows it has, where the first one lies.
    for (offset, wrong) in [(0, 0x07), (3, 0xff), (8, 0xff)] {
        let mut bytes = whole.clone();
        bytes[at + offset] = wrong;
        refused_for_page(&bytes, page, &format!("byte {offset}"));
    }
}

/// A row that says it is longer than it is would be read on into its neighbours,
/// or out of the page.
#[test]
fn case_40_a_row_that_says_it_is_longer_is_refused() {
    let (whole, page, at) = small_store_and_a_leaf();
    let rows = number(&whole, at + 3);
    assert!(rows > 1, "{rows} rows");
    for row in 0..rows {
        let cell = at + number(&whole, at + 8 + 2 * row);
        for longer in [&[whole[cell] + 1][..], &[0x7f], &[0xff, 0x7f]] {
            let mut bytes = whole.clone();
            bytes[cell..cell + longer.len()].copy_from_slice(longer);
            refused_for_page(&bytes, page, &format!("row {row}: {longer:x?}"));
        }
    }
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

/// What a store says of itself may call for code: it is refused, or copied as it
/// is and never followed.
#[test]
fn case_40_what_a_schema_calls_is_never_run() {
    // SQLite would not let it be written in the ordinary way.
    let written_over = |made: &str, sql: &str| {
        let sql = sql.replace('\'', "''");
        let update = format!("UPDATE sqlite_schema SET sql = '{sql}' WHERE name = 'trap'");
        format!("{made}; PRAGMA writable_schema = ON; {update}")
    };
    let row = "CREATE TABLE trap (a, b AS (abs(a)), c); INSERT INTO trap (a) VALUES (1)";
    let index = "CREATE INDEX trap ON nodes (abs(score)) WHERE id > 1";
    let traps = [
        written_over(
            row,
            "CREATE TABLE trap (a CHECK (load_extension('/evil')), b AS (abs(a)), c)",
        ),
        written_over(row, "CREATE TABLE trap (a, b AS (load_extension(a)), c)"),
        written_over(
            row,
            "CREATE TABLE trap (a, b AS (abs(a)), c DEFAULT (load_extension('/evil')))",
        ),
        written_over(index, "CREATE INDEX trap ON nodes (load_extension(score)) WHERE id > 1"),
        written_over(index, "CREATE INDEX trap ON nodes (abs(score)) WHERE load_extension(id)"),
        "CREATE VIEW trap AS SELECT load_extension('/evil')".to_owned(),
        "CREATE TRIGGER trap BEFORE DELETE ON meta BEGIN SELECT load_extension('/evil'); END"
            .to_owned(),
    ];
    let mut copied = 0;
    for trap in &traps {
        let lab = Lab::new();
        foreign_store(&lab.source(), "DELETE").execute_batch(trap).unwrap();
        if refused_or_equal(&lab, trap) {
            copied += 1;
            continue;
        }
        // By the rule that forbids it, not by what came of it.
        let error = lab.seed().unwrap_err();
        let rules = ["unsafe use of load_extension()", "non-deterministic functions prohibited"];
        assert!(rules.iter().any(|rule| error.message.contains(rule)), "{trap}: {error}");
    }
    assert!(copied >= 3, "what only writers and views ask for does no harm: {copied} were copied");
}

#[test]
fn case_40_a_view_in_the_place_of_a_table_of_ours_is_not_read() {
    let lab = Lab::new();
    foreign_store(&lab.source(), "WAL")
        .execute_batch(
            "DROP TABLE ops; DROP TABLE heads;
             CREATE VIEW ops AS SELECT '4070908800000-0000-00000000000000cc' AS id, 1 AS n;
             CREATE VIEW heads AS SELECT 'x' AS origin, 1 AS seq, x'00' AS hash;",
        )
        .unwrap();
    let receipt = lab.seed().unwrap();
    assert_eq!((receipt.op_count, &receipt.heads), (None, &None));
    assert!(receipt.warnings.is_empty(), "{:?}", receipt.warnings);
    assert_eq!(dump(&lab.source()), dump(&lab.target()));
}

/// SQLite looks there first, and a list of tables that leaves some out would
/// leave them unproved.
#[test]
fn case_40_a_table_in_the_place_of_one_of_sqlites_is_refused() {
    let posing = [
        "CREATE TABLE pragma_table_list (schema, name, type, ncol, wr, strict);
         INSERT INTO pragma_table_list VALUES ('main', 'meta', 'table', 2, 0, 0)",
        "CREATE TABLE Pragma_page_count (page_count); INSERT INTO pragma_page_count VALUES (0)",
        "CREATE VIEW pragma_table_xinfo AS SELECT 'key' AS name, 0 AS hidden, 0 AS pk",
    ];
    for sql in posing {
        let lab = Lab::new();
        foreign_store(&lab.source(), "WAL").execute_batch(sql).unwrap();
        let error = lab.refused(Code::NotAHephStore);
        assert!(error.message.to_lowercase().contains("pragma_"), "{error}");
        lab.assert_no_target();
    }
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
