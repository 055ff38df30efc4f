//! Random lives of a few replicas, message by message: writes, cycles that
//! are cut or repeated, clocks that jump, disks that are put back, copies that
//! go on by themselves. Afterwards two quiet rounds must make all of them
//! equal, with every op that a disk still held or that was acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
};

use hephd::{
    hlc::Hlc,
    node::{Change, Wanted},
    op::{Entry, Hash},
    store::{Birth, oplog::Appended},
    sync::{Answer, Ask, PushBody},
};
use serde_json::{Map, json, value::RawValue};

use crate::{
    faults::Fault,
    model,
    world::{
        self, Dice, Ended, Peer, Snapshot, TODAY, Trip, Way, Weather, YEAR_2099, by_id, cycle,
        export, for_seeds, full,
    },
};

/// One thing that happens. Replica 0 is the hub.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    Write(usize),
    WriteFromTheFuture(usize),
    Open(usize),
    Go(usize),
    Crash(usize),
    Restart(usize, u64),
    Pass(u64),
    Copy(usize),
    PutBack(usize),
    Clone(usize),
    Join,
    OldPush,
}

/// A life, from a seed.
pub fn schedule(seed: u64) -> Vec<Step> {
    let dice = Dice::new(seed);
    (0..60 + dice.below(80)).map(|_| step(&dice)).collect()
}

fn step(dice: &Dice) -> Step {
    let who = dice.below(8);
    match dice.below(100) {
        0..25 => Step::Write(who),
        25..27 => Step::WriteFromTheFuture(who),
        27..44 => Step::Open(who),
        44..76 => Step::Go(1 + dice.below(30)),
        76..79 => Step::Crash(who),
        79..83 => Step::Restart(who, *dice.pick(&[0, 1000, TODAY, TODAY + 900_000, YEAR_2099])),
        83..88 => Step::Pass(dice.roll() % 100_000_000),
        88..92 => Step::Copy(who),
        92..96 => Step::PutBack(who),
        96..97 => Step::Clone(who),
        97..98 => Step::Join,
        _ => Step::OldPush,
    }
}

/// The replicas, and what is under way between them.
pub struct World {
    /// The hub first, then its spokes.
    pub peers: Vec<Peer>,
    pub dice: Dice,
    pub planted: Option<Fault>,
    /// What a pull was told, where that is kept before the ops are.
    pub told: BTreeMap<usize, hephd::cursor::Cursor>,
    seeds: Vec<u64>,
    trips: Vec<(usize, Trip)>,
    at_once: usize,
    copies: Vec<(usize, Snapshot)>,
    pushes: Vec<PushBody>,
    acked: BTreeMap<String, String>,
    pub origins: usize,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

impl World {
    fn new(seed: u64, planted: Option<Fault>, at_once: usize) -> Self {
        let dice = Dice::new(seed ^ 0x5eed);
        let owner = Birth::Owned("the-owner".parse().unwrap());
        let seeds: Vec<u64> = (0..3).map(|_| dice.roll()).collect();
        let peer = |(n, seed): (usize, &u64)| Peer::on(&format!("peer {n}"), &owner, *seed);
        let peers = seeds.iter().enumerate().map(peer).collect();
        let (trips, copies, pushes) = (Vec::new(), Vec::new(), Vec::new());
        let (told, acked) = (BTreeMap::new(), BTreeMap::new());
        Self {
            peers,
            dice,
            planted,
            told,
            seeds,
            trips,
            at_once,
            copies,
            pushes,
            acked,
            origins: 3,
        }
    }

    /// A process starts: what it draws is new, unless that is what is wrong.
    fn next_process(&mut self, who: usize) -> u64 {
        match self.planted {
            Some(Fault::ActorResumed) => self.seeds[who],
            _ => self.dice.roll(),
        }
    }

    fn add(&mut self, peer: Peer, seed: u64) {
        self.peers.push(peer);
        self.seeds.push(seed);
        self.origins += 1;
    }

