//! The numbers that stand for names in this file: owners, nodes and links,
//! chains. They mean nothing outside it.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{error::Result, id::OwnerId, op::Hash};

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
