//! What a daemon holds in memory does not grow with what it is given to do.

use std::fs;

use serde_json::{Value, json};

use super::{disturbed::daemon::Daemon, running::Home};

/// The most that a process ever held, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn add(daemon: &Daemon, body: &str) -> Value {
    let set = json!({ "kind": "doc", "title": "long", "body": body });
    let changes = json!({ "changes": [{ "node": { "set": set } }] });
    daemon.client().call::<Value>("node.write", &changes).unwrap()["ids"][0].clone()
}

/// One write that has to do with many long documents holds few of them.
#[test]
fn a_batch_about_many_long_documents_holds_few_of_them() {
    let home = Home::new();
    let mut daemon = Daemon::new(&home, "device", &["--mode", "local"]);
    daemon.start();
    let body = "a line of a long document\n".repeat(20_000);
    let ids: Vec<Value> = (0..80).map(|_| add(&daemon, &body)).collect();
    let before = peak(daemon.pid());
    let titles = ids.iter().map(|id| json!({ "node": { "id": id, "set": { "title": "new" } } }));
    let changes = json!({ "changes": titles.collect::<Vec<_>>() });
    daemon.client().call::<Value>("node.write", &changes).unwrap();
    let grown = (peak(daemon.pid()) - before) / 1024;
    assert!(grown < 15, "80 documents of 0.5 MB in one write took {grown} MB");
}