    fn play(&mut self, step: Step) -> Outcome<()> {
        let count = self.peers.len();
        match step {
            Step::Write(who) => self.write(who % count),
            Step::WriteFromTheFuture(who) => self.write_from_the_future(who % count),
            Step::Open(who) => self.open(1 + who % (count - 1)),
            Step::Go(steps) => (0..steps).try_for_each(|_| self.go())?,
            Step::Crash(who) => self.trips.retain(|(spoke, _)| *spoke != who % count),
            Step::Restart(who, ms) => self.restart(who % count, ms),
            Step::Pass(ms) => self.peers.iter().for_each(|peer| peer.pass_time(ms)),
            Step::Copy(who) => self.copy(who % count),
            Step::PutBack(who) => self.put_back(who % count),
            Step::Clone(who) => self.clone_of(who % count),
            Step::Join if count < 6 => {
                let seed = self.dice.roll();
                self.add(Peer::on("joined", &Birth::Joining, seed), seed);
            }
            Step::OldPush if !self.pushes.is_empty() => {
                let push = self.pushes.swap_remove(self.dice.below(self.pushes.len()));
                world::answer(&mut self.peers[0], &Ask::Push(push), 1)?;
            }
            Step::Join | Step::OldPush => {}
        }
        Ok(())
    }

    fn write(&mut self, who: usize) {
        if self.peers[who].store.owner().unwrap().is_some() {
            world::random_edit(&mut self.peers[who], 5, &self.dice);
        }
    }

    /// An op of a kind that nobody here knows, at the end of one's own chain.
    fn write_from_the_future(&mut self, who: usize) {
        let Some(owner) = self.peers[who].store.owner().unwrap() else { return };
        let id = Hlc { ms: self.peers[who].now(), counter: 9, actor: self.dice.roll() };
        let op = json!({ "op": "move", "id": id, "owner": owner, "to": "the moon" }).to_string();
        let peer = &mut self.peers[who];
        let origin = peer.store.origin().unwrap();
        let head = peer.heads().of(&origin);
        let hash = Hash::then(&head.hash, &op);
        let op = RawValue::from_string(op).unwrap();
        let entry = Entry { origin, seq: head.seq + 1, hash, op };
        let taken = peer.store.append(&owner, &[entry]).unwrap();
        assert!(matches!(taken, Appended::Done { .. }), "{taken:?}");
    }

    fn open(&mut self, spoke: usize) {
        let under_way = self.trips.iter().filter(|(of, _)| *of == spoke).count();
        if under_way < self.at_once {
            self.trips.push((spoke, Trip::default()));
        }
    }

    /// A new process on the same disk, by a clock that may have gone wrong.
    fn restart(&mut self, who: usize, ms: u64) {
        self.peers[who].set_clock(ms);
        if self.peers[who].store.owner().unwrap().is_some() {
            let (disk, seed) = (self.peers[who].snapshot(), self.next_process(who));
            self.peers[who].restore("restarted", &disk, seed);
            self.trips.retain(|(spoke, _)| *spoke != who);
        }
    }

    /// Some cycle under way takes a step.
    fn go(&mut self) -> Outcome<()> {
        if self.trips.is_empty() {
            return Ok(());
        }
        let n = self.dice.below(self.trips.len());
        let (spoke, mut trip) = self.trips.swap_remove(n);
        let weather = Weather::foul(&self.dice);
        if self.advance(spoke, &mut trip, weather)?.is_none() {
            self.trips.push((spoke, trip));
        }
        Ok(())
    }

    /// One step of a cycle, with what was planted in the way.
    fn advance(
        &mut self,
        spoke: usize,
        trip: &mut Trip,
        weather: Weather,
    ) -> Outcome<Option<Ended>> {
        if let Some(fault) = self.planted
            && let Some(ended) = fault.step(self, spoke, trip)
        {
            return Ok(Some(ended));
        }
        let push = match &trip.way {
            Way::Asked(Ask::Push(body)) => Some(PushBody { entries: body.entries.clone() }),
            _ => None,
        };
        let healed = trip.cycle.healed.len();
        let [hub, peer] = self.peers.get_disjoint_mut([0, spoke]).unwrap();
        let ended = trip.step(peer, hub, weather, &self.dice)?;
        self.origins += trip.cycle.healed.len() - healed;
        if let (Some(body), Way::Answered(Answer::Pushed(_))) = (push, &trip.way) {
            self.acknowledge(&body);
            self.pushes.push(body);
        }
        Ok(ended)
    }

