//! Seeding through a real sshd, whose line is cut wherever it pleases.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use hephd::clock::Entropy;

use super::{
    interrupts::{is_staged, leave_nothing},
    sandbox::{Ended, Sandbox, add_task, free_port, program, wait_for},
};

/// A laptop with sshd, its heph-ops on the path there or not, and a line to it.
struct Laptop {
    sandbox: Sandbox,
    sshd: Child,
    line: Arc<Line>,
}

impl Drop for Laptop {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

/// Passes bytes on, and cuts the connection after so many from the laptop, or
/// holds it without another byte.
#[derive(Default)]
struct Line {
    limit: AtomicU64,
    passed: AtomicU64,
    holds: Mutex<bool>,
    goes_on: Condvar,
}

impl Line {
    fn serve(self: &Arc<Self>, listener: TcpListener, port: u16) {
        let line = Arc::clone(self);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { return };
                let (line, from, to) =
                    (Arc::clone(&line), near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || copy(from, to, |_| true));
                std::thread::spawn(move || copy(far, near, |bytes| line.lets(bytes)));
            }
        });
    }

    fn lets(&self, bytes: u64) -> bool {
        let passed = self.passed.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let lets = passed <= self.limit.load(Ordering::SeqCst);
        if !lets {
            let holds = self.holds.lock().unwrap();
            drop(self.goes_on.wait_while(holds, |holds| *holds).unwrap());
        }
        lets
    }

    fn hold(&self, holds: bool) {
        *self.holds.lock().unwrap() = holds;
        self.goes_on.notify_all();
    }

    fn is_full(&self) -> bool {
        self.passed.load(Ordering::SeqCst) > self.limit.load(Ordering::SeqCst)
    }

    fn cut_after(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::SeqCst);
        self.passed.store(0, Ordering::SeqCst);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, lets: impl Fn(u64) -> bool) {
    let mut piece = [0; 1024];
    while let Ok(bytes @ 1..) = from.read(&mut piece) {
        if !lets(bytes as u64) || to.write_all(&piece[..bytes]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn run(command: &mut Command) {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn script(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

impl Laptop {
    /// A device of some tasks, stopped. `path` is where its sshd looks for
    /// programs.
    fn new(path: &str) -> Self {
        let sandbox = Sandbox::new();
        let mut device = sandbox.device();
        (0..100).for_each(|n| drop(add_task(&mut device, &format!("task {n}"))));
        sandbox.ops(&["stop"]).expect(0);
        for key in ["host", "person"] {
            let file = sandbox.path(key);
            run(sandbox
                .command("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(file));
        }
        let home = sandbox.home().display().to_string();
        let port = free_port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nStrictModes no\nUsePAM no\n\
             AuthorizedKeysFile {home}/person.pub\nPidFile none\nSetEnv HOME={home} PATH={path}\n"
        );
        std::fs::write(sandbox.path("sshd.conf"), config).unwrap();
        let _ = std::fs::create_dir_all("/run/sshd"); // Root's sshd wants it.
        let mut sshd = sandbox.command("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f"]).arg(sandbox.path("sshd.conf"));
        let log = std::fs::File::create(sandbox.path("sshd.log")).unwrap();
        let sshd = sshd.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        wait_for("sshd", || TcpStream::connect(("127.0.0.1", port)).is_ok());

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = listener.local_addr().unwrap().port();
        let line = Arc::new(Line::default());
        line.serve(listener, port);
        line.cut_after(u64::MAX);
        let laptop = Self { sandbox, sshd, line };
        laptop.know_host("host.pub");
        // As a person's own configuration would say.
        let config = format!(
            "Host laptop\nHostName 127.0.0.1\nPort {near}\nHostKeyAlias laptop\n\
             IdentityFile {home}/person\nIdentitiesOnly yes\nUserKnownHostsFile {home}/known\n\
             GlobalKnownHostsFile none\n"
        );
        std::fs::write(laptop.sandbox.path("ssh.conf"), config).unwrap();
        laptop.ssh(&format!("exec /usr/bin/ssh -F {home}/ssh.conf \"$@\"\n"));
        laptop
    }

    fn know_host(&self, key: &str) {
        let key = std::fs::read_to_string(self.sandbox.path(key)).unwrap();
        std::fs::write(self.sandbox.path("known"), format!("laptop {key}")).unwrap();
    }

    /// What runs here as `ssh`.
    fn ssh(&self, text: &str) {
        script(&self.sandbox.path("bin/ssh"), &format!("#!/bin/sh\n{text}"));
    }

    fn seed(&self, from: &str) -> Ended {
        self.command(from).output().unwrap().into()
    }

    fn command(&self, from: &str) -> Command {
        let path = format!("{}:/usr/bin:/bin", self.sandbox.path("bin").display());
        let mut command = self.sandbox.command(program("heph-ops"));
        command.env("PATH", path).args(["seed", "--json", "--from", from, "--to"]);
        command.arg(self.sandbox.path("hub/heph.db"));
        command
    }

    fn has_spools(&self) -> bool {
        let folder = self.sandbox.device_db();
        let files = std::fs::read_dir(folder.parent().unwrap()).unwrap().flatten();
        files.into_iter().any(|file| file.file_name().to_string_lossy().contains(".spool-"))
    }

    fn address(&self) -> String {
        format!("laptop:{}", self.sandbox.device_db().display())
    }

    #[track_caller]
    fn refused(&self, from: &str, code: &str) -> String {
        let ended = self.seed(from).expect(4).json();
        assert_eq!(ended["error"]["code"], code, "{ended}");
        assert!(!self.sandbox.path("hub").exists(), "{ended}");
        ended["error"]["message"].as_str().unwrap().to_owned()
    }
}

/// Where the programs of this build are, and those of the system.
fn with_ours() -> String {
    format!("{}:/usr/bin:/bin", program("heph-ops").parent().unwrap().display())
}

fn source(laptop: &Laptop) -> Vec<u8> {
    std::fs::read(laptop.sandbox.device_db()).unwrap()
}

#[test]
fn case_38_a_line_that_is_cut_anywhere_makes_nothing() {
    let laptop = Laptop::new(&with_ours());
    let before = source(&laptop);
    let seeded = laptop.seed(&laptop.address()).expect(0).json();
    assert_eq!(seeded["status"], "seeded");
    let all = laptop.line.passed.load(Ordering::SeqCst);
    assert!(all > 100_000, "the store went through the line: {all} bytes");
    std::fs::remove_dir_all(laptop.sandbox.path("hub")).unwrap();

    let cuts = if std::env::var_os("HEPH_FULL").is_some() { 200 } else { 40 };
    let mut refused = 0;
    for _ in 0..cuts {
        // Other places each time; a failure names its own.
        let at = u64::from_le_bytes(Entropy::System.bytes()) % all;
        laptop.line.cut_after(at);
        let ended = laptop.seed(&laptop.address());
        if ended.code == 0 {
            // The end had come through; only goodbyes had not.
            std::fs::remove_dir_all(laptop.sandbox.path("hub")).unwrap();
            continue;
        }
        assert_eq!(ended.code, 4, "cut after {at} of {all}: {}{}", ended.out, ended.err);
        assert!(!laptop.sandbox.path("hub").exists(), "cut after {at} of {all}");
        refused += 1;
    }
    assert!(refused >= cuts * 3 / 4, "{refused} of {cuts} were refused");
    laptop.line.cut_after(u64::MAX);
    assert_eq!(laptop.seed(&laptop.address()).expect(0).json()["status"], "seeded");
    assert_eq!(before, source(&laptop));
    wait_for("the spools on the laptop to go", || !laptop.has_spools());
}

#[test]
fn case_41_a_seed_that_waits_for_a_laptop_leaves_nothing() {
    let laptop = Laptop::new(&with_ours());
    let to = laptop.sandbox.path("hub/heph.db");
    laptop.line.hold(true);
    let seed = || {
        laptop.line.cut_after(60_000);
        laptop.command(&laptop.address()).stdout(Stdio::piped()).spawn().unwrap()
    };
    // What an ended seed's ssh still took would count as the next one's.
    leave_nothing(&to, seed, |_| laptop.line.is_full() && is_staged(&to));
    laptop.line.hold(false);
    wait_for("the spools on the laptop to go", || !laptop.has_spools());
    laptop.line.cut_after(u64::MAX);
    assert_eq!(laptop.seed(&laptop.address()).expect(0).json()["status"], "seeded");
}

#[test]
fn case_39_an_ssh_that_ends_well_with_half_of_it_is_refused() {
    let laptop = Laptop::new(&with_ours());
    let home = laptop.sandbox.home().display().to_string();
    laptop.ssh(&format!("/usr/bin/ssh -F {home}/ssh.conf \"$@\" | head -c 60000\nexit 0\n"));
    let said = laptop.refused(&laptop.address(), "checksum_mismatch");
    assert!(said.contains("it ended after"), "{said}");
}

/// Ansible runs at night, and the laptop sleeps.
#[test]
fn a_laptop_that_was_seeded_from_is_not_asked_again() {
    let laptop = Laptop::new(&with_ours());
    laptop.seed(&laptop.address()).expect(0);
    laptop.ssh("touch \"$HOME/asked\"\nexit 255\n");
    let url = format!("ssh://laptop{}", laptop.sandbox.device_db().display());
    for from in [laptop.address(), url] {
        let again = laptop.seed(&from).expect(0).json();
        assert_eq!(
            (&again["status"], &again["changed"]),
            (&"already_seeded".into(), &false.into())
        );
    }
    assert!(!laptop.sandbox.path("asked").exists());
}

/// Without our programs there, the system's sqlite3 does it.
#[test]
fn a_laptop_without_heph_ops_is_read_by_its_sqlite3() {
    let laptop = Laptop::new("/usr/bin:/bin");
    // A stop that was no stop: what counts is in the log.
    let mut device = laptop.sandbox.device();
    add_task(&mut device, "in the log");
    let seeded = laptop.seed(&laptop.address()).expect(0).json();
    assert_eq!(seeded["status"], "seeded");
    let out = Command::new("sqlite3")
        .arg("-readonly")
        .arg(laptop.sandbox.path("hub/heph.db"))
        .arg("SELECT count(*) FROM nodes WHERE title = 'in the log'")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "1\n");
    let tables = seeded["data"]["tables"].as_array().unwrap();
    assert!(tables.iter().all(|table| table["equal"] == true || table["name"] == "meta"));
}

#[test]
fn a_laptop_with_neither_is_refused_with_a_way_out() {
    let path = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/sh", path.path().join("sh")).unwrap();
    let laptop = Laptop::new(path.path().to_str().unwrap());
    let said = laptop.refused(&laptop.address(), "source_unreachable");
    assert!(said.contains("neither heph-ops nor sqlite3"), "{said}");
}

#[test]
fn whom_ssh_does_not_know_is_refused_in_its_own_words() {
    let laptop = Laptop::new(&with_ours());
    laptop.know_host("person.pub");
    let said = laptop.refused(&laptop.address(), "source_unreachable");
    assert!(said.contains("ost key verification failed"), "{said}");
    laptop.know_host("host.pub");
    std::fs::remove_file(laptop.sandbox.path("person")).unwrap();
    let said = laptop.refused(&laptop.address(), "source_unreachable");
    assert!(said.contains("Permission denied"), "{said}");
}

#[test]
fn a_refusal_on_the_laptop_comes_with_its_code() {
    let laptop = Laptop::new(&with_ours());
    let said = laptop.refused("laptop:/nowhere/heph.db", "source_not_found");
    assert!(said.starts_with("ssh://laptop/nowhere/heph.db: "), "{said}");
    std::fs::write(laptop.sandbox.path("it's $(odd) `name`.db"), "no store").unwrap();
    let odd = format!("laptop:{}", laptop.sandbox.path("it's $(odd) `name`.db").display());
    laptop.refused(&odd, "not_a_heph_store");
}
