//! hephd as it is killed and started again: the same words each time, in a
//! folder of its own, in whatever surroundings a test wraps it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hephd::node::Page;
use hephd::rpc::client::Client;
use serde_json::{Value, json};

use crate::running::{DEADLINE, Home, Running, free_port, wait_for};

/// A hub or a device of a home.
pub struct Daemon {
    folder: PathBuf,
    words: Vec<String>,
    /// Words in front of hephd: `strace …`, `ip netns exec …`. What they name
    /// must turn into hephd, and not merely start it.
    pub wrapped_in: Vec<String>,
    running: Option<Running>,
    /// How it ended last, by itself.
    pub last_exit: Option<i32>,
}

impl Daemon {
    /// A hub that listens on a free port of this machine.
    pub fn hub(home: &Home) -> (Self, u16) {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        (Self::new(home, "hub", &["--mode", "server", "--http-addr", &address]), port)
    }

    /// A device of the hub at that port. It syncs when it is told to, and
    /// after each write.
    pub fn device(home: &Home, name: &str, port: u16) -> Self {
        let url = format!("http://127.0.0.1:{port}");
        Self::new(home, name, &["--mode", "local", "--hub-url", &url])
    }

    pub fn new(home: &Home, name: &str, words: &[&str]) -> Self {
        let folder = home.folder(name);
        let path = |file: &str| folder.join(file).display().to_string();
        let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        words.extend(["--socket".to_owned(), path("hephd.sock")]);
        if !words.iter().any(|word| word == "--db") {
            words.extend(["--db".to_owned(), path("heph.db")]);
        }
        Self { folder, words, wrapped_in: Vec::new(), running: None, last_exit: None }
    }

    fn command(&self) -> Command {
        let hephd = env!("CARGO_BIN_EXE_hephd").to_owned();
        let mut words = self.wrapped_in.clone();
        words.push(hephd);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(&self.words)
            .env_clear()
            .env("HOME", &self.folder)
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    /// Starts it and waits until it answers at its socket.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.try_start(), "hephd ended: {}", self.log());
    }

    /// Starts it and waits until it answers, or has ended: then false.
    #[track_caller]
    pub fn try_start(&mut self) -> bool {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log"));
        let child = self.command().stderr(log.unwrap()).spawn().unwrap();
        let mut running = Running { child, socket: self.path("hephd.sock") };
        let (mut answers, mut ended) = (false, false);
        wait_for("hephd to answer", || {
            let exit = running.child.try_wait().unwrap();
            ended = exit.is_some();
            self.last_exit = exit.and_then(|status| status.code());
            let client = Client::connect(&running.socket, DEADLINE);
            answers =
                client.is_ok_and(|mut client| client.call::<Value>("health", &Value::Null).is_ok());
            answers || ended
        });
        self.running = (answers && !ended).then_some(running);
        self.running.is_some()
    }

    /// SIGKILL: nothing is finished, nothing is closed.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// SIGTERM, and its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let ended = self.running.take()?.stop_within(DEADLINE);
        ended.and_then(|status| status.code())
    }

    /// Waits until it has ended by itself; its exit code.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        let running = self.running.as_mut().unwrap();
        let mut ended = None;
        wait_for("hephd to end", || {
            ended = running.child.try_wait().unwrap();
            ended.is_some()
        });
        self.running = None;
        ended.and_then(|status| status.code())
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().child.id()
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.path("hephd.sock"), DEADLINE).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A complete cycle, and how it then stands.
    pub fn sync(&self) -> Result<Value, hephd::error::Error> {
        self.client().call("sync.now", &Value::Null)
    }

    pub fn status(&self) -> Value {
        self.client().call("sync.status", &Value::Null).unwrap()
    }

    /// Id and title of every task.
    pub fn tasks(&self) -> std::collections::BTreeMap<String, String> {
        let (mut tasks, mut wanted) =
            (std::collections::BTreeMap::new(), json!({ "kind": "task" }));
        loop {
            let page: Page = self.client().call("node.list", &wanted).unwrap();
            let listed = page.nodes.into_iter().map(|node| (node.id.to_string(), node.title));
            tasks.extend(listed);
            if !page.more {
                return tasks;
            }
            wanted["after"] = json!(page.cursor);
        }
    }
}

/// Both of them equal within two cycles, as each of them sees it.
#[track_caller]
pub fn equal_in_two_cycles(device: &Daemon, hub: &Daemon) {
    let first = device.sync().map(|status| status["equal"] == true);
    if first != Ok(true) {
        assert_eq!(device.sync().unwrap()["equal"], true, "after {first:?}");
    }
    assert_eq!(device.status()["heads"], hub.status()["heads"]);
    assert_eq!(device.tasks(), hub.tasks());
}

/// What another build of SQLite thinks of a store that is closed.
#[track_caller]
pub fn is_sound(db: &Path) {
    let checks = "PRAGMA integrity_check; PRAGMA foreign_key_check;";
    let output = Command::new("sqlite3").arg(db).arg(checks).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.trim(), "ok", "{}", String::from_utf8_lossy(&output.stderr));
}
