//! The harness is checked first: faults planted in the way between the
//! replicas, or in a model of their state, must be seen.

use hephd::{
    cursor::Cursor,
    hlc::Hlc,
    op::{Entry, Op, Set},
    store::Birth,
    sync::{Answer, Ask},
};

use crate::{
    converge::chain,
    schedules::{World, live},
    world::{self, Ended, Peer, Snapshot, Trip, Way},
};

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A spoke pushes only what it wrote itself.
    PushOnlyOwnOrigin,
    /// A fork ends the cycle.
    NoRule6,
    /// Rule 6 drops the ops that were cut off.
    Rule6Drops,
    /// Rule 6 gives new ids to the ops that were cut off.
    Rule6StampsAnew,
    /// A copy of a store goes on under the actor of the original.
    ActorResumed,
    /// The hub says that a batch is durable, and crashes before it is.
    AckBeforeCommit,
    /// The page's cursor is kept first, and a crash loses its ops.
    HeadsSavedBeforeOps,
}

impl Fault {
    /// Does it where its moment has come; the cycle may end by it.
    pub fn step(self, world: &mut World, spoke: usize, trip: &mut Trip) -> Option<Ended> {
        match (self, &mut trip.way) {
            (Self::PushOnlyOwnOrigin, Way::Asked(Ask::Push(body))) => {
                let own = world.peers[spoke].store.origin().unwrap();
                body.entries.retain(|entry| entry.origin == own);
                body.entries.is_empty().then_some(Ended::Cut)
            }
            (Self::NoRule6, Way::Asked(Ask::Chain(..))) => Some(Ended::Cut),
            (Self::Rule6Drops, Way::Asked(Ask::Chain(origin, _))) => {
                let (disk, _) = without(&world.peers[spoke], origin.as_str());
                put_in_place(world, spoke, &disk);
                Some(Ended::Cut)
            }
            (Self::Rule6StampsAnew, Way::Asked(Ask::Chain(origin, _))) => {
                let (mut disk, cut_off) = without(&world.peers[spoke], origin.as_str());
                let stays = world.peers[0].ops();
                let gone = cut_off.iter().filter(|op| !stays.contains_key(&id_of(op)));
                disk.entries.extend(stamped_anew(world, gone));
                put_in_place(world, spoke, &disk);
                Some(Ended::Cut)
            }
            (Self::AckBeforeCommit, Way::Asked(ask @ Ask::Push(_))) if world.dice.percent(20) => {
                let mut ghost = Peer::new("ghost", &Birth::Minting, &world.dice);
                ghost.restore("ghost", &world.peers[0].snapshot(), 1);
                let answer = world::answer(&mut ghost, ask, 10).unwrap();
                if let (Answer::Pushed(_), Ask::Push(body)) = (&answer, ask) {
                    world.acknowledge(body);
                }
                Some(Ended::Cut)
            }
            (Self::HeadsSavedBeforeOps, Way::Asked(Ask::Pull(after))) => {
                if let Some(told) = world.told.get(&spoke) {
                    *after = told.clone();
                }
                None
            }
            (Self::HeadsSavedBeforeOps, Way::Answered(Answer::Page(page))) => {
                world.told.insert(spoke, Cursor::decode(&page.cursor).unwrap());
                world.dice.percent(20).then_some(Ended::Cut)
            }
            _ => None,
        }
    }
}

/// A disk without one of its chains, and the ops of that chain.
fn without(peer: &Peer, origin: &str) -> (Snapshot, Vec<Entry>) {
    let disk = peer.snapshot();
    let (cut_off, entries) =
        disk.entries.into_iter().partition(|entry| entry.origin.as_str() == origin);
    (Snapshot { entries, ..disk }, cut_off)
}

/// The disk takes the replica's place, with a fresh origin to go on with.
fn put_in_place(world: &mut World, spoke: usize, disk: &Snapshot) {
    let seed = world.dice.roll();
    let fresh = Peer::new("fresh", &Birth::Minting, &world.dice).store.origin().unwrap();
    world.peers[spoke].restore("cut", disk, seed);
    world.origins += 2;
    world.peers[spoke].store.set_meta("origin", fresh.as_str()).unwrap();
}

fn id_of(entry: &Entry) -> String {
    Op::decode(entry.op.get()).unwrap().id().to_string()
}

fn stamped_anew<'a>(world: &World, ops: impl Iterator<Item = &'a Entry>) -> Vec<Entry> {
    let anew = ops.filter_map(|entry| match Op::decode(entry.op.get()).unwrap() {
        Op::Set(set) => {
            let id = Hlc { actor: world.dice.roll(), ..set.id };
            Some(Set { id, ..set }.encode().unwrap())
        }
        Op::Unknown { .. } => None,
    });
    chain(&format!("{:016x}", world.dice.roll()), anew.collect::<Vec<_>>())
}

#[test]
fn every_planted_fault_is_seen() {
    let faults = [
        Fault::PushOnlyOwnOrigin,
        Fault::NoRule6,
        Fault::Rule6Drops,
        Fault::Rule6StampsAnew,
        Fault::ActorResumed,
        Fault::AckBeforeCommit,
        Fault::HeadsSavedBeforeOps,
    ];
    let mut unseen = Vec::new();
    for fault in faults {
        let found = (0..1_000).find_map(|seed| {
            live(seed, Some(fault), 1).err().map(|why| (seed + 1, why.to_string()))
        });
        match found {
            Some((schedules, why)) => {
                let why: String = why.chars().take(90).collect();
                eprintln!("{fault:?}: seen after {schedules} schedules: {why}");
            }
            None => unseen.push(fault),
        }
    }
    assert!(unseen.is_empty(), "{unseen:?} went unseen");
}
