//! `GET /sync/heads`: the ends of all chains, or that they are the asker's.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, header},
};

use super::{
    Hub,
    door::Acting,
    reply::{self, Reply},
};
use crate::{clock::rfc3339, error::Result, id::OwnerId, op::Hash, store::Store, sync::HeadsBody};

/// The hub's digest, and its heads unless they are the asker's already.
///
/// # Errors
/// SQLite's.
pub fn answer(
    store: &Store,
    owner: &OwnerId,
    asked_with: Option<Hash>,
    now_ms: u64,
) -> Result<(Hash, Option<HeadsBody>)> {
    let heads = store.heads(owner)?;
    let digest = heads.digest(owner);
    if asked_with == Some(digest) {
        return Ok((digest, None));
    }
    let (epoch, owner_id) = (store.meta("epoch")?.unwrap_or_default(), owner.clone());
    Ok((digest, Some(HeadsBody { epoch, owner_id, heads, server_time: rfc3339(now_ms) })))
}

pub(super) async fn handle(
    State(hub): State<Arc<Hub>>,
    acting: Acting,
    headers: HeaderMap,
) -> Reply {
    let (asked_with, now) = (if_none_match(&headers), hub.clock.now_ms());
    match hub.read(acting, move |store, owner| answer(store, owner, asked_with, now)).await? {
        (digest, None) => reply::not_modified(&digest),
        (digest, Some(body)) => reply::tagged(&digest, &body),
    }
}

fn if_none_match(headers: &HeaderMap) -> Option<Hash> {
    let text = headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    text.trim_matches('"').parse().ok()
}
