//! How often an address may come with a token that does not count. Nobody is
//! locked out: all that is refused is the next failure.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Failures a second that an address may have.
pub const A_SECOND: u32 = 10;

/// Between two of them, once all that were saved up are used.
const EACH_MS: u64 = 1000 / A_SECOND as u64;

/// At most so many may be saved up: those of one second.
const SAVED_MS: u64 = 1000;

/// More addresses than this are not told apart: the oldest start anew.
const MOST_ADDRESSES: usize = 4096;

/// A token bucket for each address: the time at which it will be full again.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<IpAddr, u64>>);

impl Attempts {
    /// An address failed once more. `now_ms` is since 1970.
    ///
    /// # Errors
    /// How long it should wait, when there were too many.
    pub fn failed(&self, address: IpAddr, now_ms: u64) -> Result<(), Duration> {
        let mut full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= MOST_ADDRESSES && !full_at.contains_key(&address) {
            make_room(&mut full_at, now_ms);
        }
        let full = full_at.entry(address).or_insert(now_ms);
        // A clock that was put back would shut an address out until then.
        let from = (*full).clamp(now_ms, now_ms + SAVED_MS);
        let then = from + EACH_MS;
        if then > now_ms + SAVED_MS {
            *full = from;
            return Err(Duration::from_millis(then - now_ms - SAVED_MS));
        }
        *full = then;
        Ok(())
    }
}

fn make_room(full_at: &mut HashMap<IpAddr, u64>, now_ms: u64) {
    full_at.retain(|_, full| *full > now_ms);
    if full_at.len() >= MOST_ADDRESSES {
        let oldest = full_at.iter().min_by_key(|(_, full)| **full).map(|(address, _)| *address);
        oldest.and_then(|address| full_at.remove(&address));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from(n).into()
    }

    fn passed(attempts: &Attempts, address: IpAddr, now_ms: u64, tries: usize) -> usize {
        (0..tries).filter(|_| attempts.failed(address, now_ms).is_ok()).count()
    }

    #[test]
    fn an_address_fails_so_often_a_second_and_no_more() {
        let attempts = Attempts::default();
        assert_eq!(passed(&attempts, address(1), NOW, 1000), 10);
        assert_eq!(passed(&attempts, address(2), NOW, 1000), 10, "others have their own");
        assert_eq!(passed(&attempts, address(1), NOW + 99, 1000), 0);
        assert_eq!(passed(&attempts, address(1), NOW + 100, 1000), 1);
        assert_eq!(passed(&attempts, address(1), NOW + 60_000, 1000), 10, "no more are saved");
        let over_ten_seconds: usize =
            (0..10_000).map(|ms| passed(&attempts, address(3), NOW + ms, 3)).sum();
        assert_eq!(over_ten_seconds, 10 + 99);
    }

    #[test]
    fn the_wait_that_is_told_is_enough() {
        let attempts = Attempts::default();
        passed(&attempts, address(1), NOW, 10);
        let wait = attempts.failed(address(1), NOW).unwrap_err();
        let then = NOW + u64::try_from(wait.as_millis()).unwrap();
        assert_eq!(attempts.failed(address(1), then), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_shuts_nobody_out() {
        let attempts = Attempts::default();
        passed(&attempts, address(1), NOW, 10);
        let hour_ago = NOW - 3_600_000;
        assert_eq!(passed(&attempts, address(1), hour_ago, 1000), 0);
        assert_eq!(passed(&attempts, address(1), hour_ago + 1000, 1000), 10);
    }

    #[test]
    fn many_addresses_hold_little_memory() {
        let attempts = Attempts::default();
        for n in 0..5000 {
            assert_eq!(attempts.failed(address(n), NOW), Ok(()));
        }
        assert!(attempts.0.lock().unwrap().len() <= MOST_ADDRESSES);
    }
}
