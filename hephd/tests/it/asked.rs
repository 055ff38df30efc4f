//! What is asked of the tests from outside: which seeds, and how deep.

use std::{
    env,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

/// The seeds that were asked for: `HEPH_SEED=n`, `HEPH_SEED=from..to`, or
/// those from 0. A test that plays one seed takes the first.
pub fn seeds(count: u64) -> Range<u64> {
    let Ok(told) = env::var("HEPH_SEED") else { return 0..count };
    let number = |text: &str| text.parse::<u64>().expect("HEPH_SEED=n or HEPH_SEED=from..to");
    match told.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&told)..number(&told) + 1,
    }
}

/// Runs a test for each seed.
pub fn for_seeds(count: u64, test: impl Fn(u64)) {
    for seed in seeds(count) {
        if let Err(failed) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("seed {seed} failed; to run it alone: HEPH_SEED={seed}");
            resume_unwind(failed);
        }
    }
}

/// How many: a few each time, many under `tests/run --full`.
pub fn full(few: u64, many: u64) -> u64 {
    if env::var_os("HEPH_FULL").is_some() { many } else { few }
}
