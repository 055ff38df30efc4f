//! What a hub remembers of the devices that sync with it: who, when last,
//! which version, how their clocks stand. For people; so it costs no write,
//! and whatever is said is no error.

use std::{path::Path, sync::Arc, time::Duration};

use hephd::{
    clock::{Clock, rfc3339},
    devices::{Devices, keep},
    id::{EntityId, Origin},
    machine::Machine,
    replica::Replica,
    stopping,
    store::{Birth, Store, seed, snapshot::Source},
    sync::Sender,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    bad_surroundings::at_the_time,
    disturbed::daemon::{Daemon, equal_in_two_cycles},
    running::{Home, add_task, get, http, wait_for},
};

const A: &str = "00000000000000aa";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A hub that runs and a device that has not started.
fn pair(home: &Home) -> (Daemon, Daemon, u16) {
    let (mut hub, port) = Daemon::hub(home);
    hub.start();
    (hub, Daemon::device(home, "device", port), port)
}

/// Starts a device and waits until it has met its hub.
fn join(device: &mut Daemon) {
    device.start();
    device.sync().unwrap();
}

/// What a hub tells of a device.
fn seen(hub: &Daemon, origin: &Value) -> Value {
    let status = hub.status();
    let devices = status["devices"].as_array().expect("a hub tells of its devices");
    devices.iter().find(|device| device["origin"] == *origin).cloned().unwrap_or_default()
}

fn now() -> u64 {
    Clock::System.now_ms()
}

/// A request with these headers; its status.
fn asked_with(port: u16, path: &str, headers: &str) -> u16 {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    http(port, format!("{head}{headers}\r\n").as_bytes()).0
}

fn headers(origin: &str, version: &str, time: &str) -> String {
    format!("Heph-Origin: {origin}\r\nHeph-Version: {version}\r\nHeph-Time: {time}\r\n")
}

#[test]
fn a_hub_tells_of_a_device_that_synced() {
    let home = Home::new();
    let (hub, mut device, _) = pair(&home);
    let before = rfc3339(now());
    join(&mut device);
    let origin = device.status()["origin"].clone();
    let told = seen(&hub, &origin);
    assert_eq!(told["version"], VERSION, "{told}");
    assert!(told["name"].is_null(), "it has written nothing, so nobody knows its name: {told}");

    add_task(&mut device.client(), "now it has").unwrap();
    equal_in_two_cycles(&device, &hub);
    let told = seen(&hub, &origin);
    let id = EntityId::of_device(&origin.as_str().unwrap().parse::<Origin>().unwrap());
    let node: Value = hub.client().call("node.get", &json!({ "id": id })).unwrap();
    assert!(node["title"].is_string() && told["name"] == node["title"], "{told} {node}");
    let last = told["last_seen"].as_str().unwrap();
    assert!(*before <= *last && *last <= *rfc3339(now()), "{before} {last}");
    assert!(told["clock_offset_ms"].as_i64().unwrap().abs() < 5_000, "{told}");
    assert_eq!(device.status()["devices"], json!([]), "it is no hub");
}

#[test]
fn a_device_whose_clock_is_off_is_told_so_of() {
    let home = Home::new();
    let (hub, mut device, port) = pair(&home);
    device.wrapped_in = at_the_time("FAKETIME=-3600");
    join(&mut device);
    let offset = |origin: &Value| seen(&hub, origin)["clock_offset_ms"].as_i64().unwrap();
    let behind = offset(&device.status()["origin"]) + 3_600_000;
    assert!(behind.abs() < 5_000, "{behind}");

    let ahead = (now() + 90_000).to_string();
    assert_eq!(asked_with(port, "/sync/heads", &headers(A, "0.0.9", &ahead)), 200);
    let ahead = offset(&json!(A)) - 90_000;
    assert!(ahead.abs() < 5_000, "{ahead}");
    assert_eq!(seen(&hub, &json!(A))["version"], "0.0.9");
}

#[test]
fn what_a_hub_remembers_outlives_it_and_no_seed_takes_it_along() {
    let home = Home::new();
    let (mut hub, mut device, _) = pair(&home);
    join(&mut device);
    add_task(&mut device.client(), "a task").unwrap();
    equal_in_two_cycles(&device, &hub);
    let origin = device.status()["origin"].clone();
    assert_eq!(device.stop(), Some(0));
    let before = seen(&hub, &origin);
    assert_eq!(hub.stop(), Some(0));
    hub.start();
    assert_eq!(seen(&hub, &origin), before);
    assert!(before.is_object());

    assert_eq!(hub.stop(), Some(0));
    let (from, to) = (hub.path("heph.db"), home.folder("other").join("heph.db"));
    // While it is a hub's, nothing is seeded from it.
    let conn = Connection::open(&from).unwrap();
    conn.execute("DELETE FROM meta WHERE key = 'role'", []).unwrap();
    drop(conn);
    let becoming = seed::Becoming::Hub { owner_sub: None };
    let wish = seed::Wish { to: &to, becoming, replace: false, run_as: None };
    seed::seed(Source::Store(&from), &wish, &Machine::this(), &|_| ()).unwrap();
    assert_eq!([&from, &to].map(|db| keys_with(db, &origin)), [1, 0]);
}

