//! Chance that comes again with its seed.

use std::sync::{Arc, atomic::AtomicU64};

use hephd::clock::Entropy;

#[derive(Debug)]
pub struct Dice(Entropy);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Entropy::Seeded(Arc::new(AtomicU64::new(seed))))
    }

    pub fn roll(&self) -> u64 {
        u64::from_le_bytes(self.0.bytes())
    }

    /// A number below `n`.
    pub fn below(&self, n: usize) -> usize {
        usize::try_from(self.roll() % n as u64).unwrap()
    }

    pub fn percent(&self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn shuffle<T>(&self, things: &mut [T]) {
        (1..things.len()).rev().for_each(|n| things.swap(n, self.below(n + 1)));
    }
}
