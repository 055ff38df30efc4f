//! Ops on their way into the tables, within one transaction.
//!
//! Whatever brings them, a person's change, a page from the hub, a batch from
//! a spoke or a healed fork, takes them in here. What many ops of one
//! transaction share is looked up once: the owner, the chains, the entities.
//! [`Intake::finish`] writes the ends of the chains and works out what is
//! shown; without it the transaction must not be kept.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::{
    names::{hash_at, number_of_entity, number_of_owner},
    state,
};
use crate::{
    error::{Error, Result},
    hlc::Hlc,
    id::{Origin, OwnerId},
    merge::{Entity, Version},
    op::{Hash, Head, Op, Set, Target},
};

/// So many bytes of versions are kept at hand; a batch may touch thousands of
/// nodes with a long body each.
const MOST_AT_HAND: usize = 4 << 20;

/// What a known op's id stands for.
pub(super) enum Known {
    /// These bytes: the op's number.
    Same(i64),
    /// Other bytes.
    Other,
}

/// One transaction's ops of one owner.
pub(super) struct Intake<'a> {
    pub(super) conn: &'a Connection,
    owner: i64,
    chains: HashMap<Origin, Chain>,
    touched: BTreeMap<Target, Touched>,
    at_hand: usize,
    /// Some known op supersedes one that has not come.
    awaiting: bool,
}

/// A node or link that this transaction has looked at.
struct Touched {
    /// Its number; none before the first op about it.
    n: Option<i64>,
    /// Its current versions, as they are by now.
    entity: Entity,
    /// An op about it came.
    concerned: bool,
}

/// A chain's number, and its end as this transaction leaves it.
#[derive(Clone, Copy)]
struct Chain {
    /// None before its first entry.
    n: Option<i64>,
    head: Head,
    grown: bool,
}

impl<'a> Intake<'a> {
    pub(super) fn new(conn: &'a Connection, owner: &OwnerId) -> Result<Self> {
        let owner = number_of_owner(conn, owner)?;
        let awaiting = conn
            .prepare_cached("SELECT 1 FROM awaited WHERE owner = ?1 LIMIT 1")?
            .exists([owner])?;
        let (chains, touched) = (HashMap::new(), BTreeMap::new());
        Ok(Self { conn, owner, chains, touched, at_hand: 0, awaiting })
    }

    /// A chain's end.
    pub(super) fn head(&mut self, origin: &Origin) -> Result<Head> {
        Ok(self.chain(origin)?.head)
    }

    fn chain(&mut self, origin: &Origin) -> Result<Chain> {
        if let Some(chain) = self.chains.get(origin) {
            return Ok(*chain);
        }
        let mut read = self
            .conn
            .prepare_cached("SELECT n, seq, hash FROM heads WHERE owner = ?1 AND origin = ?2")?;
        let known = read.query_row(params![self.owner, origin.as_str()], |row| {
            let head = Head { seq: row.get(1)?, hash: Hash(row.get(2)?) };
            Ok(Chain { n: Some(row.get(0)?), head, grown: false })
        });
        let none = Chain { n: None, head: Head::NONE, grown: false };
        let chain = known.optional()?.unwrap_or(none);
        self.chains.insert(origin.clone(), chain);
        Ok(chain)
    }

    /// A chain begins.
    fn found(&self, origin: &Origin) -> Result<i64> {
        self.conn
            .prepare_cached("INSERT INTO heads (owner, origin, seq, hash) VALUES (?1, ?2, 0, ?3)")?
            .execute(params![self.owner, origin.as_str(), Hash::NONE.0])?;
        Ok(self.conn.last_insert_rowid())
    }

    /// A chain's hash at a place; none beyond its end.
    pub(super) fn hash_at(&mut self, origin: &Origin, seq: u64) -> Result<Option<Hash>> {
        let chain = self.chain(origin)?;
        chain.n.map_or(Ok(None), |n| hash_at(self.conn, n, seq))
    }

    /// What is known under an op's id.
    pub(super) fn known(&self, id: Hlc, bytes: &str) -> Result<Option<Known>> {
        let mut read = self
            .conn
            .prepare_cached("SELECT n, bytes = ?3 FROM ops WHERE owner = ?1 AND id = ?2")?;
        let known = read.query_row(params![self.owner, id.to_string(), bytes], |row| {
            Ok(if row.get(1)? { Known::Same(row.get(0)?) } else { Known::Other })
        });
        Ok(known.optional()?)
    }

    /// A new op: its bytes, and what it does to the versions. Gives its
    /// number; none where the id is known already.
    pub(super) fn add(&mut self, op: &Op, bytes: &str) -> Result<Option<i64>> {
        let entity = match op {
            Op::Set(set) => Some(self.number(&set.target)?),
            Op::Unknown { .. } => None,
        };
        let added = self
            .conn
            .prepare_cached(
                "INSERT INTO ops (owner, id, entity, bytes) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (owner, id) DO NOTHING",
            )?
            .execute(params![self.owner, op.id().to_string(), entity, bytes])?;
        if added == 0 {
            return Ok(None);
        }
        let n = self.conn.last_insert_rowid();
        if let (Op::Set(set), Some(entity)) = (op, entity) {
            self.apply(set, entity, n)?;
        }
        Ok(Some(n))
    }

