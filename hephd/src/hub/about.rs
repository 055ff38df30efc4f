//! `GET /config`: what the web app and a device that logs in must know.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::{
    Hub,
    reply::{self, Reply},
};

/// The version of the requests here. It rises when an older spoke could not
/// go on.
pub const PROTOCOL: u32 = 1;

/// What `GET /config` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigBody {
    /// The hub's version.
    pub version: String,
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Who says who somebody is; none where nobody is asked for it.
    pub issuer: Option<String>,
    /// The client to log in as there.
    pub client_id: Option<String>,
}

pub(super) async fn handle(State(hub): State<Arc<Hub>>) -> Reply {
    reply::ok(&ConfigBody {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        issuer: hub.door.as_ref().map(|door| door.issuer().to_owned()),
        client_id: hub.door.as_ref().map(|door| door.audience().to_owned()),
    })
}
