//! A little world in one process: replicas of one owner, each with a clock and
//! a chance of its own, and what a person does there. Between them lies the
//! [`wire`](crate::wire). The same seed gives the same world.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hephd::{
    clock::{Clock, Entropy},
    error::Result,
    hlc::Hlc,
    id::{EntityId, Origin, OwnerId},
    machine::Machine,
    node::{Change, Link, Node, Wanted},
    op::{Entry, Heads, Op},
    store::{
        Birth, Store,
        oplog::{Appended, MAX_ENTRIES},
    },
};
use serde_json::{Map, Value, json, value::RawValue};

use crate::lent::Lent;
pub use crate::{
    asked::{for_seeds, full, seeds},
    dice::Dice,
    wire::{Ended, Trip, Way, Weather, answer, cycle},
};

/// A day in spring 2026, in ms since 1970.
pub const TODAY: u64 = 1_777_000_000_000;

/// A day in 2099.
pub const YEAR_2099: u64 = 4_090_000_000_000;

/// A replica, and the machine that it lives on.
#[derive(Debug)]
pub struct Peer {
    pub store: Lent,
    pub clock: Arc<AtomicU64>,
}

impl Peer {
    pub fn new(name: &str, birth: &Birth, dice: &Dice) -> Self {
        Self::on(name, birth, dice.roll())
    }

    /// A replica whose process draws from this seed. Its tables are a copy:
    /// laying them out costs more than most of what is done with them.
    pub fn on(name: &str, birth: &Birth, seed: u64) -> Self {
        thread_local! {
            static BLANK: Store =
                Store::in_memory(&Birth::Joining, &machine("blank", Arc::default(), 0)).unwrap();
        }
        let clock = Arc::new(AtomicU64::new(TODAY));
        let machine = machine(name, Arc::clone(&clock), seed);
        let store = BLANK.with(|blank| Lent::copy_of(blank, &machine));
        store.set_meta("origin", Origin::draw(&machine.entropy).as_str()).unwrap();
        match birth {
            Birth::Owned(owner) | Birth::Promised(owner, _) => store.adopt(owner).unwrap(),
            Birth::Minting => store.adopt(&OwnerId::draw(&machine.entropy)).unwrap(),
            Birth::Joining => {}
        }
        Self { store, clock }
    }

    pub fn set_clock(&self, ms: u64) {
        self.clock.store(ms, Ordering::Relaxed);
    }

    pub fn pass_time(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    pub fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub fn owner(&self) -> OwnerId {
        self.store.owner().unwrap().expect("this replica has an owner")
    }

    pub fn heads(&self) -> Heads {
        self.store.owner().unwrap().map_or_else(Heads::default, |o| self.store.heads(&o).unwrap())
    }

    pub fn write(&mut self, changes: &[Change]) -> u64 {
        let owner = self.owner();
        self.store.write(&owner, changes).unwrap().ops
    }

    /// Every entry of every chain.
    pub fn entries(&self) -> Vec<Entry> {
        let Some(owner) = self.store.owner().unwrap() else { return Vec::new() };
        entries_beyond(&self.store, &owner, &Heads::default())
    }

    /// Every op, by its id.
    pub fn ops(&self) -> BTreeMap<String, String> {
        by_id(&self.entries())
    }

    /// Takes up to `most` entries that it lacks straight from another.
    pub fn hear(&mut self, other: &Self, most: usize) {
        let (owner, mine) = (self.owner(), self.heads());
        let after = |origin: &Origin| mine.of(origin).seq;
        let (entries, _) = other.store.entries_after(&owner, &after, most).unwrap();
        let taken = self.store.append(&owner, &entries).unwrap();
        assert!(matches!(taken, Appended::Done { .. }), "{taken:?}");
    }

    /// What a process finds that starts on this disk, and draws from a seed.
    /// The machine's clock stands where it stood.
    pub fn next_process(&self, seed: u64) -> Self {
        let clock = Arc::new(AtomicU64::new(self.now()));
        let machine = machine("next", Arc::clone(&clock), seed);
        Self { store: Lent::copy_of(&self.store, &machine), clock }
    }

    /// A replica that holds these entries, and has written none.
    pub fn holding(owner: &OwnerId, entries: &[Entry], seed: u64) -> Self {
        let mut peer = Self::on("holding", &Birth::Owned(owner.clone()), seed);
        let taken = peer.store.append(owner, entries).unwrap();
        assert!(matches!(taken, Appended::Done { .. }), "{taken:?}");
        peer
    }

    /// Goes on with an origin of its own.
    pub fn draw_origin(&self, dice: &Dice) {
        self.store.set_meta("origin", &format!("{:016x}", dice.roll())).unwrap();
    }
}

pub fn machine(name: &str, clock: Arc<AtomicU64>, seed: u64) -> Machine {
    Machine {
        clock: Clock::Manual(clock),
        entropy: Entropy::Seeded(Arc::new(AtomicU64::new(seed))),
        name: name.to_owned(),
    }
}

/// Every entry of a store that lies beyond some heads, page after page.
pub fn entries_beyond(store: &Store, owner: &OwnerId, heads: &Heads) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut places: BTreeMap<Origin, u64> = BTreeMap::new();
    loop {
        let after =
            |origin: &Origin| places.get(origin).copied().unwrap_or_else(|| heads.of(origin).seq);
        let (page, more) = store.entries_after(owner, &after, MAX_ENTRIES).unwrap();
        page.iter().for_each(|entry| {
            places.insert(entry.origin.clone(), entry.seq);
        });
        entries.extend(page);
        if !more {
            return entries;
        }
    }
}

