//! What a replica holds, whatever numbers its rows have.
//!
//! Two replicas with the same ops are the same to everybody who asks them, and
//! yet their files differ: each gives out its numbers in the order in which ops
//! came to it. Here names stand for the numbers, those of owners, ops, chains
//! and entities. What is worked out from the ops is read as well: a replica that
//! has every op and shows something else is not the same.

use rusqlite::{Connection, Result};

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
