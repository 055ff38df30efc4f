//! Seeding: nothing is lost, nothing is overwritten, nothing half exists.
//!
//! The stores are of a schema that is not ours: a seed must do without knowing
//! it. `sqlite3`, another build of SQLite, is the independent judge. The
//! numbers are those of the catalogue of cases.

#![allow(clippy::disallowed_methods, reason = "tests run programs and write files as people do")]
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod backup;
mod daemons;
mod damage;
mod hot;
mod links;
mod proof;
mod refusals;
mod replace;
mod stream;
mod surroundings;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use hephd::{
    error::{Code, Error},
    id::hex,
    machine::Machine,
    store::{
        seed::{self, Becoming, Kind, Look, Receipt, Wish},
        snapshot::{Progress, Source},
    },
};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const OWNER: &str = "erich@example.org";

fn seed_from(
    from: &Path,
    to: &Path,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Receipt, Error> {
    seed::seed(Source::Store(from), &wish(to), &Machine::this(), progress)
}

/// A hub's store, and nothing special about it.
fn wish(to: &Path) -> Wish<'_> {
    Wish { to, becoming: Becoming::Hub { owner_sub: None }, replace: false, run_as: None }
}

fn look(from: &Path, to: &Path) -> Result<Look, Error> {
    seed::look(from, &wish(to))
}

fn receipt_path(db: &Path) -> PathBuf {
    seed::receipt_path(db, Kind::Seed)
}

/// Two machines in one folder: a laptop, and a server that has nothing yet.
struct Lab {
    dir: TempDir,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("laptop")).unwrap();
        Self { dir }
    }

    /// A lab whose laptop has a store, cleanly closed.
    fn with_store() -> Self {
        let lab = Self::new();
        drop(foreign_store(&lab.source(), "WAL"));
        lab
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("laptop/heph.db")
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("server/heph/heph.db")
    }

    /// A store that stands at the target already.
    fn at_target(&self) -> Connection {
        fs::create_dir_all(self.target().parent().unwrap()).unwrap();
        foreign_store(&self.target(), "DELETE")
    }

    fn seed(&self) -> Result<Receipt, Error> {
        seed_from(&self.source(), &self.target(), &|_| ())
    }

    /// Seeds, and sees that it is refused and that nothing came of it.
    fn refused(&self, code: Code) -> Error {
        let before = (files_of(&self.source()), files_of(&self.target()));
        let error = self.seed().unwrap_err();
        assert_eq!((error.code, error.exit_code()), (code, 4), "{error}");
        assert_eq!(before, (files_of(&self.source()), files_of(&self.target())), "{error}");
        assert!(!receipt_path(&self.target()).exists());
        self.assert_tidy();
        error
    }

    /// No staging file, anywhere.
    fn assert_tidy(&self) {
        let left = files_below(self.dir.path());
        let left: Vec<_> = left.iter().filter(|path| path.contains(".new-")).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    fn assert_no_target(&self) {
        assert!(!self.dir.path().join("server").exists(), "nothing may be left of the target");
    }
}

