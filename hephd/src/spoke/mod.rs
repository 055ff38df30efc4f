//! A device's side of sync: when to run a cycle, and how it went.
//!
//! A cycle runs at start, after each local write, when the hub hints that it
//! has moved, on request, and at least once an interval; after a failure it
//! waits, longer each time. There is one at a time. `SyncHealth` remembers
//! what last *succeeded*.
//!
//! - [`wire`]: carries questions and answers over HTTP
//! - `hints`: listens to the hub
//! - [`backoff`]: how long to wait

pub mod backoff;
mod hints;
pub mod wire;

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use url::Url;

use self::{
    backoff::Backoff,
    hints::Hint,
    wire::{Carried, Device, Failed, Wire},
};
use crate::{
    error::{Code, Error, Result},
    id::Origin,
    login::Login,
    machine::Machine,
    op::{Hash, Heads},
    replica::Replica,
    rpc::status::SyncError,
    stopping::Stopping,
    store::fork::Healed,
    sync::{Answer, Ask, Cycle, PAGE},
};

/// How sync went, for as long as the process lives.
#[derive(Debug, Clone, Default)]
pub struct SyncHealth {
    /// The last cycle's start, ms since 1970.
    pub last_attempt: Option<u64>,
    /// The end of the last cycle that went through.
    pub last_success: Option<u64>,
    /// Why the last one did not.
    pub last_error: Option<SyncError>,
    /// It was a refused login.
    pub auth_failure: bool,
    /// The hub's heads as last seen.
    pub hub_heads: Option<Heads>,
    /// The hub's clock minus ours, ms.
    pub clock_offset_ms: Option<i64>,
}

/// Asks the loop for cycles, and for how they went.
#[derive(Debug, Clone)]
pub struct Spoke {
    /// The hub.
    pub hub_url: Url,
    requests: mpsc::Sender<oneshot::Sender<Result<()>>>,
    health: watch::Receiver<SyncHealth>,
}

impl Spoke {
    /// How sync stands.
    #[must_use]
    pub fn health(&self) -> SyncHealth {
        self.health.borrow().clone()
    }

    /// Waits for a complete cycle that begins after this call.
    ///
    /// # Errors
    /// The cycle's.
    pub async fn sync_now(&self) -> Result<()> {
        let (done, wait) = oneshot::channel();
        let stopping = || Error::new(Code::NotReady, "the daemon is stopping", "start it again");
        self.requests.send(done).await.map_err(|_| stopping())?;
        wait.await.map_err(|_| stopping())?
    }
}

/// What a device is told about its hub.
#[derive(Debug)]
pub struct Settings {
    /// The hub.
    pub hub_url: Url,
    /// Whose certificates to trust beside the platform's.
    pub hub_ca: Option<PathBuf>,
    /// The longest time between two cycles.
    pub interval: Duration,
    /// The device's origin at its start.
    pub origin: Origin,
    /// Its login at the hub.
    pub login: Option<Login>,
    /// A token may travel in the clear to anywhere.
    pub allow_plaintext: bool,
}

/// Makes the loop, and what asks it. It ends when told to stop.
///
/// # Errors
/// When the HTTP client cannot be made.
pub fn start(
    replica: Arc<Replica>,
    settings: &Settings,
    machine: &Machine,
    stopping: Stopping,
) -> Result<(Spoke, impl Future<Output = Result<()>> + Send + use<>)> {
    let (requests, requested) = mpsc::channel(64);
    let (report, health) = watch::channel(SyncHealth::default());
    let (origin, present) = watch::channel(settings.origin.clone());
    let wire = Wire::new(settings.hub_url.clone(), settings.hub_ca.as_deref())?
        .in_the_clear(settings.allow_plaintext)
        .with(settings.login.clone())
        .of(Device { origin: present, clock: machine.clock.clone() });
    let logins = || settings.login.as_ref().map(Login::hear_changed);
    let spoke = Spoke { hub_url: settings.hub_url.clone(), requests, health };
    let (told, hints) = watch::channel(Hint::default());
    let backoff = || Backoff::new(machine.entropy.clone(), settings.interval);
    let listen = hints::listen(wire.clone(), told, backoff(), logins(), stopping.clone());
    let pace = Pace {
        interval: settings.interval,
        backoff: backoff(),
        moved: replica.hear_moved(),
        hints,
        logins: logins(),
        requested,
        stopping,
        whole_at: Instant::now(),
        left_alone: false,
    };
    let cycles = Cycles {
        replica,
        wire,
        machine: machine.clone(),
        report,
        origin,
        page: PAGE,
        seen: None,
        heard: None,
    };
    let both = async move {
        tokio::join!(run(cycles, pace), listen);
        Ok(())
    };
    Ok((spoke, both))
}

