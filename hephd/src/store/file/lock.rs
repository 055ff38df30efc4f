//! Who holds a store: one daemon, or one seed.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{beside, identity};
use crate::error::{Code, Error, Result, file};

/// A store is one daemon's, or one seed's, for as long as this lives.
///
/// The file outlives its holder, and remembers whether there was a store: where
/// that is gone, somebody took it away, and no new one may quietly come to
/// stand in its place. It also tells a holder that ended in order from one that
/// was killed.
#[derive(Debug)]
pub struct StoreLock {
    file: File,
    path: PathBuf,
    saw_store: bool,
}

/// The second line of the file, once there was a store. The first is the
/// taker's pid.
const SEEN: &str = "store";

/// The third line, once the holder has ended in order.
const CLOSED: &str = "closed";

impl StoreLock {
    /// Takes the lock of a store, `DB.lock`, and writes the taker's pid there.
    ///
    /// # Errors
    /// `store_in_use` with the holder's pid.
    pub fn take(db: &Path) -> Result<Self> {
        let path = beside(db, ".lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0))
            .open(&path)
            .map_err(file(&path, "open"))?;
        let taken = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        let mut before = String::new();
        let _ = lock.read_to_string(&mut before);
        if !taken {
            let holder = before.lines().next().unwrap_or_default();
            return Err(Error::new(
                Code::StoreInUse,
                format!("{} is in use by process {holder}", db.display()),
                "stop that one first: heph-ops stop, or heph daemon stop",
            ));
        }
        // Somebody may have removed the file between the two steps: then this
        // lock is on a file that nobody else will find.
        let held = lock.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
        if held != identity(&path) {
            return Self::take(db);
        }
        let saw_store = before.lines().nth(1) == Some(SEEN);
        let mut lock = Self { file: lock, path, saw_store };
        lock.write("")?;
        Ok(lock)
    }

    /// Notes that there is a store, for whoever comes after.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_store(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.saw_store, true) {
            self.write("")?;
        }
        Ok(())
    }

    /// Refuses to make a store where there was one before.
    ///
    /// # Errors
    /// `store_missing`, with the two ways out.
    pub fn refuse_successor(&self, db: &Path) -> Result<()> {
        if !self.saw_store {
            return Ok(());
        }
        let lock = self.path.display();
        Err(Error::new(
            Code::StoreMissing,
            format!("{} is gone: {lock} says that there was a store", db.display()),
            format!("put it back or restore a copy; to begin anew without it: rm {lock}"),
        ))
    }

    /// Over what stands there, and cut to length last: a disk that is full, or
    /// an end in between, takes away nothing that is remembered.
    fn write(&mut self, ended: &str) -> Result<()> {
        let seen = if self.saw_store { SEEN } else { "" };
        let text = format!("{}\n{seen}\n{ended}\n", std::process::id());
        self.file
            .rewind()
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .and_then(|()| self.file.set_len(text.len() as u64))
            .map_err(file(&self.path, "write"))
    }

    /// Whether somebody holds the lock now, and which process.
    #[must_use]
    pub fn holder(db: &Path) -> Option<u32> {
        let mut lock = File::open(beside(db, ".lock")).ok()?;
        if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
            return None;
        }
        let mut text = String::new();
        lock.read_to_string(&mut text).ok()?;
        text.lines().next()?.parse().ok()
    }

    /// Whether a daemon was killed at work on this store, and none has worked on
    /// it since.
    #[must_use]
    pub fn was_killed(db: &Path) -> bool {
        let Ok(text) = std::fs::read_to_string(beside(db, ".lock")) else { return false };
        let mut lines = text.lines().skip(1);
        lines.next() == Some(SEEN) && lines.next() != Some(CLOSED) && Self::holder(db).is_none()
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        let _ = self.write(CLOSED);
    }
}
