//! `POST /sync/push`: entries that extend chains, in one durable transaction.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, header},
};

use super::{
    Hub,
    reply::{self, Failure, Reply},
};
use crate::{
    error::Result,
    id::OwnerId,
    store::{
        Store,
        oplog::{Appended, MAX_ENTRIES},
    },
    sync::{PushBody, PushedBody},
};

/// Takes a batch whole, or refuses it whole: the inner `Err` is the
/// protocol's.
///
/// # Errors
/// SQLite's.
pub fn answer(
    store: &mut Store,
    owner: &OwnerId,
    body: &PushBody,
) -> Result<Result<PushedBody, Appended>> {
    match store.append(owner, &body.entries)? {
        Appended::Done { received, applied } => {
            Ok(Ok(PushedBody { received, applied, heads: store.heads(owner)? }))
        }
        refused => Ok(Err(refused)),
    }
}

/// A page of another site can send a form without asking, but no JSON; and
/// what is compressed could unfold to anything.
fn check_type(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(reply::unsupported("the body must be application/json"));
    }
    match text(header::CONTENT_ENCODING) {
        "" | "identity" => Ok(()),
        _ => Err(reply::unsupported("the body must not be compressed")),
    }
}

pub(super) async fn handle(
    State(hub): State<Arc<Hub>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    check_type(&headers)?;
    let body = body.map_err(|rejected| reply::bad_body(&rejected))?;
    let body: PushBody =
        serde_json::from_slice(&body).map_err(|e| reply::bad_request(&e.to_string()))?;
    if body.entries.len() > MAX_ENTRIES {
        return Err(reply::bad_request(&format!("at most {MAX_ENTRIES} entries at a time")));
    }
    let owner = hub.replica.owner().await?;
    match hub.replica.write(move |store| answer(store, &owner, &body)).await? {
        Ok(pushed) => {
            if pushed.received > 0 {
                hub.replica.tell_moved();
            }
            reply::ok(&pushed)
        }
        Err(outcome) => Err(reply::refused(outcome)),
    }
}
