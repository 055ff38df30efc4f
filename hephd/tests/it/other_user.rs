//! Another user of the machine at the local socket: while it is made, and
//! afterwards. Only root can become another user, so only root runs this.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::running::{Home, wait_for};

/// Nobody's uid.
const OTHER: &str = "65534";

/// Connects so often, whatever comes of it, and says how often something was
/// answered. It does not wait for the socket: it is there before it.
const ATTACK: &str = r#"
import json, socket, sys
path, tries = sys.argv[1], int(sys.argv[2])
answered = connected = refused = missing = 0
print("ready", flush=True)
while connected + refused < tries:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    try:
        s.connect(path)
        connected += 1
        s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"health"}\n')
        answered += len(s.recv(4096)) > 0
    except PermissionError:
        refused += 1
    except FileNotFoundError:
        missing += 1
    except (ConnectionError, BrokenPipeError, socket.timeout):
        pass
    s.close()
print(json.dumps([answered, connected, refused, missing]), flush=True)
"#;

fn attack(socket: &Path, tries: u32) -> (Child, impl FnOnce() -> [u64; 4]) {
    let mut child = Command::new("setpriv")
        .args(["--reuid", OTHER, "--clear-groups", "/usr/bin/python3", "-c", ATTACK])
        .arg(socket)
        .arg(tries.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    (child, move || serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap())
}

fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: {test}: only root can become another user");
    }
    root
}

/// A folder that others may enter, so that nothing but the socket itself and
/// the question who is there keep them out.
fn open_folder(home: &Home) -> std::path::PathBuf {
    let folder = home.folder("shared");
    for path in [home.path(""), folder.clone()] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// They knock from before the socket is there until long after: its mode is
/// right from its first moment.
#[test]
fn whoever_knocks_a_thousand_times_while_the_socket_is_made_stays_out() {
    if !is_root("knocking at a socket") {
        return;
    }
    let home = Home::new();
    let folder = open_folder(&home);
    let (db, socket) = (home.folder("store").join("heph.db"), folder.join("hephd.sock"));
    let (mut other, told) = attack(&socket, 1000);
    let words =
        ["--mode", "local", "--db", db.to_str().unwrap(), "--socket", socket.to_str().unwrap()];
    let mut daemon = home.command().args(words).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the socket", || socket.exists());
    let [answered, connected, refused, missing] = told();
    other.wait().unwrap();
    assert_eq!((answered, connected, refused), (0, 0, 1000));
    assert!(missing > 0, "they were there before the socket");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

/// Where a system does not look at a socket's mode, or somebody changed it, the
/// daemon still asks who is there.
#[test]
fn a_socket_that_everybody_may_open_answers_its_owner_only() {
    if !is_root("opening a socket") {
        return;
    }
    let home = Home::new();
    let folder = open_folder(&home);
    let (db, socket) = (home.folder("store").join("heph.db"), folder.join("hephd.sock"));
    let words =
        ["--mode", "local", "--db", db.to_str().unwrap(), "--socket", socket.to_str().unwrap()];
    let log = std::fs::File::create(home.path("log")).unwrap();
    let mut daemon = home.command().args(words).stderr(log).spawn().unwrap();
    wait_for("the socket", || socket.exists());
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let (mut other, told) = attack(&socket, 100);
    let [answered, connected, ..] = told();
    other.wait().unwrap();
    assert_eq!((answered, connected), (0, 100));
    let log = std::fs::read_to_string(home.path("log")).unwrap();
    assert!(log.contains("another user's process"), "{log}");
    let client = hephd::rpc::client::Client::connect(&socket, super::running::DEADLINE);
    client.unwrap().call::<serde_json::Value>("health", &serde_json::Value::Null).unwrap();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}
