//! A device's side of sync: when to run a cycle, and how it went.
//!
//! A cycle runs at start, after each local write, on request, and at least
//! once an interval. There is one at a time. `SyncHealth` remembers what last
//! *succeeded*.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use reqwest::{StatusCode, header};
use tokio::sync::{mpsc, oneshot, watch};
use url::Url;

use crate::{
    clock::Clock,
    error::{Code, Error, Result, file},
    id::Origin,
    op::Heads,
    replica::Replica,
    rpc::status::SyncError,
    stopping::Stopping,
    store::fork::Healed,
    sync::{Answer, Ask, Cycle, PAGE},
};

/// No request takes longer.
const DEADLINE: Duration = Duration::from_secs(60);
/// No answer is larger: a page has at most 4 MiB of ops, or one op.
const MAX_ANSWER_BYTES: usize = 32 << 20;
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

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
}

/// Makes the loop, and what asks it. It ends when told to stop.
///
/// # Errors
/// When the HTTP client cannot be made.
pub fn start(
    replica: Arc<Replica>,
    settings: &Settings,
    clock: Clock,
    stopping: Stopping,
) -> Result<(Spoke, impl Future<Output = Result<()>> + Send + use<>)> {
    let (requests, requested) = mpsc::channel(64);
    let (report, health) = watch::channel(SyncHealth::default());
    let (hub_url, interval) = (settings.hub_url.clone(), settings.interval);
    let http = http_client(settings.hub_ca.as_deref())?;
    let spoke = Spoke { hub_url: hub_url.clone(), requests, health };
    let cycles = Cycles { replica, hub_url, http, clock, report };
    Ok((spoke, run(cycles, interval, requested, stopping)))
}

fn http_client(hub_ca: Option<&Path>) -> Result<reqwest::Client> {
    let mut client = reqwest::Client::builder()
        .timeout(DEADLINE)
        .connect_timeout(CONNECT_DEADLINE)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("hephd/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = hub_ca {
        let pem = std::fs::read(path).map_err(file(path, "read"))?;
        let authority = reqwest::Certificate::from_pem(&pem).map_err(|error| {
            let message = format!("--hub-ca {} is no certificate: {error}", path.display());
            Error::usage(message, "give a PEM file")
        })?;
        client = client.add_root_certificate(authority);
    }
    client.build().map_err(Error::internal)
}

async fn run(
    cycles: Cycles,
    interval: Duration,
    mut requested: mpsc::Receiver<oneshot::Sender<Result<()>>>,
    mut stopping: Stopping,
) -> Result<()> {
    let mut waiting = Vec::new();
    loop {
        while let Ok(request) = requested.try_recv() {
            waiting.push(request);
        }
        // What has arrived by then is durable, so a cycle may be cut anywhere.
        let outcome = tokio::select! {
            outcome = cycles.one() => outcome,
            () = stopping.heard() => return Ok(()),
        };
        for request in waiting.drain(..) {
            let _ = request.send(outcome.clone());
        }
        tokio::select! {
            () = stopping.heard() => return Ok(()),
            () = cycles.replica.written.notified() => {}
            () = tokio::time::sleep(interval) => {}
            Some(request) = requested.recv() => waiting.push(request),
        }
    }
}

/// What a cycle needs.
struct Cycles {
    replica: Arc<Replica>,
    hub_url: Url,
    http: reqwest::Client,
    clock: Clock,
    report: watch::Sender<SyncHealth>,
}

impl Cycles {
    /// One cycle, and what is remembered of it.
    async fn one(&self) -> Result<()> {
        self.report.send_modify(|health| health.last_attempt = Some(self.clock.now_ms()));
        let (outcome, hub_heads) = self.exchange().await;
        self.report.send_modify(|health| {
            health.hub_heads = hub_heads.or(health.hub_heads.take());
            match &outcome {
                Ok(()) => {
                    health.last_success = Some(self.clock.now_ms());
                    health.last_error = None;
                }
                Err(error) => {
                    let code = error.code.as_str().to_owned();
                    health.last_error = Some(SyncError { code, message: error.message.clone() });
                }
            }
            health.auth_failure = matches!(&outcome, Err(e) if e.code == Code::AuthFailed);
        });
        if let Err(error) = &outcome {
            tracing::warn!(code = error.code.as_str(), hub = %self.hub_url, "{}", error.message);
        }
        outcome
    }

    async fn exchange(&self) -> (Result<()>, Option<Heads>) {
        let mut cycle = Cycle::default();
        loop {
            let (back, asked) = match self.step(cycle).await {
                Ok(pair) => pair,
                Err(error) => return (Err(error), None),
            };
            cycle = back;
            let ask = match asked {
                Ok(Some(ask)) => ask,
                Ok(None) => {
                    if cycle.pulled + cycle.pushed > 0 {
                        tracing::info!(pulled = cycle.pulled, pushed = cycle.pushed, "synced");
                    }
                    return (Ok(()), cycle.hub_heads().cloned());
                }
                Err(error) => return (Err(error), cycle.hub_heads().cloned()),
            };
            let answer = match self.carry(ask).await {
                Ok(answer) => answer,
                Err(error) => return (Err(error), cycle.hub_heads().cloned()),
            };
            cycle = match self.take(cycle, answer).await {
                (mut back, Ok(())) => {
                    back.healed.drain(..).for_each(|healed| tell_of_fork(&healed));
                    back
                }
                (back, Err(error)) => return (Err(error), back.hub_heads().cloned()),
            };
        }
    }
}

