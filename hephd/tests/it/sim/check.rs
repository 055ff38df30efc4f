//! What must be true of a life once it has been lived, and two quiet rounds
//! have passed: nothing that a disk owed is missing anywhere, and all replicas
//! are equal to the last byte.

use std::collections::BTreeSet;

use hephd::{
    hlc::Hlc,
    op::{Entry, Head},
};

use super::{
    Outcome,
    coverage::Coverage,
    disk::{Replica, id_of},
    faults::Fault,
    life::Life,
    plan::Plan,
};
use crate::{model, world};

/// Lives through a plan, and looks whether all is well.
pub fn live(plan: &Plan, planted: Option<Fault>) -> Outcome<Coverage> {
    let mut life = Life::new(plan, planted)?;
    plan.steps.iter().try_for_each(|step| life.play(*step))?;
    let owed: BTreeSet<Hlc> =
        life.replicas.iter().flat_map(|replica| replica.ledger.ids()).copied().collect();
    life.two_quiet_rounds()?;
    let meant = check(&life, &owed)?;
    Ok(what_was_reached(life.seen, &meant))
}

/// Gives what every replica shows.
fn check(life: &Life, owed: &BTreeSet<Hlc>) -> Outcome<String> {
    let heads = life.replicas[0].peer.heads();
    let on_disks: Vec<_> = life.replicas.iter().map(|replica| replica.peer.entries()).collect();
    let entries = &on_disks[0];
    chains_hold(entries)?;
    let meant = model::export(world::by_id(entries).values());
    for (n, (replica, held)) in life.replicas.iter().zip(&on_disks).enumerate() {
        let equal = same(held, entries);
        // Equal entries are equal ops: it is enough to look at one of them.
        if n == 0 || !equal {
            has_all(held, owed).map_err(|why| format!("replica {n} {why}"))?;
        }
        if replica.peer.heads() != heads || !equal {
            Err(format!("replica {n} has heads {:?}, the hub {heads:?}", replica.peer.heads()))?;
        }
        let shown = shown(replica, life.planted);
        if shown != meant {
            Err(format!("replica {n} shows {shown}, its ops mean {meant}"))?;
        }
    }
    if heads.0.len() > life.origins {
        Err(format!("{} origins from {} replicas and forks", heads.0.len(), life.origins))?;
    }
    Ok(meant)
}

/// All that a replica shows, conflicts and all; by a wrong reading of its ops
/// where that is what was planted.
fn shown(replica: &Replica, planted: Option<Fault>) -> String {
    let wrongly = planted.and_then(|fault| fault.reads(&replica.ledger));
    wrongly.unwrap_or_else(|| world::export(&replica.peer))
}

/// Every chain is there from its beginning, without a gap, and its hashes are
/// those of its ops.
fn chains_hold(entries: &[Entry]) -> Outcome<()> {
    let mut last: Option<(&Entry, Head)> = None;
    for entry in entries {
        let head = last.filter(|(before, _)| before.origin == entry.origin);
        let head = head.map_or(Head::NONE, |(_, head)| head);
        let next = Head { seq: head.seq + 1, hash: head.hash.then(entry.op.get()) };
        if (entry.seq, entry.hash) != (next.seq, next.hash) {
            Err(format!("{entry:?} does not follow {head:?}"))?;
        }
        last = Some((entry, next));
    }
    Ok(())
}

fn has_all(held: &[Entry], owed: &BTreeSet<Hlc>) -> Outcome<()> {
    let held: BTreeSet<Hlc> = held.iter().map(id_of).collect::<Outcome<_>>()?;
    match owed.iter().find(|id| !held.contains(id)) {
        Some(id) => Err(format!("lacks {id}"))?,
        None => Ok(()),
    }
}

fn same(one: &[Entry], other: &[Entry]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(a, b)| {
            (&a.origin, a.seq, a.hash, a.op.get()) == (&b.origin, b.seq, b.hash, b.op.get())
        })
}

fn what_was_reached(mut seen: Coverage, meant: &str) -> Coverage {
    seen.count("conflicts", usize::from(!meant.contains("\"conflicts\":0,\"links\"")));
    seen.count("deleted", usize::from(meant.contains("\"deleted\":true")));
    seen.count("links", usize::from(!meant.contains("\"links\":[]")));
    seen.count("two forks in one life", usize::from(seen.of("forks healed") > 1));
    seen
}
