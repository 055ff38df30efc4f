//! What a person who writes sees of a seed from the store under their hands.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use hephd::rpc::client::Client;
use serde_json::{Value, json};

use super::lab::{Lab, ROUNDS, median, ops, run};

const LONG: Duration = Duration::from_secs(60);

/// How long nobody else is at work.
const QUIET: Duration = Duration::from_secs(3);

pub fn bench(mb: u64) {
    let lab = Lab::new(mb);
    let hephd = Path::new(env!("CARGO_BIN_EXE_heph-ops")).with_file_name("hephd");
    let socket = lab.path("device/s");
    let mut daemon = Command::new(hephd);
    daemon.args(["--mode", "local", "--db"]).arg(&lab.db).arg("--socket").arg(&socket);
    let mut daemon = daemon.stderr(Stdio::null()).spawn().unwrap();
    while Client::connect(&socket, LONG).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (mut quiet, mut seeding) = (Seen::default(), Seen::default());
    for _ in 0..ROUNDS {
        quiet.add(writing(&socket, || std::thread::sleep(QUIET)));
        lab.clear("hub");
        let (from, to) = (lab.db.to_str().unwrap(), lab.path("hub/heph.db"));
        let words = ["seed", "--from", from, "--to", to.to_str().unwrap(), "-q"];
        seeding.add(writing(&socket, || {
            run(ops(&words).stderr(Stdio::null()));
        }));
    }
    let pid = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    daemon.wait().unwrap();
    let (before, during) = (quiet.medians(), seeding.medians());
    println!(
        "| {} | p50 {:.2}, p99 {:.2} ms | p50 {:.2}, p99 {:.2} ms | {:.2} | p50 ≤ 1.5, p99 ≤ 20 ms | {} |",
        lab.megabytes(),
        before.0,
        before.1,
        during.0,
        during.1,
        during.0 / before.0,
        seeding.writes,
    );
}

#[derive(Default)]
struct Seen {
    p50: Vec<f64>,
    p99: Vec<f64>,
    writes: usize,
}

impl Seen {
    fn add(&mut self, mut times: Vec<f64>) {
        times.sort_by(f64::total_cmp);
        self.p50.push(times[times.len() / 2]);
        self.p99.push(times[times.len() * 99 / 100]);
        self.writes += times.len();
    }

    fn medians(&self) -> (f64, f64) {
        (median(self.p50.clone()), median(self.p99.clone()))
    }
}

/// Writes for as long as `meanwhile` takes; each must succeed. In ms.
fn writing(socket: &Path, meanwhile: impl FnOnce()) -> Vec<f64> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut client, mut times) = (Client::connect(socket, LONG).unwrap(), Vec::new());
            let set = json!({ "kind": "task", "title": "written meanwhile" });
            let params = json!({ "changes": [{ "node": { "set": set } }] });
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let _: Value = client.call("node.write", &params).unwrap();
                times.push(begun.elapsed().as_secs_f64() * 1000.0);
                // As fast as a person never is, and not all that the disk can do.
                std::thread::sleep(Duration::from_millis(2));
            }
            times
        });
        meanwhile();
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    })
}
