//! What may be copied: a store with one owner, of a schema that is not newer
//! than ours. A schema that is not ours at all will do.

use std::path::Path;

use rusqlite::Connection;

use super::source::{reading, stranger};
use crate::{
    error::{Code, Error, Result, file},
    id::OwnerId,
    store::schema::{APPLICATION_ID, check_version},
};

/// What there is to know of a store before it is copied.
#[derive(Debug, Clone)]
pub(in crate::store) struct Judged {
    pub(in crate::store) owner: OwnerId,
    pub(in crate::store) origin: Option<String>,
    pub(in crate::store) epoch: Option<String>,
    pub(in crate::store) is_hub: bool,
    pub(in crate::store) bytes: u64,
}

/// Refuses what is not a store that can be copied.
pub(in crate::store) fn judge(conn: &Connection, path: &Path) -> Result<Judged> {
    judge_schema(conn, path)?;
    let values = |key| meta_values(conn, key).map_err(reading(path));
    let owner = the_owner(&values("owner_id")?, path)?;
    Ok(Judged {
        owner,
        origin: values("origin")?.into_iter().next(),
        epoch: values("epoch")?.into_iter().next(),
        is_hub: values("role")?.iter().any(|role| role == "hub"),
        bytes: size(conn).map_err(reading(path))?,
    })
}

/// How many bytes a store's pages have.
pub(super) fn size(conn: &Connection) -> rusqlite::Result<u64> {
    let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    conn.query_row(size, [], |row| row.get(0))
}

/// A file of another program is known by its `application_id`, a stranger by
/// having no table `meta(key, value)`.
fn judge_schema(conn: &Connection, path: &Path) -> Result<()> {
    const COLUMNS: &str =
        "SELECT count(*) FROM pragma_table_list l, pragma_table_xinfo(l.name, 'main') c
         WHERE l.schema = 'main' AND l.type = 'table' AND lower(l.name) = 'meta'
           AND lower(c.name) IN ('key', 'value') AND c.hidden = 0";
    let number =
        |query| conn.query_row(query, [], |row| row.get::<_, i32>(0)).map_err(reading(path));
    refuse_impostors(conn, path)?;
    let application = number("PRAGMA application_id")?;
    if application != 0 && application != APPLICATION_ID {
        return Err(stranger(path, &format!("its application id is {application:#x}")));
    }
    let version = number("PRAGMA user_version")?;
    if application == APPLICATION_ID {
        check_version(version, &path.display().to_string())?;
    }
    if number(COLUMNS)? == 2 {
        Ok(())
    } else {
        Err(stranger(path, "it has no table meta(key, value)"))
    }
}

/// SQLite looks for a table of that name before its own, and what that one
/// leaves out of the list of tables would be copied unproved.
fn refuse_impostors(conn: &Connection, path: &Path) -> Result<()> {
    const NAMES: &str = "SELECT name FROM sqlite_schema
         WHERE type IN ('table', 'view') AND lower(name) GLOB 'pragma_*'";
    let mut names = conn.prepare(NAMES).map_err(reading(path))?;
    let mut names = names.query_map([], |row| row.get::<_, String>(0)).map_err(reading(path))?;
    match names.next().transpose().map_err(reading(path))? {
        None => Ok(()),
        Some(name) => Err(stranger(path, &format!("its {name} hides what SQLite calls so"))),
    }
}

fn the_owner(values: &[String], path: &Path) -> Result<OwnerId> {
    match values {
        [owner] => owner.parse().map_err(|why| stranger(path, &format!("its owner: {why}"))),
        [] => Err(Error::new(
            Code::NotAHephStore,
            format!("{} has no owner_id in its table meta", path.display()),
            "a device that never met its hub has no owner yet: sync it once, or give another store",
        )),
        more => Err(stranger(path, &format!("it has {} values of owner_id", more.len()))),
    }
}

/// The different values of a key of `meta`, however they are stored.
pub(in crate::store) fn meta_values(conn: &Connection, key: &str) -> rusqlite::Result<Vec<String>> {
    let mut read = conn.prepare(
        "SELECT DISTINCT CAST(value AS TEXT) FROM meta
         WHERE CAST(key AS TEXT) = ?1 AND value IS NOT NULL",
    )?;
    read.query_map([key], |row| row.get(0))?.collect()
}

/// Refuses what is not even a file with something in it.
pub(in crate::store) fn check_file(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::new(
            Code::SourceNotFound,
            format!("there is no store at {}", path.display()),
            "look for the device's heph.db: usually ~/.local/share/heph/heph.db",
        )),
        Err(error) => Err(file(path, "read")(error)),
        Ok(meta) if !meta.is_file() => Err(stranger(path, "it is not a regular file")),
        Ok(meta) if meta.len() == 0 => Err(stranger(path, "the file is empty")),
        Ok(_) => Ok(()),
    }
}
