//! `POST /sync/push`: entries that extend chains, in one durable transaction.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::extract::State;

use super::{
    Hub,
    body::JsonBody,
    door::Acting,
    newcomers::Room,
    patience::within,
    reply::{self, Reply},
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

pub(super) async fn handle(
    State(hub): State<Arc<Hub>>,
    Acting { owner, .. }: Acting,
    JsonBody(body): JsonBody,
) -> Reply {
    let body: PushBody =
        serde_json::from_slice(&body).map_err(|e| reply::bad_request(&e.to_string()))?;
    if body.entries.len() > MAX_ENTRIES {
        return Err(reply::too_many_entries());
    }
    let taken = within(hub.limits.patience, take(&hub, owner, body)).await?;
    match taken.map_err(reply::too_many_origins)? {
        (_, Ok(pushed)) => reply::ok(&pushed),
        (_, Err(outcome)) => Err(reply::refused(outcome)),
    }
}

/// Room for the new origins and what became of a batch, or how long it has to
/// wait.
type Taken = Result<(Room, Result<PushedBody, Appended>), Duration>;

async fn take(hub: &Arc<Hub>, owner: OwnerId, body: PushBody) -> Result<Taken> {
    let (asked, keeper, now) = (Arc::clone(hub), Arc::clone(hub), hub.clock.now_ms());
    let take = move |store: &mut Store| {
        let new = new_origins(store, &owner, &body)?;
        Ok(match asked.newcomers.room_for(new, now) {
            Ok(room) => Ok((room, answer(store, &owner, &body)?)),
            Err(until_tomorrow) => Err(until_tomorrow),
        })
    };
    // Once it is durable: the sender may have gone, and the others want to know.
    let note = move |taken: &Taken| match taken {
        Ok((room, Ok(pushed))) => {
            room.keep();
            keeper.metrics.received(pushed.received, pushed.applied);
            pushed.received > 0
        }
        _ => false,
    };
    hub.replica.add(take, note).await
}

fn new_origins(store: &Store, owner: &OwnerId, body: &PushBody) -> Result<u64> {
    let origins: BTreeSet<_> = body.entries.iter().map(|entry| &entry.origin).collect();
    let mut new = 0;
    for origin in origins {
        new += u64::from(!store.knows(owner, origin)?);
    }
    Ok(new)
}
