//! The simulation: random lives of two to six replicas in one process, message
//! by message. Writes, cycles that are cut, repeated or late, processes that
//! die, clocks that jump, disks that are put back, copies that go on by
//! themselves.
//!
//! - [`plan`]: what will happen, drawn from a seed; [`life`]: it happens, in
//!   [`travel`] to messages, in [`disasters`] to machines
//! - [`disk`]: what each disk owes; [`check`]: whether it pays
//! - [`faults`]: whether that would be seen; [`first_design`]: the sync that
//!   loses
//! - [`run`]: many lives on all cores; [`shrink`]: a short one that fails;
//!   [`coverage`]: what happened in them
//!
//! After a life, two quiet rounds must make all replicas equal, with every op
//! that some disk still owed. `HEPH_SEED=n` plays one again, `HEPH_SEED=n..m` plays
//! those. See docs/explanation/simulation.md.

mod check;
mod coverage;
mod disasters;
mod disk;
mod faults;
mod first_design;
mod life;
mod plan;
mod run;
mod shrink;
mod travel;

use std::error::Error;

pub use self::faults::one_each;
use self::{faults::Fault, plan::Plan};
use crate::world::{full, seeds};

/// What goes wrong in a life is a text: it is only ever shown.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// How many are played by whoever runs all tests by hand: `tests/run` asks for
/// 100,000, or 2,000,000 with `--full`.
const FEW: u64 = 2_000;

/// How many schedules a planted fault may take until it is seen.
const SEEN_WITHIN: u64 = 1_000;

#[test]
fn whatever_happens_two_quiet_rounds_make_all_replicas_equal_and_lose_nothing() {
    let seeds = seeds(full(FEW, 100_000));
    let seen = run::all(&seeds);
    if seeds.end - seeds.start >= SEEN_WITHIN {
        assert!(seen.missing().is_empty(), "never happened: {:?}", seen.missing());
    }
}

#[test]
fn every_planted_fault_is_seen() {
    let mut unseen = Vec::new();
    for fault in Fault::ALL {
        let found = (0..SEEN_WITHIN).find_map(|seed| {
            run::outcome(&Plan::new(seed), Some(fault)).err().map(|why| (seed + 1, why))
        });
        match found {
            Some((schedules, why)) => {
                let why: String = why.chars().take(80).collect();
                eprintln!("{fault:?}: seen after {schedules} schedules: {why}");
            }
            None => unseen.push(fault),
        }
    }
    assert!(unseen.is_empty(), "{unseen:?} went unseen");
}

/// Otherwise a seed would be no help.
#[test]
fn the_same_seed_lives_the_same_life() {
    for seed in 0..50 {
        let [one, other] = [0; 2].map(|_| run::outcome(&Plan::new(seed), None).unwrap());
        assert_eq!(one.to_string(), other.to_string(), "seed {seed}");
    }
}

#[test]
fn a_plan_that_fails_is_shortened_to_what_makes_it_fail() {
    let fails = (0..SEEN_WITHIN).map(Plan::new).find_map(|plan| {
        let why = run::outcome(&plan, Some(Fault::StateByArrival)).err()?;
        (plan.steps.len() > 20).then_some((plan, why))
    });
    let (plan, why) = fails.expect("a long plan that fails");
    let (short, why) = shrink::shortest(&plan, Some(Fault::StateByArrival), why);
    assert!(short.steps.len() < 8, "{} steps, {why}", short.steps.len());
    assert!(run::outcome(&short, Some(Fault::StateByArrival)).is_err());
}
