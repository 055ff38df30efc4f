//! A life being lived: the replicas, their disks, and the messages between
//! them. One step after the other, message by message, in one thread.
//!
//! The replicas are real stores, the cycles and the hub's answers are the real
//! ones, and bodies travel in their wire form. Only time, chance and the wire
//! are the simulation's.

use std::{collections::BTreeSet, rc::Rc};

use hephd::{
    op::Heads,
    store::{Birth, fork::Healed},
    sync::{Answer, Ask, PushBody},
};

use super::{
    Outcome,
    coverage::Coverage,
    disk::{Ledger, Minted, Replica, id_of},
    faults::Fault,
    plan::{MOST_REPLICAS, Options, Plan, Step, What, YEAR},
};
use crate::world::{self, Dice, Ended, Peer, Trip, Way, Weather};

/// A copy of a disk, taken earlier.
struct Copy {
    of: usize,
    peer: Peer,
    ledger: Ledger,
}

/// A cycle under way.
struct Journey {
    spoke: usize,
    trip: Trip,
}

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
    options: Options,
    journeys: Vec<Journey>,
    copies: Vec<Rc<Copy>>,
    /// Batches that were sent, or got lost on their way.
    pushes: Vec<PushBody>,
    now: usize,
    hub_down_until: usize,
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

    fn write(&mut self, who: usize, edits: usize) -> Outcome<()> {
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

    fn open(&mut self, spoke: usize) -> Outcome<()> {
        let under_way = self.journeys.iter().filter(|journey| journey.spoke == spoke).count();
        if under_way < self.options.at_once && self.replicas[spoke].away_until <= self.now {
            self.journeys.push(Journey { spoke, trip: Trip::default() });
            self.seen.count("two cycles at once", usize::from(under_way > 0));
        }
        Ok(())
    }

    /// Some cycle under way takes a step.
    fn go(&mut self) -> Outcome<()> {
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
        Weather { lost, unanswered, repeated, page: 1 + self.dice.below(page), bytes }
    }

    /// One step of a cycle, with what was planted in the way.
    fn advance(&mut self, spoke: usize, trip: &mut Trip) -> Outcome<Option<Ended>> {
        let asked = matches!(trip.way, Way::Asked(_));
        if asked && self.now < self.hub_down_until && !self.quiet {
            let joining = self.replicas[spoke].peer.store.owner()?.is_none();
            self.seen.count("joins that found no hub", usize::from(joining));
            return Ok(Some(Ended::Cut));
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
        self.keep(push, &trip.way)?;
        if ended == Some(Ended::Whole) {
            self.met_the_hub(spoke);
        }
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

    /// A process starts: what it draws is new, unless that is what is wrong.
    pub fn next_process(&self, who: usize) -> u64 {
        match self.planted {
            Some(Fault::ActorResumed) => self.replicas[who].seed,
            _ => self.dice.roll(),
        }
    }

    /// Nothing survives of the process but what is on its disk.
    pub fn crash(&mut self, who: usize) -> Outcome<()> {
        let seed = self.next_process(who);
        let replica = &mut self.replicas[who];
        replica.keeps_its_word()?;
        replica.peer = replica.peer.next_process(seed);
        let under_way = self.journeys.len();
        self.journeys.retain(|journey| journey.spoke != who);
        self.seen.count("crashes amid a cycle", under_way - self.journeys.len());
        self.seen.count(if who == 0 { "crashes of the hub" } else { "crashes of a spoke" }, 1);
        Ok(())
    }

    fn restart(&mut self, who: usize, clock: u64) -> Outcome<()> {
        self.step_clock(who, clock)?;
        self.crash(who)
    }

    fn step_clock(&mut self, who: usize, clock: u64) -> Outcome<()> {
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

    fn take_hub_down(&mut self, steps: usize) -> Outcome<()> {
        self.hub_down_until = self.now + steps;
        self.seen.count("hub out of reach", 1);
        Ok(())
    }

    fn copy(&mut self, who: usize) -> Outcome<()> {
        let Replica { peer, ledger, .. } = &self.replicas[who];
        let copy = Copy { of: who, peer: peer.next_process(0), ledger: ledger.clone() };
        self.copies.push(Rc::new(copy));
        self.seen.count(if who == 0 { "copies of the hub" } else { "copies of a spoke" }, 1);
        Ok(())
    }

    /// A disk dies, and an older copy takes its place.
    fn put_back(&mut self, who: usize) -> Outcome<()> {
        let of_it: Vec<_> = self.copies.iter().filter(|copy| copy.of == who).cloned().collect();
        let copies = if of_it.is_empty() { &self.copies } else { &of_it };
        if copies.is_empty() {
            return Ok(());
        }
        let copy = Rc::clone(self.dice.pick(copies));
        self.replace(copy.of, &copy);
        self.seen.put_back(copy.of);
        self.writes_at_once(copy.of)
    }

    /// By chance somebody works there before it meets anybody.
    fn writes_at_once(&mut self, who: usize) -> Outcome<()> {
        if self.dice.percent(60) { self.write(who, 1) } else { Ok(()) }
    }

    /// Somebody puts a copy of another's disk there.
    fn transplant(&mut self, who: usize, fresh: bool) -> Outcome<()> {
        let owned = |copy: &&Rc<Copy>| who > 0 || !copy.peer.heads().0.is_empty();
        let copies: Vec<_> = self.copies.iter().filter(owned).cloned().collect();
        if !copies.is_empty() {
            let copy = Rc::clone(self.dice.pick(&copies));
            self.replace(who, &copy);
            if fresh {
                self.replicas[who].peer.draw_origin(&self.dice);
                self.origins += 1;
            }
            self.seen.count("put back by hand from another", usize::from(copy.of != who));
            self.writes_at_once(who)?;
        }
        Ok(())
    }

    fn replace(&mut self, who: usize, copy: &Copy) {
        let seed = self.next_process(who);
        let clock = self.replicas[who].peer.now();
        let replica = &mut self.replicas[who];
        replica.peer = copy.peer.next_process(seed);
        replica.peer.set_clock(clock);
        replica.ledger = copy.ledger.clone();
        (replica.put_back, replica.told, replica.read_to) = (Some(false), None, None);
        self.journeys.retain(|journey| journey.spoke != who);
    }

    /// A second device goes on from a disk, by chance with an origin of its
    /// own.
    fn clone_of(&mut self, who: usize, fresh: bool) -> Outcome<()> {
        if self.replicas.len() == MOST_REPLICAS {
            return Ok(());
        }
        let seed = self.next_process(who);
        let peer = self.replicas[who].peer.next_process(seed);
        if fresh {
            peer.draw_origin(&self.dice);
        }
        let ledger = self.replicas[who].ledger.clone();
        self.replicas.push(Replica { ledger, ..Replica::new(peer, seed) });
        self.origins += 1;
        self.seen.count(if fresh { "clones" } else { "clones that share an origin" }, 1);
        self.writes_at_once(self.replicas.len() - 1)
    }

    fn join(&mut self) -> Outcome<()> {
        if self.replicas.len() < MOST_REPLICAS {
            let seed = self.dice.roll();
            self.replicas.push(Replica::new(Peer::on("joined", &Birth::Joining, seed), seed));
            self.origins += 1;
            self.seen.count("joins", 1);
            if self.dice.percent(30) {
                self.take_hub_down(8)?;
                self.open(self.replicas.len() - 1)?;
            }
        }
        Ok(())
    }

    /// Nobody waits for the answer any longer.
    fn push_again(&mut self) -> Outcome<()> {
        if self.pushes.is_empty() {
            return Ok(());
        }
        let push = self.pushes.swap_remove(self.dice.below(self.pushes.len()));
        let hub = &mut self.replicas[0];
        let before: Heads = hub.peer.heads();
        world::answer(&mut hub.peer, &Ask::Push(push), 1)?;
        let new = hub.note_beyond(&before, &mut self.minted)?.len();
        self.seen.count("batches that came late", 1);
        self.seen.count("ops that came late and were new", new);
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

    fn whole_cycle(&mut self, spoke: usize) -> Outcome<()> {
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
