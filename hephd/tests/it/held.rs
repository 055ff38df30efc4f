//! A store that keeps somebody waiting: who must not wait with them, and what
//! those hear who do.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use hephd::{
    error::Result,
    hub::Hub,
    id::OwnerId,
    machine::Machine,
    node::Change,
    op::Hash,
    replica::Replica,
    store::{Birth, Store, file::beside},
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    running::{DEADLINE, Home, get, post},
    served::Served,
};

/// Which thread of the store.
#[derive(Clone, Copy)]
enum Whose {
    Writers,
    Readers,
    Browsers,
}

/// Keeps a thread of the store busy until it is dropped, or ended.
struct Held {
    end: mpsc::Sender<()>,
    ended: tokio::task::JoinHandle<Result<()>>,
}

impl Held {
    async fn new(replica: &Arc<Replica>, whose: Whose) -> Self {
        let (end, wait) = mpsc::channel::<()>();
        let (begin, begun) = oneshot::channel();
        let replica = Arc::clone(replica);
        // What is read once is held fast in a log until the job ends.
        let work = move |store: &Store| {
            store.is_empty()?;
            let _ = begin.send(());
            let _ = wait.recv();
            Ok(())
        };
        let ended = tokio::spawn(async move {
            match whose {
                Whose::Writers => replica.write(move |store| work(store)).await,
                Whose::Readers => replica.read(work).await,
                Whose::Browsers => replica.browse(work).await,
            }
        });
        let begun = tokio::time::timeout(DEADLINE, begun).await;
        begun.expect("to begin waits for somebody else's work").unwrap();
        Self { end, ended }
    }

    async fn end(self) {
        drop(self.end);
        self.ended.await.unwrap().unwrap();
    }
}

fn replica(home: &Home) -> (Arc<Replica>, std::path::PathBuf) {
    let (db, machine) = (home.folder("store").join("heph.db"), Machine::this());
    Store::create(&db, &Birth::Owned("the-owner".parse().unwrap()), &machine.entropy).unwrap();
    let store = Store::open(&db, &machine).unwrap();
    (Arc::new(Replica::start(store, &db, &machine).unwrap()), db)
}

fn a_note(text: &str) -> Change {
    let set = json!({ "kind": "doc", "title": "note", "body": text });
    Change::Node { id: None, set: set.as_object().cloned().unwrap(), deleted: None }
}

