//! The system's keyring: the Secret Service on Linux, the Keychain on a Mac.
//!
//! It is another program, which may be absent, locked, or silent for ever. So
//! it is asked in a thread of its own that nobody has to wait for, one question
//! after the other, each over a connection of its own: one that failed is never
//! used again.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use keyring::{Entry as Item, Error as Failure};
use keyring_core::api::CredentialStoreApi;
use tokio::sync::oneshot;
use url::Url;

use super::entry::Entry;
use crate::error::{Code, Error, Result};

/// Whoever has not answered by then is taken to be silent.
const PROBE: Duration = Duration::from_secs(3);

/// So many questions may wait for a silent keyring.
const MOST_WAITING: usize = 4;

const SERVICE: &str = "heph";

static WAITING: AtomicUsize = AtomicUsize::new(0);

pub(super) async fn get(hub: &Url) -> Result<Option<Entry>> {
    let secret = ask(hub, |item| match item.get_secret() {
        Err(Failure::NoEntry) => Ok(None),
        other => other.map(Some),
    });
    let Some(secret) = secret.await? else { return Ok(None) };
    // What stands in it is not repeated: it may be a token all the same.
    let entry = serde_json::from_slice(&secret);
    if entry.is_err() {
        tracing::warn!(%hub, "what the keyring holds is no login of this version: it counts as none");
    }
    Ok(entry.ok())
}

pub(super) async fn put(hub: &Url, entry: &Entry) -> Result<()> {
    let secret = serde_json::to_vec(entry).map_err(Error::internal)?;
    ask(hub, move |item| item.set_secret(&secret)).await
}

pub(super) async fn remove(hub: &Url) -> Result<()> {
    ask(hub, |item| match item.delete_credential() {
        Err(Failure::NoEntry) => Ok(()),
        other => other,
    })
    .await
}

async fn ask<T: Send + 'static>(
    hub: &Url,
    work: impl FnOnce(&Item) -> keyring::Result<T> + Send + 'static,
) -> Result<T> {
    let Some(waiting) = Waiting::one_more() else {
        return Err(trouble("has not answered for a long time"));
    };
    let (user, (answer, answered)) = (hub.to_string(), oneshot::channel());
    queue(Box::new(move || {
        let _waiting = waiting;
        // Whoever asked has been told that it failed: it must not come true
        // later, over what somebody else has written by then.
        if !answer.is_closed() {
            let _ = answer.send(item(&user).and_then(|item| work(&item)));
        }
    }))?;
    match tokio::time::timeout(PROBE, answered).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(failure))) => Err(trouble(&words(&failure))),
        Ok(Err(_)) => Err(trouble("failed")),
        Err(_) => Err(trouble(&format!("did not answer within {} s", PROBE.as_secs()))),
    }
}

/// One of those who wait; it counts until it is dropped, also by a panic.
struct Waiting;

impl Waiting {
    fn one_more() -> Option<Self> {
        let more = |waiting| (waiting < MOST_WAITING).then_some(waiting + 1);
        WAITING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Has it done after what was asked before: two threads would write in any
/// order.
fn queue(job: Job) -> Result<()> {
    static WORKER: Mutex<Option<mpsc::Sender<Job>>> = Mutex::new(None);
    let mut worker = WORKER.lock().unwrap_or_else(PoisonError::into_inner);
    let job = match worker.as_ref() {
        None => job,
        Some(jobs) => match jobs.send(job) {
            Ok(()) => return Ok(()),
            // A panic has ended it.
            Err(mpsc::SendError(job)) => job,
        },
    };
    let (jobs, coming) = mpsc::channel::<Job>();
    let work = move || coming.into_iter().for_each(|job| job());
    std::thread::Builder::new().name("keyring".to_owned()).spawn(work).map_err(Error::internal)?;
    let _ = jobs.send(job);
    *worker = Some(jobs);
    Ok(())
}

/// The crate's own way to an item remembers a first failure for ever.
fn item(user: &str) -> keyring::Result<Item> {
    #[cfg(target_os = "macos")]
    let store = apple_native_keyring_store::keychain::Store::new()?;
    #[cfg(not(target_os = "macos"))]
    let store = zbus_secret_service_keyring_store::Store::new()?;
    Ok(Item { inner: store.build(SERVICE, user, None)? })
}

/// Never what it holds, which some failures carry.
fn words(failure: &Failure) -> String {
    match failure {
        Failure::NoStorageAccess(why) => format!("is locked, or lets nobody in: {why}"),
        Failure::PlatformFailure(why) => format!("cannot be reached: {why}"),
        Failure::NoDefaultStore => "is not there".to_owned(),
        Failure::Ambiguous(_) => "holds several logins for this hub".to_owned(),
        Failure::TooLong(..) => "does not take so long a login".to_owned(),
        _ => "failed".to_owned(),
    }
}

fn trouble(what: &str) -> Error {
    Error::new(
        Code::AuthFailed,
        format!("the system's keyring {what}"),
        "unlock it, or keep the login in a file: start hephd with --token-file PATH",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_done_in_order_and_a_panic_stops_only_its_own() {
        let (say, hear) = mpsc::channel();
        for n in 0..20 {
            let say = say.clone();
            queue(Box::new(move || say.send(n).unwrap())).unwrap();
        }
        assert_eq!(hear.iter().take(20).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());

        let waiting = Waiting::one_more().unwrap();
        let (ended, end) = oneshot::channel::<()>();
        queue(Box::new(move || {
            let _both = (ended, waiting);
            panic!("on purpose");
        }))
        .unwrap();
        end.blocking_recv().unwrap_err();
        // The thread that panicked may take one more down with it.
        let done = (0..100).any(|_| {
            let say = say.clone();
            queue(Box::new(move || say.send(100).unwrap())).unwrap();
            hear.recv_timeout(Duration::from_millis(50)) == Ok(100)
        });
        assert!(done, "nobody works any more");
    }
}
