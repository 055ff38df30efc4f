//! How long to wait before the next attempt.
//!
//! Twice as long after each failure, never longer than the sync interval, and
//! never the same for two devices: a hub that comes back is not met by all of
//! them in the same moment.

use std::time::Duration;

use crate::clock::Entropy;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Counts failures in a row.
#[derive(Debug)]
pub struct Backoff {
    entropy: Entropy,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits of at most `longest`, which is held between 1 s and 5 min.
    #[must_use]
    pub fn new(entropy: Entropy, longest: Duration) -> Self {
        Self { entropy, longest: longest.clamp(FIRST, LONGEST), failures: 0 }
    }

    /// All is well again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether the last attempt failed.
    #[must_use]
    pub const fn failing(&self) -> bool {
        self.failures > 0
    }

    /// One more failure: the time to wait now.
    pub fn failed(&mut self) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.jitter(doubled.min(self.longest))
    }

    /// One more failure, of a hub that asked for some time: it gets that, but
    /// not for ever. Whoever answers in a hub's place might ask for a year.
    pub fn failed_and_asked(&mut self, pause: Option<Duration>) -> Duration {
        self.failed().max(pause.unwrap_or_default().min(LONGEST))
    }

    /// Between half of a time and all of it.
    #[must_use]
    pub fn jitter(&self, time: Duration) -> Duration {
        let share = u32::from(u16::from_le_bytes(self.entropy.bytes()));
        time / 2 + (time / 2).mul_f64(f64::from(share) / f64::from(u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn backoff(seed: u64, longest: u64) -> Backoff {
        Backoff::new(Entropy::Seeded(Arc::new(seed.into())), Duration::from_secs(longest))
    }

    #[test]
    fn waits_grow_to_the_interval_and_begin_anew() {
        let mut backoff = backoff(1, 30);
        for seconds in [1, 2, 4, 8, 16, 30, 30, 30] {
            let wait = backoff.failed().as_secs_f64();
            let most = f64::from(seconds);
            assert!((most / 2.0..=most).contains(&wait), "{wait} of {seconds}");
        }
        backoff.reset();
        assert!(!backoff.failing() && backoff.failed() <= FIRST);
    }

    #[test]
    fn a_long_interval_holds_up_nobody() {
        let mut backoff = backoff(1, 86_400);
        assert!((0..100).all(|_| backoff.failed() <= LONGEST));
    }

    #[test]
    fn a_pause_that_was_asked_for_is_kept_within_reason() {
        let mut backoff = backoff(1, 30);
        let asked = Duration::from_secs(60);
        assert_eq!(backoff.failed_and_asked(Some(asked)), asked);
        assert_eq!(backoff.failed_and_asked(Some(Duration::MAX)), LONGEST);
    }

    #[test]
    fn two_devices_do_not_wait_alike() {
        assert_ne!(backoff(1, 30).failed(), backoff(2, 30).failed());
    }
}
