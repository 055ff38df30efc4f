//! The simulation is checked first: each of these faults, planted between the
//! replicas or in how they read their ops, must be seen.
//!
//! What is real stays real. A fault takes a message in hand on its way, kills
//! a process at the wrong moment, or reads a replica's ops wrongly.

use std::collections::{BTreeMap, BTreeSet};

use hephd::{
    cursor::Cursor,
    hlc::Hlc,
    op::{Entry, Op, Set},
    sync::{Answer, Ask, PageBody},
};

use super::{
    Outcome,
    disk::{Ledger, Told, id_of},
    life::Life,
};
use crate::{
    converge::chain,
    model,
    world::{self, Ended, Peer, Trip, Way},
};

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A pull asks for what is younger than all that came before.
    CursorByHlc,
    /// A spoke pushes only what it wrote itself.
    PushOnlyOwnOrigin,
    /// A fork ends the cycle.
    NoRule6,
    /// Rule 6 drops the ops that were cut off.
    Rule6Drops,
    /// Rule 6 gives new ids to the ops that were cut off.
    Rule6StampsAnew,
    /// The next process goes on under the actor of the last one.
    ActorResumed,
    /// The hub says that a batch is durable, and crashes before it is.
    AckBeforeCommit,
    /// A page's ops are durable before what they mean is.
    PageInTwoTransactions,
    /// What came last is shown.
    StateByArrival,
    /// What has the highest id is shown, whatever its author had seen.
    LastWriterWins,
    /// Nothing is superseded by anything.
    SeenIgnored,
    /// A page's cursor is kept first, and a crash loses its ops.
    HeadsSavedBeforeOps,
}

impl Fault {
    pub const ALL: [Self; 12] = [
        Self::CursorByHlc,
        Self::PushOnlyOwnOrigin,
        Self::NoRule6,
        Self::Rule6Drops,
        Self::Rule6StampsAnew,
        Self::ActorResumed,
        Self::AckBeforeCommit,
        Self::PageInTwoTransactions,
        Self::StateByArrival,
        Self::LastWriterWins,
        Self::SeenIgnored,
        Self::HeadsSavedBeforeOps,
    ];

    /// Does it where its moment has come; the cycle may end by it.
    pub fn step(self, life: &mut Life, spoke: usize, trip: &mut Trip) -> Outcome<Option<Ended>> {
        let crashes = !life.quiet && life.dice.percent(20);
        match (self, &mut trip.way) {
            (Self::CursorByHlc, Way::Answered(Answer::Page(page))) => {
                let read_to = &mut life.replicas[spoke].read_to;
                *read_to = only_younger(page, *read_to)?.max(*read_to);
                Ok(None)
            }
            (Self::PushOnlyOwnOrigin, Way::Asked(Ask::Push(body))) => {
                let own = life.replicas[spoke].peer.store.origin()?;
                body.entries.retain(|entry| entry.origin == own);
                Ok(body.entries.is_empty().then_some(Ended::Cut))
            }
            (Self::NoRule6, Way::Asked(Ask::Chain(..))) => Ok(Some(Ended::Cut)),
            (Self::Rule6Drops, Way::Asked(Ask::Chain(origin, _))) => {
                let (stays, _) = without(&life.replicas[spoke].peer, origin.as_str());
                go_on_with(life, spoke, &stays)
            }
            (Self::Rule6StampsAnew, Way::Asked(Ask::Chain(origin, _))) => {
                let (mut stays, cut_off) = without(&life.replicas[spoke].peer, origin.as_str());
                let hub = life.replicas[0].ids()?;
                let gone = cut_off.iter().filter(|entry| !hub.contains(&op(entry).id()));
                stays.extend(stamped_anew(life, gone));
                go_on_with(life, spoke, &stays)
            }
            (Self::AckBeforeCommit, Way::Asked(ask @ Ask::Push(_))) if crashes => {
                let mut ghost = life.replicas[0].peer.next_process(1);
                let answer = world::answer(&mut ghost, ask, 10)?;
                if let (Answer::Pushed(_), Ask::Push(body)) = (&answer, ask) {
                    life.acknowledge(body)?;
                }
                Ok(Some(Ended::Cut))
            }
            (Self::PageInTwoTransactions, Way::Answered(Answer::Page(_))) if crashes => {
                dies_between(life, spoke, trip)
            }
            (Self::HeadsSavedBeforeOps, Way::Asked(Ask::Pull(after))) => {
                if let Some(told) = &life.replicas[spoke].told {
                    *after = told.clone();
                }
                Ok(None)
            }
            (Self::HeadsSavedBeforeOps, Way::Answered(Answer::Page(page))) => {
                life.replicas[spoke].told = Some(Cursor::decode(&page.cursor)?);
                Ok(crashes.then_some(Ended::Cut))
            }
            _ => Ok(None),
        }
    }

