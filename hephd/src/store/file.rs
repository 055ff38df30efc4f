//! The file that a store lives in: where it may lie, who holds it, and how
//! one comes into being without ever half existing.
//!
//! A new store file is written beside its final name under a staging name,
//! synced, and moved into place by one rename that cannot overwrite. So a
//! store file under its own name is always whole.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags, flock, renameat_with};

use crate::{
    clock::Entropy,
    error::{Code, Error, Result, file},
    id::draw_hex,
};

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

/// Refuses a folder that does not exist or that everybody may write to.
///
/// # Errors
/// `store_missing`, `insecure_permissions`, each naming the path.
pub fn check_folder(folder: &Path) -> Result<()> {
    let Ok(meta) = std::fs::metadata(folder) else {
        return Err(Error::new(
            Code::StoreMissing,
            format!("there is no folder {}", folder.display()),
            format!("mkdir -m 700 {}", folder.display()),
        ));
    };
    if meta.permissions().mode() & 0o002 != 0 {
        return Err(Error::new(
            Code::InsecurePermissions,
            format!("everybody may write to {}", folder.display()),
            "choose a folder of your own, mode 0700",
        ));
    }
    Ok(())
}

/// Refuses places where a store would not be safe: a folder that
/// [`check_folder`] refuses, a filesystem of another machine, a name that is
/// a folder or a symbolic link.
///
/// # Errors
/// As [`check_folder`]; `network_filesystem`, `not_a_heph_store`,
/// `same_file`, each naming the path.
pub fn check_place(db: &Path) -> Result<()> {
    let folder = folder(db);
    check_folder(folder)?;
    if let Some(kind) = network_filesystem(folder) {
        return Err(Error::new(
            Code::NetworkFilesystem,
            format!("{} lies on a network filesystem ({kind})", db.display()),
            "SQLite's write-ahead log is unsafe there; choose a folder on a local disk",
        ));
    }
    match std::fs::symlink_metadata(db) {
        Ok(meta) if meta.is_dir() => Err(Error::new(
            Code::NotAHephStore,
            format!("{} is a folder, not a store", db.display()),
            format!("give a file in it: {}", db.join("heph.db").display()),
        )),
        Ok(meta) if meta.is_symlink() => Err(Error::new(
            Code::SameFile,
            format!("{} is a symbolic link", db.display()),
            "give the path of the file itself",
        )),
        Ok(meta) if !meta.is_file() => Err(Error::new(
            Code::NotAHephStore,
            format!("{} is not a regular file", db.display()),
            "give the path of a store",
        )),
        _ => Ok(()),
    }
}

/// The name of the filesystem a folder lies on, where that is another
/// machine's.
#[cfg(target_os = "linux")]
fn network_filesystem(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let (mount, kind) = line.split_once(" - ")?;
        let point = unescape_mount_point(mount.split(' ').nth(4)?);
        if folder.starts_with(&point) && best.is_none_or(|(len, _)| point.len() >= len) {
            best = Some((point.len(), kind.split(' ').next()?));
        }
    }
    let (_, kind) = best?;
    is_network_filesystem(kind).then(|| kind.to_owned())
}

/// Mount points have blanks and backslashes written as octal.
#[cfg(target_os = "linux")]
fn unescape_mount_point(text: &str) -> String {
    (text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n"))
        .replace("\\134", "\\")
}

#[cfg(target_os = "linux")]
fn is_network_filesystem(kind: &str) -> bool {
    const KINDS: [&str; 14] = [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.davfs",
        "fuse.rclone",
    ];
    KINDS.contains(&kind)
}

/// The name of the filesystem a folder lies on, where that is another
/// machine's.
#[cfg(target_os = "macos")]
fn network_filesystem(folder: &Path) -> Option<String> {
    const MNT_LOCAL: u32 = 0x1000;
    let stat = rustix::fs::statfs(folder).ok()?;
    (stat.f_flags & MNT_LOCAL == 0).then(|| "not local".to_owned())
}

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

/// A folder in which one new store at a time comes into being. The lock is
/// on the folder itself, so that nothing is left lying about.
#[derive(Debug)]
pub struct Nursery {
    folder: File,
    db: PathBuf,
    staging: PathBuf,
}

impl Nursery {
    /// Locks the target's folder and clears what a killed predecessor left.
    ///
    /// # Errors
    /// `store_in_use` while another one is at work in the same folder.
    pub fn enter(db: &Path, entropy: &Entropy) -> Result<Self> {
        let place = folder(db);
        let dir = File::open(place).map_err(file(place, "open"))?;
        if flock(&dir, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::new(
                Code::StoreInUse,
                format!("another store is being made in {}", place.display()),
                "wait until it is done, then run it again",
            ));
        }
        let name = db.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let prefix = format!(".{name}.new-");
        for left in std::fs::read_dir(place).map_err(file(place, "read"))?.flatten() {
            if left.file_name().to_string_lossy().starts_with(&prefix) {
                std::fs::remove_file(left.path()).map_err(file(&left.path(), "remove"))?;
            }
        }
        let staging = place.join(format!("{prefix}{}", draw_hex::<4>(entropy)));
        Ok(Self { folder: dir, db: db.to_owned(), staging })
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

    /// Syncs the staged file and gives it its name. Never overwrites.
    ///
    /// # Errors
    /// `target_not_empty` when something has that name by now.
    pub fn publish(self) -> Result<()> {
        let staged = File::open(&self.staging).map_err(file(&self.staging, "open"))?;
        sync_to_medium(&staged).map_err(file(&self.staging, "sync"))?;
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
}

impl Drop for Nursery {
    fn drop(&mut self) {
        // Gone already when it was published.
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = std::fs::remove_file(beside(&self.staging, suffix));
        }
    }
}

/// One atomic rename that fails where the target exists. Filesystems without
/// it (NFS, old ZFS) get a hard link and an unlink, which fail the same way.
fn rename_to_nothing(from: &Path, to: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        other => Ok(other?),
    }
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

/// Which file it is, whatever its name: device and inode.
#[must_use]
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::disallowed_methods, reason = "a test may write as it likes")]
mod tests {
    use super::*;

    #[test]
    fn mount_points_with_blanks_are_read() {
        assert_eq!(unescape_mount_point("/mnt/my\\040disk"), "/mnt/my disk");
    }

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
