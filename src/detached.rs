//! Processes that outlive us, each known by its pid *and* its start time, so
//! that a reused pid is never signalled; and what is remembered of a service
//! that they keep. What starts and stops them is the host, by a plan.

use std::{
    fs::{File, OpenOptions},
    io::{self, PipeWriter, Read, Write},
    os::unix::{
        fs::OpenOptionsExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use hephd::error::{Code, Error, Result, file};
use rustix::{
    fs::{Access, FlockOperation, access, flock},
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use serde::{Deserialize, Serialize};

use crate::plan::Spawn;

/// A process, and no other that has its pid later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// The kernel's own mark of when it started.
    start_time: String,
}

impl Process {
    /// The process that has a pid now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        start_time(pid).map(|start_time| Self { pid, start_time })
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
        match terminate(self, pid) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(Error::internal(error)),
        }
    }
}

/// A hold on the process itself comes first: its pid may be given to somebody
/// else between the look and the signal.
#[cfg(target_os = "linux")]
fn terminate(process: &Process, pid: Pid) -> Result<(), Errno> {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(held) if process.is_alive() => pidfd_send_signal(&held, Signal::TERM),
        Err(_) if process.is_alive() => kill_process(pid, Signal::TERM),
        _ => Err(Errno::SRCH),
    }
}

#[cfg(not(target_os = "linux"))]
fn terminate(process: &Process, pid: Pid) -> Result<(), Errno> {
    if process.is_alive() { kill_process(pid, Signal::TERM) } else { Err(Errno::SRCH) }
}

/// What a supervisor writes down of its service, in `LABEL.pid`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Who keeps it, and alone writes this.
    pub supervisor: Process,
    /// What it keeps; none between two tries.
    pub child: Option<Process>,
    /// When that started, seconds since 1970.
    pub since: u64,
    /// How it goes.
    pub state: Phase,
    /// Why it ended the last time.
    pub result: Option<String>,
    /// How often it ended and was to be started again.
    pub restarts: u32,
    /// The command line and environment that it is started with.
    pub fingerprint: String,
    /// Where in the log the lines of this supervisor's time begin, in bytes.
    pub log_from: u64,
}

/// How a service goes, as its supervisor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It runs.
    Active,
    /// It was told to end.
    Stopping,
    /// It ended, and will be started again in a while.
    Failing,
    /// It ended, and starting it again would not help.
    Failed,
    /// It ended well.
    Inactive,
}

impl Phase {
    /// The word in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stopping => "stopping",
            Self::Failing => "failing",
            Self::Failed => "failed",
            Self::Inactive => "inactive",
        }
    }
}

impl State {
    /// Reads what was written down; none where there is nothing, or no sense.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file(path, "read")(error)),
        }
    }
}

/// Takes the lock that a supervisor has for life; none while another has it.
///
/// # Errors
/// When the lock's file cannot be made.
pub fn take_lock(pid_file: &Path) -> Result<Option<File>> {
    let path = pid_file.with_extension("lock");
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let lock = lock.map_err(file(&path, "open"))?;
    Ok(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(lock))
}

/// A supervisor lives, or is about to.
#[must_use]
pub fn is_supervised(pid_file: &Path) -> bool {
    pid_file.with_extension("lock").exists() && matches!(take_lock(pid_file), Ok(None))
}

/// Starts the supervisor of a service. Its standard output is the lock, so that
/// it has that from its first moment, and nobody else until its last.
///
/// # Errors
/// `source_not_found` for a program that cannot be run.
#[allow(clippy::disallowed_methods, reason = "the host calls this to apply a step")]
pub fn start_supervisor(spawn: &Spawn, lock: File) -> Result<Child> {
    let words = serde_json::to_vec(spawn).map_err(Error::internal)?;
    let mut command = Command::new(this_program()?);
    command.arg0("heph-ops").arg("supervise").args(spawn.pid_file.file_stem());
    command.stdin(Stdio::piped()).stdout(lock).stderr(Stdio::piped());
    let mut child = command.current_dir("/").process_group(0).spawn().map_err(Error::internal)?;
    tell(&mut child, &words);
    Ok(child)
}

/// Starts a process that is to become the service once it is [told](tell) what
/// that is. It gives up when whoever started it is gone before.
///
/// # Errors
/// The operating system's.
#[allow(clippy::disallowed_methods, reason = "a supervisor starts what it was told to")]
pub fn start_waiting(output: PipeWriter) -> Result<Child> {
    let again = output.try_clone().map_err(Error::internal)?;
    let mut command = Command::new(this_program()?);
    command.arg0("heph-ops").args(["supervise", "--begin"]);
    command.stdin(Stdio::piped()).stdout(output).stderr(again);
    command.current_dir("/").process_group(0).spawn().map_err(Error::internal)
}

/// Gives a process its words. One that has ended says why by its exit.
pub fn tell(child: &mut Child, words: &[u8]) {
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(words);
    }
}

/// Becomes the program that comes as words, and keeps pid and start time.
#[allow(clippy::disallowed_methods, reason = "what a supervisor starts becomes its service")]
pub fn begin(words: impl Read) -> Error {
    let spawn: Spawn = match serde_json::from_reader(words) {
        Ok(spawn) => spawn,
        Err(error) => return not_for_people(&error),
    };
    let [program, args @ ..] = spawn.argv.as_slice() else {
        return Error::internal("an empty command");
    };
    let error = Command::new(program).args(args).envs(&spawn.env).stdin(Stdio::null()).exec();
    cannot_run(program, &error)
}

/// The error of words that came to an end before they made sense.
pub fn not_for_people(error: &serde_json::Error) -> Error {
    let what = format!("a supervisor's words do not make sense: {error}");
    Error::usage(what, "heph-ops start starts a service, and its supervisor")
}

/// This very program, also where another has taken its place meanwhile.
fn this_program() -> Result<PathBuf> {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() { Ok(link) } else { std::env::current_exe().map_err(Error::internal) }
}

/// Whether a program can be run, before anything is done for it.
///
/// # Errors
/// `source_not_found`.
pub fn check_program(program: &str) -> Result<()> {
    let fit = access(program, Access::EXEC_OK).map_err(io::Error::from);
    fit.map_err(|error| cannot_run(program, &error))
}

fn cannot_run(program: &str, error: &io::Error) -> Error {
    Error::new(
        Code::SourceNotFound,
        format!("cannot run {program}: {error}"),
        "name the hephd to run: --bin PATH",
    )
}

/// How a process ended, in words.
#[must_use]
pub fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
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
    let output = Command::new("/bin/ps")
        .args(["-o", "lstart=", "-p", &pid.to_string()])
        // Its words would depend on who asks from where.
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_time_too() {
        let mut known = Process::of(std::process::id()).unwrap();
        assert!(known.is_alive());
        known.start_time.push('1');
        assert!(!known.is_alive(), "a reused pid is somebody else");
        known.ask_to_end().unwrap();
    }
}
