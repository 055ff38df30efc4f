//! The catalogue of bad inputs, by number: odd clocks, too few files, and a
//! hub behind https.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    disturbed::{
        daemon::{Daemon, equal_in_two_cycles},
        wire::ask,
    },
    running::{Home, add_task, free_port, wait_for},
};

/// Words that give a program another clock. Its timers run as they should.
pub fn at_the_time(faked: &str) -> Vec<String> {
    let libraries = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let library = libraries
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.is_file())
        .expect("faketime is missing: apt-get install faketime");
    let preload = format!("LD_PRELOAD={}", library.display());
    ["env", &preload, "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_NO_CACHE=1", faked]
        .map(str::to_owned)
        .to_vec()
}

#[test]
fn row_66_a_device_in_1970_and_one_in_2099_work_and_know_that_they_are_off() {
    for (faked, ahead) in
        [("FAKETIME=@1970-01-02 00:00:00", false), ("FAKETIME=@2099-01-01 00:00:00", true)]
    {
        let home = Home::new();
        let (mut hub, port) = Daemon::hub(&home);
        hub.start();
        add_task(&mut hub.client(), "today").unwrap();
        let mut device = Daemon::device(&home, "device", port);
        device.wrapped_in = at_the_time(faked);
        device.start();
        device.sync().unwrap();
        add_task(&mut device.client(), "at another time").unwrap();
        equal_in_two_cycles(&device, &hub);
        let offset = device.status()["clock_offset_secs"].as_f64().unwrap();
        assert!(offset.abs() > 1e9 && (offset < 0.0) == ahead, "{faked}: {offset}");

        // What it wrote moves nobody's clock, and an edit of it wins.
        let id = hub.tasks().into_iter().find(|task| task.1 == "at another time").unwrap().0;
        let edit = json!({ "changes": [{ "node": { "id": id, "set": { "title": "edited" } } }] });
        hub.client().call::<Value>("node.write", &edit).unwrap();
        equal_in_two_cycles(&device, &hub);
        assert_eq!(device.tasks()[&id], "edited", "{faked}");
        assert_eq!(device.status()["pending_conflicts"], 0);
    }
}

