//! A disk that is full, and one that fails. What cannot be made durable is
//! refused, reads go on, nothing is corrupt, and once the disk is well again
//! so is everything else, by itself.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use hephd::error::Code;
use serde_json::Value;

use super::{
    daemon::{Daemon, equal_in_two_cycles, is_sound},
    ledger::Ledger,
    wire::{self, Pusher, ask},
};
use crate::{
    running::{Home, add_task, free_port, wait_for},
    world::full,
};

/// A disk of few megabytes that only the daemon sees, and that goes with it.
struct SmallDisk {
    mount: PathBuf,
}

impl SmallDisk {
    fn of(home: &Home, name: &str) -> Self {
        Self { mount: home.folder(name) }
    }

    fn db(&self) -> String {
        self.mount.join("heph.db").display().to_string()
    }

    /// What mounts it and then turns into what follows.
    fn wrapping(&self) -> Vec<String> {
        let mount = "mount -t tmpfs -o size=3m,mode=700 none \"$0\" && exec \"$@\"";
        let words = ["unshare", "--map-root-user", "--mount", "--propagation", "private"];
        let mut words: Vec<String> = words.map(str::to_owned).to_vec();
        words.extend(["/bin/sh".into(), "-c".into(), mount.into()]);
        words.push(self.mount.display().to_string());
        words
    }

    /// A file on it, seen from outside.
    fn seen(&self, daemon: &Daemon, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", daemon.pid()));
        root.join(self.mount.strip_prefix("/").unwrap()).join(name)
    }

    fn fill(&self, daemon: &Daemon) {
        let mut ballast = std::fs::File::create(self.seen(daemon, "ballast")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while ballast.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn clear(&self, daemon: &Daemon) {
        std::fs::remove_file(self.seen(daemon, "ballast")).unwrap();
    }
}

/// Pushes until the hub takes no more; how it says so.
fn push_until_refused(port: u16, pusher: &mut Pusher, ledger: &Ledger) -> (u16, String, String) {
    for _ in 0..2_000 {
        let (body, ops) = pusher.next_batch();
        let (status, head, said) = ask(port, "POST", "/sync/push", &body).unwrap();
        if status != 200 {
            pusher.again(body, ops);
            return (status, head, said);
        }
        ops.into_iter().for_each(|(id, op)| ledger.acknowledged(id, op));
    }
    panic!("nothing was refused");
}

#[track_caller]
fn reads_go_on(port: u16) {
    for path in ["/healthz", "/sync/heads", "/sync/pull"] {
        let (status, _, said) = ask(port, "GET", path, "").unwrap();
        assert_eq!(status, 200, "{path}: {said}");
    }
}

fn ready(port: u16) -> u16 {
    ask(port, "GET", "/readyz", "").map_or(0, |answer| answer.0)
}

#[track_caller]
fn takes_again(port: u16, pusher: &mut Pusher, ledger: &Ledger) {
    let (body, ops) = pusher.next_batch();
    let (status, _, said) = ask(port, "POST", "/sync/push", &body).unwrap();
    assert_eq!(status, 200, "{said}");
    ops.into_iter().for_each(|(id, op)| ledger.acknowledged(id, op));
}

#[test]
fn row_56_a_hub_whose_disk_is_full_says_so_reads_on_and_recovers() {
    let home = Home::new();
    let (disk, port) = (SmallDisk::of(&home, "disk"), free_port());
    let address = format!("127.0.0.1:{port}");
    let words = ["--mode", "server", "--http-addr", &address, "--db", &disk.db()];
    let mut hub = Daemon::new(&home, "hub", &words);
    hub.wrapped_in = disk.wrapping();
    hub.start();
    let url = format!("http://{address}");
    let words = ["--mode", "local", "--hub-url", &url, "--sync-interval-secs", "1"];
    let mut device = Daemon::new(&home, "device", &words);
    device.start();
    let status = device.sync().unwrap();
    let (tasks, ops) = (Ledger::default(), Ledger::default());
    assert!(tasks.add_task(&device, "before"));
    device.sync().unwrap();

    let mut pusher = Pusher::new(port, status["owner_id"].as_str().unwrap(), 1);
    disk.fill(&hub);
    let (status, _, said) = push_until_refused(port, &mut pusher, &ops);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &said["error"]["code"]), (507, &Value::from("no_space")), "{said}");
    reads_go_on(port);
    assert_eq!(ready(port), 503);
    assert!(tasks.add_task(&device, "while it is full"), "the device itself goes on");
    let error = device.sync().unwrap_err();
    assert!(error.message.contains("507") && error.message.contains("full"), "{error}");
    assert_eq!(device.status()["last_error"]["message"], error.message);

