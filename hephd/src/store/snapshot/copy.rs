//! The copy, taken in one step.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rusqlite::{
    Connection, Error as Sqlite, ErrorCode, OpenFlags,
    backup::{Backup, StepResult},
    ffi,
};

use super::{
    Listener, Progress,
    source::{calm, reading},
};
use crate::{
    error::{Code, Error, Result},
    store::proof::digest_of,
};

/// Copies all of a store into the staging file, in one step inside the
/// source's read transaction.
pub(super) fn copy(
    source: &Connection,
    staging: &Path,
    of: u64,
    progress: Listener<'_>,
) -> Result<Connection> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // One step tells nothing on its way; the file's length does.
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let bytes = staging.metadata().map_or(0, |meta| meta.len());
                progress(Progress::Copying { bytes: bytes.min(of), of });
                thread::park_timeout(Duration::from_millis(100));
            }
            progress(Progress::Copying { bytes: of, of });
        });
        let copied = one_step(source, staging);
        done.store(true, Ordering::Release);
        watcher.thread().unpark();
        copied.map_err(copying(staging))
    })
}

fn one_step(source: &Connection, staging: &Path) -> rusqlite::Result<Connection> {
    let mut copy = open_private(staging)?;
    if Backup::new(source, &mut copy)?.step(-1)? != StepResult::Done {
        return Err(Sqlite::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None));
    }
    settle(copy)
}

/// Opens a file that is a copy already.
pub(super) fn open_copy(staging: &Path) -> rusqlite::Result<Connection> {
    settle(open_private(staging)?)
}

/// Nobody else knows of the staging file, and publishing it syncs it whole:
/// it needs neither locks nor a journal on disk, nor a sync in between.
fn open_private(staging: &Path) -> rusqlite::Result<Connection> {
    // In a folder of another user's, a link in its place must lead nowhere.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let copy = Connection::open_with_flags(staging, flags)?;
    copy.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY",
    )?;
    Ok(copy)
}

/// The copied header may ask for a write-ahead log: a store that is moved into
/// place is one file. A failure to change it shows only in the mode that
/// SQLite finds itself in once it has read the header again.
fn settle(copy: Connection) -> rusqlite::Result<Connection> {
    calm(&copy)?;
    let set = |mode| {
        copy.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        copy.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get::<_, String>(0))
    };
    set("DELETE")?;
    if set("MEMORY")? != "memory" {
        return Err(Sqlite::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_WRITE), None));
    }
    copy.execute_batch("PRAGMA secure_delete = ON")?;
    Ok(copy)
}

/// Each key of `meta` and the digests of its values. A table that came from
/// elsewhere may hold a key twice.
pub(in crate::store) fn digests_of_meta(
    conn: &Connection,
) -> rusqlite::Result<BTreeMap<String, Vec<String>>> {
    let mut read = conn.prepare("SELECT CAST(key AS TEXT), value FROM meta")?;
    let mut rows = read.query([])?;
    let mut found = BTreeMap::<String, Vec<String>>::new();
    while let Some(row) = rows.next()? {
        let key: Option<String> = row.get(0)?;
        let values = found.entry(key.unwrap_or_default()).or_default();
        values.push(digest_of(row.get_ref(1)?));
        values.sort();
    }
    Ok(found)
}

/// Names the staging file in what SQLite says while it is written.
pub(in crate::store) fn copying(staging: &Path) -> impl Fn(Sqlite) -> Error + '_ {
    move |error| {
        if !is_our_failure(&error) {
            return reading(staging)(error);
        }
        Error::new(
            Code::NoSpace,
            format!("cannot write {}: {error}", staging.display()),
            "look at the disk that it is on: its room, its quota, its health",
        )
    }
}

/// A failure to write can only be the copy's: the source is never written.
pub(in crate::store) fn is_our_failure(error: &Sqlite) -> bool {
    let Some(failure) = error.sqlite_error() else { return false };
    failure.code == ErrorCode::DiskFull
        || matches!(
            failure.extended_code,
            ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_TRUNCATE
        )
}
