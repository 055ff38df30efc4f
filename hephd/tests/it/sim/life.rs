//! A life being lived: the replicas, their disks, and the messages between
//! them. One step after the other, message by message, in one thread.
//!
//! The replicas are real stores, the cycles and the hub's answers are the real
//! ones, and bodies travel in their wire form. Only time, chance and the wire
//! are the simulation's.

use std::rc::Rc;

use hephd::{op::Heads, store::Birth, sync::PushBody};

use super::{
    Outcome,
    coverage::Coverage,
    disasters::Copy,
    disk::{Minted, Replica},
    faults::Fault,
    plan::{Options, Plan, Step, What, YEAR},
    travel::Journey,
};
use crate::world::{self, Dice, Peer};

/// The world of one plan.
pub struct Life {
    /// The hub first, then its spokes.
    pub replicas: Vec<Replica>,
    /// The chance of the step that is being played.
    pub dice: Dice,
    pub planted: Option<Fault>,
    /// Nothing goes wrong any more.
    pub quiet: bool,
    /// Replicas and forks: there may be as many origins.
    pub origins: usize,
    pub minted: Minted,
    pub seen: Coverage,
    pub(super) options: Options,
    pub(super) journeys: Vec<Journey>,
    pub(super) copies: Vec<Rc<Copy>>,
    /// Batches that were sent, or got lost on their way.
    pub(super) pushes: Vec<PushBody>,
    /// The heads that the hub had when cycles began.
    pub(super) hub_was: Vec<Heads>,
    pub(super) now: usize,
    pub(super) hub_down_until: usize,
}

impl Life {
    pub fn new(plan: &Plan, planted: Option<Fault>) -> Outcome<Self> {
        let dice = Dice::new(plan.seed ^ 0x5eed);
        let owner = Birth::Owned("the-owner".parse()?);
        let replicas = (0..=plan.options.spokes).map(|n| {
            let seed = dice.roll();
            Replica::new(Peer::on(&format!("peer {n}"), &owner, seed), seed)
        });
        Ok(Self {
            replicas: replicas.collect(),
            origins: 1 + plan.options.spokes,
            dice,
            planted,
            quiet: false,
            minted: Minted::default(),
            seen: Coverage::default(),
            options: plan.options.clone(),
            journeys: Vec::new(),
            copies: Vec::new(),
            pushes: Vec::new(),
            hub_was: Vec::new(),
            now: 0,
            hub_down_until: 0,
        })
    }

    pub fn play(&mut self, step: Step) -> Outcome<()> {
        self.dice = Dice::new(step.salt);
        self.now += 1;
        let count = self.replicas.len();
        let spoke = |n: usize| 1 + n % (count - 1);
        match step.what {
            What::Write { who, edits } => self.write(who % count, edits),
            What::Resolve { who } => self.resolve(who % count),
            What::UnknownKind { who } => self.write_unknown(who % count),
            What::Open { spoke: n } => self.open(spoke(n)),
            What::Go { messages } => (0..messages).try_for_each(|_| self.go()),
            What::Crash { who } => self.crash(who % count),
            What::Restart { who, clock } => self.restart(who % count, clock),
            What::Step { who, clock } => self.step_clock(who % count, clock),
            What::Pass { ms } => self.pass(ms),
            What::Away { spoke: n, steps } => self.go_away(spoke(n), steps),
            What::HubDown { steps } => self.take_hub_down(steps),
            What::Copy { who } => self.copy(who % count),
            What::PutBack { who } => self.put_back(who % count),
            What::Transplant { who, fresh } => self.transplant(who % count, fresh),
            What::Clone { who, fresh } => self.clone_of(who % count, fresh),
            What::Join => self.join(),
            What::OldPush => self.push_again(),
        }
    }

    /// What a replica does to its own disk; what is new there it owes.
    fn at(
        &mut self,
        who: usize,
        does: impl FnOnce(&mut Peer, &Dice) -> Outcome<()>,
    ) -> Outcome<usize> {
        let replica = &mut self.replicas[who];
        if replica.peer.store.owner()?.is_none() {
            return Ok(0);
        }
        let before = replica.peer.heads();
        does(&mut replica.peer, &self.dice)?;
        let new = replica.note_beyond(&before, &mut self.minted)?.len();
        if new > 0 && replica.put_back == Some(false) {
            replica.put_back = Some(true);
        }
        Ok(new)
    }

    pub(super) fn write(&mut self, who: usize, edits: usize) -> Outcome<()> {
        let nodes = self.options.nodes;
        let new = self.at(who, |peer, dice| {
            for _ in 0..edits {
                world::random_edit(peer, nodes, dice);
            }
            Ok(())
        })?;
        self.seen.count(if who == 0 { "ops at the hub" } else { "ops at spokes" }, new);
        Ok(())
    }

    /// At the first replica from `who` on that shows a conflict.
    fn resolve(&mut self, who: usize) -> Outcome<()> {
        for who in (0..self.replicas.len()).cycle().skip(who).take(self.replicas.len()) {
            let mut settled = false;
            self.at(who, |peer, dice| {
                settled = world::resolve_a_conflict(peer, dice)?;
                Ok(())
            })?;
            if settled {
                self.seen.count("conflicts resolved", 1);
                break;
            }
        }
        Ok(())
    }

    fn write_unknown(&mut self, who: usize) -> Outcome<()> {
        let new = self.at(who, |peer, dice| {
            world::write_unknown_kind(peer, dice);
            Ok(())
        })?;
        self.seen.count("unknown kinds", new);
        Ok(())
    }

    pub(super) fn step_clock(&mut self, who: usize, clock: u64) -> Outcome<()> {
        self.replicas[who].peer.set_clock(clock);
        match clock {
            0..100_000 => self.seen.count("clocks in 1970", 1),
            world::YEAR_2099.. => self.seen.count("clocks in 2099", 1),
            _ => {}
        }
        Ok(())
    }

    fn pass(&self, ms: u64) -> Outcome<()> {
        self.replicas.iter().for_each(|replica| replica.peer.pass_time(ms));
        Ok(())
    }

    fn go_away(&mut self, spoke: usize, steps: usize) -> Outcome<()> {
        self.replicas[spoke].away_until = self.now + steps;
        self.journeys.retain(|journey| journey.spoke != spoke);
        self.seen.count("years away", 1);
        self.pass(YEAR)
    }

    pub(super) fn take_hub_down(&mut self, steps: usize) -> Outcome<()> {
        self.hub_down_until = self.now + steps;
        self.seen.count("hub out of reach", 1);
        Ok(())
    }

    /// Nothing goes wrong any more; everybody syncs twice.
    pub fn two_quiet_rounds(&mut self) -> Outcome<()> {
        self.quiet = true;
        self.journeys.clear();
        self.dice = Dice::new(self.now as u64);
        for spoke in (1..self.replicas.len()).chain(1..self.replicas.len()) {
            self.whole_cycle(spoke)?;
        }
        Ok(())
    }
}
