//! Time and chance: the only two things that a test may fake.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The wall clock, in milliseconds since 1970.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's.
    System,
    /// A test's: it stands where it is put.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// Milliseconds since 1970; 0 for a clock that stands before.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn now_ms(&self) -> u64 {
        match self {
            Self::System => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            Self::Manual(ms) => ms.load(Ordering::Relaxed),
        }
    }
}

/// A time as people and scripts read it: RFC 3339, UTC, whole seconds.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("{ms} ms"), |t| t.to_string())
}

/// A time in a file's name, in UTC: later ones sort behind earlier ones.
#[must_use]
pub fn stamp(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{ms:016}"), |time| time.strftime("%Y%m%dT%H%M%S%.3fZ").to_string())
}

/// A time span for people: its two largest parts.
#[must_use]
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A time span as people write it, in seconds: `90s`, `12h`, `1w 2d`.
#[must_use]
pub fn parse_span(text: &str) -> Option<u64> {
    let span: jiff::Span = text.trim().parse().ok()?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let seconds = span.total((jiff::Unit::Second, days)).ok()?;
    Some(seconds.abs() as u64)
}

/// A time as it stands in logs and receipts, in milliseconds since 1970.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

/// A time in the past as people write it: how long ago, a time, or a day from
/// its beginning, in UTC.
#[must_use]
pub fn parse_past(text: &str, now_ms: u64) -> Option<u64> {
    let ago = parse_span(text).map(|span| now_ms.saturating_sub(span.saturating_mul(1000)));
    ago.or_else(|| parse_rfc3339(text)).or_else(|| parse_rfc3339(&format!("{text}T00:00:00Z")))
}

/// How long ago a time was, in words; none for what is no time.
#[must_use]
pub fn ago(rfc3339: &str, now_ms: u64) -> Option<String> {
    let then = rfc3339.parse::<jiff::Timestamp>().ok()?.as_second();
    Some(span((now_ms / 1000).saturating_sub(u64::try_from(then).unwrap_or(0))))
}

/// Where random bytes come from.
#[derive(Debug, Clone)]
pub enum Entropy {
    /// The operating system.
    System,
    /// A test's: the same seed, the same bytes.
    Seeded(Arc<AtomicU64>),
}

impl Entropy {
    /// `N` random bytes.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: no id could be
    /// trusted then.
    #[must_use]
    #[allow(clippy::expect_used, reason = "without randomness nothing may go on")]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match self {
            Self::System => getrandom::fill(&mut bytes).expect("the system gives random bytes"),
            Self::Seeded(state) => {
                for chunk in bytes.chunks_mut(8) {
                    chunk.copy_from_slice(&split_mix(state).to_le_bytes()[..chunk.len()]);
                }
            }
        }
        bytes
    }
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014): plain, and good enough
/// for tests.
fn split_mix(state: &AtomicU64) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
