//! Many spokes of one owner push at the same time, until all are equal.
//!
//! The spokes keep heads and nothing else, and check every hash: it is the
//! hub that is measured, and all of them share the machine with it.

use std::time::{Duration, Instant};

use hephd::{
    clock::Entropy,
    cursor::Cursor,
    hlc::Ticker,
    id::{EntityId, Origin, OwnerId},
    machine::Machine,
    op::{Entry, Head, Heads, Set, Target},
    sync::{HeadsBody, PageBody, PushBody, PushedBody},
};
use reqwest::{Client, StatusCode};
use serde_json::{json, value::RawValue};

use crate::{
    lab::{Lab, percentile},
    reference,
};

pub fn run(spokes: usize, pushes: usize, ops: usize) {
    let lab = Lab::new();
    let db = lab.store("hub", 0);
    let (hub, url) = lab.hub(&db);
    let mut flushes = reference::flushes(lab.dir.path());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let begun = Instant::now();
    let (mut times, pushed) = runtime.block_on(async {
        let all: Vec<_> = (0..spokes)
            .map(|n| Spoke::new(n, &lab.owner, &url))
            .map(|spoke| tokio::spawn(spoke.live(pushes, ops, spokes * pushes * ops)))
            .collect();
        let (mut times, mut last) = (Vec::new(), begun);
        for spoke in all {
            let (took, done) = spoke.await.unwrap();
            times.extend(took);
            last = last.max(done);
        }
        (times, last - begun)
    });
    let equal = begun.elapsed();
    let count = (spokes * pushes) as f64;
    println!(
        "| {spokes} spokes, {pushes} pushes of {ops} ops | {:.0} pushes/s until all are pushed, \
         {:.0} until all are equal | p50 {:.1}, p99 {:.1} ms | ≥ 700/s, p99 < 500 ms | \
         hub {:.0} MB, {:.1} s of a core | {:.2} / {:.2} ms |",
        count / pushed.as_secs_f64(),
        count / equal.as_secs_f64(),
        percentile(&mut times, 50),
        percentile(&mut times, 99),
        hub.peak_mb(),
        hub.cpu_secs(),
        percentile(&mut flushes, 50),
        percentile(&mut flushes, 99),
    );
}

struct Spoke {
    owner: OwnerId,
    origin: Origin,
    ticker: Ticker,
    machine: Machine,
    heads: Heads,
    http: Client,
    url: String,
}

impl Spoke {
    fn new(n: usize, owner: &OwnerId, url: &str) -> Self {
        let machine = Machine { name: format!("spoke {n}"), ..Machine::this() };
        Self {
            owner: owner.clone(),
            origin: Origin::draw(&Entropy::System),
            ticker: Ticker::new(n as u64),
            machine,
            heads: Heads::default(),
            // As a device does whose hub is on the same machine.
            http: Client::builder().tcp_nodelay(true).gzip(false).build().unwrap(),
            url: url.to_owned(),
        }
    }

    /// Cycles with a push each, then cycles until it has what all have
    /// written. Gives how long each push took, and when the last was done.
    async fn live(mut self, pushes: usize, ops: usize, all: usize) -> (Vec<Duration>, Instant) {
        let mut times = Vec::new();
        for _ in 0..pushes {
            self.catch_up().await;
            times.push(self.push(ops).await);
        }
        let done = Instant::now();
        while self.heads.entries() < all as u64 {
            self.catch_up().await;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        (times, done)
    }

    async fn catch_up(&mut self) {
        let tag = format!("\"{}\"", self.heads.digest(&self.owner));
        let asked = self.http.get(format!("{}sync/heads", self.url)).header("if-none-match", tag);
        let answer = asked.send().await.unwrap();
        if answer.status() == StatusCode::NOT_MODIFIED {
            return;
        }
        let hub: HeadsBody = answer.json().await.unwrap();
        while hub.heads.beyond(&self.heads) > 0 {
            let after = Cursor::from(&self.heads).encode();
            let url = format!("{}sync/pull?after={after}&limit=1000", self.url);
            let page: PageBody = self.http.get(url).send().await.unwrap().json().await.unwrap();
            page.entries.iter().for_each(|entry| self.take(entry));
        }
    }

    fn take(&mut self, entry: &Entry) {
        let head = self.heads.of(&entry.origin);
        assert_eq!(entry.seq, head.seq + 1);
        assert_eq!(entry.hash, head.hash.then(entry.op.get()));
        self.heads.0.insert(entry.origin.clone(), Head { seq: entry.seq, hash: entry.hash });
    }

    async fn push(&mut self, ops: usize) -> Duration {
        let entries: Vec<Entry> = (0..ops).map(|_| self.write()).collect();
        let url = format!("{}sync/push", self.url);
        let begun = Instant::now();
        let answer = self.http.post(url).json(&PushBody { entries }).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "no push is refused, none is tried again");
        let pushed: PushedBody = answer.json().await.unwrap();
        assert_eq!(pushed.received, ops);
        begun.elapsed()
    }

    fn write(&mut self) -> Entry {
        let op = Set {
            id: self.ticker.tick(self.machine.clock.now_ms()),
            owner: self.owner.clone(),
            target: Target::Node(EntityId::draw(&Entropy::System)),
            field: "title".to_owned(),
            value: json!("a line that somebody wrote on the way"),
            seen: Vec::new(),
        };
        let bytes = op.encode().unwrap();
        let head = self.heads.of(&self.origin);
        let entry = Entry {
            origin: self.origin.clone(),
            seq: head.seq + 1,
            hash: head.hash.then(&bytes),
            op: RawValue::from_string(bytes).unwrap(),
        };
        self.take(&entry);
        entry
    }
}