    /// The hub has promised to keep these.
    pub fn acknowledge(&mut self, body: &PushBody) {
        self.acked.extend(by_id(&body.entries));
    }

    fn copy(&mut self, who: usize) {
        if self.peers[who].store.owner().unwrap().is_some() {
            let copy = self.peers[who].snapshot();
            self.copies.push((who, copy));
        }
    }

    /// A disk dies, and an older copy takes its place.
    fn put_back(&mut self, who: usize) {
        let copies: Vec<&Snapshot> =
            self.copies.iter().filter(|(of, _)| *of == who).map(|(_, copy)| copy).collect();
        if copies.is_empty() {
            return;
        }
        let copy = (*self.dice.pick(&copies)).clone();
        let seed = self.next_process(who);
        self.peers[who].restore("put back", &copy, seed);
        self.trips.retain(|(spoke, _)| *spoke != who);
        if who == 0 {
            // What the hub alone had is gone with its disk.
            self.acked.clear();
        }
    }

    /// A second device goes on from a copy, by chance with an origin of its
    /// own.
    fn clone_of(&mut self, who: usize) {
        if self.peers[who].store.owner().unwrap().is_none() || self.peers.len() > 5 {
            return;
        }
        let copy = self.peers[who].snapshot();
        let seed = self.next_process(who);
        let mut twin = Peer::on("twin", &Birth::Owned(copy.owner.clone()), seed);
        let own = twin.store.origin().unwrap();
        twin.restore("twin", &copy, seed);
        if self.dice.percent(50) {
            twin.store.set_meta("origin", own.as_str()).unwrap();
        }
        twin.set_clock(self.peers[who].now());
        self.add(twin, seed);
    }

    /// Every op on every disk; one id with two contents is a failure.
    fn on_disks(&self) -> Outcome<BTreeMap<String, String>> {
        let mut all = self.acked.clone();
        for (id, op) in self.peers.iter().flat_map(Peer::ops) {
            match all.insert(id.clone(), op.clone()) {
                Some(other) if other != op => Err(format!("{id} is {other} and {op}"))?,
                _ => {}
            }
        }
        Ok(all)
    }

    /// Nothing goes wrong any more; everybody syncs twice.
    fn two_quiet_rounds(&mut self) -> Outcome<()> {
        for _ in 0..2 {
            for spoke in 1..self.peers.len() {
                let mut trip = Trip::default();
                let mut patience = 5_000;
                while self.advance(spoke, &mut trip, Weather::FAIR)?.is_none() {
                    patience -= 1;
                    if patience == 0 {
                        Err("a cycle does not end")?;
                    }
                }
            }
        }
        Ok(())
    }

