//! `GET /sync/events`: the digest of the hub's heads, now and whenever they
//! move. A hint to the spokes, and nothing that correctness needs.
//!
//! One task works out the digest for all who listen, and not more often than
//! [`GAP`] allows: a busy hub tells of many pushes at once.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use tokio::{sync::watch, time::Instant};

use super::{Hub, door::Acting, reply::Reply};
use crate::{error::Result, id::OwnerId, op::Hash, replica::Replica, stopping::Stopping};

/// Between two hints.
const GAP: Duration = Duration::from_millis(25);
/// How long a stream may stay open at most; a client opens the next.
const FOR_EVER: Duration = Duration::from_secs(7 * 86_400);
/// Between two signs of life, so that both ends know a dead connection.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Where the digest is told.
#[derive(Debug, Clone)]
pub struct Events {
    digests: watch::Receiver<Told>,
    stopping: Stopping,
}

/// The digest of each owner's heads.
type Told = BTreeMap<OwnerId, Hash>;

/// What the endpoint listens to, and the task that feeds it.
pub fn start(
    replica: Arc<Replica>,
    stopping: Stopping,
) -> (Events, impl Future<Output = ()> + Send) {
    let (tell, digests) = watch::channel(Told::new());
    let events = Events { digests, stopping: stopping.clone() };
    (events, feed(replica, tell, stopping))
}

async fn feed(replica: Arc<Replica>, tell: watch::Sender<Told>, mut stopping: Stopping) {
    let mut moved = replica.hear_moved();
    loop {
        moved.mark_unchanged();
        let digests = replica.read(|store| {
            let owners = store.owners()?.into_iter();
            let digest = |owner: OwnerId| Ok((owner.clone(), store.heads(&owner)?.digest(&owner)));
            owners.map(digest).collect::<Result<Told>>()
        });
        // What cannot be read now is told with the next change.
        if let Ok(digests) = digests.await {
            tell.send_if_modified(|told| {
                let moved = *told != digests;
                *told = digests;
                moved
            });
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

pub(super) async fn handle(State(hub): State<Arc<Hub>>, acting: Acting) -> Reply {
    let mut events = hub.events.clone();
    // The first hint is where the hub stands: whoever was away learns of it.
    events.digests.mark_changed();
    let left = acting.expires.map(|expires| left(expires, hub.clock.now_ms()));
    let end = left.map_or(Instant::now() + FOR_EVER, |left| Instant::now() + left);
    let begin = (events, acting.owner, None);
    let hints = stream::unfold(begin, move |(mut events, owner, told)| async move {
        let next = tokio::time::timeout_at(end, next(&mut events, &owner, told));
        let digest = next.await.ok()??;
        let hint = Event::default().event("heads").data(digest.to_string());
        Some((Ok::<_, Infallible>(hint), (events, owner, Some(digest))))
    });
    let keep_alive = KeepAlive::new().interval(SIGN_OF_LIFE);
    Ok(Sse::new(hints).keep_alive(keep_alive).into_response())
}

/// A token that is over lets nobody listen.
fn left(expires_secs: u64, now_ms: u64) -> Duration {
    Duration::from_millis(expires_secs.saturating_mul(1000).saturating_sub(now_ms)).min(FOR_EVER)
}

/// The next digest of an owner's heads that differs from the last; none once
/// the hub stops, as an open stream would keep it from ending.
async fn next(events: &mut Events, owner: &OwnerId, told: Option<Hash>) -> Option<Hash> {
    loop {
        tokio::select! {
            () = events.stopping.heard() => return None,
            changed = events.digests.changed() => changed.ok()?,
        }
        let digest = events.digests.borrow_and_update().get(owner).copied();
        if digest.is_some() && digest != told {
            return digest;
        }
    }
}
