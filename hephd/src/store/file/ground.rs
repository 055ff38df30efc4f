//! The ground that the new store shall stand on: its folders, and the room in
//! them.

use std::{
    fs::{DirBuilder, File},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{
    error::{Code, Error, Result, file},
    store::file::{SIDECARS, Unfinished, User, check_place, folder, sync_to_medium},
};

/// A path from the root, its folders free of symbolic links as far as they
/// exist. The last name stays as it is. Resolved once and used from then on,
/// so that no link can be put in its way later.
#[must_use]
pub fn full(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return absolute;
    };
    let real = parent.ancestors().find_map(|above| {
        let rest = parent.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(rest))
    });
    real.map_or_else(|| absolute.clone(), |parent| parent.join(name))
}

/// Refuses places where no store may come to stand, also in folders that do
/// not exist yet.
///
/// # Errors
/// `usage` for a name that is none; what [`check_place`] refuses.
pub fn check_ground(to: &Path) -> Result<()> {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    if name.is_empty() || SIDECARS.iter().any(|suffix| name.ends_with(suffix)) {
        return Err(Error::usage(
            format!("{} is no name for a store", to.display()),
            "give a file's name that does not end like SQLite's own: heph.db",
        ));
    }
    let place = folder(to);
    if place.is_dir() {
        return check_place(to);
    }
    let exists = |above: &&Path| above.symlink_metadata().is_ok();
    let Some(ground) = place.ancestors().find(exists) else { return Ok(()) };
    if !ground.is_dir() {
        return Err(Error::usage(
            format!("{} is no folder, so {} cannot be in it", ground.display(), to.display()),
            "give a path in a folder",
        ));
    }
    match check_place(&ground.join("new")) {
        // A folder of one's own below /tmp is safe: nobody else can move it.
        Err(error) if error.code == Code::InsecurePermissions && is_sticky(ground) => Ok(()),
        other => other,
    }
}

fn is_sticky(folder: &Path) -> bool {
    folder.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o1000 != 0)
}

/// Refuses where so many bytes would not fit into the folder of `to`, with a
/// little over.
///
/// # Errors
/// `no_space` with both figures.
pub fn check_space(to: &Path, bytes: u64) -> Result<()> {
    const TO_SPARE: u64 = 1 << 20;
    let place = folder(to);
    let disk = rustix::fs::statvfs(place).map_err(|error| file(place, "look at")(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= bytes.saturating_add(TO_SPARE) {
        return Ok(());
    }
    Err(Error::new(
        Code::NoSpace,
        format!("{} has {free} bytes free; {bytes} are needed", place.display()),
        "free some space there, or choose a folder on a larger disk",
    ))
}

/// The target's missing folders, made 0700. Those that were made go again
/// unless they are kept.
#[derive(Debug)]
pub struct Folders {
    made: Vec<PathBuf>,
    unfinished: Vec<Unfinished>,
}

impl Folders {
    /// Makes a folder, and those above it.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub fn make(place: &Path) -> Result<Self> {
        let mut folders = Self { made: Vec::new(), unfinished: Vec::new() };
        let missing: Vec<_> = place.ancestors().take_while(|above| !above.exists()).collect();
        for path in missing.into_iter().rev() {
            match DirBuilder::new().mode(0o700).create(path) {
                Ok(()) => {
                    let made = path.to_owned();
                    folders.made.push(made.clone());
                    let clear = move || drop(std::fs::remove_dir(&made));
                    folders.unfinished.push(Unfinished::new(clear));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(file(path, "create")(error)),
            }
        }
        Ok(folders)
    }

    /// They are this user's from now on.
    ///
    /// # Errors
    /// The operating system's: only root can give a folder away.
    pub fn give_to(&self, user: User) -> Result<()> {
        self.made.iter().try_for_each(|path| user.give(path))
    }

    /// A folder is only on the medium once the one around it is.
    ///
    /// # Errors
    /// The operating system's.
    pub fn sync(&self) -> Result<()> {
        for path in &self.made {
            let around = folder(path);
            File::open(around)
                .and_then(|around| sync_to_medium(&around))
                .map_err(file(around, "sync"))?;
        }
        Ok(())
    }

    /// They stay from now on.
    pub fn keep(&mut self) {
        self.made.clear();
        self.unfinished.clear();
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        for path in self.made.iter().rev() {
            let _ = std::fs::remove_dir(path); // Stays if it is not empty.
        }
    }
}
