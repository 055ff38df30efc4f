//! This device's login at one hub: what it sends, and how that stays fresh.
//!
//! - [`entry`]: what it is; [`vault`]: where it lies, in the `keyring` or a `token_file`
//! - `renewal`: a new token for one that is nearly over
//! - `sign_in`: a person logs in, one at a time (`under_way`), and what is
//!   `given` is kept or taken back; [`desk`]: the methods `auth.*`
//! - [`wall`]: where a token may travel in the clear
//!
//! What always holds. A hub that asks for no token is sent none, and no
//! keyring is opened for it. New tokens are in the vault before they are used,
//! and no renewal is cut off because whoever wanted it has gone. There is one
//! renewal at a time, and it never ends a login that is still good.

pub mod desk;
pub mod entry;
mod given;
mod keyring;
mod renewal;
mod sign_in;
mod token_file;
mod under_way;
pub mod vault;
pub mod wall;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::sync::{self, watch};
use url::Url;

use self::{entry::Entry, vault::Vault};
use crate::{
    clock::Clock,
    error::{Code, Error, Result},
    oidc::secret::Secret,
};

/// A keyring that held nothing is not asked again before this.
const VAULT_PAUSE_MS: u64 = 60_000;

/// Nor one that failed before this: a person has just unlocked it, and looks.
const FAILED_PAUSE_MS: u64 = 5_000;

/// A login; clones are the same one.
#[derive(Debug, Clone)]
pub struct Login(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hub_url: Url,
    hub_ca: Option<PathBuf>,
    vault: Vault,
    clock: Clock,
    /// Never held while something is awaited.
    state: Mutex<State>,
    /// Held by whoever reads the vault or changes what is in it.
    turn: Arc<sync::Mutex<()>>,
    /// Another login, or none any more.
    changed: watch::Sender<()>,
    /// The hub has asked for a token.
    asked: AtomicBool,
}

/// What is known.
#[derive(Debug, Default)]
struct State {
    /// The login, as the vault has it; also one that ended.
    entry: Option<Entry>,
    /// It ended, and only the next login begins another.
    ended: bool,
    /// The provider takes its refresh token no more.
    spent: bool,
    /// The vault has not taken it yet.
    unsaved: bool,
    /// When the vault was last asked.
    read_at: Option<u64>,
    /// No renewal before this.
    not_before: u64,
    /// Renewals in a row after which the hub was no happier, or that failed.
    in_vain: u32,
    /// Why the last thing that was tried did not work.
    error: Option<Error>,
}

impl State {
    fn holding(entry: Entry, now_ms: u64) -> Self {
        Self { entry: Some(entry), read_at: Some(now_ms), ..Self::default() }
    }

    fn token(&self) -> Option<&Secret> {
        self.entry.as_ref().filter(|_| !self.ended).map(|entry| &entry.access_token)
    }

    fn is_due(&self, now_ms: u64) -> bool {
        let due = |entry: &Entry| self.unsaved || (entry.is_due(now_ms) && !self.spent);
        !self.ended && now_ms >= self.not_before && self.entry.as_ref().is_some_and(due)
    }

    fn is_over(&self, now_ms: u64) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.is_over(now_ms))
    }
}

