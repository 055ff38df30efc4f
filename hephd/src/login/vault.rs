//! Where a login lies between two starts: the system's keyring, or a file.
//! Which of the two is chosen aloud; neither stands in for the other.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::Access;
use url::Url;

use super::{
    entry::Entry,
    keyring,
    token_file::{Lock, TokenFile},
};
use crate::error::{Code, Error, Result};

/// A place for logins, one for each hub.
#[derive(Debug, Clone)]
pub enum Vault {
    /// The system's.
    Keyring,
    /// A file of mode 0600.
    File(PathBuf),
}

impl Vault {
    /// For people and scripts: `keyring`, or the path.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Keyring => "keyring".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Reading costs so little that it may be done each time.
    #[must_use]
    pub const fn is_cheap(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Whether a login could be put there, as far as that can be seen without.
    ///
    /// # Errors
    /// `file_failed`.
    pub fn check_writable(&self) -> Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
            Error::new(
                Code::FileFailed,
                format!("no token can be kept in {}: {error}", folder.display()),
                format!("mkdir -m 700 {}, or give another --token-file", folder.display()),
            )
        })
    }

    /// What lies there for a hub.
    ///
    /// # Errors
    /// `auth_failed` for a keyring that is locked, absent or silent;
    /// `insecure_permissions` and `file_failed` for a file.
    pub async fn get(&self, hub: &Url) -> Result<Option<Entry>> {
        match self {
            Self::Keyring => keyring::get(hub).await,
            Self::File(path) => {
                let (file, hub) = (TokenFile::at(path), hub.clone());
                blocking(move || file.get(&hub)).await
            }
        }
    }

    /// Keeps other processes from changing what lies there. A keyring cannot.
    ///
    /// # Errors
    /// `file_failed` where another process has it for too long.
    pub(super) async fn hold(&self) -> Result<Hold> {
        match self {
            Self::Keyring => Ok(Hold(None)),
            Self::File(path) => {
                let file = TokenFile::at(path);
                blocking(move || file.lock().map(|lock| Hold(Some(Arc::new(lock))))).await
            }
        }
    }

    /// Puts a login there; it is durable when this returns.
    ///
    /// # Errors
    /// As [`Vault::get`] and [`Vault::hold`].
    pub async fn put(&self, hub: &Url, entry: &Entry) -> Result<()> {
        self.put_held(&self.hold().await?, hub, entry).await
    }

    /// The same, for whoever holds it already.
    pub(super) async fn put_held(&self, hold: &Hold, hub: &Url, entry: &Entry) -> Result<()> {
        match self {
            Self::Keyring => keyring::put(hub, entry).await,
            Self::File(path) => change(path, hold, hub, Some(entry.clone())).await,
        }
    }

    /// Takes a login away, if there is one.
    ///
    /// # Errors
    /// As [`Vault::get`] and [`Vault::hold`].
    pub async fn remove(&self, hub: &Url) -> Result<()> {
        match self {
            Self::Keyring => keyring::remove(hub).await,
            Self::File(path) => change(path, &self.hold().await?, hub, None).await,
        }
    }
}

/// No other process changes what lies in the vault, until this is dropped and
/// what was begun with it is done.
#[derive(Debug)]
pub(super) struct Hold(Option<Arc<Lock>>);

async fn change(path: &Path, Hold(lock): &Hold, hub: &Url, entry: Option<Entry>) -> Result<()> {
    let (file, lock, hub) = (TokenFile::at(path), lock.clone(), hub.clone());
    let lock = lock.ok_or_else(|| Error::internal("a token file without its lock"))?;
    blocking(move || file.put(&lock, &hub, entry.as_ref())).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}
