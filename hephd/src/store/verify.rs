//! Whether a store still holds what it held: against the receipt of a copy, or
//! against another store.
//!
//! A store that goes on living is not equal to its receipt for long. What must
//! stay true is that each chain still begins with what it had then: its ops
//! are read again, and their hashes must lead to the head in the receipt.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{
    file::{Spool, full},
    meaning,
    proof::{META, Proof, TableProof, compare, flaws, prove, row_that_differs},
    schema::{APPLICATION_ID, SCHEMA_VERSION},
    seed::{HeadReceipt, Kind, Receipt, receipt_path},
    snapshot::{Listener, Opened, Progress, damaged, reading},
};
use crate::{error::Result, machine::Machine, op::Hash};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every table holds what it should; `meta` may differ.
    Equal,
    /// Two replicas hold the same, in rows that came in another order.
    Alike,
    /// All that it held is there, and more has come.
    Grown {
        /// How many ops.
        ops: u64,
    },
    /// The first difference.
    Differs(String),
}

/// What was found, and in what.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What came of it.
    pub verdict: Verdict,
    /// What the store holds now.
    pub proof: Proof,
}

/// The receipt beside a store: of its restore, else of its seed. Whoever makes a
/// store anew takes the other one's away.
#[must_use]
pub fn receipt_beside(db: &Path) -> Option<PathBuf> {
    let paths = [Kind::Restore, Kind::Seed].map(|kind| receipt_path(&full(db), kind));
    paths.into_iter().find(|path| path.exists())
}

/// Compares a store with a receipt.
///
/// # Errors
/// As of a seed's source; `store_corrupt`.
pub fn against_receipt(
    db: &Path,
    receipt: &Receipt,
    machine: &Machine,
    progress: Listener<'_>,
) -> Result<Verified> {
    let db = full(db);
    let spool = Spool::near(&db, &machine.entropy)?;
    let store = Opened::at(&db, &spool.path("source.db"))?;
    let conn = store.conn()?;
    if let Some(other) = another_store(&store, receipt) {
        return Ok(Verified { verdict: Verdict::Differs(other), proof: receipt.proof() });
    }
    let proof = prove_sound(conn, &db, progress)?;
    let then = receipt.proof();
    let verdict = match compare(&then, &proof) {
        None => Verdict::Equal,
        Some(difference) => {
            let lost = lost_head(conn, receipt.heads.as_deref()).map_err(reading(&db))?;
            match (lost, grown(&then, &proof)) {
                (Lost::Nothing, Some(ops)) if ops > 0 => Verdict::Grown { ops },
                (Lost::Head(origin), _) => Verdict::Differs(format!(
                    "{difference}; the chain of {origin} is not what it was"
                )),
                _ => Verdict::Differs(difference),
            }
        }
    };
    Ok(Verified { verdict, proof })
}

/// Compares two stores, row by row.
///
/// # Errors
/// As [`against_receipt`].
pub fn against_store(
    db: &Path,
    other: &Path,
    machine: &Machine,
    progress: Listener<'_>,
) -> Result<Verified> {
    let (db, other) = (full(db), full(other));
    let (spool, spare) =
        (Spool::near(&db, &machine.entropy)?, Spool::near(&other, &machine.entropy)?);
    let one = Opened::at(&db, &spool.path("source.db"))?;
    let two = Opened::at(&other, &spare.path("source.db"))?;
    let proof = prove_sound(one.conn()?, &db, progress)?;
    let that = prove_sound(two.conn()?, &other, progress)?;
    let verdict = match compare(&proof, &that) {
        None => Verdict::Equal,
        Some(difference) => {
            if let Some(verdict) = meant(&proof, &that, one.conn()?, two.conn()?, &db)? {
                return Ok(Verified { verdict, proof });
            }
            let table =
                proof.tables.iter().zip(&that.tables).find(|(a, b)| {
                    a != b && a.name == b.name && !a.name.eq_ignore_ascii_case(META)
                });
            let row = table.filter(|_| proof.schema == that.schema).map(|(table, _)| {
                row_that_differs(one.conn()?, two.conn()?, &table.name).map_err(reading(&db))
            });
            match row.transpose()?.flatten() {
                Some(row) => Verdict::Differs(format!("{difference}; the first: {row}")),
                None => Verdict::Differs(difference),
            }
        }
    };
    Ok(Verified { verdict, proof })
}

/// How many ops only the first of two stores has, and how many only the other.
///
/// # Errors
/// As of a seed's source.
pub fn ops_apart(db: &Path, other: &Path, machine: &Machine) -> Result<(u64, u64)> {
    let (db, other) = (full(db), full(other));
    let spool = Spool::near(&db, &machine.entropy)?;
    let one = Opened::at(&db, &spool.path("source.db"))?;
    let two = Opened::at(&other, &spool.path("other.db"))?;
    meaning::ops_apart(one.conn()?, two.conn()?).map_err(reading(&db))
}

