//! The methods `auth.*`: a person logs in, asks how it stands, logs out.

use std::sync::atomic::Ordering::Relaxed;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::{
    Login, State,
    entry::Entry,
    sign_in::{Events, Place},
    under_way::UnderWay,
    vault::Vault,
    wall,
};
use crate::{
    clock::{Clock, rfc3339},
    config::{Config, check_issuer, is_loopback, parse_hub_url},
    error::{Code, Error, Result},
    http::one_line,
    oidc::provider::Provider,
    rpc::{
        INVALID_PARAMS, METHOD_NOT_FOUND, RpcError,
        auth::{AtHub, AuthError, AuthStatus, Event, LoggedIn, LoggedOut, Wanted},
    },
    spoke::wire::Wire,
};

/// Where people log in and out.
#[derive(Debug)]
pub struct Desk {
    config: Config,
    clock: Clock,
    vault: Vault,
    login: Option<Login>,
    under_way: UnderWay,
}

impl Desk {
    /// The desk of a daemon, with the login at its hub where it has one.
    #[must_use]
    pub fn of(config: &Config, clock: &Clock) -> Self {
        let vault = config.token_file.clone().map_or(Vault::Keyring, Vault::File);
        let (config, clock) = (config.clone(), clock.clone());
        let under_way = UnderWay::default();
        let mut desk = Self { config, clock, vault, login: None, under_way };
        desk.login = desk.config.hub_url.clone().map(|hub| desk.login_at(hub));
        desk
    }

    /// The login at this daemon's hub.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Runs a method.
    ///
    /// # Errors
    /// −32601 and −32602 as JSON-RPC has them; else the method's own.
    pub async fn call(
        &self,
        method: &str,
        params: Value,
        events: &Events,
    ) -> Result<Value, RpcError> {
        match method {
            "auth.login" => Ok(json!(self.log_in(read(params)?, events).await?)),
            "auth.status" => Ok(json!(self.status(&read(params)?).await?)),
            "auth.logout" => Ok(json!(self.log_out(&read(params)?).await?)),
            _ => {
                Err(RpcError::protocol(METHOD_NOT_FOUND, format!("there is no method {method:?}")))
            }
        }
    }

    async fn log_in(&self, wanted: Wanted, events: &Events) -> Result<LoggedIn> {
        let login = self.meant(&wanted)?;
        self.under_way.only(&login.0.hub_url, self.log_in_at(&login, wanted, events)).await
    }

    async fn log_in_at(&self, login: &Login, wanted: Wanted, events: &Events) -> Result<LoggedIn> {
        let (hub, wire) = (&login.0.hub_url, self.wire(&login.0.hub_url)?);
        if !self.config.allow_plaintext {
            wall::check_name(hub).await?;
        }
        // Better now than after the person has typed the code.
        self.vault.check_writable()?;
        self.vault.get(hub).await?;
        let (issuer, client_id) = self.whom_to_ask(&wanted, &wire).await?;
        let provider = Provider::new(&issuer, self.config.hub_ca.as_deref())?;
        let document = provider.discover().await.map_err(|error| error.error(&issuer))?;
        let token_place = self.vault.place();
        let started = Event::Started {
            hub_url: hub.to_string(),
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            token_place: token_place.clone(),
        };
        let _ = events.send(started).await;
        let place = Place { provider, document, client_id, clock: self.clock.clone() };
        let given = place.sign_in(events).await?;
        let at_hub = match try_out(&wire, given.entry()).await {
            Ok(at_hub) => at_hub,
            Err(refused) => {
                given.take_back().await;
                return Err(refused);
            }
        };
        let name = given.entry().name.clone();
        // Whoever goes away now leaves a login or none, and no lost tokens.
        let kept = login.apart(|login| async move {
            let kept = login.begin(given.entry().clone()).await;
            if kept.is_ok() {
                given.kept()
            } else {
                given.take_back().await
            }
            kept
        });
        kept.await?;
        let _ = events.send(Event::SignedIn { name, token_place }).await;
        Ok(LoggedIn { status: login.status(), hub: at_hub })
    }

