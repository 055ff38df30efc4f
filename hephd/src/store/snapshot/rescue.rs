//! The files of a store that cannot be read where it lies: a hot journal must
//! be rolled back first, and read-only media have no room for the index of a
//! write-ahead log. They are copied as they are, all of them, because the
//! database file alone may be old or torn.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, fcntl_lock},
    io::Errno,
};

use crate::{
    error::{Code, Error, Result, file},
    store::file::{SIDECARS, beside, check_space},
};

/// The files that hold data; `-shm` is only an index of `-wal`.
const DATA: [&str; 3] = ["", "-wal", "-journal"];

/// A copy of a store's files. It is removed when this is dropped.
pub(super) struct PrivateCopy(PathBuf);

impl PrivateCopy {
    /// Copies the files of `db` to `spare`, whole and of one moment: a shared
    /// lock keeps writers out where there can be any, and files that have
    /// changed meanwhile are told from those that have not.
    pub(super) fn take(db: &Path, spare: &Path) -> Result<Self> {
        let source = File::open(db).map_err(file(db, "read"))?;
        let locked = fcntl_lock(&source, FlockOperation::NonBlockingLockShared);
        // Some media know no locks, and no writers either.
        if matches!(locked, Err(Errno::AGAIN | Errno::ACCESS)) {
            return Err(changing(db));
        }
        let before = stamp(db);
        check_space(spare, before.iter().flatten().map(|stamp| stamp.0).sum())?;
        let copy = Self(spare.to_owned());
        // Opened once only: closing any descriptor of it would end the lock.
        copy_file(&source, spare)?;
        for suffix in &DATA[1..] {
            let path = beside(db, suffix);
            match File::open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => copy_file(&other.map_err(file(&path, "read"))?, &beside(spare, suffix))?,
            }
        }
        if stamp(db) == before { Ok(copy) } else { Err(changing(db)) }
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        for suffix in SIDECARS {
            let _ = std::fs::remove_file(beside(&self.0, suffix));
        }
    }
}

/// Length, inode and time of change of each file that is there.
fn stamp(db: &Path) -> [Option<(u64, u64, i64, i64)>; 3] {
    DATA.map(|suffix| {
        let meta = std::fs::metadata(beside(db, suffix)).ok()?;
        Some((meta.len(), meta.ino(), meta.ctime(), meta.ctime_nsec()))
    })
}

fn copy_file(mut source: &File, to: &Path) -> Result<()> {
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(file(to, "create"))?;
    std::io::copy(&mut source, &mut copy).map(drop).map_err(file(to, "write"))
}

fn changing(db: &Path) -> Error {
    Error::new(
        Code::StoreInUse,
        format!("another program is writing to {}", db.display()),
        "close that program, or run this where it can write beside the store",
    )
}
