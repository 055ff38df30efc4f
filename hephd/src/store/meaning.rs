//! What a replica holds, whatever numbers its rows have.
//!
//! Two replicas with the same ops are the same to everybody who asks them, and
//! yet their files differ: each gives out its numbers in the order in which ops
//! came to it. Here names stand for the numbers, those of owners, ops, chains
//! and entities. What is worked out from the ops is read as well: a replica that
//! has every op and shows something else is not the same.

use std::cmp::Ordering;

use rusqlite::{Connection, Result, Row};

use super::proof::rows_that_differ;

/// Each table, and the query that tells it without numbers of its own. The joins
/// are crossed, which keeps their order: the rows come sorted by the indexes, and
/// a large store needs no room to sort them.
const TABLES: [(&str, &str); 7] = [
    (
        "ops",
        "SELECT o.id, w.id, o.bytes FROM owners w CROSS JOIN ops o ON o.owner = w.n
         ORDER BY w.id, o.id",
    ),
    (
        "heads",
        "SELECT h.origin, w.id, h.seq, h.hash FROM heads h JOIN owners w ON w.n = h.owner
         ORDER BY w.id, h.origin",
    ),
    (
        "chains",
        "SELECT o.id, w.id, h.origin, c.seq, c.hash FROM owners w
         CROSS JOIN heads h ON h.owner = w.n CROSS JOIN chains c ON c.chain = h.n
         CROSS JOIN ops o ON o.n = c.op
         ORDER BY w.id, h.origin, c.seq",
    ),
    (
        "versions",
        "SELECT e.key, w.id, v.field, o.id FROM owners w
         CROSS JOIN entities e ON e.owner = w.n CROSS JOIN versions v ON v.entity = e.n
         CROSS JOIN ops o ON o.n = v.op
         ORDER BY w.id, e.key, v.field, o.id",
    ),
    (
        "awaited",
        "SELECT a.id, w.id, e.key, a.field FROM awaited a JOIN entities e ON e.n = a.entity
         JOIN owners w ON w.n = a.owner ORDER BY w.id, a.id, e.key, a.field",
    ),
    (
        "nodes",
        "SELECT n.id, w.id, kind, title, path, fields, updated, hidden, conflicts
         FROM owners w CROSS JOIN nodes n ON n.owner = w.n ORDER BY w.id, n.id",
    ),
    (
        "links",
        "SELECT l.id, w.id, source, target, kind, hidden
         FROM owners w CROSS JOIN links l ON l.owner = w.n ORDER BY w.id, l.id",
    ),
];

/// The ops in the order of their ids, whose place is in an index.
const OPS: &str = "SELECT w.id, o.id FROM owners w CROSS JOIN ops o ON o.owner = w.n
    ORDER BY w.id, o.id";

/// Whether a table is told by [`difference`], or only numbers what is.
#[must_use]
pub(super) fn tells_of(table: &str) -> bool {
    let numbers = ["meta", "owners", "entities"];
    TABLES.iter().any(|(name, _)| *name == table) || numbers.contains(&table)
}

/// How many ops only the first of two replicas has, and how many only the other.
///
/// # Errors
/// SQLite's, reading.
pub fn ops_apart(one: &Connection, other: &Connection) -> Result<(u64, u64)> {
    let (mut here, mut there) = (one.prepare(OPS)?, other.prepare(OPS)?);
    let (mut here, mut there) = (here.query([])?, there.query([])?);
    let (mut left, mut right) = (op(here.next()?)?, op(there.next()?)?);
    let (mut only_here, mut only_there) = (0, 0);
    loop {
        let order = match (&left, &right) {
            (None, None) => return Ok((only_here, only_there)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => left.cmp(right),
        };
        if order.is_le() {
            left = op(here.next()?)?;
        }
        if order.is_ge() {
            right = op(there.next()?)?;
        }
        match order {
            Ordering::Less => only_here += 1,
            Ordering::Equal => {}
            Ordering::Greater => only_there += 1,
        }
    }
}

fn op(row: Option<&Row<'_>>) -> Result<Option<(String, String)>> {
    row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
}

/// The first thing that one replica holds and the other does not, in words. Both
/// have the tables of this version.
///
/// # Errors
/// SQLite's, reading.
pub fn difference(one: &Connection, other: &Connection) -> Result<Option<String>> {
    for (table, query) in TABLES {
        if let Some(row) = rows_that_differ(one, other, query)? {
            return Ok(Some(format!("table {table}: {row}")));
        }
    }
    Ok(None)
}
