//! How many origins may be new in one day.
//!
//! Every start of a chain stays in the heads for ever, and heads travel whole.
//! A device brings one, a healed fork another; somebody who brings thousands
//! is broken or means harm.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// At most so many a day.
pub const MAX_A_DAY: u64 = 4096;

const DAY_MS: u64 = 86_400_000;

/// The day, and how many it has brought: `day << 16 | count`.
#[derive(Debug, Default)]
pub struct Newcomers(AtomicU64);

impl Newcomers {
    /// Whether so many more may come. To be asked before they are taken in.
    ///
    /// # Errors
    /// The time until the next day, when there would be too many.
    pub fn room_for(&self, count: u64, now_ms: u64) -> Result<(), Duration> {
        let before = so_far(self.0.load(Ordering::Relaxed), now_ms);
        if before.saturating_add(count) <= MAX_A_DAY {
            return Ok(());
        }
        Err(Duration::from_millis(DAY_MS - now_ms % DAY_MS))
    }

    /// So many have come. Those that were refused are not counted: a device
    /// that is sent away and asks again would shut out all others.
    pub fn came(&self, count: u64, now_ms: u64) {
        let day = now_ms / DAY_MS;
        let add = |last| Some(day << 16 | (so_far(last, now_ms) + count).min(0xffff));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

fn so_far(last: u64, now_ms: u64) -> u64 {
    if last >> 16 == now_ms / DAY_MS { last & 0xffff } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_brings_so_many_and_the_next_as_many_again() {
        let newcomers = Newcomers::default();
        assert_eq!(newcomers.room_for(MAX_A_DAY, 5 * DAY_MS), Ok(()));
        newcomers.came(MAX_A_DAY, 5 * DAY_MS);
        let wait = newcomers.room_for(1, 5 * DAY_MS + DAY_MS / 2);
        assert_eq!(wait, Err(Duration::from_millis(DAY_MS / 2)));
        assert_eq!(newcomers.room_for(0, 5 * DAY_MS + 1), Ok(()), "those who are known may go on");
        assert_eq!(newcomers.room_for(1, 6 * DAY_MS), Ok(()));
    }
}
