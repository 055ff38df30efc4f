//! Cycles under way in a life: their messages move one at a time, in any
//! order, and some of them get lost, come twice, or come late.

use std::collections::BTreeSet;

use hephd::{
    store::fork::Healed,
    sync::{Answer, Ask, Cycle, PushBody},
};

use super::{Outcome, disk::id_of, life::Life, plan::Options};
use crate::world::{self, Ended, Peer, Trip, Way, Weather};

/// A cycle under way.
pub(super) struct Journey {
    pub(super) spoke: usize,
    pub(super) trip: Trip,
}

impl Life {
    pub(super) fn open(&mut self, spoke: usize) -> Outcome<()> {
        let under_way = self.journeys.iter().filter(|journey| journey.spoke == spoke).count();
        if under_way < self.options.at_once && self.replicas[spoke].away_until <= self.now {
            let trip = Trip { cycle: self.begin(spoke)?, way: Way::Home };
            self.journeys.push(Journey { spoke, trip });
            self.seen.count("two cycles at once", usize::from(under_way > 0));
        }
        Ok(())
    }

    /// How a cycle begins: by asking, or by what the spoke was told of the hub
    /// lately, which may be wrong by now.
    fn begin(&mut self, spoke: usize) -> Outcome<Cycle> {
        self.hub_was.push(self.replicas[0].peer.heads());
        let joining = self.replicas[spoke].peer.store.owner()?.is_none();
        if joining || self.dice.percent(50) {
            return Ok(Cycle::default());
        }
        let lately = self.hub_was.len().saturating_sub(1 + self.dice.below(4));
        let told = self.hub_was[lately].clone();
        let old = told != self.replicas[0].peer.heads();
        self.seen.count("cycles begun by a hint", 1);
        self.seen.count("cycles begun by an old hint", usize::from(old));
        let owner = self.replicas[0].peer.owner();
        Ok(match self.dice.percent(50) {
            true => Cycle::told(told.digest(&owner)),
            false => Cycle::knowing(told),
        })
    }

    /// Some cycle under way takes a step.
    pub(super) fn go(&mut self) -> Outcome<()> {
        if self.journeys.is_empty() {
            return Ok(());
        }
        let n = self.dice.below(self.journeys.len());
        let Journey { spoke, mut trip } = self.journeys.swap_remove(n);
        if self.advance(spoke, &mut trip)?.is_none() {
            self.journeys.push(Journey { spoke, trip });
        }
        Ok(())
    }

    fn weather(&self) -> Weather {
        if self.quiet {
            return Weather::FAIR;
        }
        let Options { lost, unanswered, repeated, page, bytes, .. } = self.options;
        let page = 1 + self.dice.below(page);
        Weather { lost, unanswered, repeated, too_large: lost, page, bytes }
    }

    /// One step of a cycle, with what was planted in the way.
    pub(super) fn advance(&mut self, spoke: usize, trip: &mut Trip) -> Outcome<Option<Ended>> {
        if matches!(trip.way, Way::Asked(_)) && self.now < self.hub_down_until && !self.quiet {
            return self.find_no_hub(spoke);
        }
        if let Some(fault) = self.planted
            && let Some(ended) = fault.step(self, spoke, trip)?
        {
            return Ok(Some(ended));
        }
        let push = match &trip.way {
            Way::Asked(Ask::Push(body)) => Some(PushBody { entries: body.entries.clone() }),
            _ => None,
        };
        let ended = self.move_message(spoke, trip)?;
        self.keep(push, &trip.way)?;
        if ended == Some(Ended::Whole) {
            self.met_the_hub(spoke);
        }
        Ok(ended)
    }

    fn find_no_hub(&mut self, spoke: usize) -> Outcome<Option<Ended>> {
        let joining = self.replicas[spoke].peer.store.owner()?.is_none();
        self.seen.count("joins that found no hub", usize::from(joining));
        Ok(Some(Ended::Cut))
    }

