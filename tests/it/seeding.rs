//! `heph-ops seed` on a live device, and what an independent program finds.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

use super::{
    interrupts::{is_staged, leave_nothing},
    sandbox::{Sandbox, add_task, free_port, program},
};

/// Asks the `sqlite3` program, which knows nothing of ours.
fn sqlite3(db: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3").arg("-readonly").arg(db).arg(sql).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Rows of a table in `a` that `b` does not have.
fn rows_only_in(a: &Path, b: &Path, table: &str) -> String {
    let sql = format!(
        "ATTACH 'file:{}?mode=ro' AS other;
         SELECT count(*) FROM (SELECT * FROM main.{table} EXCEPT SELECT * FROM other.{table});",
        b.display()
    );
    sqlite3(a, &sql)
}

fn tables(db: &Path) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    sqlite3(db, sql).lines().map(str::to_owned).collect()
}

#[test]
fn a_quiet_device_and_its_hub_differ_in_meta_alone() {
    let sandbox = Sandbox::new();
    let mut device = sandbox.device();
    for n in 0..50 {
        add_task(&mut device, &format!("task {n}"));
    }
    let (from, to) = (sandbox.device_db(), sandbox.path("hub/heph.db"));
    let words = ["seed", "--from", from.to_str().unwrap(), "--to", to.to_str().unwrap(), "--json"];
    let seeded = sandbox.ops(&words).expect(0).json();
    assert_eq!((&seeded["status"], &seeded["changed"]), (&"seeded".into(), &true.into()));
    assert_eq!(tables(&from), tables(&to));
    for table in tables(&from).iter().filter(|table| *table != "meta") {
        assert_eq!(rows_only_in(&from, &to, table), "0", "{table}");
        assert_eq!(rows_only_in(&to, &from, table), "0", "{table}");
    }
    let meta =
        |db: &Path, key: &str| sqlite3(db, &format!("SELECT value FROM meta WHERE key = '{key}'"));
    assert_eq!(meta(&from, "owner_id"), meta(&to, "owner_id"));
    assert_ne!(meta(&from, "origin"), meta(&to, "origin"));
    assert_ne!(meta(&from, "epoch"), meta(&to, "epoch"));
    assert_eq!(sqlite3(&to, "PRAGMA integrity_check"), "ok");

    let again = sandbox.ops(&words).expect(0).json();
    assert_eq!((&again["status"], &again["changed"]), (&"already_seeded".into(), &false.into()));
    sandbox.ops(&["stop"]).expect(0);
    std::fs::remove_file(&from).unwrap();
    let asleep = sandbox.ops(&words).expect(0).json();
    assert_eq!(asleep["status"], "already_seeded", "the source is not needed for that");
}

#[test]
fn fifty_megabytes_with_a_writer_at_work_lose_nothing_that_was_there() {
    let sandbox = Sandbox::new();
    let mut device = sandbox.device();
    let body = "years of notes ".repeat(7_000);
    for batch in 0..50 {
        let doc = |n: u32| {
            json!({ "node": { "set": { "kind": "doc",
            "title": format!("doc {batch}.{n}"), "body": format!("{batch}.{n} {body}") } } })
        };
        let changes: Vec<Value> = (0..10).map(doc).collect();
        let _: Value = device.call("node.write", &json!({ "changes": changes })).unwrap();
    }
    let (from, to) = (sandbox.device_db(), sandbox.path("hub/heph.db"));
    assert!(from.metadata().unwrap().len() > 50_000_000);
    case_41_an_interrupted_seed_leaves_nothing(&sandbox, &from, &to);

    let stop = AtomicBool::new(false);
    let mut writer = sandbox.connect(".local/share/heph/hephd.sock");
    let acknowledged =
        |device: &mut hephd::rpc::client::Client, n: u32| add_task(device, &format!("before {n}"));
    let before: Vec<String> = (0..100).map(|n| acknowledged(&mut device, n)).collect();
    let during = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                add_task(&mut writer, &format!("during {count}"));
                count += 1;
            }
            count
        });
        let ended =
            sandbox.ops(&["seed", "--from", from.to_str().unwrap(), "--to", to.to_str().unwrap()]);
        stop.store(true, Ordering::Relaxed);
        ended.expect(0);
        writing.join().unwrap()
    });
    assert!(during > 0, "the writer was at work");
    for id in &before {
        assert_eq!(sqlite3(&to, &format!("SELECT count(*) FROM nodes WHERE id = '{id}'")), "1");
    }
    assert_eq!(sqlite3(&to, "SELECT count(*) FROM nodes WHERE kind = 'doc'"), "500");
    for table in ["ops", "chains"] {
        assert_eq!(rows_only_in(&to, &from, table), "0", "{table} holds nothing that is not there");
    }
}

