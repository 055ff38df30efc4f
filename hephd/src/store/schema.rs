//! The tables of a store, and how a file is known to be one.
//!
//! `ops`, `chains` and `heads` are what is true; `versions`, `awaited`,
//! `nodes` and `links` are worked out from the ops and could be made again.
//! Everything that belongs to one device alone lives in `meta`.

use std::cmp::Ordering;

use rusqlite::Connection;

use crate::error::{Code, Error, Result};

/// `PRAGMA application_id`: "HEPH".
pub const APPLICATION_ID: i32 = 0x4845_5048;

/// `PRAGMA user_version` of the tables below.
pub const SCHEMA_VERSION: i32 = 2;

const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);

    -- Names that stand in many rows have a number each: this file's own.
    CREATE TABLE owners (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);

    -- `key` is a node's id, or 'link:' before a link's.
    CREATE TABLE entities (
        n INTEGER PRIMARY KEY,
        owner INTEGER NOT NULL REFERENCES owners(n),
        key TEXT NOT NULL,
        UNIQUE (owner, key)
    );

    -- Every op once, its bytes as they came. An op of an unknown kind is
    -- about no entity that we know of.
    CREATE TABLE ops (
        n INTEGER PRIMARY KEY,
        owner INTEGER NOT NULL,
        id TEXT NOT NULL,
        entity INTEGER,
        bytes TEXT NOT NULL,
        UNIQUE (owner, id)
    );
    -- A node's ops in the order of their ids.
    CREATE INDEX ops_by_entity ON ops (entity, id) WHERE entity IS NOT NULL;
    CREATE INDEX ops_unknown ON ops (owner) WHERE entity IS NULL;

    -- Each origin's chain: its last entry.
    CREATE TABLE heads (
        n INTEGER PRIMARY KEY,
        owner INTEGER NOT NULL REFERENCES owners(n),
        origin TEXT NOT NULL,
        seq INTEGER NOT NULL,
        hash BLOB NOT NULL,
        UNIQUE (owner, origin)
    );

    -- The order of delivery: per chain 1, 2, 3 … A chain is the `n` of its
    -- head.
    CREATE TABLE chains (
        chain INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        op INTEGER NOT NULL REFERENCES ops(n),
        hash BLOB NOT NULL,
        PRIMARY KEY (chain, seq)
    ) WITHOUT ROWID;
    CREATE INDEX chains_by_op ON chains (op);

    -- The current versions of every field: ops that no known op supersedes.
    CREATE TABLE versions (
        entity INTEGER NOT NULL,
        field TEXT NOT NULL,
        op INTEGER NOT NULL REFERENCES ops(n),
        PRIMARY KEY (entity, field, op)
    ) WITHOUT ROWID;

    -- Versions that a known op supersedes and that have not come yet.
    CREATE TABLE awaited (
        owner INTEGER NOT NULL,
        id TEXT NOT NULL,
        entity INTEGER NOT NULL,
        field TEXT NOT NULL,
        PRIMARY KEY (owner, id, entity, field)
    ) WITHOUT ROWID;

    -- Nodes as they are shown. `fields` holds all shown values but `body`.
    CREATE TABLE nodes (
        owner INTEGER NOT NULL,
        id TEXT NOT NULL,
        kind TEXT,
        title TEXT,
        path TEXT,
        fields TEXT NOT NULL,
        updated INTEGER NOT NULL,
        hidden INTEGER NOT NULL,
        conflicts INTEGER NOT NULL,
        PRIMARY KEY (owner, id)
    ) WITHOUT ROWID;
    CREATE INDEX nodes_by_kind ON nodes (owner, kind, hidden, title);
    -- As `query` tells what is done and when it is due.
    CREATE INDEX nodes_by_due ON nodes (owner, kind, hidden,
        coalesce(json_type(fields, '$.done') = 'true', 0),
        coalesce(nullif(CASE json_type(fields, '$.due') WHEN 'text'
            THEN json_extract(fields, '$.due') END, ''), '~'), title) WHERE kind = 'task';
    CREATE INDEX nodes_by_path ON nodes (owner, path) WHERE path IS NOT NULL;
    CREATE INDEX nodes_in_conflict ON nodes (owner) WHERE conflicts > 0;

    CREATE TABLE links (
        owner INTEGER NOT NULL,
        id TEXT NOT NULL,
        source TEXT,
        target TEXT,
        kind TEXT,
        hidden INTEGER NOT NULL,
        PRIMARY KEY (owner, id)
    ) WITHOUT ROWID;
    CREATE INDEX links_from ON links (owner, source, kind);
    CREATE INDEX links_to ON links (owner, target, kind);
";

/// Makes the tables in an empty database, in one transaction.
pub(super) fn create(conn: &Connection) -> Result<()> {
    conn.execute_batch(&format!(
        "BEGIN IMMEDIATE; {TABLES}
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    ))?;
    Ok(())
}

/// Refuses a file that is not a store of this version.
pub(super) fn check(conn: &Connection, name: &str) -> Result<()> {
    let application: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(Error::new(
            Code::NotAHephStore,
            format!("{name} is not a heph store: its application id is {application:#x}"),
            "give the path of a device's or a hub's heph.db",
        ));
    }
    check_version(conn.query_row("PRAGMA user_version", [], |row| row.get(0))?, name)
}

/// Refuses a version of our tables that is not this one.
///
/// # Errors
/// `schema_newer`, `schema_older`.
pub(super) fn check_version(version: i32, name: &str) -> Result<()> {
    match version.cmp(&SCHEMA_VERSION) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(Error::new(
            Code::SchemaNewer,
            format!("{name} has schema {version}; this version knows {SCHEMA_VERSION}"),
            "upgrade hephd and heph-ops on this machine first",
        )),
        Ordering::Less => Err(Error::new(
            Code::SchemaOlder,
            format!("{name} has schema {version}, from before the first release"),
            "export it with the version that made it, and import the files with this one",
        )),
    }
}
