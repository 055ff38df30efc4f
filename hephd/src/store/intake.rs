//! Ops on their way into the tables, within one transaction.
//!
//! Whatever brings them, a person's change, a page from the hub, a batch from
//! a spoke or a healed fork, takes them in here. What many ops of one
//! transaction share is looked up once: the owner, the chains, the entities.
//! [`Intake::finish`] writes the ends of the chains and works out what is
//! shown; without it the transaction must not be kept.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use super::state;
use crate::{
    error::{Error, Result},
    hlc::Hlc,
    id::{Origin, OwnerId},
    merge::Entity,
    op::{Hash, Head, Op, Target},
};

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
    pub(super) owner: i64,
    chains: HashMap<Origin, Chain>,
    touched: BTreeMap<Target, Touched>,
    /// Some known op supersedes one that has not come.
    pub(super) awaiting: bool,
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
        Ok(Self { conn, owner, chains: HashMap::new(), touched: BTreeMap::new(), awaiting })
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
            state::apply(self, set, entity, n)?;
        }
        Ok(Some(n))
    }

    /// The current versions of a node or link, read once and then kept up to
    /// date: a transaction often has many ops of one.
    pub(super) fn entity(&mut self, target: &Target) -> Result<&mut Entity> {
        Ok(&mut self.touch(target)?.entity)
    }

    fn touch(&mut self, target: &Target) -> Result<&mut Touched> {
        if !self.touched.contains_key(target) {
            let n = number_of_entity(self.conn, self.owner, &target.key())?;
            let entity =
                n.map_or_else(|| Ok(Entity::default()), |n| state::versions_of(self.conn, n))?;
            self.touched.insert(target.clone(), Touched { n, entity, concerned: false });
        }
        self.touched.get_mut(target).ok_or_else(|| Error::internal("a touched node is not there"))
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
    pub(super) fn finish(self) -> Result<()> {
        let mut end =
            self.conn.prepare_cached("UPDATE heads SET seq = ?2, hash = ?3 WHERE n = ?1")?;
        for chain in self.chains.values().filter(|chain| chain.grown) {
            end.execute(params![chain.n, chain.head.seq, chain.head.hash.0])?;
        }
        let concerned = self.touched.iter().filter(|(_, touched)| touched.concerned);
        for (target, touched) in concerned {
            state::refresh(self.conn, self.owner, target, &touched.entity)?;
        }
        Ok(())
    }
}

/// An owner's number, given now where it has none.
pub(super) fn number_of_owner(conn: &Connection, owner: &OwnerId) -> Result<i64> {
    if let Some(n) = known_owner(conn, owner)? {
        return Ok(n);
    }
    conn.execute("INSERT INTO owners (id) VALUES (?1)", [owner.as_str()])?;
    Ok(conn.last_insert_rowid())
}

/// An owner's number; none for one without any ops here.
pub(super) fn known_owner(conn: &Connection, owner: &OwnerId) -> Result<Option<i64>> {
    let mut read = conn.prepare_cached("SELECT n FROM owners WHERE id = ?1")?;
    Ok(read.query_row([owner.as_str()], |row| row.get(0)).optional()?)
}

/// The number of a node or link; none for one that no op is about.
pub(super) fn number_of_entity(conn: &Connection, owner: i64, key: &str) -> Result<Option<i64>> {
    let mut read = conn.prepare_cached("SELECT n FROM entities WHERE owner = ?1 AND key = ?2")?;
    Ok(read.query_row(params![owner, key], |row| row.get(0)).optional()?)
}

/// A chain's hash at a place, by the chain's number.
pub(super) fn hash_at(conn: &Connection, chain: i64, seq: u64) -> Result<Option<Hash>> {
    if seq == 0 {
        return Ok(Some(Hash::NONE));
    }
    if i64::try_from(seq).is_err() {
        return Ok(None); // No chain is that long, and no SQLite integer.
    }
    let mut read = conn.prepare_cached("SELECT hash FROM chains WHERE chain = ?1 AND seq = ?2")?;
    let hash = read.query_row(params![chain, seq], |row| row.get(0));
    Ok(hash.optional()?.map(Hash))
}
