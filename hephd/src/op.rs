//! Ops, and the chains that deliver them.
//!
//! An op is one change to one field of one node or link, immutable: its bytes
//! are kept, hashed and passed on as they came. A chain is one origin's list
//! of entries, each naming one op; it is the order of *delivery* and nothing
//! else. What an op *means* is `merge`'s business. No clock, no I/O.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

use crate::{
    hlc::Hlc,
    id::{EntityId, Malformed, Origin, OwnerId, hex},
};

/// The most that one op may encode to. A larger value is refused when it is
/// written, never later.
pub const MAX_OP_BYTES: usize = 1 << 20;

/// The node or link that an op is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A node, by its id.
    Node(EntityId),
    /// A link, by its id.
    Link(EntityId),
}

impl Target {
    /// One text for each: a link may have a node's id.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Node(id) => id.to_string(),
            Self::Link(id) => format!("link:{id}"),
        }
    }

    /// The id, whichever sort it is.
    #[must_use]
    pub const fn id(&self) -> &EntityId {
        match self {
            Self::Node(id) | Self::Link(id) => id,
        }
    }
}

/// One field of one node or link is given a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Set {
    /// The op's own id.
    pub id: Hlc,
    /// Whose data it is.
    pub owner: OwnerId,
    /// What it is about.
    #[serde(flatten)]
    pub target: Target,
    /// Which field of it.
    pub field: String,
    /// Any JSON.
    pub value: Value,
    /// The versions of this field that this one supersedes.
    pub seen: Vec<Hlc>,
}

/// What every op says of itself, also one from a later version.
#[derive(Deserialize)]
struct Header {
    op: String,
    id: Hlc,
    owner: OwnerId,
}

/// The fields of a `set`, as they stand in its bytes.
#[derive(Deserialize)]
struct SetFields<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    id: Hlc,
    owner: OwnerId,
    node: Option<EntityId>,
    link: Option<EntityId>,
    field: String,
    #[serde(deserialize_with = "Value::deserialize")]
    value: Value,
    seen: Vec<Hlc>,
}

impl SetFields<'_> {
    fn set(self) -> Result<Op, String> {
        let target = match (self.node, self.link) {
            (Some(node), None) => Target::Node(node),
            (None, Some(link)) => Target::Link(link),
            _ => return Err("one of `node` and `link` is wanted".to_owned()),
        };
        let Self { id, owner, field, value, seen, .. } = self;
        Ok(Op::Set(Set { id, owner, target, field, value, seen }))
    }
}

/// An op as read.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A kind that this version understands.
    Set(Set),
    /// A kind from a later version: stored, delivered and hashed all the
    /// same, and interpreted after an upgrade.
    Unknown {
        /// Its id.
        id: Hlc,
        /// Whose data it is.
        owner: OwnerId,
    },
}

impl Op {
    /// Reads an op's bytes.
    ///
    /// # Errors
    /// When it is larger than [`MAX_OP_BYTES`], is not JSON, lacks `op`, `id`
    /// or `owner`, or claims to be a `set` and is not one.
    pub fn decode(bytes: &str) -> Result<Self, Malformed> {
        let malformed = |why: String| Malformed { what: "an op", given: why };
        if bytes.len() > MAX_OP_BYTES {
            return Err(malformed(format!("{} bytes", bytes.len())));
        }
        // Nearly every op is a `set`: one reading does for it. What cannot be read
        // as one may be of a kind that we do not know, whose fields mean
        // something else.
        let no_set = match serde_json::from_str::<SetFields<'_>>(bytes) {
            Ok(fields) if fields.op == "set" => return fields.set().map_err(malformed),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let header: Header = serde_json::from_str(bytes).map_err(|e| malformed(e.to_string()))?;
        match no_set {
            Some(error) if header.op == "set" => Err(malformed(error.to_string())),
            _ => Ok(Self::Unknown { id: header.id, owner: header.owner }),
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> Hlc {
        match self {
            Self::Set(set) => set.id,
            Self::Unknown { id, .. } => *id,
        }
    }

    /// Whose data it is.
    #[must_use]
    pub const fn owner(&self) -> &OwnerId {
        match self {
            Self::Set(set) => &set.owner,
            Self::Unknown { owner, .. } => owner,
        }
    }
}

impl Set {
    /// The op's bytes, from now on unchangeable.
    ///
    /// # Errors
    /// `Err(bytes)` with the size when it is over [`MAX_OP_BYTES`].
    pub fn encode(&self) -> Result<String, usize> {
        #[derive(Serialize)]
        struct Tagged<'a> {
            op: &'static str,
            #[serde(flatten)]
            set: &'a Set,
        }
        match serde_json::to_string(&Tagged { op: "set", set: self }) {
            Ok(bytes) if bytes.len() <= MAX_OP_BYTES => Ok(bytes),
            Ok(bytes) => Err(bytes.len()),
            // Text keys and JSON values always encode.
            Err(_) => Err(usize::MAX),
        }
    }
}

/// A link in a chain: SHA-256 over the previous hash and the op's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first entry of a chain follows.
    pub const NONE: Self = Self([0; 32]);

    /// The hash of the entry that follows this one.
    #[must_use]
    pub fn then(&self, op_bytes: &str) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(op_bytes).finalize().into())
    }

    /// SHA-256 of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed =
            || Malformed { what: "a hash (64 hexadecimal digits)", given: text.to_owned() };
        if text.len() != 64 {
            return Err(malformed());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(malformed()) };
            *byte = (high << 4 | low) as u8;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Read where it stands: a page has a thousand of them.
impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Hash;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a hash (64 hexadecimal digits)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hash, E> {
                text.parse().map_err(E::custom)
            }
        }

        from.deserialize_str(Text)
    }
}

/// A place in a chain, as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Whose chain.
    pub origin: Origin,
    /// The place: 1, 2, 3 …
    pub seq: u64,
    /// The chain's hash at this place.
    pub hash: Hash,
    /// The op's bytes, untouched.
    pub op: Box<RawValue>,
}

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last entry's place.
    pub seq: u64,
    /// The chain's hash there.
    pub hash: Hash,
}

impl Head {
    /// Before the first entry.
    pub const NONE: Self = Self { seq: 0, hash: Hash::NONE };
}

/// The ends of all chains of one owner. Equal heads mean equal ops.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Heads(pub BTreeMap<Origin, Head>);

impl Heads {
    /// An origin's head; [`Head::NONE`] for one that is not known here.
    #[must_use]
    pub fn of(&self, origin: &Origin) -> Head {
        self.0.get(origin).copied().unwrap_or(Head::NONE)
    }

    /// How many entries there are in all.
    #[must_use]
    pub fn entries(&self) -> u64 {
        sum(self.0.values().map(|head| head.seq))
    }

    /// How many entries here lie beyond `other`'s.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> u64 {
        sum(self.0.iter().map(|(o, head)| head.seq.saturating_sub(other.of(o).seq)))
    }

    /// One short text that is equal exactly where owner and heads are.
    #[must_use]
    pub fn digest(&self, owner: &OwnerId) -> Hash {
        let lines = self.0.iter().map(|(o, head)| format!("{o} {} {}\n", head.seq, head.hash));
        Hash::of(&format!("{owner}\n{}", lines.collect::<String>()))
    }
}

/// Heads from elsewhere may claim any number.
fn sum(places: impl Iterator<Item = u64>) -> u64 {
    places.fold(0, u64::saturating_add)
}
