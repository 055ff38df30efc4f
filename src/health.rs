//! What "ready" means, and waiting for it.
//!
//! A service is ready when the manager names a process, *that* process
//! answers at the socket, a hub's HTTP is answered by the same instance and
//! its store takes writes, and all of that is still so after a settling time
//! without a restart in between. A listener on the port proves nothing.

use std::time::{Duration, Instant};

use hephd::{
    error::{Code, Error, Result},
    record::Role,
    report::Warning,
    rpc::{
        client::Client,
        status::{Access, Health, SyncStatus},
    },
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    host::Host,
    service::Service,
    service_manager::{Manager, Running},
};

/// No single question takes longer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// How many of the last log lines are shown of a service that does not start.
const LOG_LINES: usize = 5;

/// More restarts than this while we wait are a crash loop.
const CRASH_LOOP: u32 = 2;

/// What a service answered.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Who it is.
    pub health: Option<Health>,
    /// How its sync stands.
    pub sync: Option<SyncStatus>,
    /// How long a hub's HTTP took; none for a spoke, or while it fails.
    pub latency: Option<Duration>,
    /// What is wrong, in a word; none when all is well.
    pub trouble: Option<Trouble>,
}

/// What is wrong with a service that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One word for a table.
    pub word: &'static str,
    /// One line.
    pub message: String,
}

impl Trouble {
    fn new(word: &'static str, message: impl Into<String>) -> Self {
        Self { word, message: message.into() }
    }
}

/// Asks a running service everything at once.
#[must_use]
pub fn ask(service: &Service, pid: u32) -> Answers {
    let mut answers = Answers::default();
    if let Err(trouble) = ask_all(service, pid, &mut answers) {
        answers.trouble = Some(trouble);
    }
    answers
}

fn ask_all(service: &Service, pid: u32, answers: &mut Answers) -> Result<(), Trouble> {
    let silent = |error: Error| Trouble::new("silent", error.message);
    let socket = &service.config.socket;
    let mut client = Client::connect(socket, ANSWER_DEADLINE).map_err(silent)?;
    let health: Health = client.call("health", &Value::Null).map_err(silent)?;
    if health.pid != pid {
        let message = format!("{} is answered by process {}", socket.display(), health.pid);
        return Err(Trouble::new("other", message));
    }
    let instance = health.instance.clone();
    answers.health = Some(health);
    answers.sync = Some(client.call("sync.status", &Value::Null).map_err(silent)?);
    let db = &service.config.db;
    if !db.is_file() {
        return Err(Trouble::new("unready", format!("{} is gone", db.display())));
    }
    if let Some(address) = service.probe_address() {
        answers.latency = Some(ask_http(address, &instance)?);
    }
    Ok(())
}

/// What a person should know of who may ask a hub.
#[must_use]
pub fn access_warnings(service: &Service, answers: &Answers) -> Vec<Warning> {
    let access = answers.sync.iter().filter_map(|sync| sync.access.as_ref());
    let told = access.flat_map(Access::warnings);
    told.map(|(code, text)| Warning::new(code, format!("{}: {text}", service.label()))).collect()
}

/// Lets a device run a complete cycle now, if it can. What comes of it is
/// seen in its status. The wait is the caller's.
pub fn let_sync(service: &Service, deadline: Duration) {
    if let Ok(mut client) = Client::connect(&service.config.socket, deadline) {
        let _: Result<Value> = client.call("sync.now", &Value::Null);
    }
}

#[derive(Deserialize)]
struct Healthz {
    instance: String,
}

/// The same instance answers, and may be used.
fn ask_http(address: std::net::SocketAddr, instance: &str) -> Result<Duration, Trouble> {
    let failed = |error: reqwest::Error| {
        Trouble::new("silent", format!("http://{address} does not answer: {}", root_cause(&error)))
    };
    // Only fails where one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::blocking::Client::builder()
        .timeout(ANSWER_DEADLINE)
        .no_proxy()
        .build()
        .map_err(failed)?;
    let asked = Instant::now();
    let response = client.get(format!("http://{address}/healthz")).send().map_err(failed)?;
    let latency = asked.elapsed();
    let body: Healthz = response
        .json()
        .map_err(|_| Trouble::new("other", format!("{address} is answered by another program")))?;
    if body.instance != instance {
        return Err(Trouble::new("other", format!("{address} is answered by another hub")));
    }
    let ready = client.get(format!("http://{address}/readyz")).send().map_err(failed)?;
    if ready.status().is_success() {
        return Ok(latency);
    }
    let body: Value = ready.json().unwrap_or_default();
    let why = body["error"]["message"].as_str().unwrap_or("it does not say why").to_owned();
    Err(Trouble::new("unready", why))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// A service that is ready.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Its process.
    pub pid: u32,
    /// How long it took to answer.
    pub took: Duration,
    /// What it answered.
    pub answers: Answers,
}

