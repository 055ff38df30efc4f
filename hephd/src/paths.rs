//! Where things lie when nobody says where.

use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Result};

/// The person's home.
///
/// # Errors
/// `file_failed` where `HOME` is unset or not absolute.
#[allow(clippy::disallowed_methods, reason = "the one place that reads HOME")]
pub fn home() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    home.ok_or_else(|| {
        Error::new(Code::FileFailed, "HOME is not set", "set HOME, or name every path by flag")
    })
}

/// The store that is meant where no `--db` is given.
///
/// # Errors
/// As [`home`].
#[allow(clippy::disallowed_methods, reason = "the one place that reads XDG_DATA_HOME")]
pub fn default_db() -> Result<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let data = match data.filter(|path| path.is_absolute()) {
        Some(data) => data,
        None => home()?.join(".local/share"),
    };
    Ok(data.join("heph/heph.db"))
}

/// The socket that is meant where no `--socket` is given.
#[must_use]
pub fn socket_beside(db: &Path) -> PathBuf {
    db.with_file_name("hephd.sock")
}

/// The folder of the records of what was installed for this person.
///
/// # Errors
/// As [`home`].
pub fn record_folder() -> Result<PathBuf> {
    Ok(home()?.join(".config/heph"))
}

/// A path as one word of a command line that a person may paste.
#[must_use]
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
