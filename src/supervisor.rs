//! A supervisor, one for each service of the `process` manager: it starts
//! hephd, keeps what that prints, starts it again when it crashes, each time a
//! little later, and ends it when it is told to end.
//!
//! What holds at every moment, whoever is killed:
//!
//! - A label has one supervisor. It is born with the lock that says so.
//! - No hephd runs that is not written down with its pid and start time. It
//!   begins as a heph-ops that waits for its words, gets them once the pid is
//!   on the disk, and gives up when its supervisor is gone before.
//! - Nobody else writes the state while a supervisor lives.

pub mod log;

use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
    process::{Child, ExitStatus},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use hephd::{
    error::{Error, Result, file},
    report::Report,
};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM},
    low_level::pipe,
};

use self::log::Log;
use crate::{
    detached::{self, Phase, Process, State, ending},
    host::{Host, write_atomically},
    plan::Spawn,
};

/// The first pause after a crash, so short that whoever waits soon sees a
/// crash loop for what it is. Each pause doubles the one before.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whoever ran for so long was well, and this crash is the first again.
const LONG_RUN: Duration = Duration::from_secs(300);

/// How long to wait for the last words of a process that has ended. They may
/// never come to an end where it has left a child of its own.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// hephd's exit codes for what does not get better by itself: bad settings,
/// and what a safety check refused. Its units say the same to systemd.
const LASTING: [i32; 2] = [2, 4];

/// What to do after an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It stays so.
    Over(Phase),
    /// Start it again after a pause.
    Again(Duration),
}

/// Decides what comes after an end: by exit code (none for a signal), by how
/// long it ran, and by the pause before that.
fn next(code: Option<i32>, ran: Duration, pause: Duration) -> Next {
    match code {
        Some(0) => Next::Over(Phase::Inactive),
        Some(code) if LASTING.contains(&code) => Next::Over(Phase::Failed),
        _ if ran >= LONG_RUN || pause.is_zero() => Next::Again(SHORTEST_PAUSE),
        _ => Next::Again((pause * 2).min(LONGEST_PAUSE)),
    }
}

/// Supervises what its words name, until that is over or a signal ends it.
///
/// # Errors
/// `usage` for words that make no sense; whatever keeps it from starting
/// anything at all.
pub fn run(host: &Host, words: impl Read) -> Result<Report> {
    let spawn: Spawn =
        serde_json::from_reader(words).map_err(|error| detached::not_for_people(&error))?;
    let log = Log::open(&spawn.log, log::LIMIT).map_err(file(&spawn.log, "open"))?;
    let supervisor = Process::of(std::process::id());
    let state = State {
        supervisor: supervisor.ok_or_else(|| Error::internal("no start time for ourselves"))?,
        child: None,
        since: 0,
        state: Phase::Active,
        result: None,
        restarts: 0,
        fingerprint: spawn.fingerprint(),
        log_from: log.begins,
    };
    let wake = Wake::on_signals().map_err(Error::internal)?;
    let log = Arc::new(Mutex::new(log));
    Supervisor { host, wake, spawn, state, log, ending: false, pause: Duration::ZERO }.live()?;
    Ok(Report::default())
}

struct Supervisor<'a> {
    host: &'a Host,
    wake: Wake,
    spawn: Spawn,
    state: State,
    log: Arc<Mutex<Log>>,
    /// It was told to end.
    ending: bool,
    /// The last pause.
    pause: Duration,
}

/// What was started, and an end to wait for: that of its output.
struct Started {
    child: Child,
    output_ends: Receiver<()>,
}

