//! What became of a node, page by page, held against the ops themselves.

use std::collections::BTreeMap;

use hephd::{
    history::{Event, LINKED, Standing, told_value},
    hlc::Hlc,
    id::EntityId,
    node::Wanted,
    op::{Op, Set, Target},
    store::Birth,
};

use crate::world::{Dice, Peer, for_seeds, full, random_edit, resolve_a_conflict};

const NODES: usize = 3;

/// Two that write about few nodes and hear of each other now and then.
fn a_past(dice: &Dice) -> Peer {
    let owner = Birth::Owned("the-owner".parse().unwrap());
    let mut peers = ["one", "other"].map(|name| Peer::new(name, &owner, dice));
    for _ in 0..40 {
        let (one, two) = peers.split_at_mut(1);
        match dice.below(6) {
            0 => one[0].hear(&two[0], 100),
            1 => two[0].hear(&one[0], 100),
            2 => drop(resolve_a_conflict(&mut one[0], dice).unwrap()),
            n => drop(random_edit(if n < 5 { &mut one[0] } else { &mut two[0] }, NODES, dice)),
        }
    }
    let [one, _] = peers;
    one
}

fn sets(peer: &Peer) -> BTreeMap<Hlc, Set> {
    let ops = peer.entries().into_iter().map(|entry| Op::decode(entry.op.get()).unwrap());
    let set = |op| match op {
        Op::Set(set) => Some((set.id, set)),
        Op::Unknown { .. } => None,
    };
    ops.filter_map(set).collect()
}

/// All of it, in pages of so many.
fn paged(peer: &Peer, id: &EntityId, limit: usize) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map(|event| event.id);
        let page = peer.store.history(&peer.owner(), id, after, limit).unwrap();
        assert!(page.events.len() <= limit);
        events.extend(page.events);
        if !page.more {
            return events;
        }
    }
}

/// By definition: whether some op names it, and what it named itself.
fn holds(event: &Event, sets: &BTreeMap<Hlc, Set>) {
    let own = &sets[&event.id];
    let alike = |other: &&Set| other.target == own.target && other.field == own.field;
    let named = sets.values().filter(alike).any(|other| other.seen.contains(&own.id));
    let is_link = event.link.is_some();
    assert_eq!(event.value, told_value(own, is_link));
    assert_eq!(event.field, if is_link { LINKED } else { &own.field });
    if named || !is_link {
        assert_eq!(event.standing == Standing::Superseded, named, "{event:?}");
    }
    let mut seen: Vec<&Set> = own.seen.iter().filter_map(|id| sets.get(id)).filter(alike).collect();
    seen.sort_by_key(|set| set.id);
    let before: Vec<_> = seen.into_iter().map(|set| told_value(set, is_link)).collect();
    assert_eq!(event.before, before);
}

#[test]
fn every_op_of_a_node_is_told_once_and_as_it_is() {
    for_seeds(full(60, 2_000), |seed| {
        let dice = Dice::new(seed);
        let (peer, owner) = (a_past(&dice), "the-owner".parse().unwrap());
        let sets = sets(&peer);
        let everything = Wanted { deleted: true, ..Wanted::default() };
        for node in peer.store.nodes(&owner, &everything).unwrap() {
            let links = peer.store.links_ever_from(&owner, &node.id).unwrap();
            let links = links.iter().map(|l| EntityId::of_link(&owner, &l.from, &l.to, &l.kind));
            let mut about: Vec<Target> = links.map(Target::Link).collect();
            about.push(Target::Node(node.id.clone()));
            let ids: Vec<Hlc> =
                sets.values().filter(|set| about.contains(&set.target)).map(|set| set.id).collect();
            let whole = paged(&peer, &node.id, 1_000);
            assert_eq!(whole.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
            assert_eq!(paged(&peer, &node.id, 1 + dice.below(4)), whole);
            whole.iter().for_each(|event| holds(event, &sets));
        }
    });
}