/// What decides when the next cycle runs.
struct Pace {
    interval: Duration,
    backoff: Backoff,
    moved: watch::Receiver<()>,
    hints: watch::Receiver<Hint>,
    /// Another login, or none any more.
    logins: Option<watch::Receiver<()>>,
    requested: mpsc::Receiver<oneshot::Sender<Result<()>>>,
    stopping: Stopping,
    /// When a cycle runs that believes no hint, however many have run by then.
    whole_at: Instant,
    /// The hub asked not to be asked before that.
    left_alone: bool,
}

async fn run(mut cycles: Cycles, mut pace: Pace) {
    let (mut waiting, mut by_hint) = (Vec::new(), false);
    loop {
        while let Ok(request) = pace.requested.try_recv() {
            waiting.push(request);
        }
        pace.moved.mark_unchanged();
        pace.logins.iter_mut().for_each(watch::Receiver::mark_unchanged);
        let hint = *pace.hints.borrow_and_update();
        // Whoever asks for a cycle wants the hub to be asked, not its hints.
        let quick = by_hint && waiting.is_empty();
        // What has arrived by then is durable, so a cycle may be cut anywhere.
        let outcome = tokio::select! {
            outcome = cycles.one(hint.digest, quick) => outcome,
            () = pace.stopping.heard() => return,
        };
        pace.after(&outcome, quick);
        for request in waiting.drain(..) {
            let _ = request.send(outcome.as_ref().map(drop).map_err(|f| f.error.clone()));
        }
        let next = pace.next(hint, cycles.seen).await;
        by_hint = matches!(next, Next::Quick);
        match next {
            Next::Quick | Next::Whole => {}
            Next::Asked(request) => waiting.push(request),
            Next::Stop => return,
        }
    }
}

/// What ended a wait.
enum Next {
    /// Something moved; the hub's last hint may be believed.
    Quick,
    Whole,
    Asked(oneshot::Sender<Result<()>>),
    Stop,
}

impl Pace {
    /// Plans the next whole cycle.
    fn after(&mut self, outcome: &Result<(), Failed>, quick: bool) {
        let wait = match outcome {
            Ok(()) => {
                self.backoff.reset();
                self.backoff.jitter(self.interval)
            }
            Err(failed) => self.backoff.failed_and_asked(failed.retry_after),
        };
        self.left_alone = matches!(outcome, Err(failed) if failed.retry_after.is_some());
        // Whoever writes all the time is compared all the same.
        if outcome.is_err() || !quick {
            self.whole_at = Instant::now() + wait;
        }
    }

    /// Waits for the next reason. While the hub fails, a local write is none:
    /// it would be tried in vain for each keystroke. A stream that it opens
    /// anew is one: it is there again.
    async fn next(&mut self, before: Hint, seen: Option<Hash>) -> Next {
        let (failing, hints) = (self.backoff.failing(), self.hints.clone());
        tokio::select! {
            () = self.stopping.heard() => Next::Stop,
            Some(request) = self.requested.recv() => Next::Asked(request),
            Ok(()) = self.moved.changed(), if !failing => Next::Quick,
            () = news(&mut self.hints, |hint| hint.digest != seen), if !failing => Next::Quick,
            () = tokio::time::sleep_until(self.whole_at) => Next::Whole,
            () = another(&mut self.logins) => Next::Whole,
            () = again(hints, before), if failing && !self.left_alone => Next::Whole,
        }
    }
}

