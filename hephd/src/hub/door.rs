//! Who is asking. What carries data is behind this door: a request comes
//! through with a token that counts, and goes on marked with the owner that
//! its subject acts for. Everything behind acts for that owner and no other.
//!
//! A token is looked at before failures are counted: whoever has a good one
//! is served, however much somebody else behind the same proxy guesses.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    Hub,
    attempts::Attempts,
    patience::within,
    reply::{self, Failure},
    serve::Peer,
};
use crate::{
    config::Rules,
    error::Result,
    id::OwnerId,
    oidc::{
        Subject,
        keys::{Keys, NoKey, Pace},
        provider::{NoAnswer, Provider},
        token::{self, Refused, Verified},
    },
    replica::Replica,
    store::subjects::Claim,
    sync::Sender,
};
use jsonwebtoken::Header;

/// For whom a request acts, and until when it may.
#[derive(Debug, Clone)]
pub struct Acting {
    /// Whose data it is about.
    pub owner: OwnerId,
    /// When its token ends, in seconds since 1970; none where there is none.
    pub expires: Option<u64>,
}

/// The door of a hub that verifies tokens.
#[derive(Debug)]
pub struct Door {
    keys: Keys,
    rules: Rules,
    /// The issuer says of its access tokens that they are such.
    says_type: AtomicBool,
    /// Subjects that came through. While the hub runs, none loses its owner.
    known: RwLock<HashMap<Subject, OwnerId>>,
    attempts: Attempts,
}

/// Why somebody does not come through.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stopped {
    NoToken,
    Refused(Refused),
    /// Nobody can say, for so long.
    NotNow(Duration),
    /// The subject acts for nobody here.
    Nobody(Subject),
}

impl Door {
    /// A door for tokens that say what they must.
    ///
    /// # Errors
    /// `usage` for an issuer that is no https URL.
    pub fn new(rules: Rules, pace: Pace) -> Result<Self> {
        Ok(Self {
            keys: Keys::of(Provider::new(&rules.issuer, None)?, pace),
            rules,
            says_type: AtomicBool::default(),
            known: RwLock::default(),
            attempts: Attempts::default(),
        })
    }

