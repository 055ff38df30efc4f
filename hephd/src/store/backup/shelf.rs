//! The backups in a folder.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::Made;
use crate::{
    error::{Code, Error, Result, file},
    paths::quoted,
    store::{
        file::{beside, folder, full},
        seed::{Kind, Receipt, receipt_path},
        snapshot::{name_of, real_file},
    },
};

/// What a backup's name ends with.
const SUFFIX: &str = ".db.zst";

/// How long the time in a name is: `20261127T154400.123Z`.
const STAMP: usize = 20;

/// What to do about a backup that is not there.
const NAMES: &str = "list them: ls the folder that heph-ops backup --to was given";

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
                NAMES,
            ));
        }
        Ok(Self { file: path.to_owned() })
    }

    /// Its path without the ending.
    pub(super) fn stem(&self) -> PathBuf {
        let path = self.file.as_os_str().as_bytes();
        OsStr::from_bytes(path.strip_suffix(SUFFIX.as_bytes()).unwrap_or(path)).into()
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

/// The backups in a folder, newest first.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<Backup>> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(file(folder, "read"))? {
        let path = entry.map_err(file(folder, "read"))?.path();
        let text = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some((_, stamp)) = parts(&text) {
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

/// The newest backup in a folder: of the store at `of`, or where none is named, of
/// the only one that has any there. Which store one is of is what its receipt says;
/// files are called as people like.
///
/// # Errors
/// `backup_not_found` where there is none; `usage` where it is not clear of which.
pub fn newest(folder: &Path, of: Option<&Path>) -> Result<Backup> {
    let none = |what: String, hint: String| Error::new(Code::BackupNotFound, what, hint);
    let name = folder.display();
    if folder.as_os_str().as_bytes().ends_with(SUFFIX.as_bytes()) {
        return Err(none(format!("there is no backup at {name}"), NAMES.to_owned()));
    }
    let all = if folder.exists() { list(folder)? } else { Vec::new() };
    let Some(newest) = all.first().cloned() else {
        let hint = format!("make one: heph-ops backup --to {}", quoted(folder));
        return Err(none(format!("there is no backup in {name}"), hint));
    };
    let known: Vec<_> =
        all.into_iter().filter_map(|kept| Some((kept.load().ok()?, kept))).collect();
    let mut stores: Vec<_> = known.iter().map(|(then, _)| (&then.source, &then.owner_id)).collect();
    stores.sort();
    stores.dedup();
    let sources: Vec<_> = stores.iter().map(|(source, _)| source.as_str()).collect();
    match of.map(|db| name_of(&real_file(db).unwrap_or_else(|_| full(db)))) {
        Some(db) => {
            let ours = known.iter().find(|(then, _)| then.source == db);
            ours.map(|(_, kept)| kept.clone()).ok_or_else(|| {
                let what = format!("{name} has no backup of {db}; it has those of");
                none(format!("{what} {}", sources.join(", ")), "name the file: --from FILE".into())
            })
        }
        None if stores.len() < 2 => Ok(known.into_iter().next().map_or(newest, |(_, kept)| kept)),
        None => Err(Error::usage(
            format!("{name} has backups of several stores: {}", sources.join(", ")),
            format!("name the file, for example {}", quoted(&newest.file)),
        )),
    }
}

/// Removes the oldest backups of the store that `made` is of until so many are
/// left, each with its receipt; gives what went. `made` stays whatever the clock
/// said, and so does what was spared, what has no receipt, or one of another store:
/// nobody knows what that is worth.
///
/// # Errors
/// When one cannot be removed.
pub fn prune(made: &Made, keep: usize) -> Result<Vec<PathBuf>> {
    let folder = folder(&made.backup.file);
    let goes = |kept: &Backup| {
        let same = kept.load().is_ok_and(|then| then.is_of_the_store_of(&made.receipt));
        same && *kept != made.backup && !made.spared.contains(kept)
    };
    let others = list(folder)?.into_iter().filter(goes);
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
