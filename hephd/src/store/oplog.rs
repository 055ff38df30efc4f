//! Ops, chains and heads: taking entries in, and giving them out.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::value::RawValue;

use super::{Store, damaged, state};
use crate::{
    error::{Code, Error, Result},
    hlc::Hlc,
    id::{Malformed, Origin, OwnerId},
    op::{Entry, Hash, Head, Heads, Op},
};

/// At most this many entries in one page or batch.
pub const MAX_ENTRIES: usize = 5_000;

/// At most this many bytes of ops in one page or batch, unless a single op is
/// larger: pages always get on.
pub const MAX_BYTES: usize = 4 << 20;

/// How taking entries in ended. All of these are outcomes of the protocol;
/// in every case but the first nothing was written.
#[derive(Debug)]
pub enum Appended {
    /// All are here, durably.
    Done {
        /// How many entries were new here.
        received: usize,
        /// How many of their ops were new here.
        applied: usize,
    },
    /// An entry does not extend the chain that is known here.
    NotNext {
        /// Whose chain.
        origin: Origin,
        /// Its head here.
        head: Head,
    },
    /// An op is known here under the same id with other bytes.
    IdReused(Hlc),
    /// An op belongs to somebody else.
    OwnerMismatch(OwnerId),
    /// An entry cannot be read, or its hash does not hold.
    Malformed(String),
}

impl Store {
    /// The ends of all chains of an owner.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn heads(&self, owner: &OwnerId) -> Result<Heads> {
        let mut read =
            self.conn.prepare_cached("SELECT origin, seq, hash FROM heads WHERE owner = ?1")?;
        let mut rows = read.query([owner.as_str()])?;
        let mut heads = Heads::default();
        while let Some(row) = rows.next()? {
            let origin = row.get::<_, String>(0)?.parse().map_err(|e| damaged("heads", &e))?;
            heads.0.insert(origin, Head { seq: row.get(1)?, hash: Hash(row.get(2)?) });
        }
        Ok(heads)
    }

    /// An origin's hash at a place; none beyond the chain's end.
    ///
    /// # Errors
    /// SQLite's.
    pub fn hash_at(&self, owner: &OwnerId, origin: &Origin, seq: u64) -> Result<Option<Hash>> {
        hash_at(&self.conn, owner, origin, seq)
    }

    /// The entries that somebody with the heads `after` lacks, per origin in
    /// order, at most a page of them; and whether there are more.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn entries_after(
        &self,
        owner: &OwnerId,
        after: &dyn Fn(&Origin) -> u64,
        limit: usize,
    ) -> Result<(Vec<Entry>, bool)> {
        let (limit, mut bytes) = (limit.clamp(1, MAX_ENTRIES), 0);
        let mut entries: Vec<Entry> = Vec::new();
        let mut read = self.conn.prepare_cached(
            "SELECT c.seq, c.hash, o.bytes FROM chains c JOIN ops o ON o.n = c.op
             WHERE c.owner = ?1 AND c.origin = ?2 AND c.seq > ?3 ORDER BY c.seq",
        )?;
        for (origin, head) in self.heads(owner)?.0 {
            let from = after(&origin);
            if head.seq <= from {
                continue;
            }
            let mut rows = read.query(params![owner.as_str(), origin.as_str(), from])?;
            while let Some(row) = rows.next()? {
                let op: String = row.get(2)?;
                bytes += op.len();
                if entries.len() == limit || (bytes > MAX_BYTES && !entries.is_empty()) {
                    return Ok((entries, true));
                }
                let op = RawValue::from_string(op).map_err(|e| damaged("ops", &e))?;
                let (seq, hash) = (row.get(0)?, Hash(row.get(1)?));
                entries.push(Entry { origin: origin.clone(), seq, hash, op });
            }
        }
        Ok((entries, false))
    }

    /// Takes in entries that extend the chains known here, in one durable
    /// transaction. Entries that are here already are passed over.
    ///
    /// # Errors
    /// SQLite's. What the protocol foresees is an [`Appended`].
    pub fn append(&mut self, owner: &OwnerId, entries: &[Entry]) -> Result<Appended> {
        let tx = self.conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut taken = Taken::default();
        let mut seen = Vec::with_capacity(entries.len());
        for entry in entries {
            match take(&tx, owner, entry, &mut taken)? {
                Ok(id) => seen.push(id),
                Err(refused) => return Ok(refused),
            }
        }
        state::refresh(&tx, owner, &taken.touched)?;
        tx.commit()?;
        let now = self.machine.clock.now_ms();
        seen.into_iter().for_each(|id| self.ticker.observe(id, now));
        Ok(Appended::Done { received: taken.received, applied: taken.applied })
    }
}

/// What one batch has brought so far.
#[derive(Default)]
struct Taken {
    received: usize,
    applied: usize,
    touched: state::Touched,
}

