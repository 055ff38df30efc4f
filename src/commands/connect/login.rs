//! A person logs in. `heph auth login` shows the code and its picture: there is
//! one implementation of that, and here is only read how it went.

use std::{
    io::Read,
    process::Child,
    time::{Duration, Instant},
};

use hephd::{
    error::{Code, Error, Result},
    http::one_line,
    report::{Style, Warning},
    rpc::auth::AuthStatus,
};
use serde::Deserialize;

use crate::{host::Host, service::Service};

/// How long a signal that ended heph may take to reach this process too.
const SIGNAL_LAG: Duration = Duration::from_millis(200);

/// Who logged in.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) status: AuthStatus,
    pub(super) warnings: Vec<Warning>,
}

impl LoggedIn {
    /// For people.
    pub(super) fn line(&self) -> String {
        let name = one_line(self.status.name.as_deref().unwrap_or("somebody"));
        let place = match self.status.token_place.as_str() {
            "keyring" => "the system's keyring",
            path => path,
        };
        format!("✓ signed in as {name}   token in {place}")
    }
}

/// The one document of heph, as far as it counts.
#[derive(Deserialize)]
struct Document {
    data: Option<AuthStatus>,
    #[serde(default)]
    warnings: Vec<Warning>,
    error: Option<Told>,
}

#[derive(Deserialize)]
struct Told {
    code: String,
    message: String,
    hint: String,
}

/// Lets a person log in until then. What they have to do is on standard error:
/// as lines, or as events with `--json`.
///
/// # Errors
/// `auth_failed`, and the others of heph; a signal.
pub(super) fn log_in(
    host: &Host,
    style: Style,
    service: &Service,
    until: Instant,
) -> Result<LoggedIn> {
    let mut argv = vec![host.heph()?.display().to_string()];
    argv.extend(["--json", "auth", "login", "--socket"].map(str::to_owned));
    argv.push(service.config.socket.display().to_string());
    if !style.json {
        argv.push("--lines".to_owned());
    }
    let mut child = host.ask_person_by(&argv)?;
    let ended = wait(host, &mut child, until);
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ended?;
    understand(host, &mut child)
}

/// Until the program has ended, or there is a reason to end it. The daemon
/// ends the login of whoever hangs up.
fn wait(host: &Host, child: &mut Child, until: Instant) -> Result<()> {
    loop {
        if let Some(signal) = host.interrupted() {
            return Err(signal);
        }
        if child.try_wait().map_err(Error::internal)?.is_some() {
            return Ok(());
        }
        if Instant::now() >= until {
            let message = "nobody typed the code in the time that --timeout gives";
            return Err(Error::new(Code::AuthFailed, message, "heph auth login"));
        }
        host.pause(Duration::from_millis(25));
    }
}

fn understand(host: &Host, child: &mut Child) -> Result<LoggedIn> {
    let mut said = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut said).map_err(Error::internal)?;
    }
    let document: Option<Document> = serde_json::from_str(&said).ok();
    match document {
        Some(Document { error: Some(told), .. }) => {
            let code = Code::from_slug(&told.code).unwrap_or(Code::AuthFailed);
            Err(Error::new(code, told.message, told.hint))
        }
        Some(Document { data: Some(status), warnings, .. }) => Ok(LoggedIn { status, warnings }),
        // A signal from the terminal is for both of us.
        _ => Err(host.poll(SIGNAL_LAG, || host.interrupted()).unwrap_or_else(|| {
            Error::new(Code::AuthFailed, "heph auth login ended early", "heph auth login")
        })),
    }
}