/// Waits until a service that was started is ready and stays so.
///
/// # Errors
/// `not_ready` or `crash_loop` with the last lines of its log.
pub fn wait_until_ready(
    host: &Host,
    manager: Manager,
    service: &Service,
    timeout: Duration,
    settle: Duration,
) -> Result<Ready> {
    let begun = Instant::now();
    let restarts_before = manager.observe(host, service)?.restarts;
    let mut ready: Option<(Ready, Instant)> = None;
    loop {
        let now = manager.observe(host, service)?;
        if now.is_over() || now.restarts > restarts_before + CRASH_LOOP {
            return Err(died(host, manager, service, &now));
        }
        ready = match (now.pid, ready.take()) {
            (Some(pid), Some((ready, since))) if ready.pid == pid => {
                // It must still answer at the end, not only have the same pid.
                match since.elapsed() >= settle {
                    true if ask(service, pid).trouble.is_none() => return Ok(ready),
                    true => None,
                    false => Some((ready, since)),
                }
            }
            (Some(pid), _) => {
                first_answers(service, pid, begun).map(|ready| (ready, Instant::now()))
            }
            (None, _) => None,
        };
        if let Some(signal) = host.interrupted() {
            return Err(signal);
        }
        // How long it must stay so comes on top.
        if ready.is_none() && begun.elapsed() > timeout {
            return Err(too_slow(host, manager, service, &now, timeout));
        }
        host.pause(Duration::from_millis(25));
    }
}

/// Waits for a device's first sync that goes through. A hub has nobody to wait
/// for.
///
/// # Errors
/// `auth_failed` where it has to log in; `hub_unreachable` after the timeout.
pub fn wait_until_synced(host: &Host, service: &Service, timeout: Duration) -> Result<()> {
    let Some(hub) = &service.config.hub_url else { return Ok(()) };
    let mut last = String::from("it has not tried yet");
    let synced = host.poll(timeout, || {
        if let Some(signal) = host.interrupted() {
            return Some(Err(signal));
        }
        let status: SyncStatus = Client::connect(&service.config.socket, ANSWER_DEADLINE)
            .and_then(|mut client| client.call("sync.status", &Value::Null))
            .ok()?;
        match (&status.last_error, &status.last_success) {
            (Some(error), _) if status.auth_failure => Some(Err(Error::new(
                Code::AuthFailed,
                format!("{} has to log in at {hub}: {}", service.label(), error.message),
                "heph auth login, then run it again",
            ))),
            (Some(error), _) => {
                last.clone_from(&error.message);
                None
            }
            (None, Some(_)) => Some(Ok(())),
            (None, None) => None,
        }
    });
    synced.unwrap_or_else(|| {
        Err(Error::new(
            Code::HubUnreachable,
            format!(
                "{} has not synced with {hub} in {} s: {last}",
                service.label(),
                timeout.as_secs()
            ),
            "see that the hub runs and can be reached from here: heph-ops status there",
        ))
    })
}

fn first_answers(service: &Service, pid: u32, begun: Instant) -> Option<Ready> {
    let answers = ask(service, pid);
    answers.trouble.is_none().then(|| Ready { pid, took: begun.elapsed(), answers })
}

/// The error for a service that ended, or keeps ending.
fn died(host: &Host, manager: Manager, service: &Service, now: &Running) -> Error {
    let looping = !now.is_over();
    let how = now.result.as_ref().map_or_else(String::new, |result| format!(" ({result})"));
    let what = if looping {
        format!("ended {} times{how}", now.restarts)
    } else {
        format!("ended at once{how}")
    };
    let code = if looping { Code::CrashLoop } else { Code::NotReady };
    let mut error = with_log(host, manager, service, code, &what);
    // Behind its walls hephd does not see who has its port; from here it is seen.
    if let Some(Err(taken)) = (service.record.role == Role::Hub)
        .then(|| hephd::port::listen(service.config.http_addr))
        .filter(|_| now.pid.is_none())
        && taken.code == Code::PortInUse
    {
        error.message.push_str(&format!("\n  {}", taken.message));
        error.hint = taken.hint;
    }
    error
}

fn too_slow(
    host: &Host,
    manager: Manager,
    service: &Service,
    now: &Running,
    timeout: Duration,
) -> Error {
    let why = match now.pid.and_then(|pid| ask(service, pid).trouble) {
        Some(trouble) => trouble.message,
        None => format!("it is {}", now.state),
    };
    let what = format!("is not ready after {} s: {why}", timeout.as_secs());
    with_log(host, manager, service, Code::NotReady, &what)
}

fn with_log(host: &Host, manager: Manager, service: &Service, code: Code, what: &str) -> Error {
    let label = service.label();
    let mut lines = manager.log_tail(host, service, LOG_LINES);
    if lines.is_empty() {
        lines.push("(it logged nothing)".to_owned());
    }
    let log = lines.iter().map(|line| format!("\n  | {line}")).collect::<String>();
    Error::new(
        code,
        format!("{label} {what}{log}"),
        format!("its log: {}", manager.log_place(host, service)),
    )
}
