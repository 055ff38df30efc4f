//! A store that is to be replaced: held, so that no daemon starts on it
//! meanwhile, and kept under another name.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{
    receipt::{Kind, receipt_path},
    target::{self, occupied},
};
use crate::{
    clock::stamp,
    error::{Result, file},
    machine::Machine,
    store::{
        file::{SIDECARS, StoreLock, beside, folder, identity},
        snapshot::{Reader, Taken, reading},
        subjects::claims_of,
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
    pub(super) fn hold(to: &Path, machine: &Machine) -> Result<Option<Self>> {
        if !to.exists() {
            return Ok(None);
        }
        let lock = StoreLock::take(to)?;
        let reader = Reader::open(to).map_err(reading(to))?;
        let claims = claims_of(reader.conn().map_err(reading(to))?).map_err(reading(to))?;
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
    pub(super) fn keep_aside(&self, to: &Path) -> Result<()> {
        fold_log(to).map_err(reading(to))?;
        if SIDECARS.iter().any(|suffix| beside(to, suffix).exists()) {
            return Err(occupied(to, "another program has it open"));
        }
        std::fs::hard_link(to, &self.keep).map_err(file(&self.keep, "make"))?;
        // Its receipts go with it.
        for kind in KINDS {
            let _ = std::fs::hard_link(receipt_path(to, kind), receipt_path(&self.keep, kind));
        }
        Ok(())
    }

    /// It has its own name again, and that alone.
    pub(super) fn put_back(&self, to: &Path) {
        // A rename from one name of a file to another does nothing.
        let _ = match identity(&self.keep) == identity(to) {
            true => std::fs::remove_file(&self.keep),
            false => std::fs::rename(&self.keep, to),
        };
        for kind in KINDS {
            let own = receipt_path(to, kind);
            if std::fs::rename(receipt_path(&self.keep, kind), &own).is_err() {
                let _ = std::fs::remove_file(own);
            }
        }
    }
}

/// One that was killed before its rename leaves a second name of the store.
fn clear_second_names(to: &Path) {
    let prefix = format!("{}.replaced-", to.file_name().unwrap_or_default().to_string_lossy());
    for entry in std::fs::read_dir(folder(to)).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with(&prefix) && identity(&path) == identity(to) {
            let _ = std::fs::remove_file(&path);
            for kind in KINDS {
                let _ = std::fs::remove_file(receipt_path(&path, kind));
            }
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
