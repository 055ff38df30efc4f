//! Stores with many ops in them, and daemons to measure.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hephd::{
    id::OwnerId,
    machine::Machine,
    node::Change,
    rpc::client::Client,
    store::{Birth, Store},
};
use serde_json::{Map, Value, json};

const LONG: Duration = Duration::from_secs(1200);

/// A folder for one bench, and the owner of all its data.
pub struct Lab {
    pub dir: tempfile::TempDir,
    pub owner: OwnerId,
}

/// A running hephd.
pub struct Daemon {
    child: Child,
    pub socket: PathBuf,
}

impl Lab {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("heph-bench-").tempdir().unwrap();
        Self { dir, owner: "the-owner-of-the-bench".parse().unwrap() }
    }

    pub fn db(&self, name: &str) -> PathBuf {
        let folder = self.dir.path().join(name);
        hephd::store::file::make_private_folder(&folder).unwrap();
        folder.join("heph.db")
    }

    /// A store with about so many ops, of tasks and short notes.
    pub fn store(&self, name: &str, ops: usize) -> PathBuf {
        let (db, machine) = (self.db(name), Machine::this());
        Store::create(&db, &Birth::Owned(self.owner.clone()), &machine.entropy).unwrap();
        let mut store = Store::open(&db, &machine).unwrap();
        let mut written = 0;
        while written < ops {
            let batch: Vec<Change> = (0..200).map(|n| note(written + n)).collect();
            written += store.write(&self.owner, &batch).unwrap().ops as usize;
        }
        db
    }

    pub fn hub(&self, db: &Path) -> (Daemon, String) {
        self.hub_with(db, &[])
    }

    pub fn hub_with(&self, db: &Path, flags: &[&str]) -> (Daemon, String) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let all = [&["--mode", "server", "--http-addr", &address], flags].concat();
        let daemon = Daemon::start(db, &all);
        (daemon, format!("http://{address}/"))
    }

    pub fn spoke(&self, db: &Path, hub_url: &str) -> Daemon {
        Daemon::start(db, &["--mode", "local", "--hub-url", hub_url])
    }
}

/// What one person's task looks like: five fields, some text.
pub fn note(n: usize) -> Change {
    let body =
        format!("Line {n} of a list that was kept for years, with a few words in it. ").repeat(3);
    let set = json!({ "kind": "task", "title": format!("task {n}"), "done": n.is_multiple_of(2),
                      "due": "2026-05-01", "body": body });
    let Value::Object(set) = set else {
        return Change::Node { id: None, set: Map::new(), deleted: None };
    };
    Change::Node { id: None, set, deleted: None }
}

impl Daemon {
    fn start(db: &Path, flags: &[&str]) -> Self {
        let socket = db.with_file_name("hephd.sock");
        let child = Command::new(env!("CARGO_BIN_EXE_hephd"))
            .args(flags)
            .arg("--db")
            .arg(db)
            .arg("--socket")
            .arg(&socket)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while Client::connect(&socket, LONG).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{} does not start", db.display());
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { child, socket }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.socket, LONG).unwrap()
    }

    /// A complete cycle; the two are equal then.
    pub fn sync(&self) -> Value {
        let status: Value = self.client().call("sync.now", &Value::Null).unwrap();
        assert_eq!(status["equal"], true, "{status}");
        status
    }

    /// The most that it ever held in memory, in MB.
    pub fn peak_mb(&self) -> f64 {
        self.status("VmHWM")
    }

    /// What it holds in memory now, in MB.
    pub fn resident_mb(&self) -> f64 {
        self.status("VmRSS")
    }

    fn status(&self, key: &str) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Seconds of a core that it has used.
    pub fn cpu_secs(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after = stat.rsplit(')').next().unwrap();
        let ticks: Vec<f64> =
            after.split_whitespace().skip(11).take(2).map(|t| t.parse().unwrap()).collect();
        (ticks[0] + ticks[1]) / 100.0
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Of times in any order, the one that `percent` of them do not exceed, in ms.
pub fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let at = (times.len() * percent).div_ceil(100).clamp(1, times.len());
    times[at - 1].as_secs_f64() * 1000.0
}