    /// The real step; what it brings to the spoke's disk is owed from now on.
    fn move_message(&mut self, spoke: usize, trip: &mut Trip) -> Outcome<Option<Ended>> {
        let (healed, weather) = (trip.cycle.healed.len(), self.weather());
        let arrives = matches!(trip.way, Way::Answered(_));
        let before = arrives.then(|| self.replicas[spoke].peer.heads());
        let [hub, replica] = self.replicas.get_disjoint_mut([0, spoke])?;
        let ended = trip.step(&mut replica.peer, &mut hub.peer, weather, &self.dice)?;
        if let Some(before) = before {
            replica.note_beyond(&before, &mut self.minted)?;
        }
        healed_well(&replica.peer, &trip.cycle.healed[healed..])?;
        self.look_at(trip, ended, healed);
        Ok(ended)
    }

    fn look_at(&mut self, trip: &Trip, ended: Option<Ended>, healed: usize) {
        let forks = trip.cycle.healed.len() - healed;
        self.origins += forks;
        self.seen.count("forks healed", forks);
        let moved = trip.cycle.healed.iter().skip(healed).map(|healed| healed.moved as usize);
        self.seen.count("ops cut off and moved", moved.sum());
        if self.quiet {
            return;
        }
        self.seen.count("messages lost", usize::from(ended == Some(Ended::Cut)));
        match &trip.way {
            Way::Answered(Answer::Page(page)) => {
                self.seen.count("pages with more to come", usize::from(page.more));
            }
            Way::Answered(Answer::TooLarge) => self.seen.count("batches that were too large", 1),
            Way::Answered(Answer::NotNext) => self.seen.count("pushes refused as not next", 1),
            _ => {}
        }
    }

    /// A batch that was answered is owed by the hub; one that was not may
    /// still arrive.
    fn keep(&mut self, push: Option<PushBody>, way: &Way) -> Outcome<()> {
        let Some(body) = push else { return Ok(()) };
        if matches!(way, Way::Answered(Answer::Pushed(_))) {
            self.acknowledge(&body)?;
        }
        if !self.quiet {
            self.pushes.push(body);
        }
        Ok(())
    }

    /// The hub has promised to keep these.
    pub fn acknowledge(&mut self, body: &PushBody) -> Outcome<()> {
        let new = self.replicas[0].ledger.note(&body.entries, &mut self.minted)?;
        self.seen.count("ops acknowledged", new.len());
        Ok(())
    }

    fn met_the_hub(&mut self, spoke: usize) {
        match self.replicas[spoke].put_back.take() {
            Some(true) => self.seen.count("put back, wrote, met the hub", 1),
            Some(false) => self.seen.count("put back, met the hub, wrote nothing", 1),
            None => {}
        }
    }

    /// Nobody waits for the answer any longer.
    pub(super) fn push_again(&mut self) -> Outcome<()> {
        if self.pushes.is_empty() {
            return Ok(());
        }
        let push = self.pushes.swap_remove(self.dice.below(self.pushes.len()));
        let hub = &mut self.replicas[0];
        let before = hub.peer.heads();
        world::answer(&mut hub.peer, &Ask::Push(push), 1)?;
        let new = hub.note_beyond(&before, &mut self.minted)?.len();
        self.seen.count("batches that came late", 1);
        self.seen.count("ops that came late and were new", new);
        Ok(())
    }

    pub(super) fn whole_cycle(&mut self, spoke: usize) -> Outcome<()> {
        let mut trip = Trip::default();
        for _ in 0..5_000 {
            if self.advance(spoke, &mut trip)?.is_some() {
                return Ok(());
            }
        }
        Err("a cycle does not end")?
    }
}

/// A chain that was cut is the hub's: nothing of one's own may follow there.
/// And what was moved stood in no other chain.
fn healed_well(peer: &Peer, healed: &[Healed]) -> Outcome<()> {
    let Some(last) = healed.last() else { return Ok(()) };
    let own = peer.store.origin()?;
    if last.origin.as_ref() != Some(&own) {
        Err(format!("{last:?}, and it writes on at {own}"))?;
    }
    let (moved, others): (Vec<_>, Vec<_>) =
        peer.entries().into_iter().partition(|entry| entry.origin == own);
    let others = others.iter().map(id_of).collect::<Outcome<BTreeSet<_>>>()?;
    let moved = moved.iter().map(id_of).collect::<Outcome<BTreeSet<_>>>()?;
    match moved.intersection(&others).next() {
        Some(id) => Err(format!("{last:?}, and {id} stood in another chain too"))?,
        None => Ok(()),
    }
}