    disk.clear(&hub);
    wait_for("the two to be equal again", || {
        let status = device.status();
        status["equal"] == true && status["unsent_ops"] == 0 && status["last_error"].is_null()
    });
    assert_eq!(ready(port), 200);
    takes_again(port, &mut pusher, &ops);
    equal_in_two_cycles(&device, &hub);
    assert_eq!(ops.missing_in(&wire::pull_all(port)), Vec::<String>::new());
    assert_eq!(tasks.missing_in(&hub.tasks()), Vec::<String>::new());
    is_sound(&disk.seen(&hub, "heph.db"));
}

#[test]
fn row_56_a_device_whose_disk_is_full_refuses_to_write_and_recovers() {
    let home = Home::new();
    let disk = SmallDisk::of(&home, "disk");
    let mut device = Daemon::new(&home, "device", &["--mode", "local", "--db", &disk.db()]);
    device.wrapped_in = disk.wrapping();
    device.start();
    let ledger = Ledger::default();
    assert!(ledger.add_task(&device, "before"));
    disk.fill(&device);
    let write = || add_task(&mut device.client(), &"x".repeat(2_000));
    let mut refused = None;
    for _ in 0..2_000 {
        match write() {
            Ok(done) => {
                ledger.acknowledged(done["ids"][0].as_str().unwrap().to_owned(), "x".repeat(2_000));
            }
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let refused = refused.expect("a full disk refuses");
    assert_eq!(refused.code, Code::NoSpace, "{refused}");
    assert_eq!(ledger.missing_in(&device.tasks()), Vec::<String>::new(), "reads go on");

    disk.clear(&device);
    assert!(ledger.add_task(&device, "after"));
    let there = device.tasks();
    assert_eq!(ledger.missing_in(&there), Vec::<String>::new());
    assert_eq!(there.len(), ledger.len(), "what was refused is not there");
    is_sound(&disk.seen(&device, "heph.db"));
}

/// A tracer that makes a running daemon's system calls fail until it goes.
struct Failing(Child);

impl Failing {
    fn calls(daemon: &Daemon, calls: &str, error: &str) -> Self {
        let pid = daemon.pid();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &pid.to_string()]);
        strace.args(["-e", &format!("trace={calls}")]);
        strace.args(["-e", &format!("inject={calls}:error={error}")]);
        let tracer = Self(strace.stderr(Stdio::null()).spawn().unwrap());
        wait_for("strace to have every thread", || {
            let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            threads.flatten().all(|thread| is_traced(&thread.path()))
        });
        tracer
    }
}

fn is_traced(thread: &Path) -> bool {
    let status = std::fs::read_to_string(thread.join("status")).unwrap_or_default();
    !status.contains("TracerPid:\t0\n")
}

