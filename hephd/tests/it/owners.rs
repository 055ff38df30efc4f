//! Two owners in one store: what one of them does is invisible to the other,
//! and changes nothing of what the other sees, whatever they have in common:
//! ids of nodes, ids of ops, the store's own origin.

use std::collections::BTreeSet;

use hephd::{
    cursor::Cursor,
    hlc::Hlc,
    hub,
    id::{EntityId, Origin, OwnerId},
    op::{Entry, Head, Heads, Op, Set, Target},
    store::{
        Birth,
        oplog::{Appended, MAX_ENTRIES},
    },
    sync::PushBody,
};
use serde_json::{json, value::RawValue};

use crate::world::{self, Dice, Peer, TODAY, entries_beyond, export, for_seeds, full};

const NAMES: [&str; 2] = ["one", "other"];

fn owner(name: &str) -> OwnerId {
    name.parse().unwrap()
}

/// The peer works for this owner from now on.
fn work_for(peer: &Peer, name: &str) {
    peer.store.set_meta("owner_id", name).unwrap();
}

/// All that an owner can get to see of a store, by every door there is.
fn view(peer: &Peer, name: &str) -> String {
    work_for(peer, name);
    let (store, owner) = (&peer.store, owner(name));
    let heads = store.heads(&owner).unwrap();
    let entries = entries_beyond(store, &owner, &Heads::default());
    let chains = heads.0.iter().map(|(origin, head)| {
        let places: Vec<u64> = (0..=head.seq + 2).collect();
        json!(hub::answer_chain(store, &owner, origin, &places).unwrap())
    });
    let page = hub::answer_pull(store, &owner, &Cursor::default(), MAX_ENTRIES).unwrap();
    let asked = hub::answer_heads(store, &owner, Some(heads.digest(&owner)), TODAY).unwrap();
    let links = (0..4).map(|n| format!("node-{n}").parse::<EntityId>().unwrap()).map(|id| {
        let (from, to) = (store.links_from(&owner, &id), store.links_to(&owner, &id));
        let history = store.history(&owner, &id, None, 1_000).unwrap();
        json!([from.unwrap(), to.unwrap(), store.node(&owner, &id).unwrap(), history])
    });
    assert!(asked.1.is_none(), "the digest of its own heads is the digest of its heads");
    json!({
        "heads": heads, "entries": entries, "page": page,
        "chains": chains.collect::<Vec<_>>(), "links": links.collect::<Vec<_>>(),
        "conflicts": store.conflicts(&owner).unwrap(), "export": export(peer),
    })
    .to_string()
}

/// One thing that is done for an owner.
fn act(peer: &mut Peer, elsewhere: &mut Peer, name: &str, dice: &Dice) {
    work_for(peer, name);
    work_for(elsewhere, name);
    match dice.below(9) {
        0 => {
            world::random_edit(elsewhere, 4, dice);
            let theirs = entries_beyond(&elsewhere.store, &owner(name), &peer.heads());
            let body = PushBody { entries: theirs };
            let taken = hub::answer_push(&mut peer.store, &owner(name), &body).unwrap();
            // A chain may have gone on differently here: see the ids below.
            assert!(matches!(taken, Ok(_) | Err(Appended::NotNext { .. })), "{taken:?}");
        }
        1 => world::write_unknown_kind(peer, dice),
        2 => drop(world::resolve_a_conflict(peer, dice).unwrap()),
        3 => borrow_an_id(peer, name, dice),
        4 => heal_some_fork(peer, name, dice),
        5 => name_or_bring(peer, name, dice),
        _ => {
            world::random_edit(peer, 4, dice);
        }
    }
}

fn heal_some_fork(peer: &mut Peer, name: &str, dice: &Dice) {
    let heads: Vec<(Origin, Head)> = peer.heads().0.into_iter().collect();
    if !heads.is_empty() {
        let (origin, head) = dice.pick(&heads);
        let common = dice.roll() % (head.seq + 1);
        peer.store.heal_fork(&owner(name), origin, common).unwrap();
    }
}