/// The pieces of a cycle that run on the store's threads.
impl Cycles {
    async fn step(&self, mut cycle: Cycle) -> Result<(Cycle, Result<Option<Ask>>)> {
        self.replica
            .read(move |store| {
                let asked = cycle.next(store);
                Ok((cycle, asked))
            })
            .await
    }

    async fn take(&self, mut cycle: Cycle, answer: Answer) -> (Cycle, Result<()>) {
        let taken = self.replica.write(move |store| {
            let taken = cycle.take(store, answer);
            Ok((cycle, taken))
        });
        taken.await.unwrap_or_else(|error| (Cycle::default(), Err(error)))
    }

    /// Carries a question to the hub and its answer back.
    async fn carry(&self, ask: Ask) -> Result<Answer> {
        let started = self.clock.now_ms();
        let request = match &ask {
            Ask::Heads(digest) => {
                let request = self.http.get(self.url("sync/heads")?);
                match digest {
                    Some(digest) => request.header(header::IF_NONE_MATCH, format!("\"{digest}\"")),
                    None => request,
                }
            }
            Ask::Pull(after) => self
                .http
                .get(self.url("sync/pull")?)
                .query(&[("after", after.encode()), ("limit", PAGE.to_string())]),
            Ask::Push(body) => self.http.post(self.url("sync/push")?).json(body),
            Ask::Chain(origin, places) => {
                let at = places.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
                let asked = [("origin", origin.as_str()), ("at", &at)];
                self.http.get(self.url("sync/chain")?).query(&asked)
            }
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let answer = self.read(&ask, response).await?;
        if let Answer::Heads(body) = &answer {
            self.note_clock(&body.server_time, started);
        }
        Ok(answer)
    }

    async fn read(&self, ask: &Ask, response: reqwest::Response) -> Result<Answer> {
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED {
            return Ok(Answer::Same);
        }
        if !status.is_success() {
            return self.refusal(status, response).await;
        }
        let body = self.body(response).await?;
        let read = match ask {
            Ask::Heads(_) => serde_json::from_slice(&body).map(Answer::Heads),
            Ask::Pull(_) => serde_json::from_slice(&body).map(Answer::Page),
            Ask::Push(_) => serde_json::from_slice(&body).map(Answer::Pushed),
            Ask::Chain(..) => serde_json::from_slice(&body).map(Answer::Chain),
        };
        read.map_err(|error| self.no_hub(&format!("does not answer like a hub: {error}")))
    }

    /// An answer's body, which must end.
    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(self.no_hub("answers without end"));
            }
        }
        Ok(body)
    }

    async fn refusal(&self, status: StatusCode, response: reqwest::Response) -> Result<Answer> {
        let body = self.body(response).await.unwrap_or_default();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |key: &str| body["error"][key].as_str().unwrap_or_default().to_owned();
        let (code, message) = (text("code"), text("message"));
        let error = |code, hint: &str| {
            Error::new(code, format!("the hub {} said {status}: {message}", self.hub_url), hint)
        };
        match (status, code.as_str()) {
            (StatusCode::CONFLICT, "not_next") => Ok(Answer::NotNext),
            (StatusCode::CONFLICT, "owner_mismatch") => {
                Err(error(Code::OwnerMismatch, "sync with the hub of the same owner"))
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Err(error(
                Code::AuthFailed,
                "this version cannot log in; the hub must let it in without",
            )),
            (StatusCode::CONFLICT, "id_reused") => Err(error(
                Code::IdReused,
                "one of the two stores is damaged; see docs/reference/sync.md",
            )),
            _ => Err(error(Code::HubUnreachable, "nothing is lost; the next cycle tries again")),
        }
    }

    fn url(&self, path: &str) -> Result<Url> {
        self.hub_url.join(path).map_err(Error::internal)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            why = cause.to_string();
            source = cause.source();
        }
        self.no_hub(&format!("cannot be reached: {why}"))
    }

    fn no_hub(&self, why: &str) -> Error {
        Error::new(
            Code::HubUnreachable,
            format!("the hub {} {why}", self.hub_url),
            "nothing is lost; look whether the hub runs and the network is there",
        )
    }

    /// The hub's time was taken somewhere between question and answer.
    fn note_clock(&self, server_time: &str, asked_ms: u64) {
        let Ok(theirs) = server_time.parse::<jiff::Timestamp>() else { return };
        let ours = i64::try_from(asked_ms.midpoint(self.clock.now_ms())).unwrap_or(i64::MAX);
        let offset = theirs.as_millisecond().saturating_sub(ours);
        self.report.send_modify(|health| health.clock_offset_ms = Some(offset));
    }
}

fn tell_of_fork(healed: &Healed) {
    let origin = healed.origin.as_ref().map_or("none", Origin::as_str);
    tracing::warn!(
        cut = healed.cut,
        moved = healed.moved,
        origin,
        "fork healed: a copy of this store had gone on writing; nothing is lost"
    );
}
