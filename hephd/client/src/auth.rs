//! `heph auth`: this device's login at its hub. The daemon logs in; here is
//! only shown what the person has to do, and how it went. No token ever comes
//! this way.

use std::{
    io::{self, Write},
    time::Duration,
};

use hephd::{
    clock::{Clock, span},
    error::{Error, Result},
    report::{Report, Warning},
    rpc::auth::{AtHub, AuthStatus, Event, LoggedIn, LoggedOut, Wanted},
};
use serde_json::{Value, json};

use crate::{
    everywhere::Everywhere,
    qr,
    session::{LONG, Session},
    table::clean,
};

/// How much longer than the code's life a login may take.
const SLACK: Duration = Duration::from_secs(60);

/// The verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Log in with a code that you type on any other screen
    Login(Login),
    /// Log out, and have the provider take the tokens back
    Logout(At),
    /// Show who is logged in
    Status(At),
}

impl Command {
    /// As it stands in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Login(_) => "auth login",
            Self::Logout(_) => "auth logout",
            Self::Status(_) => "auth status",
        }
    }
}

/// At which hub.
#[derive(Debug, clap::Args)]
pub struct At {
    /// The hub; else the daemon's
    #[arg(long, value_name = "URL")]
    hub_url: Option<String>,
}

/// Where to log in.
#[derive(Debug, clap::Args)]
pub struct Login {
    #[command(flatten)]
    at: At,
    /// The OpenID provider; else the daemon's, else the hub's
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The client to log in as there; else the daemon's, else the hub's
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Show people what to do, and answer in JSON: for heph-ops connect
    #[arg(long, hide = true)]
    lines: bool,
}

/// Runs one of them.
///
/// # Errors
/// `auth_failed`, `hub_unreachable`; the daemon's others.
pub fn run(command: &Command, everywhere: &Everywhere) -> Result<Report> {
    let mut session = Session::open(everywhere.socket.as_deref(), LONG)?;
    match command {
        Command::Login(args) => log_in(args, everywhere, &mut session),
        Command::Logout(at) => session.log_out(&wanted(at)).map(|out| logged_out(&out)),
        Command::Status(at) => session.auth_status(&wanted(at)).map(|status| shown(&status)),
    }
}

fn wanted(at: &At) -> Wanted {
    Wanted { hub_url: at.hub_url.clone(), ..Wanted::default() }
}

fn log_in(args: &Login, everywhere: &Everywhere, session: &mut Session) -> Result<Report> {
    let (issuer, client_id) = (args.issuer.clone(), args.client_id.clone());
    let wanted = Wanted { issuer, client_id, ..wanted(&args.at) };
    let mut patience = LONG;
    let logged_in = session.log_in(&wanted, |told| {
        // An event of a later version is nothing to show.
        let event: Option<Event> = serde_json::from_value(told.clone()).ok();
        if everywhere.style.json && !args.lines {
            say(&[told.to_string()])?;
        } else if let Some(event) = &event {
            say(&lines(event))?;
        }
        if let Some(Event::Code { expires_in, .. }) = event {
            patience = Duration::from_secs(expires_in).saturating_add(SLACK);
        }
        Ok(patience)
    })?;
    Ok(signed_in(&logged_in))
}

/// What a person has to do, and whom they trust with it; what happens otherwise
/// needs no line. A hub may name a provider that is not the one they know.
fn lines(event: &Event) -> Vec<String> {
    if let Event::Started { hub_url, issuer, client_id, .. } = event {
        let (hub, issuer, client) = (clean(hub_url), clean(issuer), clean(client_id));
        return vec![
            format!("  hub       {hub}"),
            format!("  provider  {issuer}   client  {client}"),
        ];
    }
    let Event::Code { verification_uri, verification_uri_complete, user_code, expires_in } = event
    else {
        return Vec::new();
    };
    let uri = clean(verification_uri.as_str());
    let whole = verification_uri_complete.as_ref().unwrap_or(verification_uri);
    let mut lines = vec![format!("  sign in   {uri}   code  {}", clean(user_code))];
    if verification_uri_complete.is_some() {
        lines.push(format!("  or open   {}", clean(whole.as_str())));
    }
    lines.extend(qr::lines(whole.as_str()));
    lines.push(format!(
        "  waiting   until you have typed it; the code is good for {}",
        span(*expires_in)
    ));
    lines
}

