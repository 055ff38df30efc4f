//! The backups in a folder.

use std::path::{Path, PathBuf};

use crate::{
    error::{Code, Error, Result, file},
    store::{
        file::{beside, folder},
        seed::{Kind, Receipt, receipt_path},
    },
};

/// What a backup's name ends with.
const SUFFIX: &str = ".db.zst";

/// How long the time in a name is: `20261127T154400.123Z`.
const STAMP: usize = 20;

/// A backup's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub file: PathBuf,
}

impl Backup {
    pub(super) fn named(folder: &Path, name: &str, stamp: &str) -> Self {
        Self { file: folder.join(format!("{name}-{stamp}{SUFFIX}")) }
    }

    /// The one at a path.
    ///
    /// # Errors
    /// `backup_not_found`; `usage` for a name that no backup has.
    pub fn at(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(SUFFIX) {
            return Err(Error::usage(
                format!("{} is not called like a backup", path.display()),
                format!("give a file that ends with {SUFFIX}"),
            ));
        }
        if !path.is_file() {
            return Err(Error::new(
                Code::BackupNotFound,
                format!("there is no backup at {}", path.display()),
                "list them: ls the folder that heph-ops backup --to was given",
            ));
        }
        Ok(Self { file: path.to_owned() })
    }

    /// What its name begins with: whose it is.
    #[must_use]
    pub fn name(&self) -> String {
        let text = self.file.file_name().unwrap_or_default().to_string_lossy();
        parts(&text).map_or_else(|| text.to_string(), |(name, _)| name.to_owned())
    }

    /// Its path without the ending.
    pub(super) fn stem(&self) -> PathBuf {
        let text = self.file.as_os_str().to_string_lossy().into_owned();
        PathBuf::from(text.strip_suffix(SUFFIX).unwrap_or(&text))
    }

    /// Where its receipt is.
    #[must_use]
    pub fn receipt(&self) -> PathBuf {
        receipt_path(&self.stem(), Kind::Backup)
    }

    /// What it says that it holds.
    ///
    /// # Errors
    /// As [`Receipt::load`].
    pub fn load(&self) -> Result<Receipt> {
        Receipt::load(&self.receipt())
    }
}

/// The backups of one name, or of any, newest first.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path, name: Option<&str>) -> Result<Vec<Backup>> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(file(folder, "read"))? {
        let path = entry.map_err(file(folder, "read"))?.path();
        let text = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((whose, stamp)) = parts(&text) else { continue };
        if name.is_none_or(|name| name == whose) {
            found.push((stamp.to_owned(), path));
        }
    }
    found.sort_by(|one, other| other.cmp(one));
    Ok(found.into_iter().map(|(_, file)| Backup { file }).collect())
}

/// A name and a time.
fn parts(text: &str) -> Option<(&str, &str)> {
    let stem = text.strip_suffix(SUFFIX)?;
    let (name, stamp) = stem.split_at_checked(stem.len().checked_sub(STAMP)?)?;
    let is_time = stamp.bytes().enumerate().all(|(at, byte)| match at {
        8 => byte == b'T',
        15 => byte == b'.',
        19 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    });
    let name = name.strip_suffix('-')?;
    (is_time && !name.is_empty() && !name.starts_with('.')).then_some((name, stamp))
}

/// The newest backup in a folder.
///
/// # Errors
/// `backup_not_found` where there is none.
pub fn newest(folder: &Path, name: Option<&str>) -> Result<Backup> {
    let none = || {
        Error::new(
            Code::BackupNotFound,
            format!("there is no backup in {}", folder.display()),
            format!("make one: heph-ops backup --to {}", folder.display()),
        )
    };
    if !folder.exists() {
        return Err(none());
    }
    list(folder, name)?.into_iter().next().ok_or_else(none)
}

/// Removes the oldest backups of the store that `made` is of until so many are
/// left, each with its receipt; gives what went. `made` stays whatever the clock
/// said, and so does what has no receipt, or one of another store: nobody knows
/// what that is worth.
///
/// # Errors
/// When one cannot be removed.
pub fn prune(made: &Backup, keep: usize) -> Result<Vec<PathBuf>> {
    let (folder, name, ours) = (folder(&made.file), made.name(), made.load()?);
    let same = |kept: &Backup| {
        let theirs = kept.load();
        theirs.is_ok_and(|r| r.owner_id == ours.owner_id && r.source == ours.source)
    };
    let others = list(folder, Some(&name))?.into_iter().filter(|kept| kept != made && same(kept));
    let mut gone = Vec::new();
    for backup in others.skip(keep.saturating_sub(1)) {
        // The receipt last: a backup always has one.
        std::fs::remove_file(&backup.file).map_err(file(&backup.file, "remove"))?;
        let receipt = backup.receipt();
        match std::fs::remove_file(&receipt) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(file(&receipt, "remove")(error));
            }
            _ => gone.push(backup.file),
        }
    }
    Ok(gone)
}

/// A backup that was killed between its receipt and its name, or a removal in
/// the middle, leaves a receipt of nothing.
/// Only whoever holds the folder may say so: another one's may be about to get
/// its file.
pub(super) fn clear_lonely_receipts(folder: &Path, name: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let text = entry.file_name().to_string_lossy().into_owned();
        let Some(stem) = text.strip_suffix(".json") else { continue };
        let ours = parts(&format!("{stem}{SUFFIX}")).is_some_and(|(whose, _)| whose == name);
        if ours && !beside(&folder.join(stem), SUFFIX).exists() {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backups_name_is_known() {
        let name = "heph-hub-20261127T154400.123Z.db.zst";
        assert_eq!(parts(name), Some(("heph-hub", "20261127T154400.123Z")));
        for other in ["heph.db.zst", "x.db", "-20261127T154400.123Z.db.zst", "é.db.zst"] {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}
