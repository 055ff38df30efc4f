//! `GET /healthz`: the process answers. `GET /readyz`: it may be used now.

use std::sync::Arc;

use axum::extract::State;
use serde_json::json;

use super::{
    Hub,
    patience::within,
    reply::{self, Reply},
};

pub(super) async fn healthz(State(hub): State<Arc<Hub>>) -> Reply {
    reply::ok(&json!({ "status": "ok", "instance": hub.instance }))
}

/// A write can be made durable, and the open file is still the one at its
/// path: a deleted store must not look healthy.
pub(super) async fn readyz(State(hub): State<Arc<Hub>>) -> Reply {
    match within(hub.limits.ready, hub.replica.write(|store| store.probe_write())).await {
        Ok(()) => reply::ok(&json!({ "status": "ready", "instance": hub.instance })),
        Err(error) => Err(reply::not_ready(&error.message)),
    }
}