/// Waits for another login.
async fn another(logins: &mut Option<watch::Receiver<()>>) {
    let Some(logins) = logins else { return std::future::pending().await };
    if logins.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Waits for a hint that came after the last cycle began, and is worth one.
async fn news(hints: &mut watch::Receiver<Hint>, worth: impl Fn(&Hint) -> bool) {
    while hints.changed().await.is_ok() {
        let hint = *hints.borrow_and_update();
        if hint.digest.is_some() && worth(&hint) {
            return;
        }
    }
    std::future::pending().await
}

/// Waits for a stream that was opened after the last cycle began.
async fn again(mut hints: watch::Receiver<Hint>, before: Hint) {
    if hints.wait_for(|hint| hint.streams > before.streams).await.is_err() {
        std::future::pending().await
    }
}

/// What a cycle needs, and what one leaves to the next.
struct Cycles {
    replica: Arc<Replica>,
    wire: Wire,
    machine: Machine,
    report: watch::Sender<SyncHealth>,
    /// What the hub is told to be this device's.
    origin: watch::Sender<Origin>,
    /// Entries at a time that got through lately.
    page: usize,
    /// The digest of both sides' heads, where the last cycle left them equal.
    seen: Option<Hash>,
    /// The hub's last hint when the last cycle began.
    heard: Option<Hash>,
}

impl Cycles {
    /// One cycle, and what is remembered of it.
    async fn one(&mut self, hint: Option<Hash>, quick: bool) -> Result<(), Failed> {
        self.report.send_modify(|health| health.last_attempt = Some(self.machine.clock.now_ms()));
        let cycle = if quick { self.begin(hint) } else { Cycle::default() };
        let mut cycle = cycle.with_page(self.page);
        self.heard = hint;
        let outcome = self.exchange(&mut cycle).await;
        let too_slow = outcome.as_ref().is_err_and(|failed| failed.too_slow);
        self.page = if too_slow { (cycle.page() / 2).max(1) } else { cycle.page() };
        self.seen = cycle.equal_digest();
        self.remember(&outcome, cycle.hub_heads().cloned());
        outcome
    }

    /// The hub's last hint, while its stream is open, says what need not be
    /// asked. One that is older than the last cycle says nothing: that cycle
    /// has seen where the hub stands.
    fn begin(&self, hint: Option<Hash>) -> Cycle {
        match (hint, self.report.borrow().hub_heads.clone()) {
            (Some(digest), Some(_)) if hint != self.seen && hint != self.heard => {
                Cycle::told(digest)
            }
            (Some(_), Some(heads)) => Cycle::knowing(heads),
            _ => Cycle::default(),
        }
    }

    fn remember(&self, outcome: &Result<(), Failed>, hub_heads: Option<Heads>) {
        self.report.send_modify(|health| {
            health.hub_heads = hub_heads.or(health.hub_heads.take());
            let error = outcome.as_ref().err().map(|failed| &failed.error);
            if error.is_none() {
                health.last_success = Some(self.machine.clock.now_ms());
            }
            health.auth_failure = error.is_some_and(|error| error.code == Code::AuthFailed);
            health.last_error = error.map(|error| SyncError {
                code: error.code.as_str().to_owned(),
                message: error.message.clone(),
                hint: Some(error.hint.clone()),
            });
        });
        if let Err(Failed { error, .. }) = outcome {
            tracing::warn!(code = error.code.as_str(), hub = %self.wire.hub_url(), "{}", error.message);
        }
    }

    async fn exchange(&self, cycle: &mut Cycle) -> Result<(), Failed> {
        while let Some(ask) = self.step(cycle).await? {
            let asked = self.machine.clock.now_ms();
            let Carried { answer, hub_time } = self.wire.carry(&ask, cycle.page()).await?;
            if let Some(time) = hub_time {
                self.note_clock(time, asked);
            }
            self.take(cycle, answer).await?;
            cycle.healed.drain(..).for_each(|healed| self.note_fork(healed));
        }
        if cycle.pulled + cycle.pushed > 0 {
            tracing::info!(pulled = cycle.pulled, pushed = cycle.pushed, "synced");
        }
        Ok(())
    }

    /// The cycle goes to the store's thread and comes back.
    async fn step(&self, cycle: &mut Cycle) -> Result<Option<Ask>> {
        let mut away = std::mem::take(cycle);
        let stepped = self.replica.read(move |store| {
            let asked = away.next(store);
            Ok((away, asked))
        });
        let (back, asked) = stepped.await?;
        *cycle = back;
        asked
    }

    async fn take(&self, cycle: &mut Cycle, answer: Answer) -> Result<()> {
        let mut away = std::mem::take(cycle);
        let taken = self.replica.write(move |store| {
            let taken = away.take(store, answer);
            Ok((away, taken))
        });
        let (back, taken) = taken.await?;
        *cycle = back;
        taken
    }

    /// The hub's time was taken somewhere between question and answer, and
    /// somewhere within its second.
    fn note_clock(&self, theirs: Timestamp, asked_ms: u64) {
        let ours =
            i64::try_from(asked_ms.midpoint(self.machine.clock.now_ms())).unwrap_or(i64::MAX);
        let offset = theirs.as_millisecond().saturating_add(500).saturating_sub(ours);
        self.report.send_modify(|health| health.clock_offset_ms = Some(offset));
    }

    /// From now on this device has the fresh origin.
    fn note_fork(&self, Healed { cut, moved, origin }: Healed) {
        tracing::warn!(
            cut,
            moved,
            origin = origin.as_ref().map_or("none", Origin::as_str),
            "fork healed: a copy of this store had gone on writing; nothing is lost"
        );
        origin.into_iter().for_each(|origin| drop(self.origin.send_replace(origin)));
    }
}
