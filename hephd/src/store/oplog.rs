//! Ops, chains and heads: taking entries in, and giving them out.

use rusqlite::{OptionalExtension, params};
use serde_json::value::RawValue;

use super::{
    Store, damaged,
    intake::{Intake, Known},
    names,
    transaction::Work,
};
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

const COUNT_UNKNOWN: &str = "SELECT count(*) FROM ops
    WHERE owner = (SELECT n FROM owners WHERE id = ?1) AND entity IS NULL";

impl Store {
    /// How many ops are of a kind that this version does not know.
    ///
    /// # Errors
    /// SQLite's.
    pub fn unknown_ops(&self, owner: &OwnerId) -> Result<u64> {
        let mut count = self.conn.prepare_cached(COUNT_UNKNOWN)?;
        Ok(count.query_row([owner.as_str()], |row| row.get(0))?)
    }

    /// The ends of all chains of an owner.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn heads(&self, owner: &OwnerId) -> Result<Heads> {
        let ends = self.ends(owner)?.into_iter();
        Ok(Heads(ends.map(|(origin, _, head)| (origin, head)).collect()))
    }

    /// The same, with the numbers of the chains, in the order of the origins.
    fn ends(&self, owner: &OwnerId) -> Result<Vec<(Origin, i64, Head)>> {
        let mut read = self.conn.prepare_cached(
            "SELECT h.origin, h.n, h.seq, h.hash FROM owners o JOIN heads h ON h.owner = o.n
             WHERE o.id = ?1 ORDER BY h.origin",
        )?;
        let mut rows = read.query([owner.as_str()])?;
        let mut ends = Vec::new();
        while let Some(row) = rows.next()? {
            let origin = row.get_ref(0)?.as_str().map_err(|e| damaged("heads", &e))?;
            let origin = origin.parse().map_err(|e| damaged("heads", &e))?;
            ends.push((origin, row.get(1)?, Head { seq: row.get(2)?, hash: Hash(row.get(3)?) }));
        }
        Ok(ends)
    }

    /// Whether there is anything of an origin here.
    ///
    /// # Errors
    /// SQLite's.
    pub fn knows(&self, owner: &OwnerId, origin: &Origin) -> Result<bool> {
        Ok(self.chain(owner, origin)?.is_some())
    }

    /// The number of an origin's chain.
    pub(super) fn chain(&self, owner: &OwnerId, origin: &Origin) -> Result<Option<i64>> {
        let mut read = self.conn.prepare_cached(
            "SELECT h.n FROM heads h JOIN owners o ON o.n = h.owner
             WHERE o.id = ?1 AND h.origin = ?2",
        )?;
        Ok(read.query_row([owner.as_str(), origin.as_str()], |row| row.get(0)).optional()?)
    }

    /// An origin's hash at a place; none beyond the chain's end.
    ///
    /// # Errors
    /// SQLite's.
    pub fn hash_at(&self, owner: &OwnerId, origin: &Origin, seq: u64) -> Result<Option<Hash>> {
        if seq == 0 {
            return Ok(Some(Hash::NONE));
        }
        let chain = self.chain(owner, origin)?;
        chain.map_or(Ok(None), |chain| names::hash_at(&self.conn, chain, seq))
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
             WHERE c.chain = ?1 AND c.seq > ?2 ORDER BY c.seq",
        )?;
        for (origin, chain, head) in self.ends(owner)? {
            let from = after(&origin);
            if head.seq <= from {
                continue;
            }
            let mut rows = read.query(params![chain, from])?;
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
        let work = Work::begin(&self.conn)?;
        let mut intake = Intake::new(&work, owner)?;
        let (mut received, mut applied) = (0, 0);
        let mut seen = Vec::with_capacity(entries.len());
        for entry in entries {
            match take(&mut intake, owner, entry)? {
                Taken::Had(id) => seen.push(id),
                Taken::Received(id, new) => {
                    seen.push(id);
                    received += 1;
                    applied += usize::from(new);
                }
                Taken::Refused(outcome) => return Ok(outcome),
            }
        }
        intake.finish()?;
        work.commit()?;
        let now = self.machine.clock.now_ms();
        seen.into_iter().for_each(|id| self.ticker.observe(id, now));
        Ok(Appended::Done { received, applied })
    }
}

/// What became of one entry.
enum Taken {
    /// It was here.
    Had(Hlc),
    /// It is now; and whether its op is new as well.
    Received(Hlc, bool),
    /// The batch cannot be taken.
    Refused(Appended),
}

/// One entry: the op, its place in the chain, the versions.
fn take(intake: &mut Intake<'_>, owner: &OwnerId, entry: &Entry) -> Result<Taken> {
    let bytes = entry.op.get();
    let op = match Op::decode(bytes) {
        Ok(op) => op,
        Err(Malformed { what, given }) => {
            let place = format!("{} {}", entry.origin, entry.seq);
            let why = format!("{place} is not {what}: {given}");
            return Ok(Taken::Refused(Appended::Malformed(why)));
        }
    };
    if op.owner() != owner {
        return Ok(Taken::Refused(Appended::OwnerMismatch(op.owner().clone())));
    }
    let head = intake.head(&entry.origin)?;
    if entry.seq <= head.seq && intake.hash_at(&entry.origin, entry.seq)? == Some(entry.hash) {
        return Ok(match intake.known(op.id(), bytes)? {
            Some(Known::Same(_)) => Taken::Had(op.id()),
            _ => Taken::Refused(Appended::IdReused(op.id())),
        });
    }
    if entry.seq != head.seq + 1 || head.hash.then(bytes) != entry.hash {
        let origin = entry.origin.clone();
        return Ok(Taken::Refused(Appended::NotNext { origin, head }));
    }
    let added = intake.add(&op, bytes)?;
    let n = match added {
        Some(n) => n,
        None => match intake.known(op.id(), bytes)? {
            Some(Known::Same(n)) => n,
            _ => return Ok(Taken::Refused(Appended::IdReused(op.id()))),
        },
    };
    intake.deliver(&entry.origin, n, entry.hash)?;
    Ok(Taken::Received(op.id(), added.is_some()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{machine::Machine, store::Birth};

    /// The status is asked for again and again, and nearly all ops are known.
    #[test]
    fn what_is_unknown_is_counted_without_looking_at_what_is_known() {
        let store = Store::in_memory(&Birth::Minting, &Machine::this()).unwrap();
        let mut explain =
            store.conn.prepare(&format!("EXPLAIN QUERY PLAN {COUNT_UNKNOWN}")).unwrap();
        let plan: String = explain.query_row(["me"], |row| row.get(3)).unwrap();
        assert_eq!(plan, "SEARCH ops USING INDEX ops_unknown (owner=?)");
    }
}
