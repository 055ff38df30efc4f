//! `GET /metrics`: what a hub counts, as Prometheus reads it.
//!
//! Counts of what happened since the start; what can be measured is measured
//! when it is asked for.

use std::{path::Path, sync::Arc};

use axum::extract::State;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

use super::{
    Hub,
    reply::{self, Reply},
};
use crate::error::Error;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnedAway {
    limit: String,
}

/// The counts. A clone counts into the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<Answered, Counter>,
    connections: Gauge,
    refused: Family<TurnedAway, Counter>,
    entries: Counter,
    ops: Counter,
    store: Gauge,
    log: Gauge,
    registry: Arc<Registry>,
}

impl Metrics {
    /// Nothing is counted yet. `started_ms` is since 1970.
    #[must_use]
    pub fn new(version: &'static str, started_ms: u64) -> Self {
        let mut registry = Registry::with_prefix("heph");
        let (requests, refused) = (Family::default(), Family::default());
        let (entries, ops) = (Counter::default(), Counter::default());
        let (connections, store, log) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("build", "What answers", Info::new(vec![("version", version)]));
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_connections", "Connections open now", connections.clone());
        registry.register(
            "http_connections_refused",
            "Connections turned away, by the limit that they met",
            refused.clone(),
        );
        registry.register("entries_received", "Entries that were new here", entries.clone());
        registry.register("ops_received", "Ops that were new here", ops.clone());
        let bytes = |registry: &mut Registry, name, help, gauge: &Gauge| {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        };
        bytes(&mut registry, "store", "The store's file", &store);
        bytes(&mut registry, "store_wal", "The store's write-ahead log", &log);
        let started = Gauge::<i64>::default();
        started.set(number(started_ms / 1000));
        let help = "When the daemon started, since 1970";
        registry.register_with_unit("start_time", help, Unit::Seconds, started);
        let registry = Arc::new(registry);
        Self { requests, connections, refused, entries, ops, store, log, registry }
    }

    /// A request was answered.
    pub(super) fn answered(&self, route: &str, status: u16) {
        let labels = Answered { route: route.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
    }

    /// So many connections are open.
    pub(super) fn connections(&self, open: usize) {
        self.connections.set(number(open as u64));
    }

    /// A connection was turned away.
    pub(super) fn refused(&self, limit: &str) {
        self.refused.get_or_create(&TurnedAway { limit: limit.to_owned() }).inc();
    }

    /// A batch was taken.
    pub(super) fn received(&self, entries: usize, ops: usize) {
        self.entries.inc_by(entries as u64);
        self.ops.inc_by(ops as u64);
    }

    /// All of it, with the store's files measured now.
    fn text(&self, db: &Path) -> Result<String, Error> {
        let len = |path: &Path| number(path.metadata().map_or(0, |meta| meta.len()));
        self.store.set(len(db));
        let mut log = db.as_os_str().to_owned();
        log.push("-wal");
        self.log.set(len(Path::new(&log)));
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(Error::internal)?;
        Ok(text)
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) async fn handle(State(hub): State<Arc<Hub>>) -> Reply {
    Ok(reply::metrics(hub.metrics.text(hub.replica.path())?))
}
