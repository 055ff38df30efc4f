//! Names of things, each with a type of its own. All of them are strings on
//! disk and on the wire; mixing two of them up must not compile.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Entropy;

/// A text that is not a well-formed name of the wanted sort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What was wanted.
    pub what: &'static str,
    /// What was given, shortened.
    pub given: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not {}", self.given, self.what)
    }
}

impl std::error::Error for Malformed {}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Malformed { what: $what, given: text.chars().take(80).collect() })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Malformed;

            fn try_from(text: String) -> Result<Self, Malformed> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

text_id!(
    /// Whose data it is. Existing stores bring their own, so nearly any text
    /// will do.
    OwnerId,
    "an owner id (1 to 128 characters, none of them blank or a control)",
    |text| (1..=128).contains(&text.len())
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
);

text_id!(
    /// The chain that delivers an op: 16 hexadecimal digits, drawn at random.
    Origin,
    "an origin (16 lower-case hexadecimal digits)",
    |text| is_hex(text, 16)
);

text_id!(
    /// A node or a link. Ours are 32 hexadecimal digits.
    EntityId,
    "an id (1 to 64 letters, digits, - or _)",
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
);

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl OwnerId {
    /// A fresh owner.
    #[must_use]
    pub fn draw(entropy: &Entropy) -> Self {
        Self(draw_hex::<16>(entropy))
    }
}

impl Origin {
    /// A fresh origin.
    #[must_use]
    pub fn draw(entropy: &Entropy) -> Self {
        Self(draw_hex::<8>(entropy))
    }
}

impl EntityId {
    /// A fresh id.
    #[must_use]
    pub fn draw(entropy: &Entropy) -> Self {
        Self(draw_hex::<16>(entropy))
    }

    /// The id that the same words always give, on every device of the owner:
    /// tags, journals and imported files meet themselves again.
    #[must_use]
    pub fn derived(owner: &OwnerId, kind: &str, key: &str) -> Self {
        Self(digest_hex(&["node", owner.as_str(), kind, key]))
    }

    /// The id of the node that names an origin's device.
    #[must_use]
    pub fn of_device(origin: &Origin) -> Self {
        Self(digest_hex(&["device", origin.as_str()]))
    }

    /// The id of the one link of a kind between two nodes.
    #[must_use]
    pub fn of_link(owner: &OwnerId, from: &Self, to: &Self, kind: &str) -> Self {
        Self(digest_hex(&["link", owner.as_str(), from.as_str(), to.as_str(), kind]))
    }
}

/// `N` random bytes in hexadecimal.
pub fn draw_hex<const N: usize>(entropy: &Entropy) -> String {
    hex(&entropy.bytes::<N>())
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
        text.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
        text
    })
}

/// The first 16 bytes of SHA-256 over the parts, each preceded by its length
/// so that no two lists of parts run together.
fn digest_hex(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize()[..16])
}
/// A longer name for somebody is no name.
const MAX_SUB_BYTES: usize = 1024;

/// Whether a `sub` can name somebody, in a token or on a command line.
///
/// # Errors
/// Why it cannot.
pub fn check_sub(sub: &str) -> Result<(), &'static str> {
    match sub {
        _ if sub.trim().is_empty() => Err("it is empty"),
        _ if sub.trim() != sub => Err("there is a blank before or after it"),
        _ if sub.len() > MAX_SUB_BYTES => Err("it has more than 1024 bytes"),
        _ if sub.contains(char::is_control) => Err("it has a line break or other control sign"),
        _ => Ok(()),
    }
}
