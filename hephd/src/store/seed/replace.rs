//! A store that is to be replaced: held, so that no daemon starts on it
//! meanwhile, and kept under another name.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    Becoming, Wish,
    receipt::{Kind, receipt_path},
    target::{self, occupied},
};
use crate::{
    clock::stamp,
    error::{Code, Error, Result, file},
    machine::Machine,
    store::{
        file::{SIDECARS, StoreLock, Unfinished, beside, folder, identity, sync_to_medium},
        snapshot::{Reader, Taken, reading},
        subjects::{claims_of, is_claimed_by},
    },
};

const KINDS: [Kind; 2] = [Kind::Seed, Kind::Restore];

/// The store that goes.
pub(super) struct Outgoing {
    keep: PathBuf,
    claims: Vec<(String, String)>,
    _lock: StoreLock,
}

impl Outgoing {
    /// Holds the store at a target, if there is one.
    pub(super) fn hold(to: &Path, wish: &Wish<'_>, machine: &Machine) -> Result<Option<Self>> {
        if !to.exists() {
            return Ok(None);
        }
        let lock = StoreLock::take(to)?;
        let reader = Reader::open(to).map_err(reading(to))?;
        let claims = claims_of(reader.conn().map_err(reading(to))?).map_err(reading(to))?;
        refuse_other_subject(to, &claims, wish)?;
        clear_second_names(to);
        let keep = beside(to, &format!(".replaced-{}", stamp(machine.clock.now_ms())));
        Ok(Some(Self { keep, claims, _lock: lock }))
    }

    /// Where it will be.
    pub(super) fn keep(&self) -> &Path {
        &self.keep
    }

    /// Who may act for its owner: else its hub would be anybody's to claim.
    pub(super) fn claims(&self) -> &[(String, String)] {
        &self.claims
    }

    /// Refuses unless the copy has all that it has.
    pub(super) fn allow(&self, to: &Path, taken: &Taken) -> Result<()> {
        let reader = Reader::open(to).map_err(reading(to))?;
        target::why_not(to, &reader, &taken.from, &taken.copy, true)
    }

    /// Gives it its other name beside its own. What its log holds goes into
    /// its file first: a log that stays would be played into its successor.
    /// A signal before its successor has its name puts it back.
    pub(super) fn keep_aside(&self, to: &Path) -> Result<Unfinished> {
        fold_log(to).map_err(reading(to))?;
        if SIDECARS.iter().any(|suffix| beside(to, suffix).exists()) {
            return Err(occupied(to, "another program has it open"));
        }
        self.name_twice(to).inspect_err(|_| put_back(&self.keep, to))?;
        let (keep, to) = (self.keep.clone(), to.to_owned());
        Ok(Unfinished::new(move || {
            if identity(&keep) == identity(&to) {
                put_back(&keep, &to);
            }
        }))
    }

    /// Its receipts go with it, and before it: they are put back from there.
    fn name_twice(&self, to: &Path) -> Result<()> {
        for kind in KINDS {
            let (own, kept) = (receipt_path(to, kind), receipt_path(&self.keep, kind));
            if own.exists() {
                std::fs::hard_link(own, &kept).map_err(file(&kept, "make"))?;
            }
        }
        std::fs::hard_link(to, &self.keep).map_err(file(&self.keep, "make"))?;
        let around = File::open(folder(to)).and_then(|around| sync_to_medium(&around));
        around.map_err(file(folder(to), "sync"))
    }

    /// It has its own name again, and that alone.
    pub(super) fn put_back(&self, to: &Path) {
        put_back(&self.keep, to);
    }
}

/// Who may act for the owner of a store stays so when it is replaced.
pub(super) fn refuse_other_subject(
    to: &Path,
    claims: &[(String, String)],
    wish: &Wish<'_>,
) -> Result<()> {
    match wish.becoming {
        Becoming::Hub { owner_sub: Some(sub) }
            if !claims.is_empty() && !is_claimed_by(claims, sub) =>
        {
            Err(Error::new(
                Code::TargetHasOtherOwner,
                format!("{} is another subject's, and stays so: not {sub}'s", to.display()),
                "leave out --owner-sub; its hub can let one more in: heph-ops install-service \
                 --role hub --owner-sub SUB",
            ))
        }
        _ => Ok(()),
    }
}

/// The store has its own name and its own receipts again, as far as it has others.
fn put_back(keep: &Path, to: &Path) {
    for kind in KINDS {
        let (own, kept) = (receipt_path(to, kind), receipt_path(keep, kind));
        match kept.exists() {
            true => drop(std::fs::rename(&kept, &own)),
            // Where the store has a second name, this is its successor's.
            false if keep.exists() => drop(std::fs::remove_file(&own)),
            false => {}
        }
        // A rename from one name of a file to another does nothing.
        let _ = std::fs::remove_file(kept);
    }
    let _ = match identity(keep) == identity(to) {
        true => std::fs::remove_file(keep),
        false => std::fs::rename(keep, to),
    };
}

/// One that was killed before its rename leaves a second name of the store, which
/// has the store's own receipts, or only theirs.
fn clear_second_names(to: &Path) {
    let prefix = format!("{}.replaced-", to.file_name().unwrap_or_default().to_string_lossy());
    for entry in std::fs::read_dir(folder(to)).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if !name.starts_with(&prefix) {
            continue;
        }
        if identity(&path) == identity(to) {
            put_back(&path, to);
        }
        let store = KINDS.iter().find_map(|kind| name.strip_suffix(kind.suffix()));
        if store.is_some_and(|store| !folder(to).join(store).exists()) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn fold_log(to: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(to, flags)?;
    conn.busy_timeout(crate::store::BUSY)?;
    conn.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    conn.close().map_err(|(_, error)| error)
}
