//! Who sends a request: three headers that a device adds to each.
//!
//! The hub shows them to people. Nothing depends on them, so one that is
//! missing or cannot be read is no error, and then all three are passed over.

use crate::id::Origin;

/// The device's origin, as it is now.
const ORIGIN: &str = "heph-origin";
/// The version of its daemon.
const VERSION: &str = "heph-version";
/// Its clock, in ms since 1970: as the ids of its ops have it, and half as
/// long as a date.
const TIME: &str = "heph-time";

const MAX_VERSION_CHARS: usize = 64;
const MAX_TIME_DIGITS: usize = 13;

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The chain that it appends to.
    pub origin: Origin,
    /// The version of its daemon.
    pub version: String,
    /// Its clock, ms since 1970.
    pub time_ms: u64,
}

impl Sender {
    /// As it travels: names and values.
    #[must_use]
    pub fn headers(self) -> [(&'static str, String); 3] {
        [
            (ORIGIN, self.origin.into()),
            (VERSION, self.version),
            (TIME, format!("{:0MAX_TIME_DIGITS$}", self.time_ms)),
        ]
    }

    /// As it came, where all of it did.
    #[must_use]
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let (version, time) = (header(VERSION)?, header(TIME)?);
        let well = (1..=MAX_VERSION_CHARS).contains(&version.len())
            && version.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            && time.len() <= MAX_TIME_DIGITS
            && time.bytes().all(|byte| byte.is_ascii_digit());
        let (origin, time_ms) = (header(ORIGIN)?.parse().ok()?, time.parse().ok()?);
        well.then(|| Self { origin, version: version.to_owned(), time_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(time_ms: u64) -> Sender {
        let origin = "00000000000000aa".parse().unwrap();
        Sender { origin, version: "0.1.0".to_owned(), time_ms }
    }

    fn read(headers: &[(&'static str, String)]) -> Option<Sender> {
        Sender::read(|wanted| {
            headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
        })
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        for time_ms in [0, 1_764_000_000_000, 9_999_999_999_999] {
            assert_eq!(read(&sender(time_ms).headers()), Some(sender(time_ms)));
        }
    }

    /// One op travels in two requests, and has 2,000 bytes for all of it.
    #[test]
    fn it_is_short() {
        let headers = sender(1_764_000_000_000).headers();
        let bytes = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
        assert!(bytes < 80, "{bytes}");
    }

    #[test]
    fn what_is_missing_or_odd_is_passed_over() {
        let long = "1".repeat(MAX_VERSION_CHARS + 1);
        let cases = [
            (0, vec!["", "00000000000000AA", "00000000000000a", "../../../../../../"]),
            (1, vec!["", "0.1.0\u{7f}", "0.1\t0", "\u{e9}", &long]),
            (2, vec!["", "+1", "-1", "1e3", " 1", "12345678901234", "2026-01-01T00:00:00Z"]),
        ];
        for (n, bad) in cases {
            for bad in bad {
                let mut headers = sender(1).headers();
                headers[n].1 = bad.to_owned();
                assert_eq!(read(&headers), None, "{bad:?}");
            }
            let mut headers = sender(1).headers().to_vec();
            headers.remove(n);
            assert_eq!(read(&headers), None);
        }
    }
}
