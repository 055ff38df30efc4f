//! `GET /sync/chain`: a chain's hashes at some places, for finding where it
//! went on in two ways.

use std::sync::Arc;

use axum::extract::{Query, State, rejection::QueryRejection};
use serde::Deserialize;

use super::{
    Hub,
    door::Acting,
    reply::{self, Reply},
};
use crate::{
    error::Result,
    id::{Origin, OwnerId},
    store::Store,
    sync::ChainBody,
};

/// At most this many places in one question.
const MAX_PLACES: usize = 256;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    origin: Origin,
    at: String,
}

/// The hashes at those places that the chain has.
///
/// # Errors
/// SQLite's.
pub fn answer(store: &Store, owner: &OwnerId, origin: &Origin, at: &[u64]) -> Result<ChainBody> {
    let mut body = ChainBody { origin: origin.clone(), hashes: Vec::new() };
    for place in at {
        if let Some(hash) = store.hash_at(owner, origin, *place)? {
            body.hashes.push((*place, hash));
        }
    }
    Ok(body)
}

pub(super) async fn handle(
    State(hub): State<Arc<Hub>>,
    acting: Acting,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Reply {
    let Query(asked) = asked.map_err(|e| reply::bad_request(&e.body_text()))?;
    let places = asked.at.split(',').take(MAX_PLACES).map(str::parse::<u64>);
    let at = places.collect::<Result<Vec<u64>, _>>();
    let at = at.map_err(|e| reply::bad_request(&format!("at={}: {e}", asked.at)))?;
    reply::ok(
        &hub.read(acting, move |store, owner| answer(store, owner, &asked.origin, &at)).await?,
    )
}
