//! What counts as JSON here, for every body and line that comes from outside.
//!
//! A parser is lenient where two readers could then differ: of two equal keys
//! it takes the last, and what it skips it does not look at. So a text is
//! judged as a whole before anything of it is read: one value, at most
//! [`MAX_DEPTH`] deep, no key twice in one object. It is judged, never
//! changed: an op's bytes stay as they came.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// How deep arrays and objects may lie in each other.
pub const MAX_DEPTH: usize = 64;

/// Why a text is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is no JSON, or too deep, or says something twice.
    Unreadable {
        /// In bytes from its start.
        offset: usize,
        /// One line.
        why: String,
    },
    /// It is JSON by its form, but a text or number in it means nothing: half
    /// of a surrogate pair, for example.
    Meaningless {
        /// In bytes from its start.
        offset: usize,
        /// One line.
        why: String,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unreadable { offset, why } | Self::Meaningless { offset, why }) = self;
        write!(f, "{why}, at offset {offset}")
    }
}

/// Judges a text.
///
/// # Errors
/// Where it stops being what is taken, and why.
pub fn check(bytes: &[u8]) -> Result<(), Refused> {
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let judged = Within(0).deserialize(&mut text).and_then(|()| text.end());
    judged.map_err(|error| refused(bytes, &error))
}

fn refused(bytes: &[u8], error: &serde_json::Error) -> Refused {
    let offset = offset(bytes, error);
    let why = error.to_string();
    let why = why.rsplit_once(" at line ").map_or(why.as_str(), |(why, _)| why).to_owned();
    // Its form is looked at without reading what it says.
    if error.is_syntax() && serde_json::from_slice::<&RawValue>(bytes).is_ok() {
        return Refused::Meaningless { offset, why };
    }
    Refused::Unreadable { offset, why }
}

/// The parser counts lines and, within one, bytes.
fn offset(bytes: &[u8], error: &serde_json::Error) -> usize {
    let before = bytes.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    let offset = before.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1);
    offset.min(bytes.len())
}

/// A value that lies in so many others.
struct Within(usize);

impl Within {
    fn one_deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.0 < MAX_DEPTH {
            return Ok(self.0 + 1);
        }
        Err(E::custom(format!("deeper than {MAX_DEPTH} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Within {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<(), D::Error> {
        text.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let deeper = self.one_deeper()?;
        while items.next_element_seed(Within(deeper))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let deeper = self.one_deeper()?;
        let mut keys = Vec::new();
        while let Some(Key(key)) = items.next_key()? {
            keys.push(key);
            items.next_value_seed(Within(deeper))?;
        }
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(A::Error::custom(format!("the key {:?} is there twice", pair[0]))),
            None => Ok(()),
        }
    }
}

/// A key, borrowed wherever it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// What looks like JSON, and often is.
    fn nearly() -> impl Strategy<Value = String> {
        let pieces = ["{", "}", "[", "]", ":", ",", "\"a\"", "\"b\"", "1", "-", ".5", "e9", "null"];
        let more = ["true", " ", "\n", "\"\\u0061\"", "\"\\ud800\"", "\"", "\\", "\u{e9}", "\0"];
        let piece = prop::sample::select([&pieces[..], &more[..]].concat());
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Whatever is taken can be read, and whatever the parser takes is
        /// taken, unless it says something twice.
        #[test]
        fn it_agrees_with_the_parser(text in nearly()) {
            let read = serde_json::from_str::<Value>(&text).is_ok();
            match check(text.as_bytes()) {
                Ok(()) => prop_assert!(read, "{text}"),
                Err(Refused::Unreadable { why, .. }) if why.ends_with("is there twice") => {}
                Err(_) => prop_assert!(!read, "{text}"),
            }
        }

        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Err(Refused::Unreadable { offset, .. } | Refused::Meaningless { offset, .. }) =
                check(&bytes)
            {
                prop_assert!(offset <= bytes.len());
            }
        }
    }

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[track_caller]
    fn unreadable(text: &str, at: usize, named: &str) {
        match check(text.as_bytes()) {
            Err(Refused::Unreadable { offset, why }) => {
                assert!(why.contains(named), "{text:?}: {why}");
                assert!(offset.abs_diff(at) <= 1, "{text:?}: {why} at {offset}, not {at}");
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn what_is_json_is_taken() {
        for text in
            ["null", " {\"a\":[1,-2,3.5e7,true,\"\\u0000\\ud83d\\ude00\"]} \n", "{\"a\":{\"a\":1}}"]
        {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
        assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
    }

    #[test]
    fn what_is_not_is_refused_and_the_place_is_named() {
        unreadable("", 0, "EOF");
        unreadable("{\"a\":1} and", 8, "trailing");
        unreadable("{\"a\":1}\n\n{}", 9, "trailing");
        unreadable(&nested(MAX_DEPTH + 1), MAX_DEPTH, "deeper than 64");
        unreadable(&"[".repeat(10_000), MAX_DEPTH, "deeper than 64");
        unreadable("{\"a\":1,\"b\":{\"c\":1,\"c\":2}}", 23, "\"c\" is there twice");
        unreadable("{\"a\":1,\"\\u0061\":2}", 17, "\"a\" is there twice");
        assert!(matches!(check(b"\"\xff\""), Err(Refused::Unreadable { .. })));
    }

    #[test]
    fn what_has_the_form_and_no_meaning_is_told_apart() {
        for text in ["{\"title\":\"\\ud800\"}", "[1e400]"] {
            assert!(matches!(check(text.as_bytes()), Err(Refused::Meaningless { .. })), "{text}");
        }
    }
}
