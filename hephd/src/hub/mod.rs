//! The hub's HTTP: one file per endpoint, each a pure answer from the store
//! and the few lines that carry it.
//!
//! Before those with data: [`door`] (who asks, and for whom), `attempts` (how
//! often somebody may fail). Around all: `serve` and `timed` (connections and their time), `edge` (what
//! every request and answer passes), `body` (what is read), `site` (the web
//! app), [`reply`] (how answers look).

mod about;
mod attempts;
mod body;
mod call;
mod chain;
pub mod door;
mod edge;
pub mod events;
pub mod guard;
mod heads;
mod health;
pub mod limits;
pub mod metrics;
pub mod newcomers;
mod patience;
mod pull;
mod push;
pub mod reply;
mod serve;
pub mod site;
mod timed;

use std::sync::Arc;

use axum::{
    Router,
    http::HeaderValue,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use tower_http::{
    CompressionLevel,
    compression::{
        CompressionLayer,
        predicate::{NotForContentType, Predicate, SizeAbove},
    },
};

pub use self::{
    about::{ConfigBody, PROTOCOL},
    chain::answer as answer_chain,
    heads::answer as answer_heads,
    limits::MAX_BODY_BYTES,
    pull::answer as answer_pull,
    push::answer as answer_push,
    serve::serve,
};
use self::{
    door::{Acting, Door},
    events::Events,
    guard::Guard,
    limits::Limits,
    metrics::Metrics,
    newcomers::Newcomers,
    patience::within,
    site::Site,
};
use crate::{
    clock::Clock, error::Result, id::OwnerId, replica::Replica, rpc::methods::Daemon, store::Store,
};

/// Smaller answers travel as they are.
const COMPRESSED_FROM_BYTES: u16 = 1024;

/// What the endpoints share.
#[derive(Debug)]
pub struct Hub {
    /// The store.
    pub replica: Arc<Replica>,
    /// What `POST /rpc` calls.
    pub daemon: Arc<Daemon>,
    /// This process, to those who ask whether it is still the same.
    pub instance: String,
    /// For `server_time`.
    pub clock: Clock,
    /// Who may be asked for while there is no authentication.
    pub guard: Guard,
    /// For those who listen.
    pub events: Events,
    /// Whoever asks for data must come through; none where nobody has to.
    pub door: Option<Door>,
    /// The web app.
    pub site: Option<Site>,
    /// How much a peer may take.
    pub limits: Limits,
    /// Origins that are new today.
    pub newcomers: Newcomers,
    /// What is counted.
    pub metrics: Metrics,
    /// What a page of this hub's may do.
    pub content_policy: HeaderValue,
}

impl Hub {
    /// A hub without authentication and without files, for a daemon.
    #[must_use]
    pub fn new(daemon: Arc<Daemon>, clock: Clock, guard: Guard, events: Events) -> Self {
        Self {
            replica: Arc::clone(&daemon.replica),
            instance: daemon.health.instance.clone(),
            metrics: Metrics::new(env!("CARGO_PKG_VERSION"), clock.now_ms()),
            content_policy: edge::content_policy(None),
            daemon,
            clock,
            guard,
            events,
            door: None,
            site: None,
            limits: Limits::default(),
            newcomers: Newcomers::default(),
        }
    }

    /// What a reader of the store finds of the data of whoever asks.
    async fn read<T: Send + 'static>(
        &self,
        Acting { owner, .. }: Acting,
        find: impl FnOnce(&Store, &OwnerId) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let found = self.replica.read(move |store| find(store, &owner));
        within(self.limits.patience, found).await
    }

    /// With authentication.
    #[must_use]
    pub fn behind(mut self, door: Door) -> Self {
        self.content_policy = edge::content_policy(door.issuer().parse().ok().as_ref());
        self.door = Some(door);
        self
    }
}

/// The routes.
pub fn router(hub: Arc<Hub>) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics::handle))
        .route("/rpc", post(call::handle))
        .route("/sync/heads", get(heads::handle))
        .route("/sync/pull", get(pull::handle))
        .route("/sync/pull", post(pull::handle_body))
        .route("/sync/chain", get(chain::handle))
        .route("/sync/push", post(push::handle))
        .route("/sync/events", get(events::handle))
        .method_not_allowed_fallback(reply::method_not_allowed)
        .route_layer(from_fn_with_state(Arc::clone(&hub), door::let_in));
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/config", get(about::handle))
        .merge(guarded)
        .fallback(site::fallback)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(compression())
        .layer(from_fn_with_state(Arc::clone(&hub), edge::pass))
        .with_state(hub)
}

/// What a person or spoke waits for is sent at once, so an event stream is
/// never held back; and speed counts for more than the last percent.
fn compression() -> CompressionLayer<impl Predicate> {
    let worth = SizeAbove::new(COMPRESSED_FROM_BYTES)
        .and(NotForContentType::SSE)
        .and(NotForContentType::IMAGES);
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth)
}
