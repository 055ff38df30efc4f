//! Waiting until this device and its hub hold the same.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, TryRecvError, channel},
    time::{Duration, Instant},
};

use hephd::{
    error::{Code, Error, Result},
    rpc::{client::Client, status::SyncStatus},
};
use serde_json::Value;

use super::{
    before::ANSWER_DEADLINE,
    told::{Progress, Teller},
};
use crate::{host::Host, service::Service};

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Between a cycle that failed and the next.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Waits for a cycle that begins now and ends with both sides equal. A hub that
/// is away for a moment is waited for.
///
/// # Errors
/// The cycle's, where another would end the same way: `auth_failed`,
/// `owner_mismatch`; `hub_unreachable` or `not_ready` when the time is up; a
/// signal.
pub(super) fn wait(
    host: &Host,
    service: &Service,
    teller: &mut Teller,
    until: Instant,
) -> Result<SyncStatus> {
    let mut last = late(service);
    while Instant::now() < until {
        match cycle(host, service, teller, until) {
            Ok(Some(status)) if status.equal == Some(true) => return Ok(status),
            // Somebody wrote meanwhile.
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) if error.code == Code::HubUnreachable => {
                last = error;
                host.pause(AGAIN_AFTER);
            }
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// One cycle; none where the time is up before it ends.
fn cycle(
    host: &Host,
    service: &Service,
    teller: &mut Teller,
    until: Instant,
) -> Result<Option<SyncStatus>> {
    let socket = &service.config.socket;
    let cycle = begin(socket.clone(), until.saturating_duration_since(Instant::now()));
    while Instant::now() < until {
        match cycle.try_recv() {
            Ok(ended) => return ended.map(Some),
            Err(TryRecvError::Disconnected) => return Err(late(service)),
            Err(TryRecvError::Empty) => {}
        }
        if let Some(signal) = host.interrupted() {
            return Err(signal);
        }
        if teller.wants_progress()
            && let Ok(status) = look(socket)
        {
            teller.progress(&how_far(&status));
        }
        host.pause(LOOK_EVERY);
    }
    Ok(None)
}

/// Lets the daemon run a cycle; who waits for it may go away.
fn begin(socket: PathBuf, deadline: Duration) -> Receiver<Result<SyncStatus>> {
    let (ended, wait) = channel();
    std::thread::spawn(move || {
        let done = Client::connect(&socket, deadline.max(ANSWER_DEADLINE))
            .and_then(|mut client| client.call("sync.now", &Value::Null));
        let _ = ended.send(done);
    });
    wait
}

fn look(socket: &Path) -> Result<SyncStatus> {
    Client::connect(socket, ANSWER_DEADLINE)?.call("sync.status", &Value::Null)
}

/// What is still to come, and to go, once that is known.
fn how_far(status: &SyncStatus) -> Progress {
    Progress {
        here: status.heads.entries(),
        to_come: status.hub_heads.as_ref().map(|hub| hub.beyond(&status.heads)),
        to_go: status.unsent_ops,
    }
}

fn late(service: &Service) -> Error {
    Error::new(
        Code::NotReady,
        format!("{} does not hold the same as its hub in time", service.label()),
        "it goes on by itself; look: heph-ops status",
    )
}
