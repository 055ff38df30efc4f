//! A private folder in which a copy lies for a while: beside its store, where
//! there is room for one, or where that cannot be written to, wherever
//! temporary files lie.

use std::{
    fs::{DirBuilder, File},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{Unfinished, folder, full};
use crate::{
    clock::Entropy,
    error::{Result, file},
    id::draw_hex,
};

/// The folder, 0700. It goes when this does; what a killed predecessor left
/// goes as well.
#[derive(Debug)]
pub struct Spool {
    place: PathBuf,
    _lock: File,
    _unfinished: Unfinished,
}

impl Spool {
    /// Makes one for copies of a store.
    ///
    /// # Errors
    /// When neither place can be written to.
    pub fn near(db: &Path, entropy: &Entropy) -> Result<Self> {
        let name = db.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{name}.spool-");
        clear_abandoned(folder(db), &prefix);
        let name = format!("{prefix}{}", draw_hex::<4>(entropy));
        Self::make(folder(db).join(&name)).or_else(|_| {
            let elsewhere = full(&std::env::temp_dir().join(name));
            clear_abandoned(folder(&elsewhere), &prefix);
            Self::make(elsewhere)
        })
    }

    fn make(place: PathBuf) -> Result<Self> {
        DirBuilder::new().mode(0o700).create(&place).map_err(file(&place, "create"))?;
        let lock = File::open(&place).and_then(|lock| {
            flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            Ok(lock)
        });
        match lock {
            Ok(lock) => {
                let made = place.clone();
                let _unfinished = Unfinished::new(move || drop(std::fs::remove_dir_all(&made)));
                Ok(Self { place, _lock: lock, _unfinished })
            }
            Err(error) => {
                let _ = std::fs::remove_dir(&place);
                Err(file(&place, "lock")(error))
            }
        }
    }

    /// A file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

/// A folder and nothing else: in a place where others may write, something of
/// that name may be a link, or a pipe that nobody ever opens at its other end.
fn open_folder(path: &Path) -> std::io::Result<File> {
    let only = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let only = i32::try_from(only.bits()).unwrap_or(0);
    File::options().read(true).custom_flags(only).open(path)
}

/// Whoever has one holds its lock: what can be locked is nobody's.
fn clear_abandoned(place: &Path, prefix: &str) {
    for left in std::fs::read_dir(place).into_iter().flatten().flatten() {
        if !left.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let nobodys = open_folder(&left.path())
            .is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
        if nobodys {
            let _ = std::fs::remove_dir_all(left.path());
        }
    }
}