    /// What was said, else the daemon's flags, else the hub.
    async fn whom_to_ask(&self, wanted: &Wanted, wire: &Wire) -> Result<(String, String)> {
        let said = |said: &Option<String>, flag: &Option<String>| said.clone().or(flag.clone());
        let issuer = said(&wanted.issuer, &self.config.oidc_issuer);
        let client_id = said(&wanted.client_id, &self.config.oidc_client_id);
        if let (Some(issuer), Some(client_id)) = (&issuer, &client_id) {
            return Ok((issuer.clone(), client_id.clone()));
        }
        let hub = wire.config().await?;
        let none = || {
            Error::new(
                Code::NotSupported,
                format!("the hub {} asks nobody to log in", wire.hub_url()),
                "nothing is to be done here; the hub's --oidc-issuer and --oidc-audience turn it on",
            )
        };
        let named = || hub.issuer.clone().ok_or_else(none);
        let issuer = match issuer {
            Some(issuer) => issuer,
            None => trusted(&named()?, wire.hub_url())?,
        };
        Ok((issuer, client_id.or(hub.client_id).ok_or_else(none)?))
    }

    async fn status(&self, wanted: &Wanted) -> Result<AuthStatus> {
        if wanted.hub_url.is_none() && self.login.is_none() {
            // A device on its own: that is no mistake.
            return Ok(AuthStatus { token_place: self.vault.place(), ..AuthStatus::default() });
        }
        let login = self.meant(wanted)?;
        login.look().await;
        let mut status = login.status();
        if self.vault.is_cheap()
            && let Err(error) = self.vault.get(&login.0.hub_url).await
        {
            status.last_error = Some(told(&error));
        }
        Ok(status)
    }

    async fn log_out(&self, wanted: &Wanted) -> Result<LoggedOut> {
        let login = self.meant(wanted)?;
        // What could not be forgotten here is not taken back there either.
        self.vault.get(&login.0.hub_url).await?;
        let (held, forgotten) = login.forget().await;
        let hub_url = login.0.hub_url.to_string();
        let revoked = match &held {
            Some(entry) => self.revoke(entry).await,
            None => false,
        };
        forgotten?;
        Ok(LoggedOut { hub_url, was_logged_in: held.is_some(), revoked })
    }

    /// Everything here may fail: the login is forgotten already.
    async fn revoke(&self, entry: &Entry) -> bool {
        let Ok(provider) = Provider::new(&entry.issuer, self.config.hub_ca.as_deref()) else {
            return false;
        };
        let Ok(document) = provider.discover().await else { return false };
        let (client_id, clock) = (entry.client_id.clone(), self.clock.clone());
        Place { provider, document, client_id, clock }.revoke(entry).await
    }

    fn meant(&self, wanted: &Wanted) -> Result<Login> {
        let named = wanted.hub_url.as_deref().map(parse_hub_url).transpose()?;
        match (named, &self.login) {
            (Some(url), Some(login)) if login.0.hub_url == url => Ok(login.clone()),
            (Some(url), _) => Ok(self.login_at(url)),
            (None, Some(login)) => Ok(login.clone()),
            (None, None) => Err(Error::usage(
                "this daemon has no hub to log in to",
                "heph-ops install-service --role spoke --hub-url http://HOST:8787",
            )),
        }
    }

    fn login_at(&self, hub: Url) -> Login {
        Login::new(hub, self.config.hub_ca.clone(), self.vault.clone(), self.clock.clone())
    }

    fn wire(&self, hub: &Url) -> Result<Wire> {
        let wire = Wire::new(hub.clone(), self.config.hub_ca.as_deref())?;
        Ok(wire.in_the_clear(self.config.allow_plaintext))
    }
}

/// Shows the hub a token before it is kept.
///
/// # Errors
/// `auth_failed` where the hub does not let its bearer in; `config_invalid`.
async fn try_out(wire: &Wire, entry: &Entry) -> Result<AtHub> {
    let name = entry.name.as_deref().unwrap_or("somebody");
    match wire.try_out(&entry.access_token).await {
        Ok(()) => Ok(AtHub::Accepted),
        Err((Some(403), error)) if error.code == Code::AuthFailed => Err(Error::new(
            Code::AuthFailed,
            format!("{name} does not own this hub: it belongs to somebody else"),
            "log in as its owner: heph auth login",
        )),
        Err((Some(401), error)) => Err(Error::new(
            Code::AuthFailed,
            format!("signed in as {name}, but the hub does not take the token: {}", error.message),
            "its --oidc-issuer and --oidc-audience must fit what the provider writes; see its log",
        )),
        Err((_, error)) if error.code == Code::ConfigInvalid => Err(error),
        // It may be better later; whatever else answers is no hub.
        Err((None | Some(429 | 500..), _)) => Ok(AtHub::Unreachable),
        Err((Some(_), error)) => Err(error),
    }
}

