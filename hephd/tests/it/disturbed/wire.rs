//! The hub's HTTP by hand, and a spoke that only pushes: no code of the
//! daemon's own client takes part.

use std::{
    collections::BTreeMap,
    io::{Result, Write},
    net::TcpStream,
};

use hephd::{
    hlc::Hlc,
    op::{Hash, Set, Target},
};
use serde_json::{Value, json};

use super::ledger::Ledger;
use crate::{
    answer::{self, Answer},
    running::DEADLINE,
    world::Dice,
};

/// One request on a connection of its own: status, head and body. An answer
/// that is cut off is an error.
pub fn ask(port: u16, method: &str, path: &str, body: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes())?;
    answer::read(stream, method)
}

/// Every op that a hub delivers, by its id, byte for byte.
pub fn pull_all(port: u16) -> BTreeMap<String, String> {
    #[derive(serde::Deserialize)]
    struct Page {
        entries: Vec<hephd::op::Entry>,
        cursor: String,
        more: bool,
    }
    let (mut ops, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let (status, _, body) =
            ask(port, "GET", &format!("/sync/pull?after={cursor}"), "").unwrap();
        assert_eq!(status, 200, "{body}");
        let page: Page = serde_json::from_str(&body).unwrap();
        for entry in page.entries {
            let op: Value = serde_json::from_str(entry.op.get()).unwrap();
            ops.insert(op["id"].as_str().unwrap().to_owned(), entry.op.get().to_owned());
        }
        cursor = page.cursor;
        if !page.more {
            return ops;
        }
    }
}

/// Pushes ops of an origin of its own, in order.
pub struct Pusher {
    port: u16,
    owner: String,
    actor: u64,
    seq: u64,
    last: Hash,
    refused: Option<Batch>,
    dice: Dice,
}

/// The body to post, and its ops by id.
type Batch = (String, Vec<(String, String)>);

impl Pusher {
    pub fn new(port: u16, owner: &str, seed: u64) -> Self {
        let dice = Dice::new(seed);
        let (actor, last) = (dice.roll(), Hash::NONE);
        Self { port, owner: owner.to_owned(), actor, seq: 0, last, refused: None, dice }
    }

    fn op(&self, n: u64) -> Set {
        Set {
            id: Hlc { ms: 1_777_000_000_000 + n, counter: 0, actor: self.actor },
            owner: self.owner.parse().unwrap(),
            target: Target::Node(format!("{:016x}-{n}", self.actor).parse().unwrap()),
            field: "title".to_owned(),
            value: json!(format!("{n} {}", "x".repeat(self.dice.below(400)))),
            seen: Vec::new(),
        }
    }

    /// What was refused is the next batch once more.
    pub fn again(&mut self, body: String, ops: Vec<(String, String)>) {
        self.refused = Some((body, ops));
    }

    /// The next batch.
    pub fn next_batch(&mut self) -> Batch {
        if let Some(refused) = self.refused.take() {
            return refused;
        }
        let (mut entries, mut ops) = (Vec::new(), Vec::new());
        for _ in 0..=self.dice.below(12) {
            self.seq += 1;
            let op = self.op(self.seq);
            let bytes = op.encode().unwrap();
            self.last = self.last.then(&bytes);
            entries.push(format!(
                r#"{{"origin":"{:016x}","seq":{},"hash":"{}","op":{bytes}}}"#,
                self.actor, self.seq, self.last
            ));
            ops.push((op.id.to_string(), bytes));
        }
        (format!(r#"{{"entries":[{}]}}"#, entries.join(",")), ops)
    }

    /// Pushes batches until told to stop. One whose answer did not come is
    /// sent again, for nobody can know what became of it.
    pub fn run(mut self, ledger: &Ledger, goes_on: &dyn Fn() -> bool) {
        while goes_on() {
            let (body, ops) = self.next_batch();
            while goes_on() {
                match ask(self.port, "POST", "/sync/push", &body) {
                    Ok((200, ..)) => {
                        ops.into_iter().for_each(|(id, op)| ledger.acknowledged(id, op));
                        break;
                    }
                    Ok((503, ..)) | Err(_) => {
                        std::thread::sleep(std::time::Duration::from_millis(2))
                    }
                    Ok((status, _, said)) => panic!("{status}: {said}"),
                }
            }
        }
    }
}
