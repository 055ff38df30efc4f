//! `heph-ops logs`: what a service logged, and with `-f` what it logs from now
//! on.

use std::io::Write;

use hephd::{
    clock::{Clock, parse_past},
    error::{Error, Result},
    report::{Report, Style, stream::Stream},
};
use serde_json::json;

use crate::{
    host::Host,
    log::{self, Which},
    service::Service,
    service_manager::Manager,
};

/// Show what a service logged
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which; the only one where none is named
    pub label: Option<String>,
    /// Go on with what it logs from now on
    #[arg(short, long)]
    pub follow: bool,
    /// From that time on: 10m for 10 minutes ago, a day, 2026-05-01T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub since: Option<u64>,
    /// How many lines from the end
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, conflicts_with = "since")]
    pub lines: usize,
}

fn parse_since(text: &str) -> Result<u64, String> {
    let past = parse_past(text, Clock::System.now_ms());
    past.ok_or_else(|| "not a time; write 10m, 2026-05-01 or 2026-05-01T10:00:00Z".to_owned())
}

/// Shows.
///
/// # Errors
/// `service_not_found`; where the log cannot be read.
pub fn run(args: &Args, style: Style, host: &Host) -> Result<Report> {
    let service = Service::find(host, args.label.as_deref())?;
    let place = Manager::of(host, &service)?.log(host, &service);
    let which = args.since.map_or(Which::Last(args.lines), Which::Since);
    let lines = log::read(host, &place, which)?;
    if !args.follow {
        let report = Report::new("ok", false, json!(lines));
        return Ok(lines.iter().fold(report, Report::line));
    }
    let mut stream = Stream::new("logs", style);
    let mut each = |line: String| match style.json {
        true => event(&line),
        false => stream.lines(&[line]),
    };
    // Nobody reads on, which is a way to end this.
    if lines.into_iter().try_for_each(&mut each).is_ok() {
        log::follow(host, &place, each)?;
    }
    Ok(Report::new("ok", false, json!([])))
}

fn event(line: &str) -> Result<()> {
    let told = json!({ "line": line });
    let printed = writeln!(std::io::stderr(), "{told}");
    printed.map_err(|error| Error::internal(format!("cannot print: {error}")))
}
