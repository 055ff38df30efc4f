//! The file that a store lives in: where it may lie ([`check_place`]), who
//! holds it ([`StoreLock`]), how one comes into being ([`Nursery`]), where a
//! copy lies for a while ([`Spool`]), what a signal takes away ([`Unfinished`]).

mod access;
mod ground;
mod lock;
mod nursery;
mod place;
mod spool;
mod unfinished;

use std::{
    fs::File,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

pub use self::{
    access::{check_access, holder},
    ground::{Folders, check_ground, check_space, full},
    lock::StoreLock,
    nursery::{Nursery, PACKED, rename_to_nothing},
    place::{check_folder, check_place, refuse_sidecars},
    spool::Spool,
    unfinished::{Unfinished, clear_unfinished},
};
use crate::error::{Result, file};

/// What SQLite may leave beside a database file.
pub const SIDECARS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A path with something put behind its name: `heph.db` → `heph.db-wal`.
#[must_use]
pub fn beside(db: &Path, suffix: &str) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The folder that a file lies in.
#[must_use]
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a folder and its parents, for its owner alone.
///
/// # Errors
/// When one of them cannot be made.
pub fn make_private_folder(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(file(path, "create"))
}

/// Waits until the medium has it. A plain fsync stops short of that on macOS.
///
/// # Errors
/// The operating system's.
pub fn sync_to_medium(file: &File) -> std::io::Result<()> {
    #[cfg(target_vendor = "apple")]
    if rustix::fs::fcntl_fullfsync(file).is_ok() {
        return Ok(());
    }
    file.sync_all()
}

/// Whose files shall be: a user and their group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The user's own group.
    pub gid: u32,
}

impl User {
    /// Gives a file or folder to this user.
    ///
    /// # Errors
    /// The operating system's: only root can give something away.
    pub fn give(self, path: &Path) -> Result<()> {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
            .map_err(file(path, "give away"))
    }
}

/// Which file it is, whatever its name: device and inode.
#[must_use]
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}