    fn all_are_equal_and_have(&self, ops: &BTreeMap<String, String>) -> Outcome<()> {
        let (heads, meant) = (self.peers[0].heads(), model::export(self.peers[0].ops().values()));
        for (n, peer) in self.peers.iter().enumerate() {
            let held = peer.ops();
            if let Some(id) = ops.keys().find(|id| !held.contains_key(*id)) {
                Err(format!("replica {n} lacks {id}"))?;
            }
            if peer.heads() != heads {
                Err(format!("replica {n} has heads {:?}, the hub {heads:?}", peer.heads()))?;
            }
            if export(peer) != meant {
                Err(format!("replica {n} shows {}, its ops mean {meant}", export(peer)))?;
            }
        }
        if heads.0.len() > self.origins {
            Err(format!("{} origins from {} replicas and forks", heads.0.len(), self.origins))?;
        }
        Ok(())
    }
}

/// Lives through a schedule, then looks whether all is well.
pub fn live(seed: u64, planted: Option<Fault>, at_once: usize) -> Outcome<()> {
    let mut world = World::new(seed, planted, at_once);
    schedule(seed).into_iter().try_for_each(|step| world.play(step))?;
    world.trips.clear();
    let ops = world.on_disks()?;
    world.two_quiet_rounds()?;
    world.all_are_equal_and_have(&ops)
}

#[test]
fn whatever_happens_two_quiet_rounds_make_all_replicas_equal_and_lose_nothing() {
    for_seeds(full(300, 10_000), |seed| live(seed, None, 1).unwrap());
}

#[test]
fn two_cycles_of_one_spoke_at_once_do_no_harm() {
    for_seeds(full(100, 3_000), |seed| live(seed, None, 3).unwrap());
}

#[test]
fn two_spokes_and_a_hub_end_equal_after_a_thousand_edits_each_and_long_absences() {
    for_seeds(full(1, 50), |seed| {
        let dice = Dice::new(seed);
        let owner = Birth::Owned("the-owner".parse().unwrap());
        let mut hub = Peer::new("hub", &owner, &dice);
        let mut spokes = [Peer::new("one", &owner, &dice), Peer::new("two", &owner, &dice)];
        let mut away = [0; 2];
        let mut clocks = [0, YEAR_2099, TODAY - 86_400_000, TODAY].into_iter().cycle();
        for n in 0..1_000 {
            edit(&mut hub, &dice);
            for (spoke, away) in spokes.iter_mut().zip(&mut away) {
                edit(spoke, &dice);
                if dice.percent(1) {
                    let (disk, seed) = (spoke.snapshot(), dice.roll());
                    spoke.set_clock(clocks.next().unwrap());
                    spoke.restore("restarted", &disk, seed);
                }
                spoke.pass_time(dice.roll() % 60_000);
                if dice.percent(1) {
                    *away = n + dice.below(300);
                }
                if n >= *away && dice.percent(10) {
                    cycle(spoke, &mut hub, Weather::foul(&dice), &dice).unwrap();
                }
            }
            hub.pass_time(dice.roll() % 60_000);
        }
        let [one, two] = spokes;
        let mut late = Peer::new("late", &Birth::Joining, &dice);
        let mut all = [one, two];
        let written: BTreeSet<String> =
            all.iter().chain([&hub]).flat_map(|peer| peer.ops().into_keys()).collect();
        for _ in 0..2 {
            for spoke in all.iter_mut().chain([&mut late]) {
                assert_eq!(cycle(spoke, &mut hub, Weather::FAIR, &dice).unwrap(), Ended::Whole);
            }
        }
        let meant = model::export(hub.ops().values());
        for peer in all.iter().chain([&late, &hub]) {
            assert_eq!(peer.heads(), hub.heads());
            assert_eq!(export(peer), meant);
            let held = peer.ops();
            assert!(written.iter().all(|id| held.contains_key(id)));
        }
        assert!(written.len() >= 3_000, "{} ops", written.len());
        assert!(written.first().unwrap() < &"0000000100000".to_owned(), "somebody lived in 1970");
        assert!(written.last().unwrap() > &YEAR_2099.to_string(), "somebody lived in 2099");
    });
}

/// An edit that changes something.
fn edit(peer: &mut Peer, dice: &Dice) {
    while world::random_edit(peer, 60, dice) == 0 {}
}

#[test]
fn a_cycle_whose_hub_never_moves_ends() {
    let dice = Dice::new(1);
    let owner = Birth::Owned("the-owner".parse().unwrap());
    let (mut spoke, mut hub) = (Peer::new("spoke", &owner, &dice), Peer::new("hub", &owner, &dice));
    let change = Change::Node {
        id: None,
        set: Map::from_iter([("kind".to_owned(), json!("doc"))]),
        deleted: None,
    };
    spoke.write(&[change]);
    let mut cycle = hephd::sync::Cycle::default();
    for _ in 0..100 {
        match cycle.next(&spoke.store) {
            Ok(Some(ask)) => {
                // It takes nothing, and says that all is well.
                let ask = match ask {
                    Ask::Push(_) => Ask::Push(PushBody { entries: Vec::new() }),
                    other => other,
                };
                let answer = world::answer(&mut hub, &ask, 10).unwrap();
                if cycle.take(&mut spoke.store, answer).is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
    assert_eq!(hub.store.nodes(&hub.owner(), &Wanted::default()).unwrap().len(), 0);
    panic!("the cycle pushes the same batch for ever");
}
