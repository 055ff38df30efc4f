//! Hybrid logical clock: an op's id, and the order of *meaning*. Never a
//! cursor: what has been delivered is said by chains (`op`), not by time.
//!
//! The text is `<ms, 13 digits>-<counter, 4 hex>-<actor, 16 hex>`: fixed
//! width, so that the order of the texts is the order of the ids. No clock
//! and no I/O here; the time is an argument.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::id::Malformed;

/// Ids seen further ahead of the wall clock than this move nobody's clock:
/// one device that once lived in 2099 must not drag the others there.
pub const TRUSTED_AHEAD_MS: u64 = 5 * 60 * 1000;

/// The last wall clock that is believed: the year 2200. The 13 digits reach
/// to 2286, which leaves room for carries.
const MAX_WALL_MS: u64 = 7_258_118_400_000;
const MAX_MS: u64 = 9_999_999_999_999;

/// One op's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hlc {
    /// Milliseconds since 1970, below 10^13.
    pub ms: u64,
    /// Orders ids of one millisecond.
    pub counter: u16,
    /// The process that minted it: drawn at each start, never resumed, so
    /// that no copy of a store can mint an id that another copy mints.
    pub actor: u64,
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:013}-{:04x}-{:016x}", self.ms, self.counter, self.actor)
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hlc {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        parse(text).ok_or_else(|| Malformed {
            what: "an op id (13 digits, 4 and 16 lower-case hexadecimal digits)",
            given: text.chars().take(80).collect(),
        })
    }
}

/// Strict: only the text that `Display` writes is read.
fn parse(text: &str) -> Option<Hlc> {
    let text = text.as_bytes();
    if text.len() != 35 || text[13] != b'-' || text[18] != b'-' {
        return None;
    }
    Some(Hlc {
        ms: number(&text[..13], 10)?,
        counter: u16::try_from(number(&text[14..18], 16)?).ok()?,
        actor: number(&text[19..], 16)?,
    })
}

/// Digits of fixed width, in lower case.
fn number(digits: &[u8], base: u32) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(base).filter(|_| !digit.is_ascii_uppercase())?;
        Some(number * u64::from(base) + u64::from(digit))
    })
}

impl TryFrom<String> for Hlc {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Hlc> for String {
    fn from(hlc: Hlc) -> Self {
        hlc.to_string()
    }
}

/// Mints the ids of one process.
#[derive(Debug)]
pub struct Ticker {
    actor: u64,
    last: (u64, u16),
}

impl Ticker {
    /// A ticker for a freshly drawn actor.
    #[must_use]
    pub const fn new(actor: u64) -> Self {
        Self { actor, last: (0, 0) }
    }

    /// Takes note of an id that came from elsewhere.
    pub fn observe(&mut self, seen: Hlc, wall_ms: u64) {
        if seen.ms <= wall_ms.min(MAX_WALL_MS).saturating_add(TRUSTED_AHEAD_MS) {
            self.last = self.last.max((seen.ms, seen.counter));
        }
    }

    /// The next id: above the wall clock, the last own id and what was
    /// observed. A full counter carries into the milliseconds.
    pub fn tick(&mut self, wall_ms: u64) -> Hlc {
        let wall = (wall_ms.min(MAX_WALL_MS), 0);
        let next = match self.last {
            (ms, u16::MAX) => (ms.saturating_add(1).min(MAX_MS), 0),
            (ms, counter) => (ms, counter + 1),
        };
        self.last = next.max(wall);
        Hlc { ms: self.last.0, counter: self.last.1, actor: self.actor }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_hlc() -> impl Strategy<Value = Hlc> {
        (0..=MAX_MS, any::<u16>(), any::<u64>()).prop_map(|(ms, counter, actor)| Hlc {
            ms,
            counter,
            actor,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn text_order_is_id_order_and_width_is_fixed(a in any_hlc(), b in any_hlc()) {
            prop_assert_eq!(a.to_string().len(), 35);
            prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
            prop_assert_eq!(a.to_string().parse::<Hlc>(), Ok(a));
        }

        #[test]
        fn ids_of_one_process_strictly_rise(
            actor in any::<u64>(),
            walls in prop::collection::vec(
                prop_oneof![Just(0), Just(4_102_444_800_000), Just(u64::MAX), any::<u64>()], 1..60),
            seen in prop::collection::vec(any_hlc(), 0..10),
        ) {
            let mut ticker = Ticker::new(actor);
            let mut last = None;
            for (n, wall) in walls.into_iter().enumerate() {
                if let Some(id) = seen.get(n) {
                    ticker.observe(*id, wall);
                }
                let id = ticker.tick(wall);
                prop_assert!(Some(id) > last, "{id} after {last:?}");
                prop_assert_eq!(id.to_string().len(), 35);
                last = Some(id);
            }
        }
    }

    #[test]
    fn a_full_counter_carries_into_the_milliseconds() {
        let mut ticker = Ticker { actor: 7, last: (1000, u16::MAX) };
        assert_eq!(ticker.tick(0).to_string(), "0000000001001-0000-0000000000000007");
    }

    #[test]
    fn an_id_from_2099_moves_nobodys_clock() {
        let mut ticker = Ticker::new(1);
        ticker.observe(Hlc { ms: 4_102_444_800_000, counter: 0, actor: 2 }, 1_000_000);
        assert_eq!(ticker.tick(1_000_000).ms, 1_000_000);
        ticker.observe(Hlc { ms: 1_000_000 + TRUSTED_AHEAD_MS, counter: 3, actor: 2 }, 1_000_000);
        assert_eq!(ticker.tick(1_000_000).counter, 4);
    }

    #[test]
    fn only_the_exact_text_is_read() {
        for bad in [
            "",
            "1-0000-0000000000000001",
            "0000000001000-00AB-0000000000000007",
            "0000000001000-0000-000000000000000g",
            "+000000001000-0000-0000000000000007",
            "0000000001000_0000-0000000000000007",
        ] {
            assert!(bad.parse::<Hlc>().is_err(), "{bad}");
        }
    }
}
