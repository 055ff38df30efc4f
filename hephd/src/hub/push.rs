//! `POST /sync/push`: entries that extend chains, in one durable transaction.

use std::{collections::BTreeSet, sync::Arc};

use axum::extract::State;

use super::{
    Hub,
    body::JsonBody,
    reply::{self, Reply},
};
use crate::{
    error::Result,
    id::OwnerId,
    op::Heads,
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

pub(super) async fn handle(State(hub): State<Arc<Hub>>, JsonBody(body): JsonBody) -> Reply {
    let body: PushBody =
        serde_json::from_slice(&body).map_err(|e| reply::bad_request(&e.to_string()))?;
    if body.entries.len() > MAX_ENTRIES {
        return Err(reply::bad_request(&format!("at most {MAX_ENTRIES} entries at a time")));
    }
    let owner = hub.replica.owner().await?;
    let (asked, now) = (Arc::clone(&hub), hub.clock.now_ms());
    let outcome = hub.replica.write(move |store| {
        let new = new_origins(&store.heads(&owner)?, &body);
        if let Err(until_tomorrow) = asked.newcomers.room_for(new, now) {
            return Ok(Err(until_tomorrow));
        }
        let answered = answer(store, &owner, &body)?;
        if answered.is_ok() {
            asked.newcomers.came(new, now);
        }
        Ok(Ok(answered))
    });
    match outcome.await?.map_err(reply::too_many_origins)? {
        Ok(pushed) => {
            if pushed.received > 0 {
                hub.replica.tell_moved();
            }
            hub.metrics.received(pushed.received, pushed.applied);
            reply::ok(&pushed)
        }
        Err(outcome) => Err(reply::refused(outcome)),
    }
}

fn new_origins(known: &Heads, body: &PushBody) -> u64 {
    let origins = body.entries.iter().map(|entry| &entry.origin);
    origins.filter(|origin| !known.0.contains_key(*origin)).collect::<BTreeSet<_>>().len() as u64
}
