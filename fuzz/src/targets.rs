//! What is fuzzed, one function for each target: bytes from somebody else go
//! in, and whatever is read must hold together. A panic is a find.
//!
//! cargo-fuzz calls these with what it makes up; a test of hephd's calls them
//! with every file of the corpus, in every run.

use std::sync::{Arc, atomic::AtomicU64};

use hephd::{
    clock::{Clock, Entropy},
    config::Rules,
    cursor::Cursor,
    hlc::Hlc,
    hub,
    id::{EntityId, Origin, OwnerId},
    machine::Machine,
    node::{Change, Wanted},
    oidc::token,
    op::{Entry, Hash, Op},
    rpc::Request,
    store::{Birth, Store, oplog::MAX_ENTRIES},
    sync::{Answer, ChainBody, Cycle, HeadsBody, PageBody, PushBody, PushedBody},
};

/// Whose ops the corpus has.
const OWNER: &str = "fuzz";

fn owner() -> OwnerId {
    OWNER.parse().expect("an owner id")
}

fn store() -> Store {
    let machine = Machine {
        clock: Clock::Manual(Arc::new(AtomicU64::new(1_777_000_000_000))),
        entropy: Entropy::Seeded(Arc::new(AtomicU64::new(1))),
        name: "fuzz".to_owned(),
    };
    Store::in_memory(&Birth::Owned(owner()), &machine).expect("a store in memory")
}

/// An op's bytes. What is read and written again is the same op.
pub fn op(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(read) = Op::decode(text) else { return };
    if let Op::Set(set) = &read
        && let Ok(again) = set.encode()
    {
        assert_eq!(Op::decode(&again).as_ref(), Ok(&read));
    }
}

/// A token, and what one says. No signature is at hand, so the two halves are
/// read apart: whatever counts must be whole.
pub fn token(bytes: &[u8]) {
    const NOW: u64 = 1_777_000_000;
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let header = token::header(text);
    let header = header.or_else(|_| token::header("eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AA"));
    let (Ok(header), Ok(claims)) = (header, serde_json::from_str(text)) else { return };
    let rules = Rules { issuer: "https://id.example".into(), audience: "heph".into() };
    if let Ok(verified) = token::judge(&header, &claims, &rules, NOW) {
        assert_eq!(verified.subject.issuer, rules.issuer);
        assert!(!verified.subject.sub.is_empty() && verified.subject.sub.len() <= 1024);
        assert!(verified.expires + token::LEEWAY_SECS > NOW && !verified.typed);
    }
}

