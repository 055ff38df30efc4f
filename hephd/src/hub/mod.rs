//! The hub's HTTP: one file per endpoint, each a pure answer from the store
//! and the few lines that carry it.

mod chain;
pub mod events;
pub mod guard;
mod heads;
mod health;
mod pull;
mod push;
pub mod reply;

use std::{net::TcpListener, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

pub use self::{
    chain::answer as answer_chain, heads::answer as answer_heads, pull::answer as answer_pull,
    push::answer as answer_push,
};
use self::{events::Events, guard::Guard};
use crate::{clock::Clock, error::Result, replica::Replica, stopping::Stopping};

/// The most that a request's body may have.
pub const MAX_BODY_BYTES: usize = 8 << 20;

/// What the endpoints share.
#[derive(Debug)]
pub struct Hub {
    /// The store.
    pub replica: Arc<Replica>,
    /// This process, to those who ask whether it is still the same.
    pub instance: String,
    /// For `server_time`.
    pub clock: Clock,
    /// Who may be asked for.
    pub guard: Guard,
    /// For those who listen.
    pub events: Events,
}

/// The routes.
pub fn router(hub: Arc<Hub>) -> Router {
    let guard = hub.guard.clone();
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/sync/heads", get(heads::handle))
        .route("/sync/pull", get(pull::handle))
        .route("/sync/chain", get(chain::handle))
        .route("/sync/push", post(push::handle))
        .route("/sync/events", get(events::handle))
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(axum::middleware::from_fn(reply::refuse_large_bodies))
        .layer(axum::middleware::from_fn_with_state(guard, guard::check))
        .with_state(hub)
}

/// Serves until told to stop, then finishes what is in flight.
///
/// # Errors
/// The operating system's.
pub async fn serve(listener: TcpListener, hub: Arc<Hub>, mut stopping: Stopping) -> Result<()> {
    listener.set_nonblocking(true).map_err(crate::error::Error::internal)?;
    let listener =
        tokio::net::TcpListener::from_std(listener).map_err(crate::error::Error::internal)?;
    axum::serve(listener, router(hub))
        .with_graceful_shutdown(async move {
            stopping.heard().await;
        })
        .await
        .map_err(crate::error::Error::internal)
}
