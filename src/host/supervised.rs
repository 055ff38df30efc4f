//! Starting the supervisor of a service, and ending it with what it keeps.

use std::{io::Read, path::Path, process::Child, time::Duration};

use hephd::{
    error::{Code, Error, Result, file},
    store::file::{folder, make_private_folder},
};

use super::Host;
use crate::{
    detached::{self, Process, State},
    plan::Spawn,
};

/// How long a process has to end after SIGTERM. hephd finishes what is in
/// flight and closes its store.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// How long a supervisor has to say what it started, or to let go of its lock.
const SPAWN_DEADLINE: Duration = Duration::from_secs(5);

impl Host {
    /// Starts a supervisor, and waits until it has written down what it started.
    pub(super) fn spawn(&self, spawn: &Spawn) -> Result<()> {
        let program = spawn.argv.first().ok_or_else(|| Error::internal("an empty command"))?;
        detached::check_program(program)?;
        make_private_folder(folder(&spawn.pid_file))?;
        let taken = || detached::take_lock(&spawn.pid_file).transpose();
        let lock = self.poll(SPAWN_DEADLINE, taken).ok_or_else(|| taken_already(spawn))??;
        let mut supervisor = detached::start_supervisor(spawn, lock)?;
        if self.poll(SPAWN_DEADLINE, || has_begun(spawn, &mut supervisor)) == Some(true) {
            return Ok(());
        }
        let failure = why(&mut supervisor);
        // One that is not known could never be stopped.
        Process::of(supervisor.id()).map_or(Ok(()), |late| late.ask_to_end())?;
        Err(failure)
    }

    /// Ends a service and its supervisor, waits until both are gone, and
    /// forgets them.
    pub(super) fn terminate(&self, label: &str, pid_file: &Path, log: &Path) -> Result<()> {
        let end = |who: fn(State) -> Option<Process>| {
            let known = State::read(pid_file)?.and_then(who);
            let Some(process) = known.filter(Process::is_alive) else { return Ok(()) };
            process.ask_to_end()?;
            let gone = self.poll(STOP_DEADLINE, || (!process.is_alive()).then_some(()));
            gone.ok_or_else(|| still_there(label, process.pid, log))
        };
        // Whoever would start it again comes first. The other is left where the
        // supervisor was killed.
        end(|known| Some(known.supervisor))?;
        end(|known| known.child)?;
        match std::fs::remove_file(pid_file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(file(pid_file, "remove")(error))
            }
            _ => Ok(()),
        }
    }
}

/// It says what it started, or has ended without a word.
fn has_begun(spawn: &Spawn, supervisor: &mut Child) -> Option<bool> {
    let has_ended = supervisor.try_wait().is_ok_and(|ended| ended.is_some());
    let known = State::read(&spawn.pid_file).ok().flatten();
    let begun = known.is_some_and(|known| known.supervisor.pid == supervisor.id());
    (begun || has_ended).then_some(begun)
}

fn why(supervisor: &mut Child) -> Error {
    let mut said = String::new();
    if let (Ok(Some(_)), Some(stderr)) = (supervisor.try_wait(), &mut supervisor.stderr) {
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    let said = said.lines().next().unwrap_or("it said nothing").trim_start_matches("✗ ");
    Error::internal(format!("its supervisor did not start: {said}"))
}

fn taken_already(spawn: &Spawn) -> Error {
    Error::new(
        Code::NotReady,
        format!("another supervisor holds {}", spawn.pid_file.with_extension("lock").display()),
        "heph-ops stop, then start",
    )
}

fn still_there(label: &str, pid: u32, log: &Path) -> Error {
    Error::new(
        Code::NotReady,
        format!("{label} (process {pid}) has not stopped in {} s", STOP_DEADLINE.as_secs()),
        format!("look at {}", log.display()),
    )
}