/// Every name that is text. What is taken is written as it was.
pub fn id(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(id) = text.parse::<Hlc>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(id) = text.parse::<Origin>() {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(id) = text.parse::<OwnerId>() {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(id) = text.parse::<EntityId>() {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(hash) = text.parse::<Hash>() {
        assert_eq!(hash.to_string(), text.to_ascii_lowercase());
    }
}

/// A cursor. What is read and written again leads to the same places.
pub fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(read) = Cursor::decode(text) else { return };
    assert_eq!(Cursor::decode(&read.encode()), Ok(read.clone()));
    let page = hub::answer_pull(&store(), &owner(), &read, 10).expect("any cursor is answered");
    assert!(page.entries.is_empty());
    assert_eq!(Cursor::decode(&page.cursor), Ok(read));
}

/// A line at the local socket. What it writes can be listed and read.
pub fn rpc(bytes: &[u8]) {
    let Ok(request) = serde_json::from_slice::<Request>(bytes) else { return };
    let again = serde_json::to_vec(&request).expect("what was read can be written");
    serde_json::from_slice::<Request>(&again).expect("and read again");
    let _ = serde_json::from_value::<Wanted>(request.params.clone());
    let changes = request.params.get("changes").cloned().unwrap_or_default();
    let Ok(changes) = serde_json::from_value::<Vec<Change>>(changes) else { return };
    let mut store = store();
    if store.write(&owner(), &changes).is_ok() {
        can_be_read(&store);
    }
}

/// A pushed batch: as it is, and with its chain mended so that its ops get in.
/// They come out byte for byte, and mean the same in any order.
pub fn push(bytes: &[u8]) {
    let Ok(body) = serde_json::from_slice::<PushBody>(bytes) else { return };
    let mut hub = store();
    let _ = hub::answer_push(&mut hub, &owner(), &body).expect("an outcome");
    can_be_read(&hub);

    let (mut there, mut back) = (store(), store());
    let forwards = in_one_chain(&body.entries, "00000000000000aa");
    let Ok(pushed) = push_to(&mut there, &forwards) else { return };
    assert_eq!(pushed.received, forwards.len());
    assert_eq!(push_to(&mut there, &forwards).map(|again| again.received), Ok(0));
    let (out, _) = there.entries_after(&owner(), &|_| 0, MAX_ENTRIES).expect("entries");
    assert!(out.iter().map(|e| e.op.get()).eq(forwards.iter().map(|e| e.op.get())));

    let backwards: Vec<Entry> = body.entries.into_iter().rev().collect();
    let backwards = in_one_chain(&backwards, "00000000000000bb");
    assert!(push_to(&mut back, &backwards).is_ok());
    assert_eq!(can_be_read(&there), can_be_read(&back));
}

/// Entries by place and hash as a chain of their own.
fn in_one_chain(entries: &[Entry], origin: &str) -> Vec<Entry> {
    let mut last = Hash::NONE;
    let place = |(n, entry): (usize, &Entry)| {
        last = last.then(entry.op.get());
        let origin = origin.parse().expect("an origin");
        Entry { origin, seq: n as u64 + 1, hash: last, op: entry.op.clone() }
    };
    entries.iter().enumerate().map(place).collect()
}

fn push_to(store: &mut Store, entries: &[Entry]) -> Result<PushedBody, ()> {
    let body = PushBody { entries: entries.to_vec() };
    hub::answer_push(store, &owner(), &body).expect("an outcome").map_err(drop)
}

/// All that people see of a store.
fn can_be_read(store: &Store) -> String {
    let all = Wanted { deleted: true, ..Wanted::default() };
    let listed = store.nodes(&owner(), &all).expect("a list");
    let mut shown = Vec::new();
    for node in &listed {
        let node = store.node(&owner(), &node.id).expect("a node").expect("that is listed");
        let links = store.links_from(&owner(), &node.id).expect("its links");
        shown.push(serde_json::json!([node, links]).to_string());
    }
    shown.sort();
    format!("{shown:?} {:?}", store.conflicts(&owner()).expect("conflicts"))
}

/// What a hub answers to a spoke's cycle, whichever question it was. The
/// spoke's own store stays whole.
pub fn heads(bytes: &[u8]) {
    let read = |answer: Option<Answer>| answer.into_iter();
    let answers = read(serde_json::from_slice::<HeadsBody>(bytes).ok().map(Answer::Heads))
        .chain(read(serde_json::from_slice::<PageBody>(bytes).ok().map(Answer::Page)))
        .chain(read(serde_json::from_slice::<PushedBody>(bytes).ok().map(Answer::Pushed)))
        .chain(read(serde_json::from_slice::<ChainBody>(bytes).ok().map(Answer::Chain)));
    for answer in answers {
        let mut spoke = store();
        let set = serde_json::json!({ "node": { "set": { "kind": "task", "title": "mine" } } });
        let change: Change = serde_json::from_value(set).expect("a change");
        spoke.write(&owner(), &[change]).expect("a write");
        let mine = spoke.entries_after(&owner(), &|_| 0, MAX_ENTRIES).expect("entries").0;
        drive(&mut spoke, answer);
        can_be_read(&spoke);
        let after = spoke.entries_after(&owner(), &|_| 0, MAX_ENTRIES).expect("entries").0;
        let kept = |op: &Entry| after.iter().any(|entry| entry.op.get() == op.op.get());
        assert!(mine.iter().all(kept), "an op of its own is gone");
    }
}

/// A cycle that is answered so, and then with "not next" until it gives up.
fn drive(spoke: &mut Store, answer: Answer) {
    let mut cycle = Cycle::default();
    if matches!(cycle.next(spoke), Ok(Some(_))) && cycle.take(spoke, answer).is_err() {
        return;
    }
    for _ in 0..100 {
        match cycle.next(spoke) {
            Ok(Some(_)) if cycle.take(spoke, Answer::NotNext).is_ok() => {}
            _ => return,
        }
    }
    panic!("the cycle does not end");
}