/// What two stores of this version mean. None where one is of another version, or
/// where what differs is in somebody else's table.
fn meant(
    one: &Proof,
    other: &Proof,
    here: &Connection,
    there: &Connection,
    db: &Path,
) -> Result<Option<Verdict>> {
    let ours = |proof: &Proof| {
        (proof.application_id, proof.user_version) == (APPLICATION_ID, SCHEMA_VERSION)
    };
    let strange = |table: &&TableProof| !meaning::tells_of(&table.name);
    let strangers =
        |proof: &Proof| proof.tables.iter().filter(strange).cloned().collect::<Vec<_>>();
    if !ours(one)
        || !ours(other)
        || one.schema != other.schema
        || strangers(one) != strangers(other)
    {
        return Ok(None);
    }
    let verdict = match meaning::ops_apart(here, there).map_err(reading(db))? {
        (0, 0) => meaning::difference(here, there)
            .map_err(reading(db))?
            .map_or(Verdict::Alike, Verdict::Differs),
        (ops, 0) => Verdict::Grown { ops },
        (0, lacks) => Verdict::Differs(format!("ops that it lacks: {lacks}")),
        (ops, lacks) => {
            Verdict::Differs(format!("ops that it lacks: {lacks}; that it alone has: {ops}"))
        }
    };
    Ok(Some(verdict))
}

/// A receipt is of one owner's store, and of a seed or a restore until the next
/// one gives it another origin.
fn another_store(store: &Opened, receipt: &Receipt) -> Option<String> {
    let owner = &store.judged.owner;
    if *owner != receipt.owner_id {
        return Some(format!("its owner is {owner}, and was {}", receipt.owner_id));
    }
    let made = receipt.kind != Kind::Backup && store.judged.origin != receipt.new_origin;
    made.then(|| "it has another origin: the receipt is of another store".to_owned())
}

fn prove_sound(conn: &Connection, db: &Path, progress: Listener<'_>) -> Result<Proof> {
    if let Some(flaw) = flaws(conn).map_err(reading(db))? {
        return Err(damaged(db, &flaw));
    }
    let mut tell =
        |table: &str, rows| progress(Progress::Proving { table: table.to_owned(), rows });
    prove(conn, &mut tell).map_err(reading(db))
}

/// How many ops came, where the same tables are there, and none has lost what it
/// never loses.
fn grown(then: &Proof, now: &Proof) -> Option<u64> {
    if then.schema != now.schema || then.user_version != now.user_version {
        return None;
    }
    let rows = |proof: &Proof, name: &str| proof.table(name).map_or(0, |table| table.rows);
    // What was deleted is still a row of these.
    let fewer = |name: &&str| rows(now, name) < rows(then, name);
    if ["nodes", "links", "entities", "heads"].iter().any(fewer) {
        return None;
    }
    now.table("ops")?.rows.checked_sub(then.table("ops")?.rows)
}

enum Lost {
    Nothing,
    Head(String),
    /// There are no chains that we know of.
    Unknown,
}

/// The first chain that does not lead to the head that it had.
fn lost_head(conn: &Connection, heads: Option<&[HeadReceipt]>) -> rusqlite::Result<Lost> {
    const CHAINS: &str = "SELECT n FROM heads WHERE origin = ?1";
    const OPS: &str = "SELECT o.bytes FROM chains c JOIN ops o ON o.n = c.op
         WHERE c.chain = ?1 AND c.seq <= ?2 ORDER BY c.seq";
    let (Some(heads), Ok(mut chains), Ok(mut ops)) =
        (heads, conn.prepare(CHAINS), conn.prepare(OPS))
    else {
        return Ok(Lost::Unknown);
    };
    for head in heads {
        let numbers = chains.query_map([&head.origin], |row| row.get::<_, i64>(0))?;
        let mut found = false;
        for chain in numbers.collect::<rusqlite::Result<Vec<_>>>()? {
            let (mut hash, mut seq) = (Hash::NONE, 0);
            let mut rows = ops.query((chain, head.seq))?;
            while let Some(row) = rows.next()? {
                let bytes = row.get_ref(0)?.as_str().unwrap_or_default();
                (hash, seq) = (hash.then(bytes), seq + 1);
            }
            found |= seq == head.seq && hash.to_string() == head.hash;
        }
        if !found {
            return Ok(Lost::Head(head.origin.clone()));
        }
    }
    Ok(Lost::Nothing)
}
