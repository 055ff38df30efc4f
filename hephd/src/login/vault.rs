//! Where a login lies between two starts: the system's keyring, or a file.
//! Which of the two is chosen aloud; neither stands in for the other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{keyring, token_file::TokenFile};
use crate::{
    error::{Error, Result},
    oidc::{device_flow::Tokens, secret::Secret},
};

/// A token is renewed when it has less than this left, or a fifth of its life.
const AHEAD_SECS: u64 = 60;

/// What is kept of a login at one hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who gave the tokens.
    pub issuer: String,
    /// To which client.
    pub client_id: String,
    /// The issuer's name for the person.
    #[serde(default)]
    pub subject: Option<String>,
    /// The person's name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// For the hub.
    pub access_token: Secret,
    /// When it was given, in seconds since 1970.
    pub issued_at: u64,
    /// Its end; none where the issuer does not say.
    #[serde(default)]
    pub expires_at: Option<u64>,
    /// For the next one.
    #[serde(default)]
    pub refresh_token: Option<Secret>,
    /// What they allow.
    #[serde(default)]
    pub scope: Option<String>,
}

impl Entry {
    /// The same login with tokens that came later. What is not said again
    /// stays as it was.
    #[must_use]
    pub fn renewed(&self, tokens: Tokens, now_ms: u64) -> Self {
        let now = now_ms / 1000;
        Self {
            access_token: tokens.access_token,
            issued_at: now,
            expires_at: tokens.expires_in.map(|life| now.saturating_add(life)),
            refresh_token: tokens.refresh_token.or_else(|| self.refresh_token.clone()),
            scope: tokens.scope.or_else(|| self.scope.clone()),
            ..self.clone()
        }
    }

    /// Its time is over.
    #[must_use]
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.expires_at.is_some_and(|end| end <= now_ms / 1000)
    }

    /// Its time is nearly over.
    #[must_use]
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.expires_at.is_some_and(|end| {
            let ahead = (end.saturating_sub(self.issued_at) / 5).min(AHEAD_SECS);
            end.saturating_sub(now_ms / 1000) < ahead || self.is_over(now_ms)
        })
    }
}

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

    /// Puts a login there; it is durable when this returns.
    ///
    /// # Errors
    /// As [`Vault::get`].
    pub async fn put(&self, hub: &Url, entry: &Entry) -> Result<()> {
        match self {
            Self::Keyring => keyring::put(hub, entry).await,
            Self::File(path) => {
                let (file, hub, entry) = (TokenFile::at(path), hub.clone(), entry.clone());
                blocking(move || file.put(&hub, Some(&entry))).await
            }
        }
    }

    /// Takes a login away, if there is one.
    ///
    /// # Errors
    /// As [`Vault::get`].
    pub async fn remove(&self, hub: &Url) -> Result<()> {
        match self {
            Self::Keyring => keyring::remove(hub).await,
            Self::File(path) => {
                let (file, hub) = (TokenFile::at(path), hub.clone());
                blocking(move || file.put(&hub, None)).await
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

#[cfg(test)]
pub(super) fn entry_for_tests(token: &str, issued_at: u64, life: u64) -> Entry {
    Entry {
        issuer: "https://id.example".to_owned(),
        client_id: "heph".to_owned(),
        subject: Some("sub".to_owned()),
        name: Some("ada".to_owned()),
        access_token: Secret::new(token),
        issued_at,
        expires_at: Some(issued_at + life),
        refresh_token: Some(Secret::new(format!("{token}-refresh"))),
        scope: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_due_a_minute_or_a_fifth_of_its_life_ahead() {
        let hour = entry_for_tests("a", 1000, 3600);
        assert!(!hour.is_due(4_540_000) && hour.is_due(4_541_000) && !hour.is_over(4_599_000));
        let short = entry_for_tests("a", 1000, 10);
        assert!(!short.is_due(1_008_000) && short.is_due(1_009_000) && short.is_over(1_010_000));
        let endless = Entry { expires_at: None, ..hour };
        assert!(!endless.is_due(u64::MAX) && !endless.is_over(u64::MAX));
    }

    #[test]
    fn what_a_renewal_does_not_say_stays() {
        let old = entry_for_tests("old", 1000, 10);
        let tokens = serde_json::json!({ "access_token": "new", "token_type": "Bearer" });
        let new = old.renewed(serde_json::from_value(tokens).unwrap(), 5_000_000);
        assert_eq!((new.access_token.expose(), new.expires_at), ("new", None));
        assert_eq!((&new.refresh_token, &new.name), (&old.refresh_token, &old.name));
    }
}
