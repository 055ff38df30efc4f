//! The proof that two stores hold the same: how many rows each table has, and
//! what they digest to.
//!
//! It does not depend on our own schema. Every table that has pages of its own
//! is read, so a virtual table is proved through its shadow tables, and every
//! value counts, with its type and its length; rows stand in the order of
//! their keys, so that one lost row and one doubled row cannot make up for
//! each other. Only the text of the schema is compared, not the pages that it
//! happens to name. Memory stays the same however large a store is.
//!
//! The caller holds a read transaction: a proof is of one moment.

use rusqlite::{Connection, Result, Row, types::ValueRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::hex;

/// The table that may differ.
pub const META: &str = "meta";

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Every table, by name.
    pub tables: Vec<TableProof>,
    /// The digest of the schema's text.
    pub schema: String,
    /// `PRAGMA user_version`.
    pub user_version: i32,
    /// `PRAGMA application_id`.
    pub application_id: i32,
}

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProof {
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// SHA-256 over its rows, in hexadecimal.
    pub digest: String,
}

impl Proof {
    /// The proof of one table.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableProof> {
        self.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }
}

/// Reads everything that a store holds. `progress` hears of each table, and
/// of its rows so far.
///
/// # Errors
/// SQLite's, reading.
pub fn prove(conn: &Connection, progress: &mut dyn FnMut(&str, u64)) -> Result<Proof> {
    const SCHEMA: &str = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2, 3";
    let mut tables = Vec::new();
    for (name, without_rowid) in tables_of(conn)? {
        let query = rows_of(conn, &name, without_rowid)?;
        let (rows, digest) = digest(conn, &query, &mut |rows| progress(&name, rows))?;
        tables.push(TableProof { name, rows, digest });
    }
    Ok(Proof {
        tables,
        schema: digest(conn, SCHEMA, &mut |_| ())?.1,
        user_version: conn.query_row("PRAGMA user_version", [], |row| row.get(0))?,
        application_id: conn.query_row("PRAGMA application_id", [], |row| row.get(0))?,
    })
}

/// The first difference between two stores, in words, `meta` apart.
#[must_use]
pub fn compare(one: &Proof, other: &Proof) -> Option<String> {
    if one.application_id != other.application_id || one.user_version != other.user_version {
        return Some("application_id or user_version differs".to_owned());
    }
    if one.schema != other.schema {
        return Some("the schema differs".to_owned());
    }
    let names = |proof: &Proof| proof.tables.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
    if names(one) != names(other) {
        return Some("the tables differ".to_owned());
    }
    let mut pairs = one.tables.iter().zip(&other.tables);
    let (a, b) = pairs.find(|(a, b)| a != b && !a.name.eq_ignore_ascii_case(META))?;
    Some(match a.rows == b.rows {
        true => format!("table {}: its {} rows differ", a.name, a.rows),
        false => format!("table {}: {} rows here, {} there", a.name, a.rows, b.rows),
    })
}

/// The first row that two tables of one schema do not share: its place, and
/// what stands first in it on either side.
pub(super) fn row_that_differs(
    one: &Connection,
    other: &Connection,
    table: &str,
) -> Result<Option<String>> {
    let tables = tables_of(one)?;
    let Some((name, without_rowid)) = tables.into_iter().find(|(name, _)| name == table) else {
        return Ok(None);
    };
    rows_that_differ(one, other, &rows_of(one, &name, without_rowid)?)
}

/// The first row of one query that two stores answer in another way.
pub(super) fn rows_that_differ(
    one: &Connection,
    other: &Connection,
    query: &str,
) -> Result<Option<String>> {
    let (mut here, mut there) = (one.prepare(query)?, other.prepare(query)?);
    let columns = here.column_count();
    let (mut here, mut there) = (here.query([])?, there.query([])?);
    for place in 1.. {
        let pair = (side(here.next()?, columns)?, side(there.next()?, columns)?);
        match pair {
            (None, None) => return Ok(None),
            (one, other) if one == other => {}
            (one, other) => {
                let shown = |side: Option<(String, String)>| {
                    side.map_or_else(|| "no such row".to_owned(), |(first, _)| first)
                };
                let (one, other) = (shown(one), shown(other));
                return Ok(Some(format!("row {place}, {one} here and {other} there")));
            }
        }
    }
    Ok(None)
}

/// A row's first value for people, and the digest of all.
fn side(row: Option<&Row<'_>>, columns: usize) -> Result<Option<(String, String)>> {
    let Some(row) = row else { return Ok(None) };
    let mut hash = Hasher::default();
    for column in 0..columns {
        hash.value(row.get_ref(column)?);
    }
    let first = match row.get_ref(0)? {
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).chars().take(40).collect(),
        other => format!("a {}", other.data_type()),
    };
    Ok(Some((first, hash.finish())))
}

/// What SQLite finds wrong with a store, in words. A row whose foreign key
/// leads nowhere passes `integrity_check`, so both are asked.
///
/// # Errors
/// SQLite's, reading.
pub fn flaws(conn: &Connection) -> Result<Option<String>> {
    unsound(conn).and_then(|flaw| flaw.map_or_else(|| orphan(conn), |flaw| Ok(Some(flaw))))
}

