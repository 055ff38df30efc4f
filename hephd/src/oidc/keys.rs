//! A provider's keys, kept while they are good.
//!
//! - A key that is not known may be new: the provider is asked, but not more
//!   often than the cool-down allows, whoever makes up ids. The right to ask
//!   is taken before it is used, so that a thousand at once ask once.
//! - A provider that is down takes nothing away: what was known still serves.
//! - What it no longer lists is forgotten with its next answer.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, Header,
    jwk::{Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    provider::{NoAnswer, Provider},
    token::Refused,
};

/// Ids that are known to be nobody's.
const MOST_UNKNOWN: usize = 128;

/// More keys than this no provider needs.
const MOST_KEYS: usize = 64;

/// A longer id names no key.
const MAX_ID_BYTES: usize = 256;

/// How often a provider is asked.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Between two questions, whatever for.
    pub cool_down: Duration,
    /// After so long it is asked again without a reason.
    pub refresh: Duration,
    /// An id that was nobody's is believed to be so for as long.
    pub nobody: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            cool_down: Duration::from_secs(30),
            refresh: Duration::from_secs(600),
            nobody: Duration::from_secs(300),
        }
    }
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoKey {
    /// The token is at fault.
    Refused(Refused),
    /// The provider is: nobody knows whether the token is good. Ask again
    /// after so long.
    ProviderDown(Duration),
}

/// The keys of a provider.
#[derive(Debug)]
pub struct Keys {
    provider: Provider,
    pace: Pace,
    known: Mutex<Known>,
    /// Held while the provider is asked.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Vec<Key>,
    /// When the provider was last asked, or is being asked.
    asked: Option<Instant>,
    /// The last question brought an answer.
    well: bool,
    nobodys: VecDeque<(String, Instant)>,
}

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

impl Keys {
    /// None yet.
    #[must_use]
    pub fn of(provider: Provider, pace: Pace) -> Self {
        Self { provider, pace, known: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// The provider.
    #[must_use]
    pub const fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The key that a token's header names.
    ///
    /// # Errors
    /// [`NoKey`].
    pub async fn find(&self, header: &Header) -> Result<DecodingKey, NoKey> {
        if header.kid.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES) {
            return Err(NoKey::Refused(Refused::UnknownKey));
        }
        match self.look(header) {
            Look::Found(key) => return Ok(key),
            Look::Refused(why) => return Err(NoKey::Refused(why)),
            Look::Unknown => {}
        }
        let _alone = self.asking.lock().await;
        // Somebody may have asked meanwhile.
        if let Look::Found(key) = self.look(header) {
            return Ok(key);
        }
        let asked = self.ask_if_due().await;
        match self.look(header) {
            Look::Found(key) => Ok(key),
            Look::Refused(why) => Err(NoKey::Refused(why)),
            Look::Unknown => Err(self.unknown(header, asked)),
        }
    }

    /// Asks the provider now, without a reason.
    ///
    /// # Errors
    /// What it last answered, where that does not count.
    pub async fn refresh(&self) -> Result<(), NoAnswer> {
        let _alone = self.asking.lock().await;
        self.ask().await
    }

    /// Whether there is any key to check with.
    #[must_use]
    pub fn has_any(&self) -> bool {
        !self.known().keys.is_empty()
    }

    /// How long until it is worth asking again without a reason.
    #[must_use]
    pub fn next_refresh(&self) -> Duration {
        if self.known().well { self.pace.refresh } else { self.pace.cool_down }
    }

    async fn ask_if_due(&self) -> bool {
        let asked = self.known().asked;
        let due = asked.is_none_or(|asked| asked.elapsed() >= self.pace.cool_down);
        if due {
            // What went wrong is in the log, and in `well`.
            let _ = self.ask().await;
        }
        due
    }

    async fn ask(&self) -> Result<(), NoAnswer> {
        self.known().asked = Some(Instant::now());
        let answer = self.fetch().await;
        let mut known = self.known();
        known.well = answer.is_ok();
        match answer {
            Ok(keys) => {
                known.nobodys.retain(|(id, _)| !keys.iter().any(|key| key.id.as_ref() == Some(id)));
                known.keys = keys;
                Ok(())
            }
            Err(why) => {
                let error = why.error(self.provider.issuer());
                let kept = known.keys.len();
                drop(known);
                tracing::warn!(keys_kept = kept, "{}", error.message);
                Err(why)
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<Key>, NoAnswer> {
        let document = self.provider.discover().await?;
        let set: JwkSet = self.provider.get(&document.jwks_uri).await?;
        let keys: Vec<Key> = set.keys.into_iter().take(MOST_KEYS).filter_map(usable).collect();
        if keys.is_empty() {
            let why = format!("{} has no key for RS256 or ES256", document.jwks_uri);
            return Err(NoAnswer::Wrong(why));
        }
        Ok(keys)
    }

    fn look(&self, header: &Header) -> Look {
        let known = self.known();
        let mut fit = known.keys.iter().filter(|key| key.algorithm == header.alg);
        let found = match &header.kid {
            Some(id) => fit.find(|key| key.id.as_ref() == Some(id)),
            None => match (fit.next(), fit.next()) {
                (Some(only), None) => Some(only),
                (Some(_), Some(_)) => return Look::Refused(Refused::NoKeyId),
                (None, _) => None,
            },
        };
        if let Some(key) = found {
            return Look::Found(key.key.clone());
        }
        let id = header.kid.as_deref().unwrap_or_default();
        let believed = |since: &Instant| since.elapsed() < self.pace.nobody;
        let nobodys = known.nobodys.iter().any(|(nobody, at)| nobody == id && believed(at));
        if nobodys { Look::Refused(Refused::UnknownKey) } else { Look::Unknown }
    }

    /// That a key is nobody's is only known from an answer that came after the
    /// token did: it may be newer than the last one.
    fn unknown(&self, header: &Header, asked: bool) -> NoKey {
        let mut known = self.known();
        if !known.well {
            return NoKey::ProviderDown(self.pace.cool_down);
        }
        if asked {
            if known.nobodys.len() >= MOST_UNKNOWN {
                known.nobodys.pop_front();
            }
            let id = header.kid.clone().unwrap_or_default();
            known.nobodys.push_back((id, Instant::now()));
        }
        NoKey::Refused(Refused::UnknownKey)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What is in it is whole between any two statements.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Look {
    Found(DecodingKey),
    Refused(Refused),
    Unknown,
}

/// A key that may check a token of one algorithm; none for all others.
fn usable(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let algorithm = match (key.family(), common.key_algorithm) {
        (AlgorithmFamily::Rsa, None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmFamily::Ec, None | Some(KeyAlgorithm::ES256)) => Algorithm::ES256,
        _ => return None,
    };
    Some(Key { id: common.key_id.clone(), algorithm, key })
}
