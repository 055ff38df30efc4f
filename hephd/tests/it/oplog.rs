//! What a store takes in, and what it refuses: whole batches, always.

use hephd::{
    error::Code,
    hlc::Hlc,
    hub::MAX_BODY_BYTES,
    id::{EntityId, OwnerId},
    node::Change,
    op::{Entry, Hash, MAX_OP_BYTES, Op, Set, Target},
    store::{Birth, oplog::Appended},
    sync::{Ask, Cycle},
};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    converge::chain,
    model,
    world::{Dice, Peer, TODAY, Weather, YEAR_2099, answer, cycle, export},
};

fn owner() -> OwnerId {
    "the-owner".parse().unwrap()
}

fn peer(name: &str, dice: &Dice) -> Peer {
    Peer::new(name, &Birth::Owned(owner()), dice)
}

fn id(counter: u16) -> Hlc {
    Hlc { ms: TODAY, counter, actor: 7 }
}

fn set(counter: u16, field: &str, value: &str) -> Set {
    let target = Target::Node("a-node".parse().unwrap());
    let (id, owner, field) = (id(counter), owner(), field.to_owned());
    Set { id, owner, target, field, value: json!(value), seen: Vec::new() }
}

fn three_ops() -> Vec<String> {
    [set(1, "kind", "doc"), set(2, "title", "one"), set(3, "body", "text")]
        .map(|set| set.encode().unwrap())
        .into()
}

fn append(peer: &mut Peer, entries: &[Entry]) -> Appended {
    peer.store.append(&owner(), entries).unwrap()
}