impl Login {
    /// The login at a hub that lies in a vault. Nothing is read yet.
    #[must_use]
    pub fn new(hub_url: Url, hub_ca: Option<PathBuf>, vault: Vault, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            hub_url,
            hub_ca,
            vault,
            clock,
            state: Mutex::default(),
            turn: Arc::default(),
            changed: watch::Sender::new(()),
            asked: AtomicBool::default(),
        }))
    }

    /// Tells when there is another login, or none any more.
    #[must_use]
    pub fn hear_changed(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// What to send to the hub; nothing before it has asked for it. A token
    /// whose time is over is sent as well where there is no other: the hub has
    /// the last word.
    pub async fn bearer(&self) -> Option<Secret> {
        // The state may hold one because a person wanted to know how it stands.
        if !self.0.asked.load(Relaxed) {
            return None;
        }
        let (due, over) = {
            let (state, now) = (self.state(), self.now());
            (state.is_due(now), state.is_over(now))
        };
        match due {
            true if over => self.apart(|login| async move { login.renew_if_due().await }).await,
            true => self.renew_meanwhile(),
            false => {}
        }
        self.token()
    }

    /// The hub did not let the bearer of this in: another token to try, once.
    ///
    /// # Errors
    /// `auth_failed` where there is none, with what to do; the vault's.
    pub async fn rejected(&self, used: Option<Secret>) -> Result<Secret> {
        self.0.asked.store(true, Relaxed);
        self.apart(|login| async move { login.another_than(used).await }).await
    }

    /// The hub let its bearer in.
    pub fn accepted(&self) {
        let mut state = self.state();
        if state.in_vain > 0 && !state.spent && !state.unsaved && state.error.is_none() {
            state.in_vain = 0;
        }
    }

    /// Waits for a renewal that is under way.
    pub async fn settled(&self) {
        drop(self.0.turn.lock().await);
    }

    async fn another_than(&self, used: Option<Secret>) -> Result<Secret> {
        let _turn = self.0.turn.lock().await;
        let held = self.token();
        match (held, used) {
            (None, used) => {
                self.read_vault().await?;
                match self.token() {
                    Some(token) if Some(&token) != used.as_ref() => {}
                    Some(_) => return Err(expired()),
                    None => return Err(self.why_none()),
                }
                self.renew(false).await;
            }
            // Somebody else had it renewed meanwhile.
            (Some(held), used) if Some(&held) != used.as_ref() => return Ok(held),
            (Some(held), _) => {
                self.renew(true).await;
                if self.state().token() == Some(&held) {
                    return Err(self.why_in_vain());
                }
            }
        }
        let token = self.token();
        token.ok_or_else(|| self.why_none())
    }

    /// Looks into the vault, where nothing of use is known.
    async fn read_vault(&self) -> Result<()> {
        let now = self.now();
        {
            let state = self.state();
            let pause = if state.error.is_some() { FAILED_PAUSE_MS } else { VAULT_PAUSE_MS };
            let lately = state.read_at.is_some_and(|at| now.abs_diff(at) < pause);
            if lately && !self.0.vault.is_cheap() {
                return state.error.clone().map_or(Ok(()), Err);
            }
        }
        let read = self.0.vault.get(&self.0.hub_url).await;
        let mut state = self.state();
        state.read_at = Some(now);
        match read {
            Ok(Some(entry)) if state.entry.as_ref() != Some(&entry) => {
                *state = State::holding(entry, now);
            }
            Ok(Some(_)) => {}
            Ok(None) => *state = State { read_at: Some(now), ..State::default() },
            Err(error) => {
                state.error = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    fn why_none(&self) -> Error {
        match &*self.state() {
            State { entry: Some(_), .. } => expired(),
            _ => not_logged_in(&self.0.hub_url),
        }
    }

    /// The hub refuses a token that should be good, and there is no other now.
    fn why_in_vain(&self) -> Error {
        let told = self.state().error.clone();
        told.unwrap_or_else(|| {
            Error::new(
                Code::AuthFailed,
                format!("the hub {} does not take the tokens of this login", self.0.hub_url),
                "heph auth login; if that does not help: look at its --oidc-audience and its log",
            )
        })
    }

    /// The token that is known, whether or not it may be sent.
    pub(crate) fn token(&self) -> Option<Secret> {
        self.state().token().cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.0.clock.now_ms()
    }

    /// Whoever waits may go away: the work is done all the same.
    async fn apart<T, F>(&self, work: impl FnOnce(Self) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        match tokio::spawn(work(self.clone())).await {
            Ok(done) => done,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The daemon stops: nobody waits for an answer any more.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// The one way on is a new login.
fn expired() -> Error {
    Error::new(Code::AuthFailed, "login expired", "heph auth login")
}

fn not_logged_in(hub: &Url) -> Error {
    Error::new(Code::AuthFailed, format!("not logged in at {hub}"), "heph auth login")
}