#[test]
fn row_67_a_clock_that_jumps_back_an_hour_turns_no_id_back() {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    let offset = home.path("offset");
    std::fs::write(&offset, "+0\n").unwrap();
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", offset.display());
    hub.wrapped_in = at_the_time(&file);
    hub.start();
    let server_time = || {
        let heads: Value =
            serde_json::from_str(&ask(port, "GET", "/sync/heads", "").unwrap().2).unwrap();
        heads["server_time"].as_str().unwrap().to_owned()
    };
    let before = server_time();
    for n in 0..20 {
        add_task(&mut hub.client(), &format!("before {n}")).unwrap();
    }
    std::fs::write(&offset, "-3600\n").unwrap();
    assert!(server_time() < before, "the clock did not jump");
    for n in 0..20 {
        add_task(&mut hub.client(), &format!("after {n}")).unwrap();
    }
    let page: Value = serde_json::from_str(&ask(port, "GET", "/sync/pull", "").unwrap().2).unwrap();
    let ids: Vec<&str> = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["op"]["id"].as_str().unwrap())
        .collect();
    assert!(ids.len() >= 40 && ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

#[test]
fn row_70_sixteen_files_are_too_few_and_it_does_not_spin() {
    let home = Home::new();
    let (mut hub, _) = Daemon::hub(&home);
    hub.wrapped_in = ["prlimit", "--nofile=16"].map(str::to_owned).to_vec();
    assert!(!hub.try_start());
    assert_eq!(hub.last_exit, Some(4), "{}", hub.log());
    assert!(hub.log().contains("[too_few_files]"), "{}", hub.log());
    assert!(!hub.path("heph.db").exists(), "nothing was made");
}

/// As few as are allowed, all of them taken: it waits, and does not spin.
#[test]
fn row_70_a_hub_that_runs_out_of_files_does_not_spin_and_recovers() {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    hub.wrapped_in = ["prlimit", "--nofile=64"].map(str::to_owned).to_vec();
    hub.start();
    let crowd: Vec<_> =
        (0..100).map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let fds = format!("/proc/{}/fd", hub.pid());
    wait_for("all of its files to be taken", || std::fs::read_dir(&fds).unwrap().count() >= 63);
    wait_for("it to say so", || hub.log().contains("nobody can be let in"));
    let spent = || cpu_ticks(hub.pid());
    let (before, begun) = (spent(), std::time::Instant::now());
    wait_for("a while", || begun.elapsed().as_millis() > 1_000);
    assert!(spent() - before < 30, "{} of 100 ticks in a second", spent() - before);
    drop(crowd);
    wait_for("the hub to answer again", || {
        ask(port, "GET", "/healthz", "").is_ok_and(|answer| answer.0 == 200)
    });
    add_task(&mut hub.client(), "goes on").unwrap();
    assert_eq!(hub.stop(), Some(0));
    assert!(hub.log().matches("nobody can be let in").count() < 20, "{}", hub.log());
}

/// A limit on the length of files is met like a disk without room.
#[test]
fn row_56_a_store_that_may_not_grow_is_read_on() {
    let home = Home::new();
    let (mut hub, _) = Daemon::hub(&home);
    hub.wrapped_in = ["prlimit", "--fsize=2000000"].map(str::to_owned).to_vec();
    hub.start();
    let mut client = hub.client();
    let mut written = 0;
    let error = loop {
        match add_task(&mut client, "one more") {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code, hephd::error::Code::DiskFailed, "{error}");
    assert!(written > 10, "only {written} were taken before: {error}");
    let list: Value =
        client.call("node.list", &serde_json::json!({ "kind": "task", "limit": 1000 })).unwrap();
    assert_eq!(list["nodes"].as_array().unwrap().len(), written, "{list}");
    assert_eq!(hub.stop(), Some(0), "{}", hub.log());
}

/// Processor time of a process, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Caddy in front of a hub, with an authority of its own.
struct Caddy {
    child: Child,
    authority: PathBuf,
}

impl Caddy {
    fn before(home: &Home, hub: u16, port: u16) -> Self {
        let folder = home.folder("caddy");
        let config = format!(
            "{{\nadmin off\nskip_install_trust\nauto_https disable_redirects\n\
             storage file_system {}\n}}\nhttps://localhost:{port} {{\ntls internal\n\
             reverse_proxy 127.0.0.1:{hub}\n}}\n",
            folder.display()
        );
        std::fs::write(folder.join("Caddyfile"), config).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut caddy = Command::new("caddy");
        caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(folder.join("Caddyfile"));
        caddy.env("HOME", &folder).env_remove("XDG_DATA_HOME");
        let child = caddy.stderr(log).stdout(Stdio::null()).spawn().unwrap();
        let authority = folder.join("pki/authorities/local/root.crt");
        let made = Self { child, authority };
        wait_for("caddy", || {
            made.authority.is_file() && std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        made
    }
}

impl Drop for Caddy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn device_over_https(home: &Home, name: &str, port: u16, authority: Option<&Path>) -> Daemon {
    let url = format!("https://localhost:{port}");
    let mut words = vec!["--mode", "local", "--hub-url", &url];
    if let Some(path) = authority {
        words.extend(["--hub-ca", path.to_str().unwrap()]);
    }
    Daemon::new(home, name, &words)
}

#[test]
fn row_15_a_hub_behind_https_with_an_authority_of_its_own() {
    let home = Home::new();
    let (mut hub, hub_port) = Daemon::hub(&home);
    hub.start();
    let port = free_port();
    let caddy = Caddy::before(&home, hub_port, port);
    let mut device = device_over_https(&home, "device", port, Some(&caddy.authority));
    device.start();
    device.sync().unwrap();
    add_task(&mut device.client(), "over https").unwrap();
    equal_in_two_cycles(&device, &hub);

    let mut stranger = device_over_https(&home, "stranger", port, None);
    stranger.start();
    let error = stranger.sync().unwrap_err();
    assert_eq!(error.code.as_str(), "hub_unreachable", "{error}");
    assert!(error.message.contains("certificate"), "{error}");
}
