//! The copy: taken in one step, and made a replica of its own.

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
    Progress, SeededFrom,
    judge::Judged,
    source::{calm, reading, stranger},
};
use crate::{
    clock::rfc3339,
    error::{Code, Error, Result},
    id::{Origin, draw_hex},
    machine::Machine,
    store::{proof::digest_of, subjects::promise},
};

/// Who wants to hear how far it is.
pub(super) type Listener<'a> = &'a (dyn Fn(Progress) + Sync);

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

/// Nobody else knows of the staging file, and publishing it syncs it whole:
/// it needs neither locks nor a journal on disk, nor a sync in between.
fn one_step(source: &Connection, staging: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(staging, flags)?;
    copy.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY",
    )?;
    if Backup::new(source, &mut copy)?.step(-1)? != StepResult::Done {
        return Err(Sqlite::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None));
    }
    calm(&copy)?;
    // The copied header may ask for a write-ahead log: a store that is moved
    // into place is one file. A failure to change it shows only in the mode
    // that SQLite finds itself in once it has read the header again.
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

/// What makes a copy a replica of its own.
pub(super) struct Fresh {
    pub(super) mark: SeededFrom,
    pub(super) origin: Origin,
    pub(super) epoch: String,
    pub(super) owner_sub: Option<String>,
}

impl Fresh {
    pub(super) fn draw(
        source: String,
        judged: &Judged,
        owner_sub: Option<&str>,
        Machine { clock, entropy, .. }: &Machine,
    ) -> Self {
        let (owner, origin) = (judged.owner.clone(), judged.origin.clone());
        let mark = SeededFrom { source, owner, origin, at: rfc3339(clock.now_ms()) };
        Self {
            mark,
            origin: Origin::draw(entropy),
            epoch: draw_hex::<8>(entropy),
            owner_sub: owner_sub.map(str::to_owned),
        }
    }
}

/// Takes out of `meta` what belongs to the source's device alone and puts in
/// what is the copy's own.
pub(super) fn make_own(copy: &mut Connection, fresh: &Fresh, from: &Path) -> Result<()> {
    let mark = serde_json::to_string(&fresh.mark).map_err(Error::internal)?;
    let mut own =
        vec![("origin", fresh.origin.as_str()), ("epoch", &fresh.epoch), ("seeded_from", &mark)];
    own.extend(fresh.owner_sub.as_deref().map(promise));
    change_meta(copy, &own).map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => reading(from)(error),
        _ if is_our_failure(&error) => copying(from)(error),
        _ => stranger(from, &format!("its table meta cannot be changed: {error}")),
    })
}

fn change_meta(copy: &mut Connection, own: &[(&str, &str)]) -> rusqlite::Result<()> {
    let change = copy.transaction()?;
    for key in digests_of_meta(&change)?.into_keys().filter(|key| is_of_one_device(key)) {
        change.execute("DELETE FROM meta WHERE CAST(key AS TEXT) = ?1", [key])?;
    }
    for (key, value) in own {
        change.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", [key, value])?;
    }
    change.commit()
}

/// The keys of `meta` that no second device may have. What is not known here
/// is data like any other, and stays.
pub(super) fn is_of_one_device(key: &str) -> bool {
    const KEYS: [&str; 4] = ["origin", "epoch", "role", "seeded_from"];
    const SORTS: [&str; 3] = ["device_", "sync_", "hub_"];
    KEYS.contains(&key) || SORTS.iter().any(|sort| key.starts_with(sort))
}

/// Each key of `meta` and the digests of its values. A table that came from
/// elsewhere may hold a key twice.
pub(super) fn digests_of_meta(
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
pub(super) fn copying(staging: &Path) -> impl Fn(Sqlite) -> Error + '_ {
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
pub(super) fn is_our_failure(error: &Sqlite) -> bool {
    let Some(failure) = error.sqlite_error() else { return false };
    failure.code == ErrorCode::DiskFull
        || matches!(
            failure.extended_code,
            ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_TRUNCATE
        )
}