/// A store as some other program may have made it, full of odd things.
fn foreign_store(db: &Path, journal: &str) -> Connection {
    let conn = Connection::open(db).unwrap();
    conn.pragma_update(None, "journal_mode", journal).unwrap();
    conn.execute_batch(
        r#"PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF;
        CREATE TABLE meta (key TEXT PRIMARY KEY, value);
        CREATE TABLE nodes (id INTEGER PRIMARY KEY, body TEXT, blob BLOB, score REAL, more);
        CREATE TABLE words (word TEXT, lang TEXT, n INT, PRIMARY KEY (lang, word DESC)) WITHOUT ROWID;
        CREATE TABLE "odd ""name"" é" (rowid TEXT, "select" TEXT, twice AS (rowid || rowid));
        CREATE TABLE loose (a);
        CREATE TABLE links (a INTEGER REFERENCES nodes(id), b INTEGER REFERENCES nodes(id));
        CREATE TABLE ops (id TEXT PRIMARY KEY, bytes TEXT);
        CREATE TABLE heads (owner TEXT, origin TEXT, seq INT, hash BLOB);
        CREATE TABLE empty (a, b);
        CREATE INDEX by_score ON nodes (score, body);
        CREATE VIEW ends AS SELECT max(id) FROM nodes;
        CREATE VIRTUAL TABLE found USING fts5 (body);
        CREATE VIRTUAL TABLE ground USING rtree (id, x0, x1);
        INSERT INTO meta VALUES ('owner_id', 'erich@example.org'), ('origin', '00000000000000aa'),
            ('owner_sub', 'sub|7'), ('device_name', replace(hex(zeroblob(600)), '00', 'device')), ('sync_cursor', x'0102'),
            ('hub_url', 'http://hub:8787'), ('epoch', 12), ('theme', 'dark'), (7, 8.5);
        INSERT INTO "odd ""name"" é" VALUES ('7', NULL), ('', 'x');
        INSERT INTO loose VALUES (1), (1), ('1'), (1.0), (x'31'), (NULL);
        INSERT INTO heads VALUES ('erich@example.org', '00000000000000aa', 2, x'beef');
        INSERT INTO words VALUES ('a', 'en', 1), ('b', 'en', NULL), ('ä', 'de', 3);
        INSERT INTO found VALUES ('words that are found again');
        INSERT INTO ground VALUES (1, 0.5, 1.5);"#,
    )
    .unwrap();
    conn.execute_batch("BEGIN").unwrap();
    for n in 1..=200 {
        add_node(&conn, n);
    }
    conn.execute("INSERT INTO links VALUES (1, 2)", []).unwrap();
    add_op(&conn, "1700000000000-0000-00000000000000aa");
    add_op(&conn, "1700000000001-0000-00000000000000aa");
    conn.execute_batch("COMMIT; PRAGMA synchronous = FULL").unwrap();
    conn
}

fn add_node(conn: &Connection, n: i64) {
    let (blob, more) = (vec![n as u8; (n as usize * 37) % 5000], (n % 3 == 0).then_some(n));
    let row = params![n, format!("note {n}\0with a zero"), blob, n as f64 / 7.0, more];
    conn.execute("INSERT INTO nodes VALUES (?1, ?2, ?3, ?4, ?5)", row).unwrap();
}

fn add_op(conn: &Connection, id: &str) {
    conn.execute("INSERT INTO ops VALUES (?1, '{}')", [id]).unwrap();
}

