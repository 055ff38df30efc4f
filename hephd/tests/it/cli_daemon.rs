//! The real program: how it starts, what it holds, how it ends.

use std::{
    os::unix::{
        fs::PermissionsExt,
        net::{UnixDatagram, UnixListener},
    },
    path::Path,
};

use hephd::node::Page;
use serde_json::{Value, json};

use super::running::{DEADLINE, Home, add_task, free_port, get, wait_for};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_device_is_its_owners_alone() {
    let home = Home::new();
    let device = home.start(&["--mode", "local"]);
    let folder = home.path(".local/share/heph");
    assert_eq!(mode(&folder), 0o700);
    for name in ["heph.db", "heph.db-wal", "heph.db.lock", "hephd.sock"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    add_task(&mut device.client(), "mine").unwrap();
    assert_eq!(device.stop(), 0);
}

#[test]
fn a_stop_leaves_one_whole_file() {
    let home = Home::new();
    let device = home.start(&["--mode", "local"]);
    let mut client = device.client();
    (0..50).for_each(|n| drop(add_task(&mut client, &format!("task {n}")).unwrap()));
    assert_eq!(device.stop(), 0);
    let left: Vec<String> = std::fs::read_dir(home.path(".local/share/heph"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    assert_eq!(left, ["heph.db"], "no log beside it, no socket");
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let home = Home::new();
    for round in 0..5 {
        let mut device = home.start(&["--mode", "local"]);
        let mut client = device.client();
        for n in 0..20 {
            add_task(&mut client, &format!("{round}.{n}")).unwrap();
        }
        device.child.kill().unwrap();
        device.child.wait().unwrap();
    }
    let device = home.start(&["--mode", "local"]);
    let tasks: Page = device.client().call("node.list", &json!({ "kind": "task" })).unwrap();
    assert_eq!(tasks.nodes.len(), 100);
}

#[test]
fn ready_is_said_once_everything_answers() {
    let home = Home::new();
    let manager = UnixDatagram::bind(home.path("notify")).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = home.command();
    command.args(["--mode", "local"]).env("NOTIFY_SOCKET", home.path("notify"));
    let mut child = command.spawn().unwrap();
    let mut heard = [0; 512];
    let len = manager.recv(&mut heard).unwrap();
    let heard = String::from_utf8_lossy(&heard[..len]).into_owned();
    assert!(heard.contains("READY=1") && heard.contains("STATUS="), "{heard}");
    let socket = home.path(".local/share/heph/hephd.sock");
    let mut client = hephd::rpc::client::Client::connect(&socket, DEADLINE).unwrap();
    let health: Value = client.call("health", &Value::Null).unwrap();
    assert_eq!(health["pid"], child.id());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn row_60_one_daemon_a_store() {
    let home = Home::new();
    let device = home.start(&["--mode", "local"]);
    let second = home.run(&["--mode", "local"]);
    assert_eq!(second.status.code(), Some(4));
    let pid = format!("process {}", device.child.id());
    assert!(said(&second).contains("store_in_use") && said(&second).contains(&pid));
    add_task(&mut device.client(), "the first goes on").unwrap();
}

#[test]
fn row_69_a_stale_socket_is_replaced_and_a_live_one_refused() {
    let home = Home::new();
    let folder = home.folder("store");
    let db = folder.join("heph.db").display().to_string();
    let socket = folder.join("hephd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let refused = home.run(&["--mode", "local", "--db", &db]);
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    assert!(said(&refused).contains("another daemon listens"));
    drop(listener);
    assert!(socket.exists(), "a dead daemon leaves its socket");
    home.start(&["--mode", "local", "--db", &db]);
}

#[test]
fn an_unmounted_disk_does_not_become_an_empty_hub() {
    let home = Home::new();
    let folder = home.folder("mount");
    let db = folder.join("heph.db").display().to_string();
    let refused = home.run(&["--mode", "server", "--existing-store", "--db", &db]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(said(&refused).contains("[store_missing]"), "{}", said(&refused));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_store_that_is_gone_does_not_look_healthy() {
    let home = Home::new();
    let (folder, port) = (home.folder("hub"), free_port());
    let db = folder.join("heph.db");
    let address = format!("127.0.0.1:{port}");
    let hub =
        home.start(&["--mode", "server", "--db", db.to_str().unwrap(), "--http-addr", &address]);
    assert_eq!((get(port, "/healthz").0, get(port, "/readyz").0), (200, 200));
    std::fs::remove_file(&db).unwrap();
    assert_eq!(get(port, "/healthz").0, 200, "the process lives");
    let (status, _, body) = get(port, "/readyz");
    assert!(status == 503 && body.contains("no longer the store"), "{status} {body}");
    drop(hub);
}

#[test]
fn a_new_device_waits_for_its_hub_and_then_has_everything() {
    let home = Home::new();
    let (hub_folder, device_folder, port) =
        (home.folder("hub"), home.folder("device"), free_port());
    let db = |folder: &Path| folder.join("heph.db").display().to_string();
    let (hub_db, device_db) = (db(&hub_folder), db(&device_folder));
    let address = format!("127.0.0.1:{port}");
    let url = format!("http://{address}/");

    // The hub is down at first: the device has no owner and takes no writes.
    let device = home.start(&["--mode", "local", "--db", &device_db, "--hub-url", &url]);
    let refused = add_task(&mut device.client(), "too early").unwrap_err();
    assert_eq!(refused.code.as_str(), "no_owner_yet");
    let status = || -> Value { device.client().call("sync.status", &Value::Null).unwrap() };
    wait_for("the first attempt", || status()["last_error"]["code"] == "hub_unreachable");
    assert_eq!((&status()["owner_id"], &status()["last_success"]), (&Value::Null, &Value::Null));

    let hub = home.start(&["--mode", "server", "--db", &hub_db, "--http-addr", &address]);
    add_task(&mut hub.client(), "on the hub").unwrap();
    let synced: Value = device.client().call("sync.now", &Value::Null).unwrap();
    assert_eq!(synced["equal"], true);
    add_task(&mut device.client(), "on the device").unwrap();
    wait_for("a local write to be pushed at once", || status()["unsent_ops"] == 0);
    let titles = |daemon: &super::running::Running| -> Vec<Value> {
        let tasks: Page = daemon.client().call("node.list", &json!({ "kind": "task" })).unwrap();
        tasks.nodes.into_iter().map(|task| json!(task.title)).collect()
    };
    assert_eq!(titles(&hub), titles(&device));

    // A hub that goes away is told from one that was never there.
    let last = status()["last_success"].clone();
    assert_eq!(hub.stop(), 0);
    let offline = device.client().call::<Value>("sync.now", &Value::Null).unwrap_err();
    assert_eq!(offline.code.as_str(), "hub_unreachable");
    assert_eq!(status()["last_success"], last);
}

#[test]
fn another_owners_hub_moves_nothing() {
    let home = Home::new();
    let (hub_folder, device_folder, port) =
        (home.folder("hub"), home.folder("device"), free_port());
    let hub_db = hub_folder.join("heph.db").display().to_string();
    let device_db = device_folder.join("heph.db").display().to_string();
    let address = format!("127.0.0.1:{port}");
    let hub = home.start(&["--mode", "server", "--db", &hub_db, "--http-addr", &address]);
    add_task(&mut hub.client(), "theirs").unwrap();
    let alone = home.start(&["--mode", "local", "--db", &device_db]);
    add_task(&mut alone.client(), "ours").unwrap();
    assert_eq!(alone.stop(), 0);
    let url = format!("http://{address}");
    let device = home.start(&["--mode", "local", "--db", &device_db, "--hub-url", &url]);
    let refused = device.client().call::<Value>("sync.now", &Value::Null).unwrap_err();
    assert_eq!(refused.code.as_str(), "owner_mismatch");
    for daemon in [&hub, &device] {
        let tasks: Page = daemon.client().call("node.list", &json!({ "kind": "task" })).unwrap();
        assert_eq!(tasks.nodes.len(), 1);
    }
}

#[test]
fn an_owner_can_be_named_once() {
    let home = Home::new();
    let db = home.folder("store").join("heph.db").display().to_string();
    assert_eq!(home.start(&["--mode", "local", "--db", &db, "--owner-id", "me"]).stop(), 0);
    let other = home.run(&["--mode", "local", "--db", &db, "--owner-id", "you"]);
    assert_eq!(other.status.code(), Some(4));
    assert!(said(&other).contains("[owner_mismatch]"), "{}", said(&other));
}

#[test]
fn a_store_can_be_checked_without_being_changed() {
    let home = Home::new();
    let db = home.folder("store").join("heph.db");
    let text = db.display().to_string();
    assert_eq!(home.start(&["--mode", "local", "--db", &text]).stop(), 0);
    let before = std::fs::read(&db).unwrap();
    assert_eq!(home.run(&["--check-store", &text]).status.code(), Some(0));
    assert_eq!(std::fs::read(&db).unwrap(), before);
    std::fs::write(&db, "something else").unwrap();
    assert_eq!(home.run(&["--check-store", &text]).status.code(), Some(4));
}

#[test]
fn an_idle_daemon_is_small() {
    let home = Home::new();
    let device = home.start(&["--mode", "local"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", device.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kb: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    // The bar of 25 MB is the release build's; this one is larger.
    assert!(kb < 40_000, "{kb} kB");
}

#[test]
fn two_devices_and_a_hub_end_equal_over_real_http() {
    let home = Home::new();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let url = format!("http://{address}");
    let db = |name: &str| home.folder(name).join("heph.db").display().to_string();
    let (hub_db, one_db, two_db) = (db("hub"), db("one"), db("two"));
    let start_hub = || home.start(&["--mode", "server", "--db", &hub_db, "--http-addr", &address]);
    let mut hub = start_hub();
    let devices = [&one_db, &two_db]
        .map(|db| home.start(&["--mode", "local", "--db", db, "--hub-url", &url]));
    let sync = |daemon: &super::running::Running| -> Value {
        daemon.client().call("sync.now", &Value::Null).unwrap()
    };
    for device in &devices {
        sync(device);
    }
    // The hub is killed and started again on the way.
    for round in 0..3 {
        for daemon in devices.iter().chain([&hub]) {
            let mut client = daemon.client();
            for n in 0..20 {
                add_task(&mut client, &format!("{round} {n}")).unwrap();
            }
        }
        drop(hub);
        for device in &devices {
            add_task(&mut device.client(), "while the hub is away").unwrap();
        }
        hub = start_hub();
        devices.iter().for_each(|device| drop(sync(device)));
    }
    sync(&devices[0]);
    let statuses = devices.iter().map(sync).collect::<Vec<_>>();
    assert!(statuses.iter().all(|status| status["equal"] == true), "{statuses:?}");
    assert_eq!(statuses[0]["heads"], statuses[1]["heads"]);
    let all = |daemon: &super::running::Running| -> Value {
        daemon.client().call("node.list", &json!({ "deleted": true })).unwrap()
    };
    assert_eq!(all(&hub), all(&devices[0]));
    assert_eq!(all(&hub), all(&devices[1]));
    // Three of 20 tasks a round, one from each device, and three devices.
    assert_eq!(all(&hub)["nodes"].as_array().unwrap().len(), 3 * (3 * 20 + 2) + 3);
}
