//! How many origins may be new in one day.
//!
//! Every start of a chain stays in the heads for ever, and heads travel whole.
//! A device brings one, a healed fork another; somebody who brings thousands
//! is broken or means harm.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// At most so many a day.
pub const MAX_A_DAY: u64 = 4096;

const DAY_MS: u64 = 86_400_000;

/// The day, and how many it has brought: `day << 16 | count`.
#[derive(Debug, Default)]
pub struct Newcomers(Arc<AtomicU64>);

impl Newcomers {
    /// Takes room for so many more. To be asked before they are taken in:
    /// batches that become durable together must not count on the same room.
    ///
    /// # Errors
    /// The time until the next day, when there would be too many.
    pub fn room_for(&self, count: u64, now_ms: u64) -> Result<Room, Duration> {
        let day = now_ms / DAY_MS;
        let add = |last| {
            let sum = so_far(last, day).saturating_add(count);
            (sum <= MAX_A_DAY).then_some(day << 16 | sum)
        };
        match self.0.fetch_update(Relaxed, Relaxed, add) {
            Ok(_) => Ok(Room { day, count, of: Arc::clone(&self.0), kept: AtomicBool::new(false) }),
            Err(_) => Err(Duration::from_millis(DAY_MS - now_ms % DAY_MS)),
        }
    }
}

/// Room that is given back unless it is kept. Those that were refused do not
/// count: a device that is sent away and asks again would shut out all others.
#[derive(Debug)]
pub struct Room {
    day: u64,
    count: u64,
    of: Arc<AtomicU64>,
    kept: AtomicBool,
}

impl Room {
    /// They have come.
    pub fn keep(&self) {
        self.kept.store(true, Relaxed);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.kept.load(Relaxed) {
            let less = |last: u64| {
                let so_far = so_far(last, self.day);
                (last >> 16 == self.day).then(|| self.day << 16 | so_far.saturating_sub(self.count))
            };
            let _ = self.of.fetch_update(Relaxed, Relaxed, less);
        }
    }
}

const fn so_far(last: u64, day: u64) -> u64 {
    if last >> 16 == day { last & 0xffff } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_brings_so_many_and_the_next_as_many_again() {
        let newcomers = Newcomers::default();
        let room = |count, now_ms| newcomers.room_for(count, now_ms).map(|room| room.keep());
        assert_eq!(room(MAX_A_DAY, 5 * DAY_MS), Ok(()));
        let wait = room(1, 5 * DAY_MS + DAY_MS / 2);
        assert_eq!(wait, Err(Duration::from_millis(DAY_MS / 2)));
        assert_eq!(room(0, 5 * DAY_MS + 1), Ok(()), "those who are known may go on");
        assert_eq!(room(1, 6 * DAY_MS), Ok(()));
    }

    #[test]
    fn room_is_taken_at_once_and_given_back_by_whoever_did_not_come() {
        let newcomers = Newcomers::default();
        let refused = newcomers.room_for(MAX_A_DAY, DAY_MS).unwrap();
        assert!(newcomers.room_for(1, DAY_MS).is_err(), "two at once may not both have it");
        drop(refused);
        newcomers.room_for(MAX_A_DAY, DAY_MS).unwrap().keep();
        assert!(newcomers.room_for(1, DAY_MS).is_err());
        let yesterdays = newcomers.room_for(7, 2 * DAY_MS).unwrap();
        newcomers.room_for(1, 3 * DAY_MS).unwrap().keep();
        drop(yesterdays);
        let rest = newcomers.room_for(MAX_A_DAY - 1, 3 * DAY_MS);
        assert!(rest.is_ok_and(|_| newcomers.room_for(1, 3 * DAY_MS).is_err()));
    }
}
