//! `heph-ops status`: what is installed, running, answering, syncing. What is
//! shown is what was just seen or last succeeded, never what is configured,
//! and the exit code can be trusted: 0 only if all is well.

mod seen;

use std::time::{Duration, Instant};

use hephd::{
    error::{Code, Error, Result},
    report::Report,
};
use serde_json::{Value, json};

use self::seen::Seen;
use crate::{health, host::Host, service::Service, table};

/// Show every service: installed, running, answering, syncing
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this one
    pub label: Option<String>,
    /// Wait up to this long for what --for says
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub wait: Option<u64>,
    /// What to wait for
    #[arg(
        long = "for",
        value_enum,
        default_value = "ready",
        value_name = "STATE",
        requires = "wait"
    )]
    pub wanted: Wanted,
}

/// States that can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Wanted {
    /// Every service answers and may be used
    Ready,
    /// Also, every device's last sync went through
    Synced,
    /// Also, every device has what its hub has
    Equal,
}

/// Looks.
///
/// # Errors
/// `service_not_found` for a label that is not installed. A service that is
/// not well makes the report end with `not_ready`.
pub fn run(args: &Args, host: &Host) -> Result<Report> {
    let begun = Instant::now();
    let deadline = Duration::from_secs(args.wait.unwrap_or(0));
    loop {
        let (seen, broken) = look(args, host)?;
        let reached = broken.is_empty() && seen.iter().all(|seen| seen.is(args.wanted));
        if reached || begun.elapsed() >= deadline {
            let late = (args.wait.is_some() && !reached).then_some(args.wanted);
            return Ok(report(host, &seen, broken, late));
        }
        if let Some(signal) = host.interrupted() {
            return Err(signal);
        }
        host.pause(Duration::from_millis(100));
    }
}

/// Looks at every service, and gives the error of each that cannot be looked
/// at: it hides none of the others. To see whether devices are equal to their
/// hubs it lets them sync first: equal as of some time ago proves little.
fn look(args: &Args, host: &Host) -> Result<(Vec<Seen>, Vec<Error>)> {
    let services = match &args.label {
        Some(label) => vec![Service::find(host, Some(label))],
        None => Service::all(host),
    };
    if let Some(wait) = args.wait.filter(|_| args.wanted == Wanted::Equal) {
        let deadline = Duration::from_secs(wait);
        services.iter().flatten().for_each(|service| health::let_sync(service, deadline));
    }
    let (mut seen, mut broken) = (Vec::new(), Vec::new());
    for service in services {
        match service.and_then(|service| Seen::of(host, service)) {
            Ok(one) => seen.push(one),
            Err(error) if args.label.is_some() => return Err(error),
            Err(error) => broken.push(error),
        }
    }
    let hubs: Vec<_> = seen.iter().filter_map(Seen::hub_heads).collect();
    seen.iter_mut().for_each(|seen| seen.compare(&hubs));
    Ok((seen, broken))
}

fn report(host: &Host, seen: &[Seen], broken: Vec<Error>, late: Option<Wanted>) -> Report {
    let services: Vec<Value> = seen.iter().map(|seen| seen.data(host)).collect();
    let mut report = Report::new("ok", false, json!({ "services": services }));
    report.lines = lines(host, seen);
    report.warnings = seen.iter().flat_map(Seen::warnings).collect();
    let broken = broken.into_iter().next();
    report.error = broken.or(late.map(too_late)).or_else(|| unwell(seen));
    if report.error.is_some() {
        report.status = "unhealthy".to_owned();
    }
    report
}

fn lines(host: &Host, seen: &[Seen]) -> Vec<String> {
    let hidden = "services of the machine are root's to see: sudo heph-ops status".to_owned();
    let hidden = host.hides_services().then_some(hidden);
    if seen.is_empty() {
        let none = "no service is installed: heph-ops install-service --role hub|spoke".to_owned();
        return std::iter::once(none).chain(hidden).collect();
    }
    let heading =
        ["SERVICE", "ROLE", "STATE", "VERSION", "PID", "UPTIME", "ADDRESS", "HEALTH", "LATENCY"];
    let rows: Vec<Vec<String>> = seen.iter().map(|seen| seen.row(host)).collect();
    let mut table = table::render(&heading, &rows).into_iter();
    let mut lines: Vec<String> = table.next().into_iter().collect();
    for (row, seen) in table.zip(seen) {
        lines.push(row);
        lines.extend(seen.lines(host));
    }
    lines.extend(hidden);
    lines
}

fn unwell(seen: &[Seen]) -> Option<Error> {
    let (unwell, why) = seen.iter().find_map(|seen| Some((seen, seen.unwell()?)))?;
    let label = unwell.service.label();
    let message = format!("{label} is not well: {why}");
    if unwell.wants_login() {
        return Some(Error::new(Code::AuthFailed, message, "heph auth login"));
    }
    let hint = match unwell.running.pid {
        None if unwell.service.config.db.is_file() => format!("start it: heph-ops start {label}"),
        _ => format!("its log: {}", unwell.log_place),
    };
    Some(Error::new(Code::NotReady, message, hint))
}

fn too_late(wanted: Wanted) -> Error {
    let what = match wanted {
        Wanted::Ready => "ready",
        Wanted::Synced => "synced",
        Wanted::Equal => "equal",
    };
    Error::new(
        Code::NotReady,
        format!("not every service is {what} in time"),
        "the table above shows which, and why",
    )
}