impl Drop for Failing {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // So that it lets go of the daemon; killed, it would take it along.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn a_hub_whose_disk_fails_says_so_reads_on_and_recovers() {
    for calls in ["pwrite64", "fdatasync,fsync", "pwrite64,fdatasync,fsync,ftruncate"] {
        let home = Home::new();
        let (mut hub, port) = Daemon::hub(&home);
        hub.start();
        let owner = hub.status()["owner_id"].as_str().unwrap().to_owned();
        let (ledger, mut pusher) = (Ledger::default(), Pusher::new(port, &owner, 5));
        takes_again(port, &mut pusher, &ledger);

        let failing = Failing::calls(&hub, calls, "EIO");
        let (status, head, said) = push_until_refused(port, &mut pusher, &ledger);
        assert_eq!(status, 503, "{calls}: {said}");
        assert!(head.contains("retry-after:") && said.contains("disk_failed"), "{head} {said}");
        reads_go_on(port);
        assert_eq!(ready(port), 503, "{calls}");
        let (status, ..) = push_until_refused(port, &mut pusher, &ledger);
        assert_eq!(status, 503, "{calls}: once more is no better");
        drop(failing);

        takes_again(port, &mut pusher, &ledger);
        assert_eq!(ready(port), 200, "{calls}");
        hub.kill();
        hub.start();
        assert_eq!(ledger.missing_in(&wire::pull_all(port)), Vec::<String>::new(), "{calls}");
        assert_eq!(hub.stop(), Some(0));
        is_sound(&hub.path("heph.db"));
    }
}

/// One system call of a hub's life fails, whichever: it ends with a reason or
/// goes on, and what it acknowledged is there.
#[test]
fn one_failed_call_anywhere_in_a_hubs_life_loses_nothing() {
    // Opening fails at first within the loader, before there is a hephd.
    let faults = [
        ("pwrite64", "EIO", 1, full(40, 300)),
        ("pwrite64", "ENOSPC", 1, full(40, 300)),
        ("fdatasync", "EIO", 1, full(8, 40)),
        ("fsync", "EIO", 1, full(4, 40)),
        ("ftruncate", "EIO", 1, full(4, 40)),
        ("openat", "EMFILE", 12, full(40, 100)),
        ("unlink", "EACCES", 1, full(6, 20)),
    ];
    let (mut points, mut ended) = (0, 0);
    for (call, error, first, last) in faults {
        for n in first..=last {
            points += 1;
            ended += u64::from(!outlives_one_failure(call, error, n));
        }
    }
    eprintln!("{points} points, at {ended} of them the hub did not start");
    assert!(ended < points * 4 / 5, "more of them must be survived");
}

/// Whether the hub came to serve.
fn outlives_one_failure(call: &str, error: &str, n: u64) -> bool {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    // Half of them fall into the making of the store, half into its life.
    if n.is_multiple_of(2) {
        hub.start();
        assert_eq!(hub.stop(), Some(0));
    }
    let trace = home.path("trace").display().to_string();
    let (only, inject) = (format!("trace={call}"), format!("inject={call}:error={error}:when={n}"));
    // -D: hephd is our child, and strace its companion.
    let words = ["strace", "-D", "-f", "-qq", "-o", &trace, "-e", &only, "-e", &inject];
    hub.wrapped_in = words.map(str::to_owned).to_vec();
    let ledger = Ledger::default();
    let started = hub.try_start();
    if started {
        let owner = hub.status()["owner_id"].as_str().unwrap().to_owned();
        let mut pusher = Pusher::new(port, &owner, n);
        for _ in 0..6 {
            let (body, ops) = pusher.next_batch();
            match ask(port, "POST", "/sync/push", &body) {
                Ok((200, ..)) => ops.into_iter().for_each(|(id, op)| ledger.acknowledged(id, op)),
                other => {
                    let refused = matches!(other, Ok((503 | 507, ..)));
                    assert!(refused, "{call} {error} {n}: {other:?}");
                    pusher.again(body, ops);
                }
            }
        }
        hub.kill();
    } else {
        let log = hub.log();
        assert!(!log.contains("panicked") && log.contains('['), "{call} {error} {n}: {log}");
    }
    hub.wrapped_in.clear();
    hub.start();
    let there = wire::pull_all(port);
    assert_eq!(ledger.missing_in(&there), Vec::<String>::new(), "{call} {error} {n}");
    assert_eq!(hub.stop(), Some(0), "{call} {error} {n}");
    is_sound(&hub.path("heph.db"));
    started
}
