//! Sources that are in use, or were left in the middle of something.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicI64, Ordering},
    },
    thread,
};

use hephd::store::file::StoreLock;

use super::*;
use crate::asked::full;

/// Writes a node and a word in one transaction, again and again, until `last`
/// reaches `limit`; a limit below zero ends it.
fn keep_writing(db: &Path, last: &AtomicI64, limit: &AtomicI64) {
    let conn = Connection::open(db).unwrap();
    conn.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA busy_timeout = 5000").unwrap();
    loop {
        let n = last.load(Ordering::Acquire) + 1;
        match limit.load(Ordering::Acquire) {
            ..0 => return,
            limit if n > limit => thread::yield_now(),
            _ => {
                conn.execute_batch("BEGIN IMMEDIATE").unwrap();
                add_node(&conn, n);
                conn.execute("INSERT INTO words VALUES (?1, 'n', ?1)", [n]).unwrap();
                conn.execute_batch("COMMIT").unwrap();
                last.store(n, Ordering::Release);
            }
        }
    }
}

/// Ends the writer also where the test fails.
struct StopAtEnd<'a>(&'a AtomicI64);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(-1, Ordering::Release);
    }
}

#[test]
fn case_01_a_hot_source_keeps_every_row_that_was_committed() {
    const ROWS_A_ROUND: i64 = 100;
    let lab = Lab::new();
    let holder = foreign_store(&lab.source(), "WAL");
    let (last, limit) = (AtomicI64::new(200), AtomicI64::new(200));
    let source = lab.source();
    thread::scope(|scope| {
        scope.spawn(|| keep_writing(&source, &last, &limit));
        let _stop = StopAtEnd(&limit);
        for round in 0..15 {
            let limit_now = limit.fetch_add(ROWS_A_ROUND, Ordering::AcqRel) + ROWS_A_ROUND;
            while last.load(Ordering::Acquire) < limit_now - ROWS_A_ROUND + 5 {
                thread::yield_now();
            }
            let committed = last.load(Ordering::Acquire);
            let target = lab.dir.path().join(format!("servers/{round}/heph.db"));
            seed_from(&source, &target, &|_| ()).unwrap();
            assert_whole(&source, &target, committed);
        }
    });
    drop(holder);
    lab.assert_tidy();
}

/// All that was committed, whole transactions only, and every row as it is in
/// the source.
fn assert_whole(source: &Path, target: &Path, committed: i64) {
    let count = |query: &str| sqlite3(target, query).trim().parse::<i64>().unwrap();
    let nodes = count("SELECT max(id) FROM nodes");
    assert!(nodes >= committed, "{nodes} of {committed}");
    assert_eq!(nodes, count("SELECT count(*) + 200 FROM words WHERE lang = 'n'"));
    let equal = format!(
        "ATTACH '{}' AS s; SELECT count(*) FROM nodes n JOIN s.nodes o USING (id)
         WHERE (n.body, n.blob, n.score) = (o.body, o.blob, o.score)",
        source.display()
    );
    assert_eq!(nodes, count(&equal));
}

#[test]
fn case_02_what_is_not_committed_is_not_there() {
    let lab = Lab::new();
    let writer = foreign_store(&lab.source(), "WAL");
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    add_node(&writer, 999);
    lab.seed().unwrap();
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(sqlite3(&lab.target(), "SELECT max(id) FROM nodes"), "200\n");
    lab.assert_tidy();
}

#[test]
fn case_03_a_daemon_at_work_on_the_source_is_told() {
    let lab = Lab::with_store();
    let daemon = StoreLock::take(&lab.source()).unwrap();
    let warnings = lab.seed().unwrap().warnings;
    drop(daemon);
    let pid = std::process::id().to_string();
    assert!(warnings.iter().any(|w| w.code == "source_running" && w.message.contains(&pid)));
}

/// What a power cut leaves of a store that is open.
pub(super) fn snatch(from: &Path, to: &Path) {
    for suffix in ["", "-wal", "-journal"] {
        if beside(from, suffix).exists() {
            fs::copy(beside(from, suffix), beside(to, suffix)).unwrap();
        }
    }
}

#[test]
fn case_04_what_an_unclean_stop_left_in_the_log_arrives() {
    let lab = Lab::new();
    let live = lab.dir.path().join("laptop/live.db");
    let conn = foreign_store(&live, "WAL");
    snatch(&live, &lab.source());
    drop(conn);
    let listing = || files_below(&lab.dir.path().join("laptop"));
    let before = (files_of(&lab.source()), listing());
    assert!(before.0[1].as_ref().unwrap().0 > 100_000, "the rows are in the log");
    lab.seed().unwrap();
    assert_eq!(before, (files_of(&lab.source()), listing()));
    assert_eq!(dump(&live), dump(&lab.target()));
    lab.assert_tidy();
}

