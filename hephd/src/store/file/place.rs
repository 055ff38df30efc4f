//! Where a store may lie: in a folder of its owner's, on a disk of this
//! machine.

use std::{os::unix::fs::PermissionsExt, path::Path};

use super::{beside, folder};
use crate::{
    error::{Code, Error, Result, file},
    paths::quoted,
};

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
    // One mount with an odd name must not hide what the others are.
    let mounts = std::fs::read("/proc/self/mountinfo").ok()?;
    let mounts = String::from_utf8_lossy(&mounts);
    let holds = |(point, _): &(String, &str)| folder.starts_with(point);
    // Of mounts over one another the last one counts.
    let (_, kind) =
        mounts.lines().filter_map(mount).filter(holds).max_by_key(|(point, _)| point.len())?;
    is_network_filesystem(kind).then(|| kind.to_owned())
}

/// A line's mount point and filesystem.
#[cfg(target_os = "linux")]
fn mount(line: &str) -> Option<(String, &str)> {
    let (mount, kind) = line.split_once(" - ")?;
    let point = unescape_mount_point(mount.split(' ').nth(4)?);
    Some((point, kind.split(' ').next()?))
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

/// A write-ahead log or a journal that lost its database would be played into
/// whatever comes to stand beside it. What holds nothing counts as absent.
///
/// # Errors
/// `target_sidecar_left` that names the file.
pub fn refuse_sidecars(to: &Path) -> Result<()> {
    for suffix in ["-wal", "-journal"] {
        let left = beside(to, suffix);
        let Ok(meta) = left.symlink_metadata() else { continue };
        if suffix == "-journal" || !meta.is_file() || meta.len() > 0 {
            return Err(Error::new(
                Code::TargetSidecarLeft,
                format!("{} is left of a store that is gone", left.display()),
                format!("bring its store back, or move it away: mv {0} {0}.old", quoted(&left)),
            ));
        }
    }
    Ok(())
}

/// Removes the empty files that [`refuse_sidecars`] lets pass.
pub(super) fn clear_sidecars(to: &Path) -> Result<()> {
    refuse_sidecars(to)?;
    for suffix in ["-wal", "-shm"] {
        let left = beside(to, suffix);
        if left.symlink_metadata().is_ok() {
            std::fs::remove_file(&left).map_err(file(&left, "remove"))?;
        }
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn mount_points_with_blanks_are_read() {
        assert_eq!(unescape_mount_point("/mnt/my\\040disk"), "/mnt/my disk");
    }
}