pub fn by_id(entries: &[Entry]) -> BTreeMap<String, String> {
    let id = |entry: &Entry| Op::decode(entry.op.get()).unwrap().id().to_string();
    entries.iter().map(|entry| (id(entry), entry.op.get().to_owned())).collect()
}

/// All nodes, links and conflicts as one text, the same for equal states.
/// What a list shows and what one node shows must agree.
pub fn export(peer: &Peer) -> String {
    let (store, owner) = (&peer.store, peer.owner());
    let mut nodes: BTreeMap<String, Value> = BTreeMap::new();
    let mut links: Vec<Link> = Vec::new();
    let everything = Wanted { deleted: true, ..Wanted::default() };
    for listed in store.nodes(&owner, &everything).unwrap() {
        let node = store.node(&owner, &listed.id).unwrap().expect("a listed node exists");
        assert_eq!(listed, as_listed(&node));
        links.extend(store.links_from(&owner, &node.id).unwrap());
        nodes.insert(node.id.to_string(), json!(node));
    }
    links.sort();
    let conflicts = store.conflicts(&owner).unwrap();
    let text = json!({ "nodes": nodes, "links": links, "conflicts": conflicts });
    text.to_string()
}

fn as_listed(node: &Node) -> Node {
    let mut listed = Node { versions: BTreeMap::new(), ..node.clone() };
    listed.fields.remove("body");
    listed
}

/// A node is given one value; one that is new there is given a kind as well.
pub fn set(peer: &Peer, id: &EntityId, field: &str, value: &Value) -> Change {
    let known = peer.store.node(&peer.owner(), id).unwrap().is_some();
    set_where(known, id, field, value)
}

fn set_where(known: bool, id: &EntityId, field: &str, value: &Value) -> Change {
    let mut set = Map::from_iter([(field.to_owned(), value.clone())]);
    if !known {
        set.insert("kind".to_owned(), json!("doc"));
    }
    Change::Node { id: Some(id.clone()), set, deleted: None }
}

/// A random edit among `size` nodes, as a person might make it.
pub fn random_edit(peer: &mut Peer, size: usize, dice: &Dice) -> u64 {
    let id: EntityId = format!("node-{}", dice.below(size)).parse().unwrap();
    let other: EntityId = format!("node-{}", dice.below(size)).parse().unwrap();
    let text = json!(format!("{:04x}", dice.roll() & 0xffff));
    let known = peer.store.node(&peer.owner(), &id).unwrap().is_some();
    let change = match dice.below(10) {
        0 if known => Change::Node { id: Some(id), set: Map::new(), deleted: Some(true) },
        1 if known => Change::Node { id: Some(id), set: Map::new(), deleted: Some(false) },
        2 | 3 => Change::Link {
            link: Link { from: id, to: other, kind: "wiki".to_owned() },
            deleted: dice.percent(30),
        },
        4 => set_where(known, &id, "kind", dice.pick(&[json!("doc"), json!("task")])),
        5 => set_where(known, &id, "done", &json!(dice.percent(50))),
        6 | 7 => set_where(known, &id, "body", &text),
        _ => set_where(known, &id, "title", &text),
    };
    peer.write(&[change])
}

/// Settles one of the conflicts that are shown, as a person might: with one of
/// the values, or another one. Whether there was any.
pub fn resolve_a_conflict(peer: &mut Peer, dice: &Dice) -> Result<bool> {
    let everything = Wanted { deleted: true, ..Wanted::default() };
    let mut nodes = peer.store.nodes(&peer.owner(), &everything)?;
    nodes.retain(|node| node.conflicts > 0);
    if nodes.is_empty() {
        return Ok(false);
    }
    let node = peer.store.node(&peer.owner(), &dice.pick(&nodes).id)?.expect("a listed node");
    let fields: Vec<(&String, _)> = node.versions.iter().collect();
    let (field, versions) = *dice.pick(&fields);
    let value = dice.pick(versions).value.clone();
    let (set, deleted) = match field.as_str() {
        "deleted" => (Map::new(), Some(dice.percent(50))),
        _ if field != "kind" && dice.percent(30) => {
            let value = if field == "done" { json!(true) } else { json!("settled") };
            (Map::from_iter([(field.clone(), value)]), None)
        }
        _ => (Map::from_iter([(field.clone(), value)]), None),
    };
    Ok(peer.write(&[Change::Node { id: Some(node.id), set, deleted }]) > 0)
}

/// An op of a kind that nobody here knows, at the end of one's own chain.
pub fn write_unknown_kind(peer: &mut Peer, dice: &Dice) {
    let (owner, origin) = (peer.owner(), peer.store.origin().unwrap());
    let id = Hlc { ms: peer.now(), counter: 9, actor: dice.roll() };
    let op = json!({ "op": "move", "id": id, "owner": owner, "to": "the moon" }).to_string();
    let head = peer.heads().of(&origin);
    let hash = head.hash.then(&op);
    let op = RawValue::from_string(op).unwrap();
    let entry = Entry { origin, seq: head.seq + 1, hash, op };
    let taken = peer.store.append(&owner, &[entry]).unwrap();
    assert!(matches!(taken, Appended::Done { .. }), "{taken:?}");
}