/// What `integrity_check` finds.
pub(super) fn unsound(conn: &Connection) -> Result<Option<String>> {
    let mut check = conn.prepare("PRAGMA integrity_check(20)")?;
    let mut found: Vec<String> = Vec::new();
    for said in check.query_map([], |row| row.get::<_, String>(0))? {
        match said {
            // What it says of pages comes as many lines in one, below a heading.
            Ok(said) => found
                .extend(said.lines().filter(|line| !line.starts_with("***")).map(str::to_owned)),
            // It stumbles over a page that it has named before.
            Err(_) if !found.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(match found.as_slice() {
        [word] if word == "ok" => None,
        [one] => Some(one.clone()),
        [first, more @ ..] => Some(format!("{first}; and {} more", more.len())),
        [] => Some("integrity_check says nothing".to_owned()),
    })
}

/// A row whose foreign key leads nowhere.
pub(super) fn orphan(conn: &Connection) -> Result<Option<String>> {
    let mut check = conn.prepare("PRAGMA foreign_key_check")?;
    let mut orphans = check.query([])?;
    let Some(orphan) = orphans.next()? else { return Ok(None) };
    let (child, parent): (String, String) = (orphan.get(0)?, orphan.get(2)?);
    Ok(Some(format!("a row of {child} refers to a row of {parent} that is not there")))
}

/// Every table with pages of its own, and whether it is `WITHOUT ROWID`.
fn tables_of(conn: &Connection) -> Result<Vec<(String, bool)>> {
    let mut list = conn.prepare(
        "SELECT s.name, l.wr FROM sqlite_schema s
         JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name
         WHERE s.type = 'table' AND s.rootpage > 0 ORDER BY s.name",
    )?;
    list.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The query that gives a table's rows as they are stored. Indexes are left
/// alone: what is proved is the table.
fn rows_of(conn: &Connection, table: &str, without_rowid: bool) -> Result<String> {
    // Columns that are computed at each reading (hidden = 2) hold nothing.
    const COLUMNS: &str = "SELECT name, hidden, pk FROM pragma_table_xinfo(?1, 'main')";
    let mut list = conn.prepare(COLUMNS)?;
    let columns: Vec<(String, i64, i64)> = list
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_>>()?;
    let mut key: Vec<_> = columns.iter().filter(|(_, _, pk)| without_rowid && *pk > 0).collect();
    key.sort_by_key(|(_, _, pk)| pk);
    let mut order: Vec<_> = key.into_iter().map(|(name, ..)| quote(name)).collect();
    let mut wanted: Vec<_> = columns
        .iter()
        .filter(|(_, hidden, _)| *hidden != 2)
        .map(|(name, ..)| quote(name))
        .collect();
    if let Some(rowid) = rowid_of(&columns).filter(|_| !without_rowid) {
        wanted.insert(0, rowid.to_owned());
        order.push(rowid.to_owned());
    }
    let sorted =
        if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
    Ok(format!("SELECT {} FROM main.{} NOT INDEXED{sorted}", wanted.join(", "), quote(table)))
}

/// A name of the rowid that no column has taken for itself.
fn rowid_of(columns: &[(String, i64, i64)]) -> Option<&'static str> {
    let taken = |alias: &str| columns.iter().any(|(name, ..)| name.eq_ignore_ascii_case(alias));
    ["rowid", "_rowid_", "oid"].into_iter().find(|alias| !taken(alias))
}

/// A name as SQL wants it, whatever is in it.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Counts and digests the rows of a query.
fn digest(conn: &Connection, query: &str, progress: &mut dyn FnMut(u64)) -> Result<(u64, String)> {
    const TELL_EVERY: u64 = 1 << 14;
    let mut statement = conn.prepare(query)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let (mut count, mut hash) = (0, Hasher::default());
    progress(count);
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            hash.value(row.get_ref(column)?);
        }
        count += 1;
        if count % TELL_EVERY == 0 {
            progress(count);
        }
    }
    Ok((count, hash.finish()))
}

/// The digest of one value.
pub(super) fn digest_of(value: ValueRef<'_>) -> String {
    let mut hash = Hasher::default();
    hash.value(value);
    hash.finish()
}

/// How many bytes are worth a call of the hash.
const ENOUGH: usize = 1 << 14;

/// Gathers small values, because a hash is slow on a few bytes at a time.
#[derive(Default)]
struct Hasher {
    sha: Sha256,
    pending: Vec<u8>,
}

impl Hasher {
    /// Type, then length where the type does not tell it, then the bytes: no
    /// two lists of values run together.
    fn value(&mut self, value: ValueRef<'_>) {
        if self.pending.len() > ENOUGH {
            self.flush();
        }
        match value {
            ValueRef::Null => self.pending.push(0),
            ValueRef::Integer(number) => self.number(1, number.to_be_bytes()),
            ValueRef::Real(number) => self.number(2, number.to_bits().to_be_bytes()),
            ValueRef::Text(bytes) => self.bytes(3, bytes),
            ValueRef::Blob(bytes) => self.bytes(4, bytes),
        }
    }

    fn number(&mut self, tag: u8, bytes: [u8; 8]) {
        self.pending.push(tag);
        self.pending.extend_from_slice(&bytes);
    }

    fn bytes(&mut self, tag: u8, bytes: &[u8]) {
        self.number(tag, (bytes.len() as u64).to_be_bytes());
        if self.pending.len() + bytes.len() <= ENOUGH {
            self.pending.extend_from_slice(bytes);
            return;
        }
        self.flush();
        self.sha.update(bytes);
    }

    fn flush(&mut self) {
        self.sha.update(&self.pending);
        self.pending.clear();
    }

    fn finish(mut self) -> String {
        self.flush();
        hex(&self.sha.finalize())
    }
}