/// What another SQLite says of a store.
fn sqlite3(db: &Path, query: &str) -> String {
    let out = Command::new("sqlite3").arg("-readonly").arg(db).arg(query).output().unwrap();
    assert!(out.status.success(), "{query}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// All of a store but the rows of `meta`, in another SQLite's words.
fn dump(db: &Path) -> String {
    let lines = sqlite3(db, ".dump --preserve-rowids");
    lines
        .lines()
        .filter(|line| !line.starts_with("INSERT INTO meta"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn meta(db: &Path, key: &str) -> String {
    sqlite3(db, &format!("SELECT value FROM meta WHERE key = '{key}'")).trim_end().to_owned()
}

/// The bytes that hold data, as digests, so that a failure stays readable.
/// An empty log counts as absent: reading a damaged store may leave one.
/// Nobody may have the store open in this process: closing a file ends all
/// locks that the process has on it.
fn files_of(db: &Path) -> Vec<Option<(usize, String)>> {
    let digest = |bytes: Vec<u8>| (bytes.len(), hex(&Sha256::digest(&bytes)));
    let read = |suffix| fs::read(beside(db, suffix)).ok();
    let bytes = ["", "-wal", "-journal"].map(|suffix| {
        read(suffix).filter(|bytes| suffix != "-wal" || !bytes.is_empty()).map(digest)
    });
    bytes.into()
}

fn beside(db: &Path, suffix: &str) -> PathBuf {
    hephd::store::file::beside(db, suffix)
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        found.push(entry.path().display().to_string());
        if entry.path().is_dir() {
            found.extend(files_below(&entry.path()));
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_seed_is_equal_but_for_meta_and_a_replica_of_its_own() {
    let lab = Lab::with_store();
    let (before, listing) = (files_of(&lab.source()), files_below(&lab.dir.path().join("laptop")));
    let receipt = lab.seed().unwrap();
    assert_eq!(before, files_of(&lab.source()), "the source's bytes are as they were");
    assert_eq!(listing, files_below(&lab.dir.path().join("laptop")), "and so is its folder");
    assert_eq!(dump(&lab.source()), dump(&lab.target()));
    assert_eq!(sqlite3(&lab.target(), "PRAGMA integrity_check"), "ok\n");
    assert_eq!(sqlite3(&lab.target(), "PRAGMA journal_mode"), "delete\n");
    assert_eq!(meta(&lab.target(), "owner_id"), OWNER);
    assert_eq!(meta(&lab.target(), "owner_sub"), "sub|7");
    assert_eq!(meta(&lab.target(), "theme"), "dark");
    assert_eq!(Some(meta(&lab.target(), "origin")), receipt.new_origin);
    assert_ne!(meta(&lab.target(), "origin"), meta(&lab.source(), "origin"));
    assert_eq!(meta(&lab.target(), "epoch").len(), 16);
    let gone = "SELECT count(*) FROM meta WHERE key IN ('device_name', 'sync_cursor', 'hub_url')";
    assert_eq!(sqlite3(&lab.target(), gone), "0\n");
    let bytes = fs::read(lab.target()).unwrap();
    let traces = [&b"http://hub:8787"[..], b"devicedevicedevice"];
    let left = |trace: &[u8]| bytes.windows(trace.len()).any(|window| window == trace);
    assert!(!traces.into_iter().any(left), "what was the device's is not in a freed page either");
    lab.assert_tidy();
}

#[test]
fn the_receipt_says_what_was_proved() {
    let lab = Lab::with_store();
    let receipt = lab.seed().unwrap();
    let text = fs::read_to_string(receipt_path(&lab.target())).unwrap();
    assert_eq!(serde_json::from_str::<Receipt>(&text).unwrap(), receipt);
    let changed = ["device_name", "epoch", "hub_url", "origin", "seeded_from", "sync_cursor"];
    assert_eq!(receipt.meta_changed, changed);
    assert_eq!((receipt.owner_id.as_str(), receipt.op_count), (OWNER, Some(2)));
    assert_eq!(receipt.old_origin.as_deref(), Some("00000000000000aa"));
    assert_eq!(receipt.heads.unwrap()[0].hash, "beef");
    let unequal: Vec<_> = receipt.tables.iter().filter(|table| !table.equal).collect();
    assert!(unequal.len() == 1 && unequal[0].proof.name == "meta");
    let names: Vec<_> = receipt.tables.iter().map(|table| table.proof.name.as_str()).collect();
    assert!(names.contains(&"odd \"name\" é") && names.contains(&"found_data"), "{names:?}");
    assert!(!names.contains(&"found") && !names.contains(&"ends"), "{names:?}");
    let nodes = receipt.tables.iter().find(|table| table.proof.name == "nodes").unwrap();
    assert_eq!(nodes.proof.rows, 200);
    let sum = Command::new("sha256sum").arg(lab.target()).output().unwrap();
    assert!(String::from_utf8_lossy(&sum.stdout).starts_with(&receipt.sha256));
    assert_eq!(receipt.bytes, fs::metadata(lab.target()).unwrap().len());
}

#[test]
fn case_35_the_new_store_is_its_owners_alone() {
    let lab = Lab::with_store();
    lab.seed().unwrap();
    let folder = lab.target().parent().unwrap().to_owned();
    assert_eq!((mode(&folder), mode(folder.parent().unwrap())), (0o700, 0o700));
    assert_eq!((mode(&lab.target()), mode(&receipt_path(&lab.target()))), (0o600, 0o600));
}

#[test]
fn case_09_a_second_run_changes_nothing_also_while_the_source_is_away() {
    let lab = Lab::with_store();
    assert_eq!(look(&lab.source(), &lab.target()).unwrap(), Look::Free);
    lab.assert_no_target();
    lab.seed().unwrap();
    let before = files_of(&lab.target());
    fs::remove_dir_all(lab.dir.path().join("laptop")).unwrap();
    for _ in 0..50 {
        let Look::AlreadySeeded(mark) = look(&lab.source(), &lab.target()).unwrap() else {
            panic!()
        };
        assert_eq!(mark.owner.as_str(), OWNER);
    }
    assert_eq!(before, files_of(&lab.target()));
}

#[test]
fn case_10_it_stays_seeded_after_the_hub_took_writes() {
    let lab = Lab::with_store();
    lab.seed().unwrap();
    let hub = Connection::open(lab.target()).unwrap();
    hub.pragma_update(None, "journal_mode", "WAL").unwrap();
    add_op(&hub, "1800000000000-0000-00000000000000bb");
    assert!(matches!(look(&lab.source(), &lab.target()).unwrap(), Look::AlreadySeeded(_)));
    assert_eq!(lab.seed().unwrap_err().code, Code::TargetNotEmpty);
    drop(hub);
    lab.assert_tidy();
}

#[test]
fn case_28_a_source_without_origin_gets_a_copy_with_one() {
    let lab = Lab::new();
    foreign_store(&lab.source(), "DELETE")
        .execute("DELETE FROM meta WHERE key = 'origin'", [])
        .unwrap();
    let receipt = lab.seed().unwrap();
    assert_eq!(receipt.old_origin, None);
    assert_eq!(Some(meta(&lab.target(), "origin")), receipt.new_origin);
    assert_eq!(receipt.warnings[0].code, "origin_missing");
    let text = fs::read_to_string(receipt_path(&lab.target())).unwrap();
    assert_eq!(serde_json::from_str::<Receipt>(&text).unwrap().warnings, receipt.warnings);
}

#[test]
fn case_31_an_op_from_the_far_future_is_told() {
    let lab = Lab::new();
    add_op(&foreign_store(&lab.source(), "WAL"), "4070908800000-0000-00000000000000cc");
    let warnings = lab.seed().unwrap().warnings;
    assert!(
        warnings.iter().any(|w| w.code == "op_ahead" && w.message.contains("2099-01-01")),
        "{warnings:?}"
    );
}

#[test]
fn two_seeds_never_share_an_origin() {
    let lab = Lab::with_store();
    let other = lab.dir.path().join("other/heph.db");
    let first = lab.seed().unwrap();
    let second = seed_from(&lab.source(), &other, &|_| ()).unwrap();
    assert_ne!(first.new_origin, second.new_origin);
    assert_eq!(dump(&lab.target()), dump(&other));
}

#[test]
fn odd_names_are_names() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let lab = Lab::new();
    for name in [&b"file:heph.db?mode=memory"[..], b"a%20b 'c' #.db", b"not \xff utf-8.db"] {
        let from = lab.dir.path().join("laptop").join(OsStr::from_bytes(name));
        drop(foreign_store(&lab.source(), "DELETE"));
        fs::rename(lab.source(), &from).unwrap();
        let to = lab.dir.path().join("server").join(OsStr::from_bytes(name));
        seed_from(&from, &to, &|_| ()).unwrap();
        assert!(to.exists() && receipt_path(&to).exists());
        assert!(matches!(look(&from, &to).unwrap(), Look::AlreadySeeded(_)));
    }
    lab.assert_tidy();
}

#[test]
fn one_source_has_one_name_whichever_way_it_is_reached() {
    let lab = Lab::with_store();
    lab.seed().unwrap();
    let (real, link) = (lab.dir.path().join("laptop"), lab.dir.path().join("link"));
    std::os::unix::fs::symlink(&real, &link).unwrap();
    fs::remove_file(lab.source()).unwrap();
    for path in [link.join("heph.db"), real.join("../laptop/./heph.db")] {
        assert!(matches!(look(&path, &lab.target()).unwrap(), Look::AlreadySeeded(_)));
    }
    assert_eq!(look(&real.join("other.db"), &lab.target()).unwrap_err().code, Code::SourceNotFound);
}

/// Whom the owner is bound to travels with the seed, and nothing else changes.
#[test]
fn a_seed_can_carry_whom_the_owner_is_bound_to() {
    let lab = Lab::with_store();
    let (from, to) = (lab.source(), lab.target());
    let becoming = Becoming::Hub { owner_sub: Some("ann") };
    let wish = Wish { becoming, ..wish(&to) };
    let receipt = seed::seed(Source::Store(&from), &wish, &Machine::this(), &|_| ()).unwrap();
    assert!(receipt.meta_changed.iter().any(|key| key == "hub_owner_sub"), "{receipt:?}");
    let read = |db: &Path| {
        let conn = Connection::open(db).unwrap();
        let find = "SELECT count(*) FROM meta WHERE key = 'hub_owner_sub' AND value = 'ann'";
        conn.query_row(find, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((read(&from), read(&to)), (0, 1));
}
