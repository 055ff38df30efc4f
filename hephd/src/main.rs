//! hephd: argv in, exit code out.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    thread,
};

use clap::{CommandFactory, Parser};
use hephd::{
    args::{HephdArgs, LogFormat},
    config::Config,
    daemon,
    error::Result,
    report::{self, Report, Style},
};
use rustix::process::{Signal, getpid, kill_process};

fn main() -> ExitCode {
    let args = match HephdArgs::try_parse() {
        Ok(args) => args,
        Err(error) => return report::usage_failure(HephdArgs::command(), &error).into(),
    };
    report::finish("hephd", Style::default(), false, &run(&args)).into()
}

fn run(args: &HephdArgs) -> Result<Report> {
    if let Some(db) = &args.check_store {
        daemon::check_store(db)?;
        return Ok(Report::default().line(format!("✓ {} is sound", db.display())));
    }
    if args.until_eof {
        thread::spawn(end_with_stdin);
    }
    log_to_stderr(args.flags.log_format.unwrap_or(LogFormat::Text));
    // clap wants --mode wherever --check-store is not given.
    let Some(mode) = args.mode else { return Ok(Report::default()) };
    let config: Config = args.flags.check(mode)?;
    daemon::run(config).map(|()| Report::default())
}

/// Whoever started this holds the other end, and may be killed.
fn end_with_stdin() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    let _ = kill_process(getpid(), Signal::TERM);
}

fn log_to_stderr(format: LogFormat) {
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        // Complaining on stderr that stderr is closed would be a panic.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
