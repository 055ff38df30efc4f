//! A home of its own, and the programs that run in it.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use heph_ops::detached::Process;
use hephd::rpc::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// No wait in a test is longer.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A temporary home. Its services are stopped when it goes.
pub struct Sandbox {
    dir: tempfile::TempDir,
}

/// How a program ended.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The one JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("not one JSON document: {e}\n{}\n{}", self.out, self.err))
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// One of the workspace's programs, as it was built with this test.
pub fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_heph-ops")).with_file_name(name);
    assert!(path.is_file(), "{} is missing: cargo build --workspace", path.display());
    path
}

impl Sandbox {
    pub fn new() -> Self {
        // A socket's path must stay short, so not below TMPDIR.
        let dir = tempfile::Builder::new().prefix("heph-").tempdir_in("/tmp").unwrap();
        Self { dir }
    }

    pub fn home(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// A command with this home and nothing else of our environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            // A test that goes wrong must not tell this machine's services anything.
            .env("HEPH_UNDER_TEST", "1")
            .env("TERM", "dumb");
        command
    }

    pub fn ops(&self, words: &[&str]) -> Ended {
        self.command(program("heph-ops")).args(words).output().unwrap().into()
    }

    pub fn hephd(&self, words: &[&str]) -> Ended {
        self.command(program("hephd")).args(words).output().unwrap().into()
    }

    /// Installs a service with the process manager and a short settling time.
    pub fn install(&self, words: &[&str]) -> Ended {
        let mut all = vec!["install-service", "--manager", "process", "--settle-ms", "50"];
        all.extend(words);
        self.ops(&all)
    }

    /// A device that runs, and a connection to it.
    pub fn device(&self) -> Client {
        self.install(&["--role", "spoke"]).expect(0);
        self.connect(".local/share/heph/hephd.sock")
    }

    pub fn connect(&self, socket: &str) -> Client {
        Client::connect(&self.path(socket), DEADLINE).unwrap()
    }

    /// What the supervisor of a service has written down.
    pub fn state(&self, label: &str) -> Value {
        let text = std::fs::read(self.path(&format!(".local/state/heph/{label}.pid")));
        text.ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// The supervisor of a service, and what it runs.
    pub fn processes(&self, label: &str) -> [Pid; 2] {
        ["supervisor", "child"].map(|who| {
            let pid = self.state(label)[who]["pid"].as_i64().unwrap();
            Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
        })
    }

    /// Kills a service, and first whoever would start it again.
    pub fn kill_service(&self, label: &str) {
        self.processes(label).into_iter().for_each(kill);
    }

    pub fn device_db(&self) -> PathBuf {
        self.path(".local/share/heph/heph.db")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for label in ["heph-spoke", "heph-hub"] {
            self.ops(&["stop", label]);
        }
    }
}

/// Adds a task and gives its id, once it is acknowledged.
pub fn add_task(client: &mut Client, title: &str) -> String {
    let set = json!({ "kind": "task", "title": title });
    let written: Value =
        client.call("node.write", &json!({ "changes": [{ "node": { "set": set } }] })).unwrap();
    written["ids"][0].as_str().unwrap().to_owned()
}

/// Kills a process, and waits until it is gone.
pub fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).unwrap();
    let number = u32::try_from(pid.as_raw_pid()).unwrap();
    wait_for("a process to be gone", || Process::of(number).is_none());
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits for something, and fails with its name when it does not come.
#[track_caller]
pub fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