impl Supervisor<'_> {
    fn live(mut self) -> Result<()> {
        loop {
            let begun = Instant::now();
            let (code, how) = match self.start() {
                Ok(started) => self.follow(started).map(|end| (end.code(), ending(end)))?,
                // Whoever started us still waits, and tells a person.
                Err(error) if self.state.restarts == 0 => return Err(error),
                Err(error) => (None, error.message),
            };
            if self.is_ending() {
                return self.forget();
            }
            match next(code, begun.elapsed(), self.pause) {
                Next::Over(phase) => {
                    self.change(phase, None);
                    self.state.result = (phase == Phase::Failed).then_some(how);
                    return self.write();
                }
                Next::Again(pause) => self.fail(how, pause),
            }
            if self.is_told_within(self.pause) {
                return self.forget();
            }
        }
    }

    /// Starts a process, which does not begin before it is written down.
    fn start(&mut self) -> Result<Started> {
        let (output, writer) = io::pipe().map_err(Error::internal)?;
        let mut child = detached::start_waiting(writer)?;
        let output_ends = self.keep(output);
        self.change(Phase::Active, Process::of(child.id()));
        self.state.since = self.host.machine.clock.now_ms() / 1000;
        if let Err(error) = self.write() {
            // It ends for want of words.
            drop(child.stdin.take());
            let _ = child.wait();
            return Err(error);
        }
        let words = serde_json::to_vec(&self.spawn).map_err(Error::internal)?;
        detached::tell(&mut child, &words);
        Ok(Started { child, output_ends })
    }

    /// Waits for its end, and brings that about when told to.
    fn follow(&mut self, mut started: Started) -> Result<ExitStatus> {
        loop {
            if let Some(end) = started.child.try_wait().map_err(Error::internal)? {
                // Its log is complete before anybody hears of its end.
                let _ = started.output_ends.recv_timeout(LAST_WORDS);
                return Ok(end);
            }
            if self.is_told() {
                self.change(Phase::Stopping, self.state.child.clone());
                // Whoever waits for the end needs no file for that.
                let _ = self.write();
                let _ = self.state.child.as_ref().map(Process::ask_to_end);
            }
            self.wake.wait(None);
        }
    }

    /// Writes its output to the log, in a thread of its own.
    fn keep(&self, mut output: impl Read + Send + 'static) -> Receiver<()> {
        let (log, (ends, output_ends)) = (Arc::clone(&self.log), channel());
        thread::spawn(move || {
            let mut piece = vec![0; 64 << 10];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                locked(&log).add(&piece[..length]);
            }
            drop(ends);
        });
        output_ends
    }

    fn fail(&mut self, how: String, pause: Duration) {
        let now = hephd::clock::rfc3339(self.host.machine.clock.now_ms());
        let line = format!("{now} heph-ops: {how}; starts again in {} s\n", pause.as_secs_f32());
        locked(&self.log).add(line.as_bytes());
        self.change(Phase::Failing, None);
        self.state.restarts = self.state.restarts.saturating_add(1);
        self.state.result = Some(how);
        self.pause = pause;
        // A full disk does not keep it from being started again later; that it
        // is not alive is seen without the file.
        let _ = self.write();
    }

    fn change(&mut self, state: Phase, child: Option<Process>) {
        (self.state.state, self.state.child) = (state, child);
        self.state.log_from = locked(&self.log).begins;
    }

    fn write(&self) -> Result<()> {
        let text = serde_json::to_string(&self.state).map_err(Error::internal)?;
        write_atomically(&self.spawn.pid_file, 0o600, &text)
    }

    fn forget(&self) -> Result<()> {
        let path = &self.spawn.pid_file;
        std::fs::remove_file(path).map_err(file(path, "remove"))
    }

    /// A signal has come since the last look.
    fn is_told(&mut self) -> bool {
        let told = self.host.interrupted().is_some();
        self.ending |= told;
        told
    }

    fn is_ending(&mut self) -> bool {
        self.is_told() || self.ending
    }

    fn is_told_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.is_ending() {
            match until.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => self.wake.wait(Some(left)),
                _ => return false,
            }
        }
        true
    }
}

fn locked(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a wait when a signal comes; the [host](Host) has noted which by then.
struct Wake(UnixStream);

impl Wake {
    fn on_signals() -> io::Result<Self> {
        let (woken, wakes) = UnixStream::pair()?;
        for signal in [SIGCHLD, SIGHUP, SIGINT, SIGTERM] {
            pipe::register(signal, wakes.try_clone()?)?;
        }
        Ok(Self(woken))
    }

    fn wait(&mut self, longest: Option<Duration>) {
        let longest = longest.map(|time| time.max(Duration::from_millis(1)));
        let _ = self.0.set_read_timeout(longest);
        let _ = self.0.read(&mut [0; 64]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(3);

    #[test]
    fn what_does_not_get_better_is_not_started_again() {
        assert_eq!(next(Some(0), SHORT, SHORTEST_PAUSE), Next::Over(Phase::Inactive));
        for code in LASTING {
            assert_eq!(next(Some(code), LONG_RUN, Duration::ZERO), Next::Over(Phase::Failed));
        }
        for code in [None, Some(1), Some(3), Some(101), Some(143)] {
            assert_eq!(next(code, SHORT, Duration::ZERO), Next::Again(SHORTEST_PAUSE));
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_a_long_run_forgives_all() {
        let mut pause = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let Next::Again(longer) = next(Some(1), SHORT, pause) else { panic!("not over") };
            pause = longer;
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[9..], [51_200, 60_000, 60_000]);
        assert_eq!(next(Some(1), LONG_RUN, pause), Next::Again(SHORTEST_PAUSE));
    }
}
