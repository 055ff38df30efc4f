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
    /// Lets so many in, or none of them.
    ///
    /// # Errors
    /// The time until the next day, when there were too many.
    pub fn admit(&self, count: u64, now_ms: u64) -> Result<(), Duration> {
        let day = now_ms / DAY_MS;
        let admitted = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            let before = if last >> 16 == day { last & 0xffff } else { 0 };
            let now = before + count;
            (now <= MAX_A_DAY).then_some(day << 16 | now)
        });
        admitted.map(drop).map_err(|_| Duration::from_millis(DAY_MS - now_ms % DAY_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_brings_so_many_and_the_next_as_many_again() {
        let newcomers = Newcomers::default();
        assert_eq!(newcomers.admit(MAX_A_DAY, 5 * DAY_MS), Ok(()));
        let wait = newcomers.admit(1, 5 * DAY_MS + DAY_MS / 2);
        assert_eq!(wait, Err(Duration::from_millis(DAY_MS / 2)));
        assert_eq!(newcomers.admit(0, 5 * DAY_MS + 1), Ok(()), "those who are known may go on");
        assert_eq!(newcomers.admit(1, 6 * DAY_MS), Ok(()));
    }
}
