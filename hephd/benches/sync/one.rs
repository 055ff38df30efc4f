//! One op, from the call on one device until the other one shows it.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hephd::rpc::client::Client;
use serde_json::{Value, json};

use crate::{
    lab::{Daemon, Lab, percentile},
    reference,
};

const SAMPLES: usize = 200;

pub fn run(ops: usize) {
    let lab = Lab::new();
    let hub_db = lab.store("hub", ops);
    let (hub, url) = lab.hub(&hub_db);
    let (a, b) = two_spokes(&lab, &url);
    let conn = reference::durable(&lab.dir.path().join("reference.db"));
    conn.execute_batch("CREATE TABLE one (n INTEGER PRIMARY KEY, text TEXT)").unwrap();

    let (mut from, mut to) = (a.client(), b.client());
    let written: Value = from.call("node.write", &change(None, 0)).unwrap();
    let id = written["ids"][0].clone();
    a.sync();
    let (mut ours, mut commits) = (Vec::new(), Vec::new());
    for n in 0..SAMPLES {
        commits.push(reference::commit(&conn, n));
        ours.push(one(&mut from, &mut to, &id, n + 1));
    }
    // What passes is counted by somebody in between, who would take time.
    drop((a, b));
    let wire = Wire::open(&url);
    let (a, b) = two_spokes(&lab, &wire.url);
    let (mut from, mut to) = (a.client(), b.client());
    one(&mut from, &mut to, &id, SAMPLES + 1);
    let (bytes, requests) = wire.measure(|| _ = one(&mut from, &mut to, &id, SAMPLES + 2));
    let (_, quiet) = wire.measure(|| _ = a.sync());
    let mut flushes = reference::flushes(lab.dir.path());
    drop(hub);

    let (ours, commit) = (percentile(&mut ours, 50), percentile(&mut commits, 50));
    println!(
        "| a log of {ops} | {ours:.2} ms | {commit:.2} ms | {:.2} ms | ≤ 3 commits + 2 ms = {:.2} ms | \
         {bytes} bytes in {requests} requests, a no-op cycle {quiet} | {:.2} / {:.2} ms |",
        ours - 3.0 * commit,
        3.0 * commit + 2.0,
        percentile(&mut flushes, 50),
        percentile(&mut flushes, 99),
    );
}

/// Two devices that have all that the hub has.
fn two_spokes(lab: &Lab, hub_url: &str) -> (Daemon, Daemon) {
    let spokes = ["a", "b"].map(|name| lab.spoke(&lab.db(name), hub_url));
    spokes.iter().for_each(|spoke| _ = spoke.sync());
    spokes.into()
}

/// The title of one task, made or changed: a change is one op.
fn change(id: Option<&Value>, n: usize) -> Value {
    let mut node = json!({ "set": { "title": format!("sample {n}") } });
    match id {
        Some(id) => node["id"] = id.clone(),
        None => node["set"]["kind"] = json!("task"),
    }
    json!({ "changes": [{ "node": node }] })
}

fn one(from: &mut Client, to: &mut Client, id: &Value, n: usize) -> Duration {
    let begun = Instant::now();
    let written: Value = from.call("node.write", &change(Some(id), n)).unwrap();
    assert_eq!(written["ops"], 1);
    let title = format!("sample {n}");
    while to.call::<Value>("node.get", &json!({ "id": id })).unwrap()["title"] != title {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never comes");
        std::thread::sleep(Duration::from_micros(100));
    }
    let took = begun.elapsed();
    // The device that wrote gets the hub's hint as well; it settles first.
    std::thread::sleep(Duration::from_millis(60));
    took
}

/// A wire that counts what passes.
struct Wire {
    url: String,
    bytes: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
}

impl Wire {
    fn open(hub: &str) -> Self {
        let hub = hub.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (bytes, requests) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counters = (Arc::clone(&bytes), Arc::clone(&requests));
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&hub)) else { return };
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let (near_out, far_out) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (up, down) =
                    (counters.clone(), (Arc::clone(&counters.0), Arc::new(AtomicU64::new(0))));
                std::thread::spawn(move || pass(near, far_out, &up));
                std::thread::spawn(move || pass(far, near_out, &down));
            }
        });
        Self { url, bytes, requests }
    }

    /// What passes while something happens, and shortly after it.
    fn measure(&self, happens: impl FnOnce()) -> (u64, u64) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock();
        std::thread::sleep(Duration::from_millis(300));
        let before = (self.bytes.load(Ordering::Relaxed), self.requests.load(Ordering::Relaxed));
        happens();
        let after = (self.bytes.load(Ordering::Relaxed), self.requests.load(Ordering::Relaxed));
        (after.0 - before.0, after.1 - before.1)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, counters: &(Arc<AtomicU64>, Arc<AtomicU64>)) {
    let mut buffer = [0; 16384];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        counters.0.fetch_add(read as u64, Ordering::Relaxed);
        if buffer.starts_with(b"GET ") || buffer.starts_with(b"POST ") {
            counters.1.fetch_add(1, Ordering::Relaxed);
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
        buffer[..5].fill(0);
    }
    let _ = to.shutdown(Shutdown::Both);
}
