//! What stands at the target already. It is looked at and never changed.

use std::path::Path;

use rusqlite::{Connection, types::ValueRef};

use super::{
    SeededFrom,
    ground::check_ground,
    judge::{judge, meta_values},
    source::{Reader, reading},
};
use crate::{
    error::{Code, Error, Result},
    store::file::{StoreLock, refuse_sidecars},
};

/// What stands at the target.
pub(super) enum Standing {
    Nothing,
    AlreadySeeded(SeededFrom),
    Store(Reader),
}

/// Looks at what stands at the target, in the light of a source's name.
pub(super) fn observe(to: &Path, source: &str) -> Result<Standing> {
    check_ground(to)?;
    let Ok(meta) = to.symlink_metadata() else {
        refuse_sidecars(to)?;
        return Ok(Standing::Nothing);
    };
    if meta.len() == 0 {
        return Err(occupied(to, "an empty file stands there"));
    }
    let unreadable = |error: rusqlite::Error| {
        let error = reading(to)(error);
        if error.code == Code::StoreInUse { error } else { occupied(to, &error.message) }
    };
    let reader = Reader::open(to).map_err(unreadable)?;
    Ok(match seeded_from(&reader, source).unwrap_or_default() {
        Some(seeded) => Standing::AlreadySeeded(seeded),
        None => Standing::Store(reader),
    })
}

/// The mark that a seed from this source leaves.
fn seeded_from(target: &Reader, source: &str) -> rusqlite::Result<Option<SeededFrom>> {
    let marks = meta_values(target.conn()?, "seeded_from")?;
    let owners = meta_values(target.conn()?, "owner_id")?;
    let seeded = marks.iter().find_map(|mark| serde_json::from_str::<SeededFrom>(mark).ok());
    Ok(seeded.filter(|seeded| {
        seeded.source == source && owners.iter().all(|owner| owner == seeded.owner.as_str())
    }))
}

/// Why nothing is seeded over a daemon at work.
pub(super) fn refuse_in_use(to: &Path) -> Result<()> {
    let Some(pid) = StoreLock::holder(to) else { return Ok(()) };
    Err(Error::new(
        Code::StoreInUse,
        format!("{} is in use by process {pid}", to.display()),
        "it is a store of its own already; choose another --to",
    ))
}

/// Why nothing is seeded over a store: the most telling of all reasons.
pub(super) fn why_not(to: &Path, target: &Reader, from: &Path, source: &Reader) -> Error {
    reason(to, target, from, source).unwrap_or_else(|error| error)
}

fn reason(to: &Path, target: &Reader, from: &Path, source: &Reader) -> Result<Error> {
    let there = target.conn().map_err(reading(to))?;
    let here = source.conn().map_err(reading(from))?;
    let ours = judge(here, from)?.owner;
    let theirs = meta_values(there, "owner_id").unwrap_or_default();
    let Some(theirs) = theirs.first() else {
        return Ok(occupied(to, "a file that is not a heph store stands there"));
    };
    if theirs != ours.as_str() {
        return Ok(Error::new(
            Code::TargetHasOtherOwner,
            format!("{} belongs to {theirs}, the source to {ours}", to.display()),
            "choose another --to: the data of two owners is never put together",
        ));
    }
    if lacks_an_op(here, there).unwrap_or(false) {
        return Ok(Error::new(
            Code::TargetHasNewerData,
            format!("{} holds changes that {} lacks", to.display(), from.display()),
            "nothing may replace it: let the device sync with it instead",
        ));
    }
    Ok(occupied(to, "a store of the same owner stands there"))
}

/// Whether the source lacks an op that the target has: both lists in order,
/// side by side. A store without such a table has no ops that we know of.
fn lacks_an_op(source: &Connection, target: &Connection) -> rusqlite::Result<bool> {
    const IDS: &str =
        "SELECT DISTINCT CAST(ops.id AS BLOB) FROM ops WHERE ops.id IS NOT NULL ORDER BY 1";
    let (mut ours, mut theirs) = (source.prepare(IDS)?, target.prepare(IDS)?);
    let (mut ours, mut theirs) = (ours.query([])?, theirs.query([])?);
    while let Some(row) = theirs.next()? {
        let wanted = row.get_ref(0)?;
        loop {
            match ours.next()?.map(|row| row.get_ref(0)).transpose()? {
                Some(id) if bytes(id) < bytes(wanted) => {}
                Some(id) if bytes(id) == bytes(wanted) => break,
                _ => return Ok(true),
            }
        }
    }
    Ok(false)
}

fn bytes(value: ValueRef<'_>) -> &[u8] {
    value.as_blob().unwrap_or_default()
}

/// Something has the target's name.
pub(super) fn occupied(to: &Path, why: &str) -> Error {
    Error::new(
        Code::TargetNotEmpty,
        format!("{} exists: {why}", to.display()),
        format!("choose another --to, or move it away first: mv {0} {0}.old", to.display()),
    )
}
