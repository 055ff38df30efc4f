//! The manager for machines that have none: a detached process, known by its
//! pid *and* start time, so that a reused pid is never signalled.
//!
//! It does not start anything again after a crash or a reboot, and says so.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hephd::error::{Code, Error, Result, file};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};

use super::Running;
use crate::{
    host::{Host, STOP_DEADLINE, write_atomically},
    plan::Step,
    service::Service,
};

/// A process to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spawn {
    /// Its command line.
    pub argv: Vec<String>,
    /// What its environment has beside ours.
    pub env: BTreeMap<String, String>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Where it is remembered.
    pub pid_file: PathBuf,
}

/// What is remembered of a process.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    pid: u32,
    /// The kernel's own mark of when it started.
    start_time: String,
    /// Seconds since 1970.
    since: u64,
    /// The command line and environment it was started with.
    fingerprint: String,
    /// Where in the log its own lines begin, in bytes.
    log_from: u64,
}

pub(super) fn log_path(host: &Host, label: &str) -> PathBuf {
    host.state_folder().join(format!("{label}.log"))
}

fn pid_path(host: &Host, label: &str) -> PathBuf {
    host.state_folder().join(format!("{label}.pid"))
}

/// What a process is started with, as one text to compare.
#[must_use]
pub fn fingerprint(service: &Service) -> String {
    fingerprint_of(&service.argv, &service.record.env)
}

fn fingerprint_of(argv: &[String], env: &BTreeMap<String, String>) -> String {
    serde_json::json!({ "argv": argv, "env": env }).to_string()
}

/// How the process stands.
///
/// # Errors
/// When the pid file is there and cannot be read.
pub fn observe(host: &Host, label: &str) -> Result<Running> {
    let remembered = remembered(host, label)?;
    let alive = remembered.as_ref().is_some_and(is_alive);
    let state = if alive { "active" } else { "inactive" };
    Ok(Running {
        pid: remembered.as_ref().filter(|_| alive).map(|r| r.pid),
        since: remembered.as_ref().filter(|_| alive).map(|r| r.since),
        installed: remembered.map(|r| r.fingerprint),
        state: state.to_owned(),
        ..Running::default()
    })
}

fn remembered(host: &Host, label: &str) -> Result<Option<Remembered>> {
    let path = pid_path(host, label);
    let Some(text) = host.read(&path)? else { return Ok(None) };
    // A file that was cut off by a power loss remembers nothing.
    Ok(serde_json::from_str(&text).ok())
}

fn is_alive(remembered: &Remembered) -> bool {
    start_time(remembered.pid).as_ref() == Some(&remembered.start_time)
}

/// When a process started, in the kernel's own count, with the boot it counts
/// from. None for one that is gone, or dead and not yet buried.
#[cfg(target_os = "linux")]
fn start_time(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, also blanks and brackets: count from its end.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    (!matches!(state, "Z" | "X")).then(|| format!("{} {started}", boot.trim()))
}

/// When a process started, to the second, as `ps` says.
#[cfg(not(target_os = "linux"))]
#[allow(clippy::disallowed_methods, reason = "ps is how macOS tells it")]
fn start_time(pid: u32) -> Option<String> {
    let output =
        Command::new("/bin/ps").args(["-o", "lstart=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// The step that starts a service.
#[must_use]
pub fn spawn(host: &Host, service: &Service) -> Step {
    Step::Spawn(Spawn {
        argv: service.argv.clone(),
        env: service.record.env.clone(),
        log: log_path(host, service.label()),
        pid_file: pid_path(host, service.label()),
    })
}

/// Starts a process that outlives us: a process group of its own, no terminal,
/// output to the log.
///
/// # Errors
/// `source_not_found` for a binary that cannot be run.
#[allow(clippy::disallowed_methods, reason = "the host calls this to apply a step")]
pub(crate) fn start(spawn: &Spawn) -> Result<()> {
    let folder = hephd::store::file::folder(&spawn.log);
    hephd::store::file::make_private_folder(folder)?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&spawn.log)
        .map_err(file(&spawn.log, "open"))?;
    let log_from = log.metadata().map_or(0, |meta| meta.len());
    let again = log.try_clone().map_err(Error::internal)?;
    let [program, args @ ..] = spawn.argv.as_slice() else {
        return Err(Error::internal("an empty command"));
    };
    let child = Command::new(program)
        .args(args)
        .envs(&spawn.env)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(again)
        .process_group(0)
        .spawn()
        .map_err(|error| cannot_run(program, &error))?;
    remember(spawn, child.id(), log_from)
}

fn cannot_run(program: &str, error: &std::io::Error) -> Error {
    Error::new(
        Code::SourceNotFound,
        format!("cannot run {program}: {error}"),
        "name the hephd to run: --bin PATH",
    )
}

fn remember(spawn: &Spawn, pid: u32, log_from: u64) -> Result<()> {
    let remembered = Remembered {
        pid,
        start_time: start_time(pid).unwrap_or_default(),
        since: hephd::clock::Clock::System.now_ms() / 1000,
        fingerprint: fingerprint_of(&spawn.argv, &spawn.env),
        log_from,
    };
    let text = serde_json::to_string(&remembered).map_err(Error::internal)?;
    write_atomically(&spawn.pid_file, 0o600, &text)
}

/// Asks a process to end and waits until it is gone.
///
/// # Errors
/// `not_ready` when it does not end in time. It is not killed: it may be
/// writing.
pub(crate) fn terminate(host: &Host, label: &str, pid: u32) -> Result<()> {
    let known = remembered(host, label)?.filter(|known| known.pid == pid && is_alive(known));
    if let Some(known) = known {
        signal(known.pid)?;
        let gone = host.poll(STOP_DEADLINE, || (!is_alive(&known)).then_some(()));
        if gone.is_none() {
            return Err(Error::new(
                Code::NotReady,
                format!("{label} (process {pid}) has not stopped in {} s", STOP_DEADLINE.as_secs()),
                format!("look at {}", log_path(host, label).display()),
            ));
        }
    }
    let path = pid_path(host, label);
    std::fs::remove_file(&path).map_err(file(&path, "remove"))
}

fn signal(pid: u32) -> Result<()> {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
    let Some(pid) = pid else { return Err(Error::internal("not a process of ours")) };
    match kill_process(pid, Signal::TERM) {
        Err(_) if test_kill_process(pid).is_err() => Ok(()),
        other => other.map_err(Error::internal),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_time_too() {
        let me = std::process::id();
        let mut known = Remembered {
            pid: me,
            start_time: start_time(me).unwrap(),
            since: 0,
            fingerprint: String::new(),
            log_from: 0,
        };
        assert!(is_alive(&known));
        known.start_time.push('1');
        assert!(!is_alive(&known), "a reused pid is somebody else");
    }
}
