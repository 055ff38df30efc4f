//! Detached processes, each known by its pid *and* its start time, so that a
//! reused pid is never signalled. What starts, stops and remembers them is
//! the host, by a plan.

use std::{
    fs::OpenOptions,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    process::{Command, Stdio},
};

use hephd::{
    clock::Clock,
    error::{Code, Error, Result, file},
    store::file::{folder, make_private_folder},
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};

use crate::plan::Spawn;

/// What is remembered of a process, in its pid file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Detached {
    /// Its pid.
    pub pid: u32,
    /// The kernel's own mark of when it started.
    start_time: String,
    /// When it started, seconds since 1970.
    pub since: u64,
    /// The command line and environment it was started with.
    pub fingerprint: String,
    /// Where in the log its own lines begin, in bytes.
    pub log_from: u64,
}

impl Detached {
    /// Reads a pid file's text. One that was cut off by a power loss
    /// remembers nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The pid file's text.
    ///
    /// # Errors
    /// None that can be met; text always encodes.
    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::internal)
    }

    /// The very process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        start_time(self.pid).as_ref() == Some(&self.start_time)
    }

    /// Asks it to end. It is never killed: it may be writing.
    ///
    /// # Errors
    /// When it is not ours to signal.
    pub fn ask_to_end(&self) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
        let Some(pid) = pid else { return Err(Error::internal("not a process of ours")) };
        match kill_process(pid, Signal::TERM) {
            Err(_) if test_kill_process(pid).is_err() => Ok(()),
            other => other.map_err(Error::internal),
        }
    }
}

/// Starts a process that outlives us: a process group of its own, no terminal,
/// output to the log.
///
/// # Errors
/// `source_not_found` for a binary that cannot be run.
#[allow(clippy::disallowed_methods, reason = "the host calls this to apply a step")]
pub fn start(spawn: &Spawn) -> Result<Detached> {
    make_private_folder(folder(&spawn.log))?;
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
    Ok(Detached {
        pid: child.id(),
        start_time: start_time(child.id()).unwrap_or_default(),
        since: Clock::System.now_ms() / 1000,
        fingerprint: spawn.fingerprint(),
        log_from,
    })
}

fn cannot_run(program: &str, error: &std::io::Error) -> Error {
    Error::new(
        Code::SourceNotFound,
        format!("cannot run {program}: {error}"),
        "name the hephd to run: --bin PATH",
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_time_too() {
        let me = std::process::id();
        let mut known = Detached {
            pid: me,
            start_time: start_time(me).unwrap(),
            since: 0,
            fingerprint: String::new(),
            log_from: 0,
        };
        assert!(known.is_alive());
        known.start_time.push('1');
        assert!(!known.is_alive(), "a reused pid is somebody else");
    }
}
