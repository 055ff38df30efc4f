//! What makes a daemon a hub: whom it lets in, whose it is, what it serves.

use std::{net::TcpListener, sync::Arc, time::Duration};

use crate::{
    config::{Config, Rules},
    devices,
    error::{Code, Error, Result},
    hub::{self, Hub, door::Door, events, guard::Guard, site::Site},
    machine::Machine,
    oidc::{Subject, keys::Pace},
    rpc::methods::{Daemon, Gate},
    stopping::Stopping,
    store::Store,
};

/// A provider has so long to give its keys before the hub starts without.
const FIRST_KEYS: Duration = Duration::from_secs(2);

/// The door, with the provider's keys if it gives them in time. To be asked for
/// before anything is made: a provider that is another is refused here.
///
/// # Errors
/// `issuer_mismatch`.
pub(super) async fn door(config: &Config) -> Result<Option<Door>> {
    let Some(rules) = &config.tokens else { return Ok(None) };
    let door = Door::new(rules.clone(), Pace::default())?;
    door.first_keys(FIRST_KEYS).await?;
    Ok(Some(door))
}

/// Who may ask, for whoever asks how the hub stands.
pub(super) fn gate(config: &Config, door: Option<&Door>) -> Gate {
    let exposed = !config.http_addr.ip().is_loopback();
    let keys = door.map(|door| door.keys().clone());
    Gate { keys, exposed, insecure: config.insecure_no_auth }
}

/// Whose hub it is, as whoever runs it has said: now, or when it was seeded.
///
/// # Errors
/// `config_invalid` for a store that was bound to somebody and would now be
/// open to everybody.
pub(super) fn settle_owner(store: &Store, config: &Config) -> Result<()> {
    let Some(owner) = store.owner()? else { return Ok(()) };
    let promised = store.promised()?;
    let Some(Rules { issuer, .. }) = &config.tokens else {
        let bound = store.is_claimed(&owner)? || promised.is_some();
        return if bound && !config.insecure_no_auth { Err(laid_open(config)) } else { Ok(()) };
    };
    let Some(sub) = config.owner_sub.clone().or(promised) else { return Ok(()) };
    let subject = Subject { issuer: issuer.clone(), sub };
    for other in store.bind(&owner, &subject)? {
        tracing::warn!(sub = other.sub, issuer = other.issuer, "is no longer let in");
    }
    tracing::info!(sub = subject.sub, %owner, "the owner is bound");
    Ok(())
}

/// One flag that is dropped must not open what was closed.
fn laid_open(config: &Config) -> Error {
    Error::new(
        Code::ConfigInvalid,
        format!("{} is bound to its owner's login, and would now be open", config.db.display()),
        "add --oidc-issuer and --oidc-audience, or say --insecure-no-auth",
    )
}

/// What is served.
pub(super) struct Serving {
    pub(super) listener: TcpListener,
    pub(super) door: Option<Door>,
    pub(super) daemon: Arc<Daemon>,
}

/// Serves, and remembers who asked, until told to stop.
///
/// # Errors
/// The operating system's.
pub(super) async fn serve(
    Serving { listener, door, daemon }: Serving,
    config: Config,
    machine: Machine,
    stopping: Stopping,
) -> Result<()> {
    let (devices, replica) = (Arc::clone(&daemon.devices), Arc::clone(&daemon.replica));
    let (events, feed) = events::start(Arc::clone(&replica), stopping.clone());
    let guard = Guard { machine: machine.name, exposed: !config.http_addr.ip().is_loopback() };
    let mut hub = Hub::new(daemon, machine.clock, guard, events);
    hub.site = config.web_root.map(Site::of);
    let keys = door.as_ref().map(|door| door.keys().clone());
    let hub = Arc::new(match door {
        Some(door) => hub.behind(door),
        None => hub,
    });
    let fresh = async {
        if let Some(keys) = keys {
            keys.keep_fresh().await;
        }
        std::future::pending::<()>().await;
    };
    let keep =
        devices::keep(Arc::clone(&devices), Arc::clone(&replica), devices::EVERY, stopping.clone());
    let working = async { tokio::join!(hub::serve(listener, hub, stopping), feed, keep).0 };
    let served = tokio::select! {
        served = working => served,
        () = fresh => Ok(()),
    };
    devices.save(&replica).await;
    served
}
