//! A new token for one that is nearly over, or that the hub refuses.
//!
//! The answer may be lost after the provider has given it. So the old tokens
//! stay until new ones lie in the vault; they are used while they are good,
//! and the question is asked again later. Another process may share the vault:
//! what it has renewed is taken over, rather than renewed once more. A file is held
//! meanwhile; a keyring has no lock.

use std::sync::Arc;

use serde_json::Value;

use super::{Login, State, entry::Entry};
use crate::{
    error::{Code, Error, Result},
    oidc::{
        device_flow::Tokens,
        provider::{NoAnswer, Provider, Refusal},
        secret::Secret,
    },
};

/// After the first renewal in vain; twice as long after each, up to
/// [`LONGEST_PAUSE_MS`].
const PAUSE_MS: u64 = 15_000;
const LONGEST_PAUSE_MS: u64 = 3_600_000;

/// Why there are no new tokens.
enum Failed {
    /// Not now.
    Later(Error),
    /// Never: the provider takes the refresh token no more, or there is none.
    Spent,
    /// Somebody has taken the login out of the vault.
    Gone,
}

impl Login {
    /// Renews without anybody's waiting, where nobody is at it.
    pub(super) fn renew_meanwhile(&self) {
        if let Ok(turn) = Arc::clone(&self.0.turn).try_lock_owned() {
            let login = self.clone();
            tokio::spawn(async move {
                login.renew(false).await;
                drop(turn);
            });
        }
    }

    pub(super) async fn renew_if_due(&self) {
        let _turn = self.0.turn.lock().await;
        self.renew(false).await;
    }

    /// Renews where it is time, or where the hub refuses the token. Whoever
    /// calls this has the turn.
    pub(super) async fn renew(&self, refused: bool) {
        let now = self.now();
        let entry = {
            let state = self.state();
            let may = state.is_due(now) || (refused && now >= state.not_before);
            state.entry.clone().filter(|_| may && !state.ended)
        };
        let Some(entry) = entry else { return self.end_if_over(refused) };
        let renewed = self.renewed(&entry).await;
        self.take(renewed, refused);
        self.end_if_over(refused);
    }

    async fn renewed(&self, entry: &Entry) -> Result<Option<Entry>, Failed> {
        let (vault, hub) = (&self.0.vault, &self.0.hub_url);
        // From the first look to the last word: another process that shares
        // the file would spend the same refresh token, or log out meanwhile.
        let hold = vault.hold().await.map_err(Failed::Later)?;
        // What cannot be read now could not be written afterwards.
        match vault.get(hub).await.map_err(Failed::Later)? {
            None => return Err(Failed::Gone),
            Some(_) if self.state().unsaved => {
                let put = vault.put_held(&hold, hub, entry).await;
                return put.map(|()| None).map_err(Failed::Later);
            }
            Some(held) if is_newer(&held, entry) => return Ok(Some(held)),
            Some(_) => {}
        }
        let Some(refresh_token) = entry.refresh_token.as_ref().filter(|_| !self.state().spent)
        else {
            return Err(Failed::Spent);
        };
        let tokens = match self.ask(entry, refresh_token).await.map_err(Failed::Later)? {
            Ok(tokens) => tokens,
            Err(refusal) if refusal.error == "invalid_grant" => {
                let held = vault.get(hub).await.map_err(Failed::Later)?;
                let other = held.filter(|held| is_newer(held, entry));
                return other.map(Some).ok_or(Failed::Spent);
            }
            Err(refusal) => return Err(Failed::Later(refused(entry, refresh_token, &refusal))),
        };
        let new = entry.renewed(tokens, self.now());
        match vault.put_held(&hold, hub, &new).await {
            Ok(()) => tracing::debug!(hub = %hub, "the login was renewed"),
            // The old ones are worth nothing any more, so these are kept here.
            Err(error) => {
                tracing::warn!("the login was renewed and cannot be kept: {}", error.message);
                let now = self.now();
                *self.state() = State {
                    unsaved: true,
                    error: Some(error),
                    not_before: now + PAUSE_MS,
                    ..State::holding(new, now)
                };
                return Ok(None);
            }
        }
        Ok(Some(new))
    }

    /// Asks the provider, once.
    async fn ask(&self, entry: &Entry, token: &Secret) -> Result<Result<Tokens, Refusal>> {
        let failed = |no_answer: NoAnswer| no_answer.error(&entry.issuer);
        let provider = Provider::new(&entry.issuer, self.0.hub_ca.as_deref())?;
        let endpoint = provider.discover().await.map_err(failed)?.token_endpoint;
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose()),
            ("client_id", &entry.client_id),
        ];
        let answer = provider.post::<Value>(&endpoint, &form).await.map_err(failed)?;
        answer.map_or_else(
            |refusal| Ok(Err(refusal)),
            |answer| tokens(answer).map(Ok).map_err(failed),
        )
    }

    fn take(&self, renewed: Result<Option<Entry>, Failed>, after_refusal: bool) {
        let now = self.now();
        let mut state = self.state();
        match renewed {
            Ok(Some(entry)) => {
                // A hub that goes on refusing is not given a new one each time.
                let in_vain = if after_refusal { state.in_vain + 1 } else { 0 };
                *state = State { in_vain, ..State::holding(entry, now) };
                if after_refusal {
                    state.not_before = now + pause(in_vain);
                }
            }
            Ok(None) if state.not_before > now => {}
            Ok(None) => (state.unsaved, state.error) = (false, None),
            Err(Failed::Spent) => state.spent = true,
            Err(Failed::Gone) => *state = State { read_at: Some(now), ..State::default() },
            Err(Failed::Later(error)) => {
                tracing::warn!("the login is not renewed: {}", error.message);
                state.in_vain += 1;
                state.not_before = now + pause(state.in_vain);
                state.error = Some(error);
            }
        }
    }

    /// A login whose refresh token is spent lasts as long as its access token.
    fn end_if_over(&self, refused: bool) {
        let now = self.now();
        let mut state = self.state();
        let without = state.entry.as_ref().is_some_and(|entry| entry.refresh_token.is_none());
        if (state.spent || without) && (refused || state.is_over(now)) && !state.ended {
            state.ended = true;
            state.error = Some(super::expired());
            tracing::warn!(hub = %self.0.hub_url, "login expired: heph auth login");
        }
    }
}

/// Another process has renewed it.
fn is_newer(held: &Entry, entry: &Entry) -> bool {
    held.issued_at >= entry.issued_at && held != entry
}

fn pause(in_vain: u32) -> u64 {
    (PAUSE_MS << in_vain.saturating_sub(1).min(10)).min(LONGEST_PAUSE_MS)
}

/// A token endpoint's answer. What stands in it is not repeated.
pub(super) fn tokens(answer: Value) -> Result<Tokens, NoAnswer> {
    let tokens: Option<Tokens> = serde_json::from_value(answer).ok();
    tokens
        .filter(|tokens| tokens.token_type.eq_ignore_ascii_case("bearer"))
        .filter(|tokens| is_header(tokens.access_token.expose()))
        .ok_or_else(|| NoAnswer::Wrong("its token endpoint gave no bearer token".to_owned()))
}

/// RFC 6750, 2.1.
fn is_header(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn refused(entry: &Entry, secret: &Secret, refusal: &Refusal) -> Error {
    Error::new(
        Code::AuthFailed,
        format!(
            "the OpenID provider {} does not renew the login: {}",
            entry.issuer,
            secret.hide_in(&refusal.to_string())
        ),
        "heph auth login; if that does not help, look at the provider's log",
    )
}
