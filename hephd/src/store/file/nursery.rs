//! How a store comes into being without ever half existing: it is written
//! beside its final name under a staging name, synced, and moved into place
//! by one rename that cannot overwrite. So a store file under its own name is
//! always whole.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use super::{SIDECARS, Unfinished, beside, folder, place::clear_sidecars, sync_to_medium};
use crate::{
    clock::Entropy,
    error::{Code, Error, Result, file},
    id::draw_hex,
};

/// What a staged copy's name has behind it once it is compressed.
pub const PACKED: &str = ".zst";

/// A folder in which one new store at a time comes into being. The lock is
/// on the folder itself, so that nothing is left lying about.
#[derive(Debug)]
pub struct Nursery {
    folder: File,
    db: PathBuf,
    staging: PathBuf,
    _unfinished: Unfinished,
}

impl Nursery {
    /// Locks the target's folder and clears what a killed predecessor left.
    ///
    /// # Errors
    /// `store_in_use` while another one is at work in the same folder.
    pub fn enter(db: &Path, entropy: &Entropy) -> Result<Self> {
        let dir = open(db)?;
        if flock(&dir, FlockOperation::NonBlockingLockExclusive).is_err() {
            let place = folder(db);
            return Err(Error::new(
                Code::StoreInUse,
                format!("another store is being made in {}", place.display()),
                "wait until it is done, then run it again",
            ));
        }
        Ok(Self::of(dir, db, entropy))
    }

    /// As [`enter`](Self::enter), after whoever is at work there.
    ///
    /// # Errors
    /// When the folder cannot be opened or locked.
    pub fn enter_in_turn(db: &Path, entropy: &Entropy) -> Result<Self> {
        let dir = open(db)?;
        let locked = flock(&dir, FlockOperation::LockExclusive);
        locked.map_err(|error| file(folder(db), "lock")(error.into()))?;
        Ok(Self::of(dir, db, entropy))
    }

    fn of(dir: File, db: &Path, entropy: &Entropy) -> Self {
        let place = folder(db);
        clear_named(place, &prefix(db));
        let name = format!("{}{}", prefix(db), draw_hex::<4>(entropy));
        let (place, staging) = (place.to_owned(), place.join(&name));
        let _unfinished = Unfinished::new(move || clear_named(&place, &name));
        Self { folder: dir, db: db.to_owned(), staging, _unfinished }
    }

    /// Where the new store is written.
    #[must_use]
    pub fn staging(&self) -> &Path {
        &self.staging
    }

    /// Makes the empty staging file, 0600, which nobody may have put there
    /// before.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self) -> Result<()> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.staging)
            .map(drop)
            .map_err(file(&self.staging, "create"))
    }

    /// Syncs the staged file and gives it its name. Never overwrites, and
    /// never comes to stand beside another store's log.
    ///
    /// # Errors
    /// `target_sidecar_left`; `target_not_empty` when something has that name by now.
    pub fn publish(self) -> Result<()> {
        let staged = File::open(&self.staging).map_err(file(&self.staging, "open"))?;
        sync_to_medium(&staged).map_err(file(&self.staging, "sync"))?;
        clear_sidecars(&self.db)?;
        // Closed and whole, the file needs none of its own any more. After the
        // rename nobody would come by to clear them away.
        self.remove(&SIDECARS);
        rename_to_nothing(&self.staging, &self.db).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                Error::new(
                    Code::TargetNotEmpty,
                    format!("{} exists", self.db.display()),
                    "choose another name, or move that file away first",
                )
            } else {
                file(&self.db, "write")(error)
            }
        })?;
        sync_to_medium(&self.folder).map_err(file(folder(&self.db), "sync"))
    }

    /// Syncs the staged file and gives it the name of a store that stands
    /// there, which loses it in that moment.
    ///
    /// # Errors
    /// The operating system's; whichever store has the name is whole.
    pub fn replace(self) -> Result<()> {
        let staged = File::open(&self.staging).map_err(file(&self.staging, "open"))?;
        sync_to_medium(&staged).map_err(file(&self.staging, "sync"))?;
        self.remove(&SIDECARS);
        std::fs::rename(&self.staging, &self.db).map_err(file(&self.db, "replace"))?;
        sync_to_medium(&self.folder).map_err(file(folder(&self.db), "sync"))
    }

    /// Removes staging files, as far as they are there.
    fn remove(&self, suffixes: &[&str]) {
        for suffix in suffixes {
            let _ = std::fs::remove_file(beside(&self.staging, suffix));
        }
    }
}

fn open(db: &Path) -> Result<File> {
    let place = folder(db);
    File::open(place).map_err(file(place, "open"))
}

/// How the staging files of a store are called.
fn prefix(db: &Path) -> String {
    format!(".{}.new-", db.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes staging files, as far as that can be done.
fn clear_named(place: &Path, prefix: &str) {
    for left in std::fs::read_dir(place).into_iter().flatten().flatten() {
        if left.file_name().to_string_lossy().starts_with(prefix) {
            let _ = std::fs::remove_file(left.path());
        }
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        // Gone already when it was published.
        self.remove(&["", PACKED]);
        self.remove(&SIDECARS);
    }
}

/// One atomic rename that fails where the target exists. Filesystems without
/// it (NFS, old ZFS) get a hard link and an unlink, which fail the same way.
///
/// # Errors
/// `AlreadyExists` where something has that name.
pub fn rename_to_nothing(from: &Path, to: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::disallowed_methods, reason = "a test may write as it likes")]
mod tests {
    use super::*;

    #[test]
    fn a_rename_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, "a").unwrap();
        std::fs::write(&b, "b").unwrap();
        assert!(rename_to_nothing(&a, &b).is_err());
        assert_eq!(std::fs::read_to_string(&b).unwrap(), "b");
    }
}