fn case_41_an_interrupted_seed_leaves_nothing(sandbox: &Sandbox, from: &Path, to: &Path) {
    let seed = || {
        let mut command = sandbox.command(program("heph-ops"));
        command.arg("seed").arg("--from").arg(from).arg("--to").arg(to).arg("--json");
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    leave_nothing(to, seed, |_| is_staged(to));
}

/// The most that a program ever had in memory, in kB.
fn peak(mut child: std::process::Child) -> u64 {
    let path = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        most = most.max(line.trim().trim_end_matches(" kB").parse().unwrap());
        std::thread::yield_now();
    }
    assert!(child.wait().unwrap().success());
    most
}

/// A store of so many rows, each of so many bytes.
fn store_of(sandbox: &Sandbox, rows: u32, bytes: u32) -> String {
    let from = sandbox.path(&format!("{rows}.db")).display().to_string();
    let sql = format!(
        "PRAGMA synchronous = OFF; CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);
         INSERT INTO meta VALUES ('owner_id', 'me'), ('origin', '00000000000000aa');
         CREATE TABLE notes (body); WITH RECURSIVE n(i) AS
         (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO notes SELECT randomblob({bytes}) FROM n;"
    );
    let made = Command::new("sqlite3").arg(&from).arg(sql).output().unwrap();
    assert!(made.status.success());
    from
}

/// The most memory that it takes to seed from a store.
fn peak_of_seed(sandbox: &Sandbox, from: &str) -> u64 {
    let to = sandbox.path("hub/heph.db").display().to_string();
    let words = ["seed", "--from", from, "--to", &to, "-q"];
    let peak = peak(sandbox.command(program("heph-ops")).args(words).spawn().unwrap());
    std::fs::remove_dir_all(sandbox.path("hub")).unwrap();
    peak
}

/// Sixty megabytes and one: what is needed is the same.
#[test]
fn case_37_memory_does_not_grow_with_the_store() {
    let sandbox = Sandbox::new();
    let mut peaks = Vec::new();
    for rows in [1_000, 60_000] {
        let from = store_of(&sandbox, rows, 1_000);
        let backups = sandbox.path("backups").display().to_string();
        let back_up = ["backup", "--db", &from, "--to", &backups, "-q"];
        let back_up = || peak(sandbox.command(program("heph-ops")).args(back_up).spawn().unwrap());
        peaks.push([peak_of_seed(&sandbox, &from), back_up()]);
    }
    let [small, large] = [peaks[0], peaks[1]];
    for (small, large) in small.into_iter().zip(large) {
        assert!(large <= 48_000 && large < small + 20_000, "{small} kB, then {large} kB");
    }
}

/// Two gigabytes, where there is time for that.
#[test]
fn case_37_nor_does_it_with_a_huge_store() {
    let sandbox = Sandbox::new();
    let full = std::env::var_os("HEPH_FULL").is_some();
    let from = store_of(&sandbox, if full { 20_500 } else { 600 }, 100_000);
    let bytes = std::fs::metadata(&from).unwrap().len();
    assert!(!full || bytes >= 2_000_000_000);
    let peak = peak_of_seed(&sandbox, &from);
    println!("{peak} kB for {bytes} bytes");
    assert!(peak <= 48_000, "{peak} kB for {bytes} bytes");
}

#[test]
fn born_with_its_owner_once_and_never_another() {
    let sandbox = Sandbox::new();
    let to = sandbox.path("hub/heph.db").display().to_string();
    let status = |owner: &str| sandbox.ops(&["seed", "--owner-id", owner, "--to", &to, "--json"]);
    assert_eq!(status("me").expect(0).json()["status"], "seeded");
    assert_eq!(status("me").expect(0).json()["status"], "already_seeded");
    assert_eq!(status("you").expect(4).json()["error"]["code"], "target_has_other_owner");
    sandbox.ops(&["seed", "--to", &to]).expect(2);
}

#[test]
fn check_looks_and_makes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.device();
    let (from, to) = (sandbox.device_db(), sandbox.path("hub/heph.db"));
    let words = [
        "seed",
        "--from",
        from.to_str().unwrap(),
        "--to",
        to.to_str().unwrap(),
        "--json",
        "--check",
    ];
    let check = sandbox.ops(&words).expect(0).json();
    assert_eq!((&check["changed"], &check["check"]), (&true.into(), &true.into()));
    assert!(!sandbox.path("hub").exists());
}

#[test]
fn no_store_comes_to_stand_beside_anothers_log() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("hub")).unwrap();
    let to = sandbox.path("hub/heph.db").display().to_string();
    std::fs::write(format!("{to}-wal"), "what was acknowledged").unwrap();
    let ended = sandbox.ops(&["seed", "--owner-id", "me", "--to", &to, "--json"]).expect(4).json();
    assert_eq!(ended["error"]["code"], "target_sidecar_left");
    let address = format!("127.0.0.1:{}", free_port());
    sandbox.hephd(&["--mode", "server", "--db", &to, "--http-addr", &address]).expect(4);
    let words = ["--role", "spoke", "--db", &to];
    assert_eq!(sandbox.install(&words).code, 1);
    assert!(!sandbox.path("hub/heph.db").exists());
}
