//! A store of so many megabytes, and programs to time.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hephd::{
    machine::Machine,
    node::Change,
    store::{Birth, Store},
};
use serde_json::{Value, json};

/// How often each thing is done; the medians count.
pub const ROUNDS: usize = 5;

/// A folder, and a store in it that was cleanly closed.
pub struct Lab {
    pub dir: tempfile::TempDir,
    pub db: PathBuf,
    pub bytes: u64,
}

impl Lab {
    pub fn new(mb: u64) -> Self {
        let dir = tempfile::Builder::new().prefix("heph-bench-").tempdir().unwrap();
        let (db, machine) = (dir.path().join("device/heph.db"), Machine::this());
        std::fs::create_dir(dir.path().join("device")).unwrap();
        let owner: hephd::id::OwnerId = "the-owner-of-the-bench".parse().unwrap();
        Store::create(&db, &Birth::Owned(owner.clone()), &machine.entropy).unwrap();
        let mut store = Store::open(&db, &machine).unwrap();
        let mut n = 0;
        while std::fs::metadata(&db).unwrap().len() < mb * 1_000_000 {
            let batch: Vec<Change> = (n..n + 400).map(change).collect();
            store.write(&owner, &batch).unwrap();
            n += batch.len();
        }
        drop(store);
        let bytes = std::fs::metadata(&db).unwrap().len();
        Self { dir, db, bytes }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts away what the last run made, and what it left to be written.
    pub fn clear(&self, name: &str) {
        let path = self.path(name);
        let _ = std::fs::remove_dir_all(&path);
        let _ = std::fs::remove_file(&path);
        Command::new("sync").status().unwrap();
    }

    pub fn megabytes(&self) -> String {
        format!("{} MB", self.bytes / 1_000_000)
    }
}

/// One in ten is a page of notes, the others are tasks.
fn change(n: usize) -> Change {
    let line = format!("Line {n} of what was kept for years, with a few words in it. ");
    let set = if n.is_multiple_of(10) {
        json!({ "kind": "doc", "title": format!("page {n}"), "body": line.repeat(60) })
    } else {
        json!({ "kind": "task", "title": format!("task {n}"), "done": n.is_multiple_of(2),
                "due": "2026-05-01", "body": line.repeat(3) })
    };
    let Value::Object(set) = set else { panic!("an object") };
    Change::Node { id: None, set, deleted: None }
}

/// The program under measurement.
pub fn ops(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heph-ops"));
    command.args(words);
    command
}

/// How long a program takes, in seconds, and the most that it has in memory,
/// in MB.
pub fn run(command: &mut Command) -> (f64, f64) {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut most = 0.0_f64;
    loop {
        most = most.max(peak_mb(&child));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{command:?}");
            return (begun.elapsed().as_secs_f64(), most);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn peak_mb(child: &Child) -> f64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}

pub fn sqlite3(db: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("sqlite3");
    command.arg("-readonly").arg(db).args(words);
    command
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
