//! What stands at the target already. It is looked at and never changed.

use std::path::Path;

use rusqlite::{Connection, types::ValueRef};

use super::{Becoming, SeededFrom};
use crate::{
    error::{Code, Error, Result},
    paths::quoted,
    store::{
        file::{StoreLock, check_ground, refuse_sidecars},
        snapshot::{
            Reader, judge, meta_values, reading,
            stream::{Header, Incoming, STDIN},
        },
    },
};

/// What stands at the target.
pub(super) enum Standing {
    Nothing,
    AlreadySeeded(SeededFrom),
    Store(Reader),
}

/// How a store that was made of this very source is known.
#[derive(Debug, Clone, Copy)]
pub enum Sought<'a> {
    /// It was seeded from there.
    Source(&'a str),
    /// It was seeded from this device, whichever way its snapshot came.
    Sender(&'a Header),
    /// It is what this backup kept: the digest of that.
    Backup(&'a str),
}

impl<'a> Sought<'a> {
    pub(super) fn of(incoming: &'a Incoming<'_>, becoming: Becoming<'a>) -> Self {
        match becoming {
            Becoming::Restored { sha256 } => Self::Backup(sha256),
            _ if incoming.name() == STDIN => Self::Sender(incoming.header()),
            Becoming::Hub { .. } | Becoming::Device => Self::Source(incoming.name()),
        }
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Backup(_) => "restored_from",
            Self::Source(_) | Self::Sender(_) => "seeded_from",
        }
    }

    fn is(self, mark: &SeededFrom) -> bool {
        match self {
            Self::Source(source) => mark.source == source,
            Self::Sender(header) => {
                // Without an origin nobody knows which device it was.
                header.origin.is_some()
                    && header.origin == mark.origin
                    && header.owner.as_deref() == Some(mark.owner.as_str())
            }
            Self::Backup(sha256) => mark.sha256.as_deref() == Some(sha256),
        }
    }
}

/// Looks at what stands at the target, in the light of a source.
pub(super) fn observe(to: &Path, sought: &Sought<'_>) -> Result<Standing> {
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
    Ok(match made_of(&reader, sought).unwrap_or_default() {
        Some(seeded) => Standing::AlreadySeeded(seeded),
        None => Standing::Store(reader),
    })
}

/// The mark of what is sought.
fn made_of(target: &Reader, sought: &Sought<'_>) -> rusqlite::Result<Option<SeededFrom>> {
    let marks = meta_values(target.conn()?, sought.mark())?;
    let owners = meta_values(target.conn()?, "owner_id")?;
    let mark = marks.iter().find_map(|mark| serde_json::from_str::<SeededFrom>(mark).ok());
    Ok(mark
        .filter(|mark| sought.is(mark) && owners.iter().all(|owner| owner == mark.owner.as_str())))
}

/// Why nothing is seeded over a daemon at work.
pub(super) fn refuse_in_use(to: &Path) -> Result<()> {
    let Some(pid) = StoreLock::holder(to) else { return Ok(()) };
    Err(Error::new(
        Code::StoreInUse,
        format!("{} is in use by process {pid}", to.display()),
        "it is at work: stop it if it is to be replaced (heph-ops stop), or choose another --to",
    ))
}

/// Refuses to seed over a store, for the most telling of all reasons; to
/// `replace` it is no reason that it is there.
pub(super) fn why_not(
    to: &Path,
    target: &Reader,
    from: &Path,
    source: &Connection,
    replace: bool,
) -> Result<()> {
    let there = target.conn().map_err(reading(to))?;
    let ours = judge(source, from)?.owner;
    let theirs = meta_values(there, "owner_id").unwrap_or_default();
    let Some(theirs) = theirs.first() else {
        return Err(occupied(to, "a file that is not a heph store stands there"));
    };
    if theirs != ours.as_str() {
        return Err(Error::new(
            Code::TargetHasOtherOwner,
            format!("{} belongs to {theirs}, the source to {ours}", to.display()),
            "choose another --to: the data of two owners is never put together",
        ));
    }
    match lacks_an_op(source, there) {
        Ok(true) => Err(Error::new(
            Code::TargetHasNewerData,
            format!("{} holds changes that {} lacks", to.display(), from.display()),
            "nothing may replace it: let the device sync with it instead",
        )),
        Ok(false) if replace => Ok(()),
        Err(_) if replace => Err(occupied(to, "nobody can tell what it holds that the copy lacks")),
        _ => {
            let mut error = occupied(to, "a store of the same owner stands there");
            error.hint.push_str("; or, if the source has all of it: --replace");
            Err(error)
        }
    }
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
        format!("choose another --to, or move it away first: mv {0} {0}.old", quoted(to)),
    )
}
