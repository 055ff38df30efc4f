//! `GET /sync/events`: the digest of the hub's heads, now and whenever they
//! move. A hint to the spokes, and nothing that correctness needs.
//!
//! One task works out the digest for all who listen, and not more often than
//! [`GAP`] allows: a busy hub tells of many pushes at once.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use tokio::sync::watch;

use super::{Hub, reply::Reply};
use crate::{op::Hash, replica::Replica, stopping::Stopping};

/// Between two hints.
const GAP: Duration = Duration::from_millis(25);
/// Between two signs of life, so that both ends know a dead connection.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Where the digest is told.
#[derive(Debug, Clone)]
pub struct Events {
    digest: watch::Receiver<Option<Hash>>,
    stopping: Stopping,
}

/// What the endpoint listens to, and the task that feeds it.
pub fn start(
    replica: Arc<Replica>,
    stopping: Stopping,
) -> (Events, impl Future<Output = ()> + Send) {
    let (tell, digest) = watch::channel(None);
    let events = Events { digest, stopping: stopping.clone() };
    (events, feed(replica, tell, stopping))
}

async fn feed(replica: Arc<Replica>, tell: watch::Sender<Option<Hash>>, mut stopping: Stopping) {
    let mut moved = replica.hear_moved();
    loop {
        moved.mark_unchanged();
        let digest = replica.read(|store| match store.owner()? {
            Some(owner) => Ok(Some(store.heads(&owner)?.digest(&owner))),
            None => Ok(None),
        });
        // What cannot be read now is told with the next change.
        if let Ok(digest) = digest.await {
            tell.send_if_modified(|told| std::mem::replace(told, digest) != digest);
        }
        tokio::select! {
            () = stopping.heard() => return,
            () = tokio::time::sleep(GAP) => {}
        }
        tokio::select! {
            () = stopping.heard() => return,
            _ = moved.changed() => {}
        }
    }
}

pub(super) async fn handle(State(hub): State<Arc<Hub>>) -> Reply {
    let mut events = hub.events.clone();
    // The first hint is where the hub stands: whoever was away learns of it.
    events.digest.mark_changed();
    let hints = stream::unfold(events, |mut events| async move {
        let digest = next(&mut events).await?;
        let hint = Event::default().event("heads").data(digest.to_string());
        Some((Ok::<_, Infallible>(hint), events))
    });
    let keep_alive = KeepAlive::new().interval(SIGN_OF_LIFE);
    Ok(Sse::new(hints).keep_alive(keep_alive).into_response())
}

/// The next digest; none once the hub stops, as an open stream would keep it
/// from ending.
async fn next(events: &mut Events) -> Option<Hash> {
    loop {
        tokio::select! {
            () = events.stopping.heard() => return None,
            changed = events.digest.changed() => changed.ok()?,
        }
        if let Some(digest) = *events.digest.borrow_and_update() {
            return Some(digest);
        }
    }
}
