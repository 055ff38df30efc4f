//! What happens to the machines of a life: processes die, disks are copied,
//! put back and cloned, devices join.

use std::rc::Rc;

use hephd::store::Birth;

use super::{
    Outcome,
    disk::{Ledger, Replica},
    faults::Fault,
    life::Life,
    plan::MOST_REPLICAS,
};
use crate::world::Peer;

/// A copy of a disk, taken earlier.
pub(super) struct Copy {
    pub(super) of: usize,
    pub(super) peer: Peer,
    pub(super) ledger: Ledger,
}

impl Life {
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

    pub(super) fn restart(&mut self, who: usize, clock: u64) -> Outcome<()> {
        self.step_clock(who, clock)?;
        self.crash(who)
    }

    pub(super) fn copy(&mut self, who: usize) -> Outcome<()> {
        let Replica { peer, ledger, .. } = &self.replicas[who];
        let copy = Copy { of: who, peer: peer.next_process(0), ledger: ledger.clone() };
        self.copies.push(Rc::new(copy));
        self.seen.count(if who == 0 { "copies of the hub" } else { "copies of a spoke" }, 1);
        Ok(())
    }

    /// A disk dies, and an older copy takes its place.
    pub(super) fn put_back(&mut self, who: usize) -> Outcome<()> {
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
    pub(super) fn transplant(&mut self, who: usize, fresh: bool) -> Outcome<()> {
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
    pub(super) fn clone_of(&mut self, who: usize, fresh: bool) -> Outcome<()> {
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

    pub(super) fn join(&mut self) -> Outcome<()> {
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
}
