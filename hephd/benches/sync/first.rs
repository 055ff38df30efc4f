//! A device pushes all it has, a fresh one pulls all of it.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    lab::{Lab, percentile},
    reference,
};

/// Entries that travel, and become durable, together.
const PAGE: usize = hephd::sync::PAGE;

pub fn run(ops: usize) {
    let lab = Lab::new();
    let device = lab.store("device", ops);
    let hub_db = lab.store("hub", 0);
    let (hub, url) = lab.hub(&hub_db);

    let begun = Instant::now();
    let device = lab.spoke(&device, &url);
    let status = device.sync();
    let pushed = begun.elapsed();
    let heads = status["heads"].as_object().unwrap();
    let entries: u64 = heads.values().map(|head| head["seq"].as_u64().unwrap()).sum();

    let fresh_db = lab.db("fresh");
    let begun = Instant::now();
    let fresh = lab.spoke(&fresh_db, &url);
    fresh.sync();
    let one: Value = fresh.client().call("node.list", &json!({ "id_prefix": "0" })).unwrap();
    let pulled = begun.elapsed();
    assert!(!one["nodes"].as_array().unwrap().is_empty(), "it can be asked");

    let mut flushes = reference::flushes(lab.dir.path());
    let peaks = [device.peak_mb(), hub.peak_mb(), fresh.peak_mb()];
    drop((device, hub, fresh));
    let transactions = entries as usize / PAGE + 1;
    let plain: Vec<_> = ["one.db", "two.db"]
        .map(|name| reference::plain_inserts(&fresh_db, &lab.dir.path().join(name), transactions))
        .into_iter()
        .collect();
    let (ours, theirs) = ((pushed + pulled).as_secs_f64(), (plain[0] + plain[1]).as_secs_f64());
    println!(
        "| {entries} ops | {:.1} s pushed + {:.1} s pulled | {theirs:.1} s | {:.2} | ≤ 3 | \
         device {:.0}, hub {:.0}, fresh {:.0} MB | {:.2} / {:.2} ms |",
        pushed.as_secs_f64(),
        pulled.as_secs_f64(),
        ours / theirs,
        peaks[0],
        peaks[1],
        peaks[2],
        percentile(&mut flushes, 50),
        percentile(&mut flushes, 99),
    );
}
