//! Who holds a store: one daemon, or one seed.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{beside, identity};
use crate::error::{Code, Error, Result, file};

/// A store is one daemon's, or one seed's, for as long as this lives.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Takes the lock of a store, `DB.lock`, which holds the taker's pid.
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
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            let _ = lock.read_to_string(&mut holder);
            return Err(Error::new(
                Code::StoreInUse,
                format!("{} is in use by process {}", db.display(), holder.trim()),
                "stop that one first: heph-ops stop, or heph daemon stop",
            ));
        }
        // Somebody may have removed the file between the two steps: then this
        // lock is on a file that nobody else will find.
        let held = lock.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
        if held != identity(&path) {
            return Self::take(db);
        }
        let pid = format!("{}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(pid.as_bytes()))
            .map_err(file(&path, "write"))?;
        Ok(Self { _file: lock })
    }

    /// Whether somebody holds the lock now, and which process.
    #[must_use]
    pub fn holder(db: &Path) -> Option<u32> {
        let mut lock = File::open(beside(db, ".lock")).ok()?;
        if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
            return None;
        }
        let mut pid = String::new();
        lock.read_to_string(&mut pid).ok()?;
        pid.trim().parse().ok()
    }
}