/// Keys of `meta` that name a device.
fn keys_with(db: &Path, origin: &Value) -> usize {
    let conn = Connection::open(db).unwrap();
    let count = "SELECT count(*) FROM meta WHERE key LIKE '%' || ?1";
    conn.query_row(count, [origin.as_str().unwrap()], |row| row.get(0)).unwrap()
}

#[test]
fn headers_that_make_no_sense_are_no_error_and_nobody() {
    let home = Home::new();
    let (hub, _, port) = pair(&home);
    let (time, long) = (now().to_string(), "x".repeat(4_000));
    let origin = |text: &str| headers(text, VERSION, &time);
    let cases = [
        origin("nobody"),
        origin(""),
        origin(&long),
        headers(A, &long, &time),
        headers(A, "\u{fc}", &time),
        headers(A, VERSION, "yesterday"),
        headers(A, VERSION, "99999999999999999999"),
        headers(A, VERSION, "-1"),
        format!("Heph-Origin: {A}\r\n"),
        format!("Heph-Time: {time}\r\n"),
    ];
    for headers in cases {
        assert_eq!(asked_with(port, "/sync/heads", &headers), 200, "{headers}");
    }
    // Who looks at a hub's health is no device that syncs.
    assert_eq!(asked_with(port, "/healthz", &origin(A)), 200);
    assert_eq!(hub.status()["devices"], json!([]));
    assert_eq!(asked_with(port, "/sync/heads", &origin(A)), 200);
    assert_eq!(hub.status()["devices"].as_array().unwrap().len(), 1);
}

/// A durable write for each request would cost a flush of the disk.
#[test]
fn fifty_cycles_without_news_write_nothing() {
    let home = Home::new();
    let (hub, mut device, port) = pair(&home);
    join(&mut device);
    add_task(&mut device.client(), "the only one").unwrap();
    equal_in_two_cycles(&device, &hub);
    let watcher = Connection::open(hub.path("heph.db")).unwrap();
    let version =
        || -> i64 { watcher.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap() };
    let log = || std::fs::metadata(hub.path("heph.db-wal")).unwrap().len();
    let (before, log_before, asked) = (version(), log(), cycles(port));
    for _ in 0..50 {
        assert_eq!(device.sync().unwrap()["equal"], true);
    }
    assert!(cycles(port) >= asked + 50);
    assert_eq!((version(), log()), (before, log_before));
}

/// How often a hub has said that its heads are the asker's.
fn cycles(port: u16) -> u64 {
    let counts = get(port, "/metrics").2;
    let same = r#"heph_http_requests_total{route="/sync/heads",status="304"} "#;
    let count = counts.lines().find_map(|line| line.strip_prefix(same));
    count.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_device_that_healed_a_fork_goes_by_its_new_origin() {
    let home = Home::new();
    let (mut hub, mut device, _) = pair(&home);
    let (db, copy) = (device.path("heph.db"), home.path("copy.db"));
    join(&mut device);
    add_task(&mut device.client(), "in both").unwrap();
    equal_in_two_cycles(&device, &hub);
    assert_eq!(device.stop(), Some(0));
    std::fs::copy(&db, &copy).unwrap();
    device.start();
    add_task(&mut device.client(), "after the copy").unwrap();
    equal_in_two_cycles(&device, &hub);
    let old = device.status()["origin"].clone();
    assert_eq!(device.stop(), Some(0));
    std::fs::copy(&copy, &db).unwrap();

    // It writes before it can hear of its later ops.
    assert_eq!(hub.stop(), Some(0));
    device.start();
    add_task(&mut device.client(), "in the copy").unwrap();
    hub.start();
    equal_in_two_cycles(&device, &hub);
    let fresh = device.status()["origin"].clone();
    assert_ne!(fresh, old, "there was no fork");
    assert!(seen(&hub, &old).is_object() && seen(&hub, &fresh).is_object(), "{}", hub.status());
}

#[test]
fn what_is_new_reaches_the_store_while_the_hub_runs() {
    let (home, machine) = (Home::new(), Machine::this());
    let db = home.folder("hub").join("heph.db");
    Store::create(&db, &Birth::Minting, &machine.entropy).unwrap();
    let store = Store::open(&db, &machine).unwrap();
    let replica = Arc::new(Replica::start(store, &db, &machine).unwrap());
    let devices = Arc::new(Devices::default());
    let (stop, stopping) = stopping::channel();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let every = Duration::from_millis(10);
    let keeping = keep(Arc::clone(&devices), Arc::clone(&replica), every, stopping);
    let keeping = runtime.spawn(keeping);
    for time_ms in [1, 2] {
        let sender = Sender { origin: A.parse().unwrap(), version: VERSION.to_owned(), time_ms };
        devices.note(sender, 3);
        wait_for("it to be in the store", || {
            runtime.block_on(replica.read(Store::devices)).unwrap() == devices.seen()
        });
    }
    stop.say();
    runtime.block_on(keeping).unwrap();
}
