//! The manager for machines that have none: detached processes, each with a
//! pid file and a log. It does not start anything again after a crash or a
//! reboot, and says so.

use std::path::{Path, PathBuf};

use hephd::{error::Result, report::Warning};

use super::Running;
use crate::{
    detached::Detached,
    host::Host,
    plan::{Spawn, Step},
    service::Service,
};

pub(super) fn log_path(host: &Host, label: &str) -> PathBuf {
    host.state_folder().join(format!("{label}.log"))
}

fn pid_path(host: &Host, label: &str) -> PathBuf {
    host.state_folder().join(format!("{label}.pid"))
}

fn remembered(host: &Host, label: &str) -> Result<Option<Detached>> {
    Ok(host.read(&pid_path(host, label))?.and_then(|text| Detached::parse(&text)))
}

/// How the process stands.
///
/// # Errors
/// When the pid file is there and cannot be read.
pub fn observe(host: &Host, label: &str) -> Result<Running> {
    let remembered = remembered(host, label)?;
    let alive = remembered.as_ref().filter(|process| process.is_alive());
    Ok(Running {
        pid: alive.map(|process| process.pid),
        since: alive.map(|process| process.since),
        state: if alive.is_some() { "active" } else { "inactive" }.to_owned(),
        edition: remembered.map(|process| process.fingerprint),
        ..Running::default()
    })
}

/// What a service's process is started with.
#[must_use]
pub fn spawn(host: &Host, service: &Service) -> Spawn {
    Spawn {
        argv: service.argv.clone(),
        env: service.record.env.clone(),
        log: log_path(host, service.label()),
        pid_file: pid_path(host, service.label()),
    }
}

pub(super) fn stop(host: &Host, label: &str, pid: u32) -> Step {
    let (log, pid_file) = (log_path(host, label), pid_path(host, label));
    Step::Terminate { label: label.to_owned(), pid, pid_file, log }
}

pub(super) fn warnings() -> Vec<Warning> {
    let text =
        "there is no service manager here: nothing starts it again after a crash or a reboot";
    vec![Warning::new("no_supervisor", text)]
}

/// A pid file without a process.
pub(super) fn uninstall(host: &Host, label: &str, now: &Running) -> Vec<Step> {
    let dead = now.pid.is_none().then(|| now.edition.clone()).flatten();
    dead.map(|before| Step::Remove { path: pid_path(host, label), before }).into_iter().collect()
}

/// The last lines of the process that is remembered, read from the log's last
/// pages only.
pub(super) fn log_tail(host: &Host, label: &str, lines: usize) -> Vec<String> {
    let from = remembered(host, label).ok().flatten().map_or(0, |known| known.log_from);
    let text = read_end(&log_path(host, label), from, 16 << 10).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}

fn read_end(path: &Path, from: u64, bytes: u64) -> std::io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut log = std::fs::File::open(path)?;
    let len = log.metadata()?.len();
    log.seek(SeekFrom::Start(len.saturating_sub(bytes).max(from)))?;
    let mut text = Vec::new();
    log.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
