//! A home with a daemon in it; both go when the test ends.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use hephd::rpc::client::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(10);

/// The program under test.
pub const HEPH: &str = env!("CARGO_BIN_EXE_heph");

/// A home of its own.
pub struct Home {
    folder: TempDir,
    daemon: Option<Child>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The one JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same, where all went well.
    #[track_caller]
    pub fn good(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        self.json()
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
            err: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
        }
    }
}

impl Home {
    /// Nobody is at home.
    pub fn empty() -> Self {
        // Not below $TMPDIR: a socket's path must stay short.
        let folder = TempDir::with_prefix_in("heph-", "/tmp").expect("a folder in /tmp");
        Self { folder, daemon: None }
    }

    /// A device on its own.
    pub fn new() -> Self {
        Self::with_flags(&[])
    }

    /// A device whose daemon is given flags.
    pub fn with_flags(flags: &[&str]) -> Self {
        let mut home = Self::empty();
        home.start(&[&["--mode", "local"], flags].concat());
        home
    }

    /// Starts the daemon, and waits until it listens.
    pub fn start(&mut self, flags: &[&str]) {
        let hephd = Path::new(HEPH).with_file_name("hephd");
        assert!(hephd.exists(), "{} is missing: cargo build -p hephd", hephd.display());
        let mut command = Command::new(hephd);
        let log = fs::File::create(self.path("log")).unwrap();
        let child = self.settle(&mut command).args(flags).stderr(log).spawn();
        self.daemon = Some(child.expect("hephd starts"));
        let socket = self.socket();
        self.wait_until("the daemon listens", || UnixStream::connect(&socket).is_ok());
    }

    /// Ends the daemon, and not kindly.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }

    /// The daemon's pid.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("a daemon runs").id()
    }

    /// Waits for something, not for a time.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(begun.elapsed() < DEADLINE, "waited in vain: {what}\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn settle<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env_clear().env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin")
    }

    /// Where the daemon listens.
    pub fn socket(&self) -> PathBuf {
        self.path(".local/share/heph/hephd.sock")
    }

    /// Something in this home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a file, and the folders around it.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// The text of a file.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A program in this home.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.settle(&mut command).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs heph.
    pub fn heph(&self, args: &[&str]) -> Ended {
        self.command(HEPH).args(args).output().expect("heph runs").into()
    }

    /// Runs heph with --json, which has to go well.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        self.heph(&[args, &["--json"]].concat()).good()
    }

    /// Runs heph with something on stdin.
    pub fn heph_with(&self, args: &[&str], input: &[u8]) -> Ended {
        let mut command = self.command(HEPH);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("heph runs");
        // Nobody has to read to the end.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap().into()
    }

    /// Writes what no command line would.
    #[track_caller]
    pub fn write(&self, changes: &Value) {
        self.call("node.write", &json!({ "changes": changes }));
    }

    /// Calls a method of the daemon.
    #[track_caller]
    pub fn call(&self, method: &str, params: &Value) -> Value {
        Client::connect(&self.socket(), DEADLINE).unwrap().call(method, params).unwrap()
    }

    /// Calls a method of the daemon, which may refuse.
    pub fn try_call(&self, method: &str, params: &Value) -> hephd::error::Result<Value> {
        Client::connect(&self.socket(), DEADLINE)?.call(method, params)
    }

    /// The tasks' titles with their state.
    #[track_caller]
    pub fn tasks(&self) -> BTreeMap<String, bool> {
        let tasks = self.json(&["task", "list", "--all"]);
        let tasks = tasks["data"].as_array().unwrap().iter();
        let pair = |task: &Value| {
            (task["title"].as_str().unwrap().to_owned(), task["fields"]["done"] == true)
        };
        tasks.map(pair).collect()
    }

    /// The id of the one node of a kind with a title.
    #[track_caller]
    pub fn id(&self, kind: &str, title: &str) -> String {
        let all: &[&str] = if kind == "task" { &["list", "--all"] } else { &["list"] };
        let nodes = self.json(&[&[kind], all].concat());
        let mut nodes = nodes["data"].as_array().unwrap().iter();
        let node = nodes.find(|node| node["title"] == title);
        node.unwrap_or_else(|| panic!("no {kind} {title:?}"))["id"].as_str().unwrap().to_owned()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.stop();
    }
}

/// All files below a folder, with their bytes; a link with where it leads.
pub fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder).min_depth(1) {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        let kind = entry.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            files.insert(name, target.into_os_string().into_encoded_bytes());
        } else if kind.is_file() {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}