    /// What a replica shows that reads its ops wrongly.
    pub fn reads(self, ledger: &Ledger) -> Option<String> {
        let sets = |(id, bytes): &Told| {
            let lost = ledger.without_meaning.contains(id);
            if lost { None } else { model::Set::read(bytes) }
        };
        let arrived: Vec<model::Set> = ledger.arrived.iter().filter_map(sets).collect();
        match self {
            Self::PageInTwoTransactions => Some(model::shown(&model::current(&arrived))),
            Self::StateByArrival => Some(one_each(&arrived, |_, _| true)),
            Self::LastWriterWins => Some(one_each(&arrived, |kept, new| kept.id < new.id)),
            Self::SeenIgnored => Some(model::shown(&model::by_entity(arrived.into_iter()))),
            _ => None,
        }
    }
}

/// A state with one version of each field: a new one takes the place of the
/// one that is kept, or not.
pub fn one_each(
    arrived: &[model::Set],
    replaces: impl Fn(&model::Set, &model::Set) -> bool,
) -> String {
    let mut kept: BTreeMap<(&str, &str), &model::Set> = BTreeMap::new();
    for new in arrived {
        let of_field = kept.entry((new.entity(), &new.field)).or_insert(new);
        *of_field = if replaces(of_field, new) { new } else { *of_field };
    }
    model::shown(&model::by_entity(kept.into_values().cloned()))
}

/// Leaves on a page what is younger than `read_to`, and what a chain can still
/// take of it; gives the youngest op of the page.
fn only_younger(page: &mut PageBody, read_to: Option<Hlc>) -> Outcome<Option<Hlc>> {
    let ids = page.entries.iter().map(id_of).collect::<Outcome<Vec<_>>>()?;
    let mut id = ids.iter().copied();
    let mut ended = BTreeSet::new();
    page.entries.retain(|entry| {
        let late = id.next() <= read_to;
        !(ended.contains(&entry.origin) || late && ended.insert(entry.origin.clone()))
    });
    Ok(ids.into_iter().max())
}

/// The ops are on the disk, and the process ends before what they mean is.
fn dies_between(life: &mut Life, spoke: usize, trip: &mut Trip) -> Outcome<Option<Ended>> {
    let Way::Answered(answer) = std::mem::take(&mut trip.way) else { return Ok(None) };
    let replica = &mut life.replicas[spoke];
    let before = replica.peer.heads();
    trip.cycle.take(&mut replica.peer.store, answer)?;
    let new = replica.note_beyond(&before, &mut life.minted)?;
    replica.ledger.without_meaning.extend(new);
    life.crash(spoke)?;
    Ok(Some(Ended::Cut))
}

/// What is on a disk but one of its chains, and that chain.
fn without(peer: &Peer, origin: &str) -> (Vec<Entry>, Vec<Entry>) {
    peer.entries().into_iter().partition(|entry| entry.origin.as_str() != origin)
}

/// A disk with these entries takes a replica's place, with a fresh origin to
/// go on with.
fn go_on_with(life: &mut Life, spoke: usize, entries: &[Entry]) -> Outcome<Option<Ended>> {
    let seed = life.dice.roll();
    let (owner, clock) = (life.replicas[spoke].peer.owner(), life.replicas[spoke].peer.now());
    life.replicas[spoke].peer = Peer::holding(&owner, entries, seed);
    life.replicas[spoke].peer.set_clock(clock);
    life.origins += 2;
    Ok(Some(Ended::Cut))
}

fn op(entry: &Entry) -> Op {
    Op::decode(entry.op.get()).unwrap()
}

fn stamped_anew<'a>(life: &Life, ops: impl Iterator<Item = &'a Entry>) -> Vec<Entry> {
    let anew = ops.filter_map(|entry| match op(entry) {
        Op::Set(set) => {
            let id = Hlc { actor: life.dice.roll(), ..set.id };
            Some(Set { id, ..set }.encode().unwrap())
        }
        Op::Unknown { .. } => None,
    });
    chain(&format!("{:016x}", life.dice.roll()), anew.collect::<Vec<_>>())
}