/// A hub is unlikely to read this, a person or a script is.
fn say(lines: &[String]) -> Result<()> {
    let mut err = io::stderr().lock();
    let mut print = || lines.iter().try_for_each(|line| writeln!(err, "{line}"));
    print().map_err(|error| Error::internal(format!("cannot print: {error}")))
}

fn signed_in(LoggedIn { status, hub }: &LoggedIn) -> Report {
    let name = clean(status.name.as_deref().unwrap_or("somebody"));
    let line = format!("✓ signed in as {name}   token in {}", place(status));
    let data = json!(LoggedIn { status: status.clone(), hub: *hub });
    let mut report = Report::new("logged_in", true, data).line(line);
    if *hub == AtHub::Unreachable {
        let message = format!("the hub {} could not be asked yet", clean(&status.hub_url));
        report.warnings.push(Warning::new("hub_unreachable", message));
    }
    if !status.refreshable {
        let end = status.expires_at.as_deref().unwrap_or("a time that nobody says");
        let message = format!("the provider gave no refresh token: this login lasts until {end}");
        report.warnings.push(Warning::new("not_refreshable", message));
    }
    report
}

fn place(status: &AuthStatus) -> String {
    match status.token_place.as_str() {
        "keyring" => "the system's keyring".to_owned(),
        path => clean(path),
    }
}

fn shown(status: &AuthStatus) -> Report {
    let word = if status.logged_in { "logged_in" } else { "logged_out" };
    let mut rows = Vec::new();
    let mut row = |name: &str, text: Option<String>| {
        rows.extend(text.map(|text| format!("{name:<11}{}", clean(&text))));
    };
    if status.hub_url.is_empty() {
        let line = "hub        none: this device is on its own".to_owned();
        return Report::new("no_hub", false, json!(status)).line(line);
    }
    row("hub", Some(status.hub_url.clone()));
    row("login", Some(state(status)));
    row("issuer", status.issuer.clone());
    row("token", Some(place(status)).filter(|_| status.issuer.is_some()));
    row("good", until(status));
    let mut report = Report::new(word, false, json!(status));
    report.lines = rows;
    if let Some(error) = &status.last_error {
        let message = clean(&format!("{}: {}", error.message, error.hint));
        report.warnings.push(Warning::new(&clean(&error.code), message));
    }
    report
}

fn state(status: &AuthStatus) -> String {
    let name = status.name.clone().unwrap_or_else(|| "somebody".to_owned());
    match (status.logged_in, &status.issuer) {
        (true, _) => name,
        (false, Some(_)) => format!("{name}, over: heph auth login"),
        (false, None) if status.last_error.is_some() => "not known".to_owned(),
        (false, None) => "none: heph auth login".to_owned(),
    }
}

fn until(status: &AuthStatus) -> Option<String> {
    let end = status.expires_at.as_deref().filter(|_| status.logged_in)?;
    let after = if status.refreshable { ", then renewed by itself" } else { "" };
    let left = end.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    let left = u64::try_from(left).unwrap_or(0).saturating_sub(Clock::System.now_ms()) / 1000;
    let refreshed = if status.refreshable { ", renewed when the provider answers" } else { "" };
    Some(if left == 0 {
        format!("no longer{refreshed}")
    } else {
        format!("for {}{after}", span(left))
    })
}

fn logged_out(out: &LoggedOut) -> Report {
    let hub = clean(&out.hub_url);
    let (status, line) = match (out.was_logged_in, out.revoked) {
        (false, _) => ("already_logged_out", format!("✓ nobody was logged in at {hub}")),
        (true, true) => {
            ("logged_out", format!("✓ logged out at {hub}; nothing is renewed any more"))
        }
        (true, false) => ("logged_out", format!("✓ logged out at {hub}")),
    };
    let mut report = Report::new(status, out.was_logged_in, json!(out)).line(line);
    if out.was_logged_in && !out.revoked {
        report.warnings.push(Warning::new(
            "not_revoked",
            "the provider did not take the tokens back: they are forgotten here, and end by themselves",
        ));
    }
    report
}

impl Session {
    fn log_in(
        &mut self,
        wanted: &Wanted,
        event: impl FnMut(&Value) -> Result<Duration>,
    ) -> Result<LoggedIn> {
        self.client().stream("auth.login", &json!(wanted), event)
    }

    fn log_out(&mut self, wanted: &Wanted) -> Result<LoggedOut> {
        self.client().call("auth.logout", &json!(wanted))
    }

    fn auth_status(&mut self, wanted: &Wanted) -> Result<AuthStatus> {
        self.client().call("auth.status", &json!(wanted))
    }
}