/// One entry: the chain, the op, the versions.
fn take(
    tx: &Transaction<'_>,
    owner: &OwnerId,
    entry: &Entry,
    taken: &mut Taken,
) -> Result<Result<Hlc, Appended>> {
    let bytes = entry.op.get();
    let op = match Op::decode(bytes) {
        Ok(op) => op,
        Err(Malformed { what, given }) => {
            let place = format!("{} {}", entry.origin, entry.seq);
            return Ok(Err(Appended::Malformed(format!("{place} is not {what}: {given}"))));
        }
    };
    if op.owner() != owner {
        return Ok(Err(Appended::OwnerMismatch(op.owner().clone())));
    }
    let head = head_of(tx, owner, &entry.origin)?;
    if entry.seq <= head.seq && hash_at(tx, owner, &entry.origin, entry.seq)? == Some(entry.hash) {
        return Ok(match known_op(tx, owner, op.id())? {
            Some((_, known)) if known == bytes => Ok(op.id()),
            _ => Err(Appended::IdReused(op.id())),
        });
    }
    if entry.seq != head.seq + 1 || head.hash.then(bytes) != entry.hash {
        return Ok(Err(Appended::NotNext { origin: entry.origin.clone(), head }));
    }
    let known = match known_op(tx, owner, op.id())? {
        Some((n, known)) if known == bytes => Some(n),
        Some(_) => return Ok(Err(Appended::IdReused(op.id()))),
        None => None,
    };
    let n = match known {
        Some(n) => n,
        None => {
            taken.applied += 1;
            add_op(tx, &op, bytes, &mut taken.touched)?
        }
    };
    add_entry(tx, owner, &entry.origin, Head { seq: entry.seq, hash: entry.hash }, n)?;
    taken.received += 1;
    Ok(Ok(op.id()))
}

/// A chain's end, inside a transaction.
pub(super) fn head_of(tx: &Transaction<'_>, owner: &OwnerId, origin: &Origin) -> Result<Head> {
    let mut read =
        tx.prepare_cached("SELECT seq, hash FROM heads WHERE owner = ?1 AND origin = ?2")?;
    let head = read.query_row([owner.as_str(), origin.as_str()], |row| {
        Ok(Head { seq: row.get(0)?, hash: Hash(row.get(1)?) })
    });
    Ok(head.optional()?.unwrap_or(Head::NONE))
}

fn hash_at(conn: &Connection, owner: &OwnerId, origin: &Origin, seq: u64) -> Result<Option<Hash>> {
    if seq == 0 {
        return Ok(Some(Hash::NONE));
    }
    if i64::try_from(seq).is_err() {
        return Ok(None); // No chain is that long, and no SQLite integer.
    }
    let mut read = conn
        .prepare_cached("SELECT hash FROM chains WHERE owner = ?1 AND origin = ?2 AND seq = ?3")?;
    let hash = read.query_row(params![owner.as_str(), origin.as_str(), seq], |row| row.get(0));
    Ok(hash.optional()?.map(Hash))
}

fn known_op(tx: &Transaction<'_>, owner: &OwnerId, id: Hlc) -> Result<Option<(i64, String)>> {
    let mut read = tx.prepare_cached("SELECT n, bytes FROM ops WHERE owner = ?1 AND id = ?2")?;
    let id = id.to_string();
    Ok(read.query_row([owner.as_str(), &id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// A new op: its bytes, and what it does to the versions.
pub(super) fn add_op(
    tx: &Transaction<'_>,
    op: &Op,
    bytes: &str,
    touched: &mut state::Touched,
) -> Result<i64> {
    tx.prepare_cached("INSERT INTO ops (owner, id, bytes) VALUES (?1, ?2, ?3)")?
        .execute(params![op.owner().as_str(), op.id().to_string(), bytes])?;
    let n = tx.last_insert_rowid();
    if let Op::Set(set) = op {
        state::apply(tx, set, n, touched)?;
    }
    Ok(n)
}

/// A new end of a chain.
pub(super) fn add_entry(
    tx: &Transaction<'_>,
    owner: &OwnerId,
    origin: &Origin,
    head: Head,
    op: i64,
) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO chains (owner, origin, seq, op, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![owner.as_str(), origin.as_str(), head.seq, op, head.hash.0])?;
    tx.prepare_cached(
        "INSERT INTO heads (owner, origin, seq, hash) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (owner, origin) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
    )?
    .execute(params![owner.as_str(), origin.as_str(), head.seq, head.hash.0])?;
    Ok(())
}

impl Appended {
    /// For callers to whom anything but `Done` is a failure.
    ///
    /// # Errors
    /// The outcome in words.
    pub fn done(self) -> Result<(usize, usize)> {
        let (code, message) = match self {
            Self::Done { received, applied } => return Ok((received, applied)),
            Self::NotNext { origin, head } => (
                Code::SameOrigin,
                format!("chain {origin} went on differently on the two sides after {}", head.seq),
            ),
            Self::IdReused(id) => (Code::IdReused, format!("op {id} has other bytes there")),
            Self::OwnerMismatch(owner) => {
                (Code::OwnerMismatch, format!("an op belongs to {owner}"))
            }
            Self::Malformed(why) => (Code::Internal, why),
        };
        Err(Error::new(code, message, "see docs/reference/sync.md, \"When the two disagree\""))
    }
}
