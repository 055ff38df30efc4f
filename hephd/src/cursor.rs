//! A cursor: heads, opaque on the wire. It says how far somebody has read
//! each chain, and nothing about time.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    id::{Malformed, Origin, hex},
    op::Heads,
};

/// Per origin the last place that was read. 14 bytes of text an origin, so
/// that thousands of origins still fit a URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<Origin, u64>);

impl Cursor {
    /// The last place that was read of an origin's chain; 0 for none.
    #[must_use]
    pub fn of(&self, origin: &Origin) -> u64 {
        self.0.get(origin).copied().unwrap_or(0)
    }

    /// Has read an origin's chain up to a place.
    pub fn advance(&mut self, origin: &Origin, seq: u64) {
        self.0.insert(origin.clone(), seq);
    }

    /// The wire's text: an origin's 8 bytes, its place as LEB128, the next.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(self.0.len() * 10);
        for (origin, seq) in &self.0 {
            let origin = u64::from_str_radix(origin.as_str(), 16).unwrap_or_default();
            bytes.extend(origin.to_be_bytes());
            put_leb128(&mut bytes, *seq);
        }
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the wire's text.
    ///
    /// # Errors
    /// When it is not a cursor.
    pub fn decode(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed { what: "a cursor", given: text.chars().take(80).collect() };
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed())?;
        let (mut rest, mut places) = (bytes.as_slice(), BTreeMap::new());
        while !rest.is_empty() {
            let (origin, tail) = rest.split_at_checked(8).ok_or_else(malformed)?;
            let (seq, tail) = take_leb128(tail).ok_or_else(malformed)?;
            places.insert(hex(origin).parse()?, seq);
            rest = tail;
        }
        Ok(Self(places))
    }
}

impl From<&Heads> for Cursor {
    fn from(heads: &Heads) -> Self {
        Self(heads.0.iter().map(|(origin, head)| (origin.clone(), head.seq)).collect())
    }
}

fn put_leb128(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_leb128(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (n, byte) in bytes.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[n + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn a_cursor_comes_back_as_it_went(
            places in prop::collection::btree_map(any::<u64>(), 0..u64::MAX >> 1, 0..8)
        ) {
            let places = places.into_iter().map(|(o, seq)| (format!("{o:016x}").parse().unwrap(), seq));
            let cursor = Cursor(places.collect());
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            let _ = Cursor::decode(&text);
        }
    }
}