/// An op that says it has seen another one, which may not be here yet; or that
/// other one. Both owners use the same ids for it.
fn name_or_bring(peer: &mut Peer, name: &str, dice: &Dice) {
    let late = Hlc { ms: 1, counter: 0, actor: dice.roll() % 3 };
    let target = Target::Node("node-0".parse().unwrap());
    let (owner, field) = (owner(name), "title".to_owned());
    let id = if dice.percent(50) { late } else { Hlc { actor: dice.roll(), ..late } };
    let seen = if id == late { Vec::new() } else { vec![late] };
    if !peer.ops().contains_key(&id.to_string()) {
        let op = Set { id, owner, target, field, value: json!(id), seen }.encode().unwrap();
        put(peer, name, &"00000000000000aa".parse().unwrap(), &op);
    }
}

/// An op with the id of one of the other owner's, at the end of a chain of the
/// same origin.
fn borrow_an_id(peer: &mut Peer, name: &str, dice: &Dice) {
    let lender = NAMES.into_iter().find(|other| *other != name).unwrap();
    let theirs = entries_beyond(&peer.store, &owner(lender), &Heads::default());
    let mine: BTreeSet<String> = peer.ops().into_keys().collect();
    if theirs.is_empty() {
        return;
    }
    let lent = dice.pick(&theirs);
    if let Op::Set(set) = Op::decode(lent.op.get()).unwrap()
        && set.field != "kind"
        && !mine.contains(&set.id.to_string())
    {
        let op = Set { owner: owner(name), value: json!("borrowed"), ..set };
        put(peer, name, &lent.origin, &op.encode().unwrap());
    }
}

/// An op becomes the next entry of a chain of that owner.
fn put(peer: &mut Peer, name: &str, origin: &Origin, op: &str) {
    let Head { seq, hash } = peer.store.heads(&owner(name)).unwrap().of(origin);
    let (origin, hash) = (origin.clone(), hash.then(op));
    let op = RawValue::from_string(op.to_owned()).unwrap();
    let taken = peer.store.append(&owner(name), &[Entry { origin, seq: seq + 1, hash, op }]);
    assert!(matches!(taken, Ok(Appended::Done { applied: 1, .. })), "{taken:?}");
}

fn peer(dice: &Dice) -> Peer {
    Peer::new("shared", &Birth::Owned(owner(NAMES[0])), dice)
}

#[test]
fn what_one_owner_does_is_invisible_to_the_other() {
    for_seeds(full(150, 5_000), |seed| {
        let dice = Dice::new(seed);
        let (mut shared, mut elsewhere) = (peer(&dice), peer(&dice));
        let mut views = NAMES.map(|name| view(&shared, name));
        for _ in 0..25 {
            let who = dice.below(2);
            act(&mut shared, &mut elsewhere, NAMES[who], &dice);
            views[who] = view(&shared, NAMES[who]);
            assert_eq!(view(&shared, NAMES[1 - who]), views[1 - who]);
        }
        for (name, seen) in NAMES.iter().zip(views) {
            let entries = entries_beyond(&shared.store, &owner(name), &Heads::default());
            let alone = Peer::holding(&owner(name), &entries, dice.roll());
            assert_eq!(view(&alone, name), seen, "a store that holds nothing else");
        }
    });
}

#[test]
fn a_batch_with_somebody_elses_op_moves_nothing() {
    let dice = Dice::new(1);
    let mut shared = peer(&dice);
    let mut source = peer(&dice);
    for name in NAMES {
        work_for(&source, name);
        for _ in 0..9 {
            world::random_edit(&mut source, 4, &dice);
        }
    }
    let [mut mine, theirs] =
        NAMES.map(|name| entries_beyond(&source.store, &owner(name), &Heads::default()));
    let whole = mine.len();
    mine.extend(theirs);
    let before = NAMES.map(|name| view(&shared, name));
    let body = PushBody { entries: mine };
    let refused = hub::answer_push(&mut shared.store, &owner(NAMES[0]), &body).unwrap();
    assert!(
        matches!(refused, Err(Appended::OwnerMismatch(ref other)) if *other == owner(NAMES[1]))
    );
    assert_eq!(NAMES.map(|name| view(&shared, name)), before, "not even what came before it");
    let body = PushBody { entries: body.entries[..whole].to_vec() };
    assert!(hub::answer_push(&mut shared.store, &owner(NAMES[0]), &body).unwrap().is_ok());
    assert_ne!(view(&shared, NAMES[0]), before[0]);
    assert_eq!(view(&shared, NAMES[1]), before[1]);
}