/// An issuer that a hub names. One elsewhere may not send us to a port of this
/// machine.
///
/// # Errors
/// `auth_failed`.
pub fn trusted(issuer: &str, hub: &Url) -> Result<String> {
    let url = check_issuer(issuer).ok();
    let fits = url.is_some_and(|url| url.scheme() == "https" || is_loopback(hub));
    fits.then(|| issuer.to_owned()).ok_or_else(|| {
        Error::new(
            Code::AuthFailed,
            format!("the hub {hub} names {:?} as its provider: no https URL", one_line(issuer)),
            "tell whoever runs it; or name the provider: heph auth login --issuer URL",
        )
    })
}

impl Login {
    /// Keeps a new login.
    ///
    /// # Errors
    /// The vault's; the login is as before then.
    async fn begin(&self, entry: Entry) -> Result<()> {
        let kept = self.apart(|login| async move {
            let _turn = login.0.turn.lock().await;
            login.0.vault.put(&login.0.hub_url, &entry).await?;
            let now = login.now();
            *login.state() = State::holding(entry, now);
            login.0.asked.store(true, Relaxed);
            login.0.changed.send_replace(());
            Ok(())
        });
        kept.await
    }

    /// Forgets the login, whatever happens; what there was, and whether the
    /// vault has forgotten it too.
    async fn forget(&self) -> (Option<Entry>, Result<()>) {
        let forgotten = self.apart(|login| async move {
            let _turn = login.0.turn.lock().await;
            let (vault, hub) = (&login.0.vault, &login.0.hub_url);
            let known = login.state().entry.clone();
            let (held, forgotten) = match vault.get(hub).await {
                Ok(held) => (held, vault.remove(hub).await),
                Err(error) => (None, Err(error)),
            };
            let now = login.now();
            *login.state() = State { read_at: Some(now), ..State::default() };
            login.0.changed.send_replace(());
            (held.or(known), forgotten)
        });
        forgotten.await
    }

    /// Reads the vault where nothing is known yet, or nothing good.
    async fn look(&self) {
        if self.state().token().is_some() {
            return;
        }
        let looked = self.apart(|login| async move {
            let _turn = login.0.turn.lock().await;
            // What is wrong stands in the state.
            let _ = login.read_vault().await;
        });
        looked.await;
    }

    fn status(&self) -> AuthStatus {
        let state = self.state();
        let (entry, logged_in) = (state.entry.as_ref(), state.token().is_some());
        let of = |part: fn(&Entry) -> Option<String>| entry.and_then(part);
        AuthStatus {
            logged_in,
            hub_url: self.0.hub_url.to_string(),
            token_place: self.0.vault.place(),
            name: of(|entry| entry.name.clone()),
            subject: of(|entry| entry.subject.clone()),
            issuer: of(|entry| Some(entry.issuer.clone())),
            client_id: of(|entry| Some(entry.client_id.clone())),
            expires_at: of(|entry| entry.expires_at.map(|end| rfc3339(end.saturating_mul(1000)))),
            refreshable: logged_in
                && !state.spent
                && entry.is_some_and(|entry| entry.refresh_token.is_some()),
            last_error: state.error.as_ref().map(told),
        }
    }
}

fn told(error: &Error) -> AuthError {
    AuthError {
        code: error.code.as_str().to_owned(),
        message: error.message.clone(),
        hint: error.hint.clone(),
    }
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, RpcError> {
    let params = if params.is_null() { json!({}) } else { params };
    serde_json::from_value(params)
        .map_err(|error| RpcError::protocol(INVALID_PARAMS, format!("the arguments: {error}")))
}
