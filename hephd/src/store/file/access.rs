//! Whether a store's files are the daemon's own, and who holds them against
//! it.

use std::{os::unix::fs::MetadataExt, path::Path};

use super::{SIDECARS, beside};
use crate::error::{Code, Error, Result};

/// Refuses a store that this user could open in part, or only read. A file
/// beside it that is another user's comes of a command that was once run with
/// `sudo`.
///
/// # Errors
/// `insecure_permissions` that names the file, and how to mend it.
pub fn check_access(db: &Path) -> Result<()> {
    let me = rustix::process::geteuid().as_raw();
    for suffix in [""].iter().chain(&SIDECARS) {
        let path = beside(db, suffix);
        let Ok(meta) = path.symlink_metadata() else { continue };
        let refuse = |what: String, mend: String| {
            let message = format!("{} {what}", path.display());
            Err(Error::new(Code::InsecurePermissions, message, mend))
        };
        if meta.uid() != me {
            return refuse(
                format!("belongs to user {}, and hephd runs as user {me}", meta.uid()),
                format!("chown {me} {}", path.display()),
            );
        }
        if meta.mode() & 0o600 != 0o600 {
            return refuse(
                format!("has mode {:04o}: its owner cannot write to it", meta.mode() & 0o7777),
                format!("chmod 600 {}", path.display()),
            );
        }
    }
    Ok(())
}

/// Who has locks on a store's files, in words; also when it cannot be found
/// out.
#[must_use]
pub fn holder(db: &Path) -> String {
    locker(db).map_or_else(
        || "another program".to_owned(),
        |pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("process {pid} ({})", name.trim())
        },
    )
}

/// Linux lists every lock there is, by inode: that of the store, or that of
/// the index beside it, where writers meet.
fn locker(db: &Path) -> Option<u32> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let inode = |path| std::fs::metadata(path).ok().map(|meta| meta.ino().to_string());
    let ours = [inode(db.to_owned()), inode(beside(db, "-shm"))];
    let mut found = locks.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "WRITE")?;
        let file = words.get(at + 2)?.rsplit(':').next()?.to_owned();
        let pid = words.get(at + 1)?.parse().ok()?;
        (ours.contains(&Some(file)) && pid != std::process::id()).then_some(pid)
    });
    found.next()
}