fn done(appended: &Appended) -> (usize, usize) {
    match appended {
        Appended::Done { received, applied } => (*received, *applied),
        other => panic!("{other:?}"),
    }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[test]
fn an_op_of_an_unknown_kind_is_stored_hashed_and_passed_on_as_it_came() {
    let dice = Dice::new(1);
    let (mut spoke, mut hub, mut other) =
        (peer("spoke", &dice), peer("hub", &dice), peer("other", &dice));
    // Blanks, an order of keys and a number that a rewrite would not keep.
    let odd = format!(
        "{{ \"z\": 1.50, \"owner\":\"the-owner\", \"op\" : \"move\",\"id\":\"{}\", \"a\": [\"\\u00e9\"]}}",
        id(9)
    );
    let mut ops = three_ops();
    ops.insert(1, odd.clone());
    assert_eq!(done(&append(&mut spoke, &chain("00000000000000aa", ops.clone()))), (4, 4));
    cycle(&mut spoke, &mut hub, Weather::FAIR, &dice).unwrap();
    cycle(&mut other, &mut hub, Weather::FAIR, &dice).unwrap();
    for peer in [&spoke, &hub, &other] {
        let held: Vec<String> = peer.entries().iter().map(|e| e.op.get().to_owned()).collect();
        assert_eq!(held, ops);
        assert_eq!(peer.heads(), spoke.heads());
        assert_eq!(export(peer), model::export(&ops));
    }
    assert!(matches!(Op::decode(&odd), Ok(Op::Unknown { .. })));
}

#[test]
fn the_same_id_with_other_bytes_is_refused_and_nothing_moves() {
    let dice = Dice::new(2);
    let mut peer = peer("peer", &dice);
    append(&mut peer, &chain("00000000000000aa", three_ops()));
    let before = (peer.heads(), export(&peer));
    let ops = [set(8, "title", "new"), set(2, "title", "other")].map(|s| s.encode().unwrap());
    match append(&mut peer, &chain("00000000000000bb", ops)) {
        Appended::IdReused(which) => assert_eq!(which, id(2)),
        other => panic!("{other:?}"),
    }
    assert_eq!((peer.heads(), export(&peer)), before);
}

#[test]
fn an_op_known_by_its_id_gets_its_chain_entry_and_changes_nothing_else() {
    let dice = Dice::new(3);
    let mut peer = peer("peer", &dice);
    append(&mut peer, &chain("00000000000000aa", three_ops()));
    let shown = export(&peer);
    let again = chain("00000000000000bb", three_ops());
    assert_eq!(done(&append(&mut peer, &again)), (3, 0));
    assert_eq!(done(&append(&mut peer, &again)), (0, 0));
    assert_eq!(peer.heads().0.len(), 2);
    assert_eq!((peer.ops().len(), export(&peer)), (3, shown));
}

#[test]
fn an_op_of_another_owner_is_refused_and_nothing_moves() {
    let dice = Dice::new(4);
    let mut peer = peer("peer", &dice);
    let stranger = Set { owner: "somebody-else".parse().unwrap(), ..set(2, "title", "x") };
    let ops = [set(1, "kind", "doc"), stranger].map(|set| set.encode().unwrap());
    match append(&mut peer, &chain("00000000000000aa", ops)) {
        Appended::OwnerMismatch(whose) => assert_eq!(whose.as_str(), "somebody-else"),
        other => panic!("{other:?}"),
    }
    assert!(peer.heads().0.is_empty() && peer.ops().is_empty());
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all_wherever_it_breaks() {
    let dice = Dice::new(5);
    let good = || chain("00000000000000aa", three_ops());
    type Damage = fn(&mut Entry);
    let damages: [(&str, Damage); 7] = [
        ("a gap", |entry| entry.seq += 1),
        ("place 0", |entry| entry.seq = 0),
        ("a place beyond all numbers", |entry| entry.seq = u64::MAX),
        ("another hash", |entry| entry.hash = Hash::of("something else")),
        ("no op", |entry| entry.op = raw("{}")),
        ("a malformed id", |entry| {
            entry.op = raw(r#"{"op":"set","id":"","owner":"the-owner"}"#);
        }),
        ("a set without a value", |entry| {
            let op = json!({ "op": "set", "id": id(1), "owner": "the-owner", "node": "a" });
            entry.op = raw(&op.to_string());
        }),
    ];
    for (what, damage) in damages {
        for place in 0..3 {
            let mut peer = peer("peer", &dice);
            let mut entries = good();
            damage(&mut entries[place]);
            let taken = append(&mut peer, &entries);
            assert!(!matches!(taken, Appended::Done { .. }), "{what} at {place}: {taken:?}");
            assert!(peer.heads().0.is_empty(), "{what} at {place} left something");
            assert!(peer.ops().is_empty(), "{what} at {place} left something");
            // What is refused blocks nothing.
            assert_eq!(done(&append(&mut peer, &good())), (3, 3));
        }
    }
}

#[test]
fn an_entry_at_a_known_place_with_another_hash_is_not_next() {
    let dice = Dice::new(6);
    let mut peer = peer("peer", &dice);
    append(&mut peer, &chain("00000000000000aa", three_ops()));
    let other = chain("00000000000000aa", [set(9, "title", "another").encode().unwrap()]);
    match append(&mut peer, &other) {
        Appended::NotNext { origin, head } => {
            assert_eq!((origin.as_str(), head.seq), ("00000000000000aa", 3));
        }
        other => panic!("{other:?}"),
    }
}

/// Ids of nodes may be chosen by whoever writes, so one may be a link's.
#[test]
fn a_node_and_a_link_of_the_same_id_converge() {
    let dice = Dice::new(7);
    let node = set(1, "kind", "doc").encode().unwrap();
    let ends = json!({ "from": "a-node", "to": "b-node", "kind": "wiki" });
    let target = Target::Link("a-node".parse().unwrap());
    let link = Set { target, value: ends, ..set(2, "ends", "") }.encode().unwrap();
    let (a, b) = (chain("00000000000000aa", [node]), chain("00000000000000bb", [link]));
    let [mut first, mut second] = ["first", "second"].map(|name| peer(name, &dice));
    for entries in [&a, &b] {
        append(&mut first, entries);
    }
    for entries in [&b, &a] {
        append(&mut second, entries);
    }
    assert_eq!(export(&first), export(&second));
}

#[test]
fn a_value_too_large_is_refused_when_it_is_written_and_writes_nothing() {
    let dice = Dice::new(8);
    let mut peer = peer("peer", &dice);
    let doc = |body: Value| Change::Node {
        id: None,
        set: Map::from_iter([("kind".into(), json!("doc")), ("body".into(), body)]),
        deleted: None,
    };
    let changes = [doc(json!("fits")), doc(json!("x".repeat(MAX_OP_BYTES)))];
    let refused = peer.store.write(&owner(), &changes).unwrap_err();
    assert_eq!((refused.code, refused.exit_code()), (Code::ValueTooLarge, 4));
    assert!(peer.heads().0.is_empty() && peer.ops().is_empty());
    // What is just not too large travels.
    let bare = set(1, "body", "").encode().unwrap().len();
    let changes = [doc(json!("x".repeat(MAX_OP_BYTES - bare - 64)))];
    assert_eq!(peer.store.write(&owner(), &changes).unwrap().ops, 4);
    let mut hub = self::peer("hub", &dice);
    cycle(&mut peer, &mut hub, Weather::FAIR, &dice).unwrap();
    assert_eq!(hub.heads(), peer.heads());
}

/// D3: one unbounded body, and a longer backlog gets 413 for ever.
#[test]
fn a_backlog_of_large_documents_travels_in_bounded_batches_both_ways() {
    let dice = Dice::new(9);
    let (mut one, mut hub, mut two) = (peer("one", &dice), peer("hub", &dice), peer("two", &dice));
    for _ in 0..20 {
        let set = [("kind".into(), json!("doc")), ("body".into(), json!("é\n".repeat(240_000)))];
        one.write(&[Change::Node { id: None, set: Map::from_iter(set), deleted: None }]);
    }
    for spoke in [&mut one, &mut two] {
        let mut cycle = Cycle::default();
        let mut messages = 0;
        while let Some(ask) = cycle.next(&spoke.store).unwrap() {
            let answer = answer(&mut hub, &ask, usize::MAX).unwrap();
            let bytes = match (&ask, &answer) {
                (Ask::Push(body), _) => serde_json::to_string(body).unwrap().len(),
                (_, hephd::sync::Answer::Page(page)) => serde_json::to_string(page).unwrap().len(),
                _ => 0,
            };
            assert!(bytes <= MAX_BODY_BYTES, "{bytes} bytes in one message");
            messages += usize::from(bytes > 0);
            cycle.take(&mut spoke.store, answer).unwrap();
        }
        assert!(messages > 3, "{messages} messages");
        assert_eq!(spoke.heads(), hub.heads());
    }
}

/// D8: clocks that follow every id seen.
#[test]
fn a_device_that_lives_in_2099_moves_nobodys_clock_and_loses_nothing() {
    let dice = Dice::new(10);
    let (mut lost, mut hub, mut other) =
        (peer("lost", &dice), peer("hub", &dice), peer("other", &dice));
    let title = |text: &str| {
        let set = [("kind".into(), json!("doc")), ("title".into(), json!(text))];
        let id: EntityId = "a-node".parse().unwrap();
        [Change::Node { id: Some(id), set: Map::from_iter(set), deleted: None }]
    };
    lost.set_clock(YEAR_2099);
    lost.write(&title("from 2099"));
    cycle(&mut lost, &mut hub, Weather::FAIR, &dice).unwrap();
    cycle(&mut other, &mut hub, Weather::FAIR, &dice).unwrap();
    other.write(&title("from today"));
    cycle(&mut other, &mut hub, Weather::FAIR, &dice).unwrap();
    cycle(&mut lost, &mut hub, Weather::FAIR, &dice).unwrap();
    let id = "a-node".parse().unwrap();
    for peer in [&lost, &hub, &other] {
        // What was written last had seen the other: there is no conflict.
        let node = peer.store.node(&owner(), &id).unwrap().unwrap();
        assert_eq!((node.title.as_str(), node.conflicts), ("from today", 0));
    }
    let own = other.store.origin().unwrap();
    let ids = other.entries().into_iter().filter(|entry| entry.origin == own);
    let ids: Vec<u64> = ids.map(|e| Op::decode(e.op.get()).unwrap().id().ms).collect();
    assert!(ids.iter().all(|ms| *ms < TODAY + 1000), "{ids:?}");
}

/// Row 47 of the catalogue of bad inputs.
#[test]
fn texts_of_any_sort_arrive_as_they_were_written() {
    let dice = Dice::new(11);
    let (mut one, mut hub) = (peer("one", &dice), peer("hub", &dice));
    let texts = [
        "\0",
        "a\0b",
        "\u{202e}live",
        "e\u{301}",
        "\u{feff}",
        "👩‍👩‍👧",
        "\u{ffff}",
        "\u{10ffff}",
        "\r\n\t",
        "'; DROP TABLE ops; --",
        "\\",
        "\"",
        "\u{2028}",
        " ",
        "",
        "%s%n",
        "\u{1b}[31m",
    ];
    let change = |text: &str| {
        let set = ["note", "body", "path", text].map(|field| (field.to_owned(), json!(text)));
        let mut set = Map::from_iter(set);
        set.insert("kind".into(), json!("doc"));
        set.insert("title".into(), json!(format!("t{text}")));
        Change::Node { id: None, set, deleted: None }
    };
    let ids = one.store.write(&owner(), &texts.map(change)).unwrap().ids;
    cycle(&mut one, &mut hub, Weather::FAIR, &dice).unwrap();
    for (id, text) in ids.iter().zip(texts) {
        let node = hub.store.node(&owner(), id).unwrap().unwrap();
        assert_eq!(node.title, format!("t{text}"));
        assert_eq!((node.text("note"), node.text("body"), node.text(text)), (text, text, text));
    }
    assert_eq!(export(&hub), export(&one));
}

/// A known place with its known hash, and another op: the hash cannot hold.
#[test]
fn another_op_at_a_known_place_under_its_hash_is_told() {
    let dice = Dice::new(11);
    let mut peer = peer("peer", &dice);
    let [one, other] = ["one", "other"].map(|value| set(1, "title", value).encode().unwrap());
    let known = chain("00000000000000aa", [one]);
    append(&mut peer, &known);
    let mut forged = chain("00000000000000aa", [other]);
    forged[0].hash = known[0].hash;
    let outcome = peer.store.append(&owner(), &forged).unwrap();
    assert!(matches!(outcome, Appended::IdReused(_)), "{outcome:?}");
}

/// By definition an op that is named in any `seen` is superseded.
#[test]
fn an_op_that_supersedes_itself_is_not_shown() {
    let dice = Dice::new(12);
    let mut peer = peer("peer", &dice);
    let kind = set(1, "kind", "doc").encode().unwrap();
    let title = set(2, "title", "x");
    let title = Set { seen: vec![title.id], ..title }.encode().unwrap();
    append(&mut peer, &chain("00000000000000aa", [kind, title]));
    let node = peer.store.node(&owner(), &"a-node".parse().unwrap()).unwrap().unwrap();
    assert_eq!(node.title, "");
}
