//! The real program in a home of its own, and plain HTTP to talk to it.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use hephd::rpc::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::answer::{self, Answer};

/// No wait in a test is longer.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A temporary home.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        // A socket's path must stay short, so not below TMPDIR.
        Self { dir: tempfile::Builder::new().prefix("hephd-").tempdir_in("/tmp").unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A folder as a store wants it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        hephd::store::file::make_private_folder(&path).unwrap();
        path
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hephd"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("LC_ALL", "C")
            .env("TERM", "dumb")
            .stdin(Stdio::null());
        command
    }

    /// Runs hephd to its end: for command lines that it refuses.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command().args(words).output().unwrap()
    }

    /// Starts hephd and waits until it answers at its socket.
    pub fn start(&self, words: &[&str]) -> Running {
        self.start_in(words, &[])
    }

    /// The same with more in its environment.
    pub fn start_in(&self, words: &[&str], env: &[(&str, &str)]) -> Running {
        let socket = words.iter().position(|word| *word == "--db").map_or_else(
            || self.path(".local/share/heph/hephd.sock"),
            |n| Path::new(words[n + 1]).with_file_name("hephd.sock"),
        );
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = self.command();
        let child = command.args(words).envs(env.iter().copied()).stderr(log).spawn().unwrap();
        let mut running = Running { child, socket };
        wait_for("hephd to answer", || {
            if let Some(status) = running.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.path("log")).unwrap();
                panic!("hephd ended with {status}: {log}");
            }
            let client = Client::connect(&running.socket, DEADLINE);
            client.is_ok_and(|mut client| client.call::<Value>("health", &Value::Null).is_ok())
        });
        running
    }
}

/// A daemon that runs; it is killed when it goes.
pub struct Running {
    pub child: Child,
    pub socket: PathBuf,
}

impl Running {
    pub fn client(&self) -> Client {
        Client::connect(&self.socket, DEADLINE).unwrap()
    }

    /// SIGTERM, and the exit code.
    pub fn stop(mut self) -> i32 {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }

    /// SIGTERM, and how it ended; none where that took too long.
    pub fn stop_within(mut self, patience: Duration) -> Option<ExitStatus> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return Some(ended);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn add_task(client: &mut Client, title: &str) -> Result<Value, hephd::error::Error> {
    let set = json!({ "kind": "task", "title": title });
    client.call("node.write", &json!({ "changes": [{ "node": { "set": set } }] }))
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

/// One request, written out by hand: status, head and body of the answer.
/// Status 0 where the hub closed before it said anything.
#[track_caller]
pub fn http(port: u16, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // A hub may refuse, and close, before it has read all.
    let _ = stream.write_all(request);
    let ended = stream.peek(&mut [0]).map_or(true, |some| some == 0);
    if ended {
        return Default::default();
    }
    let first = String::from_utf8_lossy(&request[..request.len().min(8)]);
    answer::read(&stream, &first).expect("a whole answer")
}

#[track_caller]
pub fn get(port: u16, path: &str) -> Answer {
    http(
        port,
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
    )
}

#[track_caller]
pub fn post(port: u16, path: &str, body: &str) -> Answer {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    http(port, request.as_bytes())
}