    /// Whose tokens count.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.rules.issuer
    }

    /// Whom they must be for.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.rules.audience
    }

    /// The provider's keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Checks a token. A signature that does not hold may be that of a key which
    /// took the place of a known one.
    ///
    /// # Errors
    /// Why it does not count, or that nobody knows.
    pub async fn verify(&self, token: &str, now_secs: u64) -> Result<Verified, NoKey> {
        let header = token::header(token).map_err(NoKey::Refused)?;
        let mut checked = self.check(token, &header, now_secs).await;
        if checked == Err(NoKey::Refused(Refused::Signature))
            && self.keys.ask_if_due().await.is_ok()
        {
            checked = self.check(token, &header, now_secs).await;
        }
        let verified = checked?;
        if verified.typed {
            self.says_type.store(true, Relaxed);
        } else if self.says_type.load(Relaxed) {
            let why = "this issuer says of its access tokens that they are such";
            return Err(NoKey::Refused(Refused::NotAnAccessToken(why)));
        }
        Ok(verified)
    }

    async fn check(&self, token: &str, header: &Header, now: u64) -> Result<Verified, NoKey> {
        let key = self.keys.find(header).await?;
        token::verify(token, header, &key, &self.rules, now).map_err(NoKey::Refused)
    }

    async fn admit(&self, token: &str, hub: &Hub) -> Result<Acting, Failed> {
        let verified = self.verify(token, hub.clock.now_ms() / 1000).await;
        let Verified { subject, expires, .. } = verified.map_err(|no| match no {
            NoKey::Refused(why) => Stopped::Refused(why),
            NoKey::NotNow(wait) => Stopped::NotNow(wait),
        })?;
        let owner = within(hub.limits.patience, self.owner_of(&subject, &hub.replica)).await?;
        let owner = owner.ok_or(Stopped::Nobody(subject))?;
        Ok(Acting { owner, expires: Some(expires) })
    }

    /// For whom a subject acts; the first one claims an unclaimed owner.
    async fn owner_of(&self, subject: &Subject, replica: &Replica) -> Result<Option<OwnerId>> {
        let known = || self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = known().get(subject) {
            return Ok(Some(owner.clone()));
        }
        let (asked, stores) = (subject.clone(), replica.owner().await?);
        let unclaimed = stores.clone();
        let (owner, open, promised) = replica
            .read(move |store| {
                let owner = store.resolve_owner(&asked)?;
                let open = owner.is_none() && !store.is_claimed(&unclaimed)?;
                Ok((owner, open, store.promised()?.as_ref() == Some(&asked.sub)))
            })
            .await?;
        let owner = if open { claim(subject, stores, replica).await? } else { owner };
        if let Some(owner) = &owner {
            if promised {
                replica.write(|store| store.keep_promise()).await?;
            }
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.insert(subject.clone(), owner.clone());
        }
        Ok(owner)
    }

    /// Asks the provider for its keys, and waits at most so long for them: a
    /// hub starts without as well.
    ///
    /// # Errors
    /// `issuer_mismatch` when the provider is another than the one named.
    pub async fn first_keys(&self, patience: Duration) -> Result<()> {
        let answered = tokio::time::timeout(patience, self.keys.ask_if_due()).await;
        match self.keys.trouble() {
            Some(other @ NoAnswer::OtherIssuer(_)) => Err(other.error(self.issuer())),
            _ if answered.is_err() => {
                tracing::warn!("the OpenID provider {} does not answer yet", self.issuer());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

async fn claim(subject: &Subject, owner: OwnerId, replica: &Replica) -> Result<Option<OwnerId>> {
    let asked = subject.clone();
    match replica.write(move |store| store.claim(&owner, &asked)).await? {
        Claim::Won(owner) => {
            tracing::warn!(sub = subject.sub, issuer = subject.issuer, %owner,
                "claimed: from now on this hub is theirs");
            Ok(Some(owner))
        }
        Claim::Theirs(owner) => Ok(Some(owner)),
        Claim::Taken => Ok(None),
    }
}

/// The token of a request; none where it tries to show none. The scheme's case
/// does not matter (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Stopped> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = value.and_then(|value| value.split_once(' ')).ok_or(Stopped::NoToken)?;
    let token = token.trim_matches(' ');
    let shown = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    shown.then_some(token).ok_or(Stopped::NoToken)
}

/// What keeps a request out: the one who asks, or the hub itself.
enum Failed {
    Stopped(Stopped),
    Hub(crate::error::Error),
}

impl From<Stopped> for Failed {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl From<crate::error::Error> for Failed {
    fn from(error: crate::error::Error) -> Self {
        Self::Hub(error)
    }
}

/// Lets a request through, marked, or answers in its place.
pub(super) async fn let_in(
    State(hub): State<Arc<Hub>>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&hub, Asks::of(&request)).await {
        Ok(acting) => {
            // A device that syncs says who it is; a stranger says anything.
            note_sender(&hub, &request);
            request.extensions_mut().insert(acting);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

/// What the door sees of a request.
struct Asks {
    peer: IpAddr,
    path: String,
    token: Result<String, Stopped>,
}

impl Asks {
    fn of(request: &Request) -> Self {
        Self {
            peer: Peer::of(request),
            path: request.uri().path().to_owned(),
            token: bearer(request.headers()).map(str::to_owned),
        }
    }
}

async fn admit(hub: &Hub, asks: Asks) -> Result<Acting, Failure> {
    let Some(door) = &hub.door else {
        // Whoever reaches this hub may ask: it is the owner's own machine.
        let owner = within(hub.limits.patience, hub.replica.owner()).await?;
        return Ok(Acting { owner, expires: None });
    };
    let admitted = match &asks.token {
        Ok(token) => door.admit(token, hub).await,
        Err(stopped) => Err(stopped.clone().into()),
    };
    admitted.map_err(|failed| match failed {
        Failed::Hub(error) => error.into(),
        Failed::Stopped(stopped) => turn_away(door, &stopped, &asks, hub.clock.now_ms()),
    })
}

/// Why a token does not count is in the log and in the answer; the token is in
/// neither. What comes too often is not told each time.
fn turn_away(door: &Door, stopped: &Stopped, asks: &Asks, now_ms: u64) -> Failure {
    let Asks { peer, path, .. } = asks;
    if *stopped == Stopped::NoToken {
        return reply::wants_token();
    }
    let seldom = door.attempts.failed(*peer, now_ms);
    match (stopped, seldom) {
        (Stopped::Nobody(Subject { sub, .. }), seldom) => {
            if seldom.is_ok() {
                tracing::warn!(%peer, path, sub, "turned away: they own nothing here");
            }
            reply::owns_nothing()
        }
        (_, Err(wait)) => reply::too_many_attempts(wait),
        (Stopped::NotNow(wait), Ok(())) => reply::provider_down(*wait),
        (Stopped::Refused(why), Ok(())) => {
            tracing::warn!(%peer, path, reason = %why, "turned away: the token does not count");
            reply::bad_token(&why.to_string())
        }
        (Stopped::NoToken, Ok(())) => reply::wants_token(),
    }
}

fn note_sender(hub: &Hub, request: &Request) {
    let sender = Sender::read(|name| request.headers().get(name)?.to_str().ok());
    if let Some(sender) = sender.filter(|_| request.uri().path().starts_with("/sync/")) {
        hub.daemon.devices.note(sender, hub.clock.now_ms());
    }
}

impl<S: Sync> FromRequestParts<S> for Acting {
    type Rejection = Failure;

    /// # Errors
    /// 401 for a route that was left outside the door.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(reply::wants_token)
    }
}