#[test]
fn case_06_a_hot_journal_is_rolled_back_in_a_copy() {
    let lab = Lab::new();
    let live = lab.dir.path().join("laptop/live.db");
    let conn = foreign_store(&live, "DELETE");
    conn.execute_batch("PRAGMA cache_size = 5; BEGIN; UPDATE nodes SET body = 'torn'").unwrap();
    snatch(&live, &lab.source());
    conn.execute_batch("ROLLBACK").unwrap();
    drop(conn);
    let before = files_of(&lab.source());
    assert!(before[2].is_some(), "there is a journal");
    let raw = Connection::open_with_flags(lab.source(), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
    let read = raw.unwrap().query_row("SELECT count(*) FROM nodes", [], |_| Ok(()));
    assert!(read.is_err(), "it is hot");
    assert_eq!(look(&lab.source(), &lab.target()).unwrap(), Look::Free);
    let receipt = lab.seed().unwrap();
    assert_eq!(receipt.warnings[0].code, "source_recovered");
    assert_eq!(before, files_of(&lab.source()));
    assert_eq!(dump(&live), dump(&lab.target()));
    lab.assert_tidy();
}

#[test]
fn case_20_read_only_media_are_copied_with_their_log() {
    let lab = Lab::new();
    let live = lab.dir.path().join("live.db");
    let conn = foreign_store(&live, "WAL");
    snatch(&live, &lab.source());
    drop(conn);
    let before = files_of(&lab.source());
    seed_from_read_only_folder(&lab);
    assert_eq!(before, files_of(&lab.source()));
    assert_eq!(dump(&live), dump(&lab.target()));
    lab.assert_tidy();
}

fn seed_from_read_only_folder(lab: &Lab) {
    let script = r#"mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" "$1""#;
    seed_where(lab, script, &lab.source(), "source_recovered");
}

#[test]
fn case_16_a_full_disk_is_seen_before_anything_is_copied() {
    let lab = Lab::with_store();
    fs::create_dir_all(lab.target().parent().unwrap()).unwrap();
    let small = r#"mount -t tmpfs -o size=256k,mode=700 tmpfs "$1""#;
    let said = seed_where(&lab, small, &lab.target(), "no_space");
    assert!(said.contains("bytes free"), "{said}");
}

/// Mounts something on a store's folder, in a namespace of its own, and runs
/// this very test binary in it. Root may write to any folder, so modes would
/// show nothing.
pub(super) fn seed_where(lab: &Lab, mount: &str, store: &Path, outcome: &str) -> String {
    let root = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let script = format!(r#"{mount} && shift && exec "$@""#);
    let out = Command::new("unshare")
        .args([root, "sh", "-c", &script, "sh"])
        .arg(store.parent().unwrap())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "seed::hot::seed_as_told"])
        .env("SEED_LAB", lab.dir.path())
        .output()
        .unwrap();
    let [said, errors] =
        [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(said.contains(&format!("outcome: {outcome}")), "{said}{errors}");
    said
}

#[test]
#[ignore = "others run it, in a namespace of its own"]
fn seed_as_told() {
    let Some(lab) = std::env::var_os("SEED_LAB").map(PathBuf::from) else { return };
    let (from, to) = (lab.join("laptop/heph.db"), lab.join("server/heph/heph.db"));
    let outcome = match seed_from(&from, &to, &|_| ()) {
        Ok(receipt) => receipt.warnings.iter().map(|warning| warning.code.clone()).collect(),
        Err(error) => format!("{}: {error}", error.code.as_str()),
    };
    println!("outcome: {outcome}");
}

#[test]
fn case_14_of_many_seeds_at_once_exactly_one_succeeds() {
    for _ in 0..full(10, 500) {
        let lab = Lab::with_store();
        let start = Barrier::new(4);
        let run = || {
            start.wait();
            lab.seed()
        };
        let ended: Vec<_> = thread::scope(|scope| {
            let runs: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let refused: Vec<_> = ended.iter().filter_map(|ended| ended.as_ref().err()).collect();
        assert!(refused.iter().all(|error| error.exit_code() == 4), "{refused:?}");
        assert_eq!(refused.len(), 3, "{refused:?}");
        assert_eq!(dump(&lab.source()), dump(&lab.target()));
        lab.assert_tidy();
    }
}
