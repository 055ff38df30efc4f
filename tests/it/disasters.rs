//! What people do to their files by hand, with real processes and files: all
//! of it heals, and nothing is lost.

use std::path::Path;

use hephd::{id::EntityId, node::Page};
use serde_json::{Value, json};

use super::sandbox::{Sandbox, add_task, free_port};

const HUB: &str = "hub/hephd.sock";
const DEVICE: &str = ".local/share/heph/hephd.sock";

/// A hub and a device that syncs with it, both running.
fn pair() -> Sandbox {
    let sandbox = Sandbox::new();
    let db = sandbox.path("hub/heph.db").display().to_string();
    sandbox.ops(&["seed", "--owner-id", "me", "--to", &db]).expect(0);
    let address = format!("127.0.0.1:{}", free_port());
    sandbox.install(&["--role", "hub", "--db", &db, "--http-addr", &address]).expect(0);
    sandbox.install(&["--role", "spoke", "--hub-url", &format!("http://{address}")]).expect(0);
    sandbox
}

fn write(sandbox: &Sandbox, socket: &str, title: &str) {
    add_task(&mut sandbox.connect(socket), title);
}

fn sync(sandbox: &Sandbox) -> Value {
    sandbox.connect(DEVICE).call("sync.now", &Value::Null).unwrap()
}

fn titles(sandbox: &Sandbox, socket: &str) -> Vec<String> {
    let page: Page = sandbox.connect(socket).call("node.list", &json!({ "kind": "task" })).unwrap();
    let nodes = page.nodes;
    let mut ids: Vec<EntityId> = nodes.iter().map(|node| node.id.clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), nodes.len(), "nothing is there twice");
    nodes.into_iter().map(|node| node.title).collect()
}

fn running(sandbox: &Sandbox, verb: &str, label: &str) {
    let words: &[&str] = match verb {
        "stop" => &["stop", label],
        _ => &["start", label, "--settle-ms", "0"],
    };
    sandbox.ops(words).expect(0);
}

/// Puts an older copy of a closed store in its place.
fn put_back(copy: &Path, db: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(hephd::store::file::beside(db, suffix));
    }
    std::fs::copy(copy, db).unwrap();
}

#[test]
fn a_hub_put_back_to_an_older_copy_gets_back_what_came_later() {
    let sandbox = pair();
    let (db, copy) = (sandbox.path("hub/heph.db"), sandbox.path("copy.db"));
    write(&sandbox, DEVICE, "before");
    sync(&sandbox);
    running(&sandbox, "stop", "heph-hub");
    std::fs::copy(&db, &copy).unwrap();
    running(&sandbox, "start", "heph-hub");
    write(&sandbox, HUB, "later, on the hub");
    write(&sandbox, DEVICE, "later, on the device");
    sync(&sandbox);

    running(&sandbox, "stop", "heph-hub");
    put_back(&copy, &db);
    running(&sandbox, "start", "heph-hub");
    assert_eq!(titles(&sandbox, HUB), ["before"]);
    assert_eq!(sync(&sandbox)["equal"], true);
    let all = ["before", "later, on the device", "later, on the hub"];
    assert_eq!(titles(&sandbox, HUB), all, "also what the hub itself had written");
    assert_eq!(titles(&sandbox, DEVICE), all);
}

#[test]
fn a_device_put_back_that_went_on_writing_is_healed_and_told() {
    let sandbox = pair();
    let (db, copy) = (sandbox.device_db(), sandbox.path("copy.db"));
    write(&sandbox, DEVICE, "before");
    sync(&sandbox);
    running(&sandbox, "stop", "heph-spoke");
    std::fs::copy(&db, &copy).unwrap();
    running(&sandbox, "start", "heph-spoke");
    write(&sandbox, DEVICE, "the first way");
    sync(&sandbox);

    running(&sandbox, "stop", "heph-spoke");
    running(&sandbox, "stop", "heph-hub");
    put_back(&copy, &db);
    running(&sandbox, "start", "heph-spoke");
    write(&sandbox, DEVICE, "the second way");
    running(&sandbox, "start", "heph-hub");
    let status = sync(&sandbox);
    assert_eq!((&status["equal"], &status["forks_healed"]), (&json!(true), &json!(1)), "{status}");
    let all = ["before", "the first way", "the second way"];
    assert_eq!(titles(&sandbox, HUB), all);
    assert_eq!(titles(&sandbox, DEVICE), all);
}

#[test]
fn what_both_changed_while_apart_is_kept_twice_and_told() {
    let sandbox = pair();
    write(&sandbox, DEVICE, "milk");
    sync(&sandbox);
    let heph = |words: &[&str]| -> super::sandbox::Ended {
        let mut command = sandbox.command(super::sandbox::program("heph"));
        command.args(words).output().unwrap().into()
    };
    let hub = sandbox.path(HUB).display().to_string();
    let tasks = heph(&["task", "list", "--json"]).expect(0).json();
    let id = tasks["data"][0]["id"].as_str().unwrap().to_owned();
    running(&sandbox, "stop", "heph-spoke");
    heph(&["--socket", &hub, "task", "edit", &id, "--title", "oat milk"]).expect(0);
    running(&sandbox, "stop", "heph-hub");
    running(&sandbox, "start", "heph-spoke");
    heph(&["task", "edit", &id, "--title", "soy milk"]).expect(0);
    running(&sandbox, "start", "heph-hub");
    assert_eq!(sync(&sandbox)["pending_conflicts"], 1);
    let listed = heph(&["task", "list"]).expect(0);
    assert!(listed.err.contains("has two versions"), "{}", listed.err);
    let shown = heph(&["task", "show", &id, "--json"]).expect(0).json();
    let versions = shown["data"]["versions"]["title"].as_array().unwrap();
    let values: Vec<&Value> = versions.iter().map(|version| &version["value"]).collect();
    assert_eq!(values, ["oat milk", "soy milk"]);
    heph(&["task", "edit", &id, "--title", "both"]).expect(0);
    assert_eq!(sync(&sandbox)["pending_conflicts"], 0);
}

#[test]
fn a_copied_device_whose_origin_nobody_reset_is_healed_too() {
    let sandbox = pair();
    write(&sandbox, DEVICE, "before");
    sync(&sandbox);
    running(&sandbox, "stop", "heph-spoke");
    // A second laptop, made by copying the first one's file.
    std::fs::create_dir(sandbox.path("second")).unwrap();
    let second = sandbox.path("second/heph.db");
    std::fs::copy(sandbox.device_db(), &second).unwrap();
    let record = std::fs::read_to_string(sandbox.path(".config/heph/heph-spoke.toml")).unwrap();
    let url = record.split('"').find(|word| word.starts_with("http://")).unwrap().to_owned();
    let words = [
        "--role",
        "spoke",
        "--label",
        "second",
        "--hub-url",
        &url,
        "--db",
        second.to_str().unwrap(),
    ];
    // The store is there, so this is not a device that joins.
    sandbox.install(&words).expect(0);
    running(&sandbox, "start", "heph-spoke");
    write(&sandbox, DEVICE, "on the first");
    write(&sandbox, "second/hephd.sock", "on the second");
    for _ in 0..2 {
        sync(&sandbox);
        let _: Value = sandbox.connect("second/hephd.sock").call("sync.now", &Value::Null).unwrap();
    }
    let all = ["before", "on the first", "on the second"];
    for socket in [HUB, DEVICE, "second/hephd.sock"] {
        assert_eq!(titles(&sandbox, socket), all, "{socket}");
    }
    sandbox.ops(&["stop", "second"]).expect(0);
}