    /// A new op takes its place among the versions of its field: `versions`
    /// holds the ops that no known op supersedes, in whatever order they come.
    fn apply(&mut self, set: &Set, entity: i64, n: i64) -> Result<()> {
        for seen in &set.seen {
            self.supersede(set, *seen, entity)?;
        }
        if self.was_awaited(set, entity)? || set.seen.contains(&set.id) {
            return Ok(());
        }
        self.conn
            .prepare_cached("INSERT INTO versions (entity, field, op) VALUES (?1, ?2, ?3)")?
            .execute(params![entity, set.field, n])?;
        self.at_hand += weight(&set.value);
        let version = Version { id: set.id, value: set.value.clone() };
        self.entity(&set.target)?.insert(&set.field, version);
        Ok(())
    }

    /// A version is current no longer, or never will be once it comes.
    fn supersede(&mut self, set: &Set, seen: Hlc, entity: i64) -> Result<()> {
        let (conn, owner, id) = (self.conn, self.owner, seen.to_string());
        let known: Option<i64> = conn
            .prepare_cached("SELECT n FROM ops WHERE owner = ?1 AND id = ?2")?
            .query_row(params![owner, id], |row| row.get(0))
            .optional()?;
        if let Some(n) = known {
            conn.prepare_cached(
                "DELETE FROM versions WHERE entity = ?1 AND field = ?2 AND op = ?3",
            )?
            .execute(params![entity, set.field, n])?;
            self.entity(&set.target)?.remove(&set.field, seen);
        } else {
            self.awaiting = true;
            conn.prepare_cached("INSERT OR IGNORE INTO awaited VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![owner, id, entity, set.field])?;
        }
        Ok(())
    }

    /// Whether a known op supersedes this one. Whoever named it for another
    /// field did not mean it; nobody waits for it any longer either way.
    fn was_awaited(&self, set: &Set, entity: i64) -> Result<bool> {
        if !self.awaiting {
            return Ok(false);
        }
        let (conn, owner, id) = (self.conn, self.owner, set.id.to_string());
        let superseded = conn
            .prepare_cached(
                "SELECT 1 FROM awaited WHERE owner = ?1 AND id = ?2 AND entity = ?3 AND field = ?4",
            )?
            .exists(params![owner, id, entity, set.field])?;
        conn.prepare_cached("DELETE FROM awaited WHERE owner = ?1 AND id = ?2")?
            .execute(params![owner, id])?;
        Ok(superseded)
    }

    /// The current versions of a node or link, read once and then kept up to
    /// date: a transaction often has many ops of one.
    pub(super) fn entity(&mut self, target: &Target) -> Result<&mut Entity> {
        Ok(&mut self.touch(target)?.entity)
    }

    fn touch(&mut self, target: &Target) -> Result<&mut Touched> {
        if !self.touched.contains_key(target) {
            if self.at_hand > MOST_AT_HAND {
                self.show()?;
            }
            let n = number_of_entity(self.conn, self.owner, &target.key())?;
            let entity =
                n.map_or_else(|| Ok(Entity::default()), |n| state::versions_of(self.conn, n))?;
            self.at_hand += entity.all().map(|version| weight(&version.value)).sum::<usize>();
            self.touched.insert(target.clone(), Touched { n, entity, concerned: false });
        }
        self.touched.get_mut(target).ok_or_else(|| Error::internal("a touched node is not there"))
    }

    /// Works out what is shown of the nodes and links concerned, and lets go of
    /// them: what comes of them later is read again.
    fn show(&mut self) -> Result<()> {
        self.at_hand = 0;
        let concerned = std::mem::take(&mut self.touched).into_iter();
        for (target, touched) in concerned.filter(|(_, touched)| touched.concerned) {
            state::refresh(self.conn, self.owner, &target, &touched.entity)?;
        }
        Ok(())
    }

    /// The number of a node or link that an op is about.
    fn number(&mut self, target: &Target) -> Result<i64> {
        let (conn, owner) = (self.conn, self.owner);
        let touched = self.touch(target)?;
        touched.concerned = true;
        if let Some(n) = touched.n {
            return Ok(n);
        }
        conn.prepare_cached("INSERT INTO entities (owner, key) VALUES (?1, ?2)")?
            .execute(params![owner, target.key()])?;
        let n = conn.last_insert_rowid();
        touched.n = Some(n);
        Ok(n)
    }

    /// A chain's next entry, which names an op that is here.
    pub(super) fn deliver(&mut self, origin: &Origin, op: i64, hash: Hash) -> Result<()> {
        let chain = self.chain(origin)?;
        let n = chain.n.map_or_else(|| self.found(origin), Ok)?;
        let head = Head { seq: chain.head.seq + 1, hash };
        self.conn
            .prepare_cached("INSERT INTO chains (chain, seq, op, hash) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![n, head.seq, op, hash.0])?;
        self.chains.insert(origin.clone(), Chain { n: Some(n), head, grown: true });
        Ok(())
    }

    /// Writes the ends of the chains, and works out what is shown of the
    /// nodes and links concerned.
    pub(super) fn finish(mut self) -> Result<()> {
        let mut end =
            self.conn.prepare_cached("UPDATE heads SET seq = ?2, hash = ?3 WHERE n = ?1")?;
        for chain in self.chains.values().filter(|chain| chain.grown) {
            end.execute(params![chain.n, chain.head.seq, chain.head.hash.0])?;
        }
        drop(end);
        self.show()
    }
}

/// About how many bytes a value holds in memory.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight).sum::<usize>() + 32 * values.len(),
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + weight(value)).sum(),
        _ => 32,
    }
}
