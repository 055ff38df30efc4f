//! A seed that is interrupted while it waits for the rest of what comes to it.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Child, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::sandbox::{Sandbox, program, wait_for};

/// What ends a program, the exit code for it, and the word.
const SIGNALS: [(Signal, i32, &str); 2] =
    [(Signal::TERM, 143, "terminated"), (Signal::INT, 130, "interrupted")];

/// Interrupts a seed by each signal, once it has begun as far as that: it says
/// so, and neither staging nor a folder of its own is left. The seed's stdout
/// is a pipe.
pub fn leave_nothing(to: &Path, seed: impl Fn() -> Child, has_begun: impl Fn(&Child) -> bool) {
    let ground = to.parent().unwrap();
    assert!(!ground.exists());
    for (signal, code, told) in SIGNALS {
        let mut child = seed();
        wait_for("the seed to begin", || child.try_wait().unwrap().is_some() || has_begun(&child));
        // One that has ended by itself tells why, below.
        let _ = kill_process(Pid::from_child(&child), signal);
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{out}");
        let document: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(document["error"]["code"], told);
        assert!(!ground.exists(), "{told}: something is left");
    }
}

/// Whether something stands where the target will: a staging file.
pub fn is_staged(to: &Path) -> bool {
    std::fs::read_dir(to.parent().unwrap()).into_iter().flatten().next().is_some()
}

/// Whether a program listens to SIGTERM by now.
fn listens(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let bit = 1 << (Signal::TERM.as_raw() - 1);
    u64::from_str_radix(caught.trim(), 16).unwrap() & bit != 0
}

/// A device with more than one piece of a snapshot in its store.
fn large_device(sandbox: &Sandbox) {
    let doc = |n: u32| {
        let body = format!("{n} of years of notes ").repeat(200);
        json!({ "node": { "set": { "kind": "doc", "title": format!("doc {n}"), "body": body } } })
    };
    let changes: Vec<Value> = (0..150).map(doc).collect();
    let _: Value = sandbox.device().call("node.write", &json!({ "changes": changes })).unwrap();
}

fn seed_from(sandbox: &Sandbox, from: &str, to: &Path) -> std::process::Command {
    let mut seed = sandbox.command(program("heph-ops"));
    seed.args(["seed", "--json", "--from", from, "--to"]).arg(to);
    seed.stdin(Stdio::piped()).stdout(Stdio::piped());
    seed
}

#[test]
fn case_41_a_seed_that_waits_for_standard_input_leaves_nothing() {
    let sandbox = Sandbox::new();
    large_device(&sandbox);
    let sent =
        sandbox.command(program("heph-ops")).args(["snapshot", "--stdout"]).output().unwrap();
    assert!(sent.status.success());
    let to = sandbox.path("hub/deep/heph.db");
    std::fs::create_dir(sandbox.path("hub")).unwrap();
    // Its beginning, and no more; and not even that.
    let fed = |bytes: &[u8]| {
        let mut seed = seed_from(&sandbox, "-", &to).spawn().unwrap();
        seed.stdin.as_mut().unwrap().write_all(bytes).unwrap();
        seed
    };
    leave_nothing(&to, || fed(&sent.stdout[..sent.stdout.len() / 2]), |_| is_staged(&to));
    leave_nothing(&to, || fed(b""), listens);
    assert!(sandbox.path("hub").exists(), "the folder that was there stays");
}

/// Between a daemon and whoever asks it: passes so many bytes on, then no more,
/// and holds the line.
fn relay(near: UnixListener, far: std::path::PathBuf, bytes: u64) {
    std::thread::spawn(move || {
        for near in near.incoming().flatten() {
            let far = UnixStream::connect(&far).unwrap();
            let (mut asks, mut daemon) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || {
                // Until whoever asks has gone.
                let _ = std::io::copy(&mut asks, &mut daemon);
                let _ = daemon.shutdown(std::net::Shutdown::Both);
            });
            std::thread::spawn(move || std::io::copy(&mut (&far).take(bytes), &mut &near));
        }
    });
}

#[test]
fn case_41_a_seed_that_waits_for_a_daemon_leaves_nothing() {
    let sandbox = Sandbox::new();
    large_device(&sandbox);
    let (near, to) = (sandbox.path("near.sock"), sandbox.path("hub/heph.db"));
    let listener = UnixListener::bind(&near).unwrap();
    // A piece and a part of the next.
    relay(listener, sandbox.path(".local/share/heph/hephd.sock"), 300_000);
    let from = format!("socket:{}", near.display());
    leave_nothing(&to, || seed_from(&sandbox, &from, &to).spawn().unwrap(), |_| is_staged(&to));
    wait_for("the daemon's spool to go", || {
        let files = std::fs::read_dir(sandbox.device_db().parent().unwrap()).unwrap().flatten();
        !files.into_iter().any(|file| file.file_name().to_string_lossy().contains("spool"))
    });
}
