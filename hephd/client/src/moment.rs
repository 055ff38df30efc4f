//! A time in the past as people say it: a day, a time, how long ago, or the
//! id of an op. All become the last op that lies within it. Pure.

use hephd::{
    clock::{Clock, parse_span},
    hlc::Hlc,
};
use jiff::{Timestamp, civil};

/// What is meant by a flag's value.
///
/// # Errors
/// For what is no time.
pub fn given(text: &str) -> Result<Hlc, String> {
    until(text, Clock::System.now_ms())
}

fn until(text: &str, now_ms: u64) -> Result<Hlc, String> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let ms = ago(text, now_ms).or_else(|| time(text)).or_else(|| day(text));
    let ms = ms.ok_or("not a time; write 2026-05-01, 2026-05-01T10:00:00Z or 3d for 3 days ago")?;
    Ok(last_of(ms))
}

/// The last op that a millisecond can have.
const fn last_of(ms: u64) -> Hlc {
    Hlc { ms, counter: u16::MAX, actor: u64::MAX }
}

/// `2h`, `3d`, `1w 2d`, also with `ago` behind.
fn ago(text: &str, now_ms: u64) -> Option<u64> {
    let seconds = parse_span(text.trim_end_matches("ago"))?;
    Some(now_ms.saturating_sub(seconds.saturating_mul(1000)))
}

/// RFC 3339; without a zone it is UTC. Times are shown in whole seconds, so
/// one without a fraction means its whole second.
fn time(text: &str) -> Option<u64> {
    let civil = || text.parse::<civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let is_long = text.contains(['T', 't', ' ']);
    let time: Timestamp = match text.parse() {
        Ok(time) => time,
        Err(_) => civil().filter(|_| is_long)?.timestamp(),
    };
    let ms = u64::try_from(time.as_millisecond()).unwrap_or(0);
    Some(if time.subsec_nanosecond() == 0 { ms + 999 } else { ms })
}

/// A day means its end, in UTC as all times are.
fn day(text: &str) -> Option<u64> {
    let next = text.parse::<civil::Date>().ok()?.tomorrow().ok()?;
    let end = next.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    u64::try_from(end).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-05-02T12:00:00Z.
    const NOW: u64 = 1_777_723_200_000;

    #[test]
    fn a_time_is_said_in_many_ways() {
        const HOUR: u64 = 3_600_000;
        for (text, ms) in [
            ("2h", NOW - 2 * HOUR),
            ("3d", NOW - 72 * HOUR),
            ("1w 2h ago", NOW - 170 * HOUR),
            ("2026-05-02T11:00:00Z", NOW - HOUR + 999),
            ("2026-05-02T11:00:00.5Z", NOW - HOUR + 500),
            ("2026-05-02T13:00:00+02:00", NOW - HOUR + 999),
            ("2026-05-02T11:00", NOW - HOUR + 999),
            ("2026-05-01", NOW - 12 * HOUR - 1),
            ("1969-01-01T00:00:00Z", 999),
        ] {
            assert_eq!(until(text, NOW), Ok(last_of(ms)), "{text}");
        }
        let op = "1777723200000-0001-00000000000000aa";
        assert_eq!(until(op, NOW).unwrap().to_string(), op);
        for text in ["", "yesterday", "2026-13-01", "3", "3 months", "2026-05", "-"] {
            assert!(until(text, NOW).is_err(), "{text:?}");
        }
    }
}