async fn in_time<T>(what: &str, work: impl Future<Output = Result<T>>) -> T {
    let done = tokio::time::timeout(DEADLINE, work).await;
    done.unwrap_or_else(|_| panic!("{what} waits for somebody else's work")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn long_questions_keep_nobody_from_reading_and_writing() {
    let (home, owner) = (Home::new(), "the-owner".parse().unwrap());
    let (replica, _) = replica(&home);
    let browse = || Held::new(&replica, Whose::Browsers);
    let _long = [browse().await, browse().await];
    let _one_of_two = Held::new(&replica, Whose::Readers).await;
    for n in 0..20 {
        let write = replica.write({
            let owner = OwnerId::clone(&owner);
            move |store| store.write(&owner, &[a_note(&n.to_string())])
        });
        in_time("a write", write).await;
        assert_eq!(in_time("the owner", replica.owner()).await, owner);
        let owner = owner.clone();
        in_time("a read", replica.read(move |store| store.heads(&owner))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_does_not_wait_for_a_writer() {
    let (home, owner) = (Home::new(), "the-owner".parse().unwrap());
    let (replica, _) = replica(&home);
    let _writing = Held::new(&replica, Whose::Writers).await;
    for _ in 0..20 {
        let owner = OwnerId::clone(&owner);
        in_time("a read", replica.read(move |store| store.heads(&owner))).await;
    }
}

/// Readers that follow each other without a gap.
async fn read_on_and_on(replica: Arc<Replica>, mut done: oneshot::Receiver<()>) {
    let mut reading = Held::new(&replica, Whose::Browsers).await;
    while done.try_recv().is_err() {
        let next = Held::new(&replica, Whose::Browsers).await;
        std::mem::replace(&mut reading, next).end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short_however_many_read() {
    let (home, owner): (_, OwnerId) = (Home::new(), "the-owner".parse().unwrap());
    let (replica, db) = replica(&home);
    let (done, until) = oneshot::channel();
    let readers = tokio::spawn(read_on_and_on(Arc::clone(&replica), until));
    let (text, mut longest, mut written) = ("a line of a note\n".repeat(30_000), 0, 0);
    while written < 120 << 20 {
        let (owner, note) = (owner.clone(), a_note(&text));
        replica.write(move |store| store.write(&owner, &[note])).await.unwrap();
        written += text.len();
        longest = longest.max(std::fs::metadata(beside(&db, "-wal")).unwrap().len());
    }
    done.send(()).unwrap();
    readers.await.unwrap();
    assert!(longest < 40 << 20, "{} MB of log for {} MB", longest >> 20, written >> 20);
}

/// What cannot be made durable now is not waited for without end.
#[test]
fn a_request_does_not_wait_for_ever_for_a_disk_that_hangs() {
    let (mut hub, mut replica) = (None, None);
    let hub = hub.insert(Served::with(|mut hub: Hub| {
        let short = Duration::from_millis(300);
        hub.limits = hephd::hub::limits::Limits { patience: short, ready: short, ..hub.limits };
        replica = Some(Arc::clone(&hub.replica));
        hub
    }));
    let replica = replica.unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let held = runtime.block_on(Held::new(&replica, Whose::Writers));
    let begun = Instant::now();
    for (path, body) in [
        ("/readyz", None),
        ("/sync/push", Some(r#"{"entries":[]}"#)),
        ("/rpc", Some(r#"{"jsonrpc":"2.0","id":1,"method":"node.write","params":{"changes":[]}}"#)),
    ] {
        let (status, head, said) =
            body.map_or_else(|| get(hub.port, path), |body| post(hub.port, path, body));
        assert_eq!(status, 503, "{path}: {said}");
        assert!(head.contains("retry-after: ") && said.contains("not_ready"), "{head}\n{said}");
    }
    assert!(begun.elapsed() < DEADLINE);
    for path in ["/healthz", "/sync/heads", "/sync/pull"] {
        assert_eq!(get(hub.port, path).0, 200, "{path}: reading goes on");
    }
    drop(held);
    super::running::wait_for("the hub to be ready again", || get(hub.port, "/readyz").0 == 200);
}

/// They become durable together, and may not all count on the same room.
#[test]
fn origins_that_come_at_once_find_room_only_once() {
    let mut replica = None;
    let hub = Served::with(|hub: Hub| {
        replica = Some(Arc::clone(&hub.replica));
        hub
    });
    let replica = replica.unwrap();
    let heads: Value = serde_json::from_str(&get(hub.port, "/sync/heads").2).unwrap();
    let owner = heads["owner_id"].as_str().unwrap();
    let batch = |first: u64| {
        let each = (first..first + 1_500).map(|n| {
            let op =
                format!(r#"{{"op":"note","id":"1764000000001-0000-{n:016x}","owner":"{owner}"}}"#);
            let hash = Hash::NONE.then(&op);
            format!(r#"{{"origin":"{n:016x}","seq":1,"hash":"{hash}","op":{op}}}"#)
        });
        format!(r#"{{"entries":[{}]}}"#, each.collect::<Vec<_>>().join(","))
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let held = runtime.block_on(Held::new(&replica, Whose::Writers));
    let (port, batches) = (hub.port, [0, 10_000, 20_000, 30_000].map(batch));
    let pushes =
        batches.map(|batch| std::thread::spawn(move || post(port, "/sync/push", &batch).0));
    super::running::wait_for("all to wait", || replica.waiting() == 4);
    drop(held);
    let mut said = pushes.map(|push| push.join().unwrap());
    said.sort_unstable();
    assert_eq!(said, [200, 200, 429, 429]);
}
