//! A provider's keys, kept while they are good.
//!
//! - A key that is not known may be new: the provider is asked, but not more
//!   often than the cool-down allows, whoever makes up ids and for whatever
//!   reason. The right to ask is taken before it is used, so that a thousand
//!   at once ask once.
//! - Whoever wanted to know may go away meanwhile: the question goes on, and
//!   its answer serves the next.
//! - A provider that is down takes nothing away: what was known still serves.
//! - What it no longer lists is forgotten with its next answer.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey, Header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    provider::{NoAnswer, Provider},
    token::Refused,
};

/// Document and keys together take no longer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Ids that the last answer is known not to have.
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
}

impl Default for Pace {
    fn default() -> Self {
        Self { cool_down: Duration::from_secs(30), refresh: Duration::from_secs(600) }
    }
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoKey {
    /// The token is at fault.
    Refused(Refused),
    /// Nobody knows: the provider did not answer, or may not be asked again
    /// before so long.
    NotNow(Duration),
}

/// The keys of a provider. A clone has the same.
#[derive(Debug, Clone)]
pub struct Keys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    provider: Provider,
    pace: Pace,
    known: Mutex<Known>,
    /// Counts the questions that have ended.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Vec<Key>,
    /// When the provider was last asked.
    asked: Option<Instant>,
    /// It is being asked now.
    asking: bool,
    /// What came of the last question.
    last: Option<Result<(), NoAnswer>>,
    /// Ids that were looked for in the last answer, in vain.
    unknown: VecDeque<Option<String>>,
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

/// What the known keys have to say of a token's header.
enum Found {
    Key(DecodingKey),
    Refused(Refused),
    Nothing,
}

impl Keys {
    /// None yet.
    #[must_use]
    pub fn of(provider: Provider, pace: Pace) -> Self {
        let (known, ended) = (Mutex::default(), watch::Sender::new(0));
        Self(Arc::new(Shared { provider, pace, known, ended }))
    }

    /// The provider.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.0.provider
    }

    /// Whether there is any key to check with.
    #[must_use]
    pub fn has_any(&self) -> bool {
        !self.0.known().keys.is_empty()
    }

    /// The key that a token's header names.
    ///
    /// # Errors
    /// [`NoKey`].
    pub async fn find(&self, header: &Header) -> Result<DecodingKey, NoKey> {
        if header.kid.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES) {
            return Err(NoKey::Refused(Refused::UnknownKey));
        }
        if let Some(settled) = self.0.known().settled(header) {
            return settled;
        }
        if let Err(wait) = self.ask_if_due().await {
            let checked = self.0.known().unknown.contains(&header.kid);
            return Err(if checked {
                NoKey::Refused(Refused::UnknownKey)
            } else {
                NoKey::NotNow(wait)
            });
        }
        let mut known = self.0.known();
        known.settled(header).unwrap_or_else(|| match known.last {
            Some(Ok(())) => {
                known.note_unknown(header.kid.clone());
                Err(NoKey::Refused(Refused::UnknownKey))
            }
            _ => Err(NoKey::NotNow(self.0.pace.cool_down)),
        })
    }

    /// Asks the provider, unless that was done a moment ago; waits for the
    /// answer if it is being asked.
    ///
    /// # Errors
    /// How long until it may be asked again.
    pub async fn ask_if_due(&self) -> Result<(), Duration> {
        let mut ended = self.0.ended.subscribe();
        self.begin_if_due()?;
        // The sender lives as long as this does.
        let _ = ended.changed().await;
        Ok(())
    }

    /// What the last answer lacked to count; none where it did, or there is
    /// none yet.
    #[must_use]
    pub fn trouble(&self) -> Option<NoAnswer> {
        self.0.known().last.clone().and_then(Result::err)
    }

    /// Keeps them fresh, for ever.
    pub async fn keep_fresh(&self) {
        loop {
            let well = matches!(self.0.known().last, Some(Ok(())));
            let pause = if well { self.0.pace.refresh } else { self.0.pace.cool_down };
            tokio::time::sleep(pause).await;
            // Too early is as good: somebody else has asked.
            let _ = self.ask_if_due().await;
        }
    }

    fn begin_if_due(&self) -> Result<(), Duration> {
        let mut known = self.0.known();
        if known.asking {
            return Ok(());
        }
        let since = known.asked.map(|asked| asked.elapsed());
        let left = since.and_then(|since| self.0.pace.cool_down.checked_sub(since));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return Err(left);
        }
        (known.asked, known.asking) = (Some(Instant::now()), true);
        drop(known);
        let shared = Arc::clone(&self.0);
        tokio::spawn(shared.ask());
        Ok(())
    }
}

impl Shared {
    async fn ask(self: Arc<Self>) {
        // A task of its own: were it to panic, that is one more answer that did
        // not come, and not the last question there ever was.
        let asked = Arc::clone(&self);
        let fetched = tokio::spawn(async move { timeout(DEADLINE, asked.fetch()).await }).await;
        let late = |_| Err(NoAnswer::Down(format!("no answer in {} s", DEADLINE.as_secs())));
        let broken = |_| Ok(Err(NoAnswer::Down("the question broke off".to_owned())));
        let answer = fetched.unwrap_or_else(broken).unwrap_or_else(late);
        let mut known = self.known();
        known.asking = false;
        known.unknown.clear();
        known.last = Some(answer.map(|keys| known.keys = keys));
        let (kept, trouble) = (known.keys.len(), known.last.clone().and_then(Result::err));
        drop(known);
        if let Some(trouble) = trouble {
            let error = trouble.error(self.provider.issuer());
            tracing::warn!(keys_kept = kept, "{}", error.message);
        }
        self.ended.send_modify(|ended| *ended += 1);
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

    fn known(&self) -> MutexGuard<'_, Known> {
        // What is in it is whole between any two statements.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What is certain without asking.
    fn settled(&self, header: &Header) -> Option<Result<DecodingKey, NoKey>> {
        match self.look(header) {
            Found::Key(key) => Some(Ok(key)),
            Found::Refused(why) => Some(Err(NoKey::Refused(why))),
            Found::Nothing => None,
        }
    }

    fn look(&self, header: &Header) -> Found {
        let mut fit = self.keys.iter().filter(|key| key.algorithm == header.alg);
        let found = match &header.kid {
            Some(id) => fit.find(|key| key.id.as_ref() == Some(id)),
            None => match (fit.next(), fit.next()) {
                (Some(_), Some(_)) => return Found::Refused(Refused::NoKeyId),
                (only, _) => only,
            },
        };
        found.map_or(Found::Nothing, |key| Found::Key(key.key.clone()))
    }

    fn note_unknown(&mut self, id: Option<String>) {
        if self.unknown.len() >= MOST_UNKNOWN {
            self.unknown.pop_front();
        }
        self.unknown.push_back(id);
    }
}

/// A key that may check a token of one algorithm; none for all others.
fn usable(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match (&jwk.algorithm, common.key_algorithm) {
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmParameters::EllipticCurve(ec), None | Some(KeyAlgorithm::ES256))
            if ec.curve == EllipticCurve::P256 =>
        {
            Algorithm::ES256
        }
        _ => return None,
    };
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some(Key { id: common.key_id.clone(), algorithm, key })
}
