//! The manager for machines that have none: each service has a supervisor of
//! our own, a state, a log. What crashes is started again; after a reboot
//! nothing is, and that is said.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use hephd::{error::Result, report::Warning};

use super::Running;
use crate::{
    detached::{self, Phase, Process, State},
    host::Host,
    log::Place,
    plan::{Spawn, Step},
    service::Service,
    supervisor::log,
};

/// What runs and has lost its supervisor.
pub const UNSUPERVISED: &str = "unsupervised";

/// How long a supervisor takes to say that it lives.
const BIRTH: Duration = Duration::from_secs(5);

pub(super) fn log_path(host: &Host, service: &Service) -> PathBuf {
    let usual = host.state_folder();
    let folder = service.record.log_dir.as_ref().unwrap_or(&usual);
    folder.join(format!("{}.log", service.label()))
}

/// The files of a service's log.
pub(super) fn log(host: &Host, service: &Service) -> Place {
    let now = log_path(host, service);
    let old = log::files(&now).into_iter().filter(|path| *path != now).collect();
    Place::Files { old, now: vec![now] }
}

fn pid_path(host: &Host, label: &str) -> PathBuf {
    host.state_folder().join(format!("{label}.pid"))
}

/// How a service stands.
///
/// # Errors
/// When its state is there and cannot be read.
pub fn observe(host: &Host, label: &str) -> Result<Running> {
    let path = pid_path(host, label);
    let Some(known) = settled(host, &path)? else {
        return Ok(Running { state: Phase::Inactive.as_str().to_owned(), ..Running::default() });
    };
    let child = known.child.as_ref().filter(|child| child.is_alive());
    let state = word(&known, known.supervisor.is_alive(), child);
    // Only what runs under supervision is as it was wanted when it was started.
    let kept = !matches!(state, UNSUPERVISED | "stopping");
    Ok(Running {
        pid: child.map(|child| child.pid),
        since: child.map(|_| known.since),
        state: state.to_owned(),
        restarts: known.restarts,
        result: known.result,
        edition: kept.then_some(known.fingerprint),
        ..Running::default()
    })
}

/// What is known, once a supervisor that is only about to live has said so: it
/// has its lock from its first moment. Whoever started it may have been killed.
fn settled(host: &Host, path: &Path) -> Result<Option<State>> {
    let look = || match State::read(path) {
        Ok(known) => {
            let lives = known.as_ref().is_some_and(|known| known.supervisor.is_alive());
            (lives || !detached::is_supervised(path)).then_some(Ok(known))
        }
        Err(error) => Some(Err(error)),
    };
    host.poll(BIRTH, look).unwrap_or_else(|| State::read(path))
}

fn word(known: &State, is_supervised: bool, child: Option<&Process>) -> &'static str {
    match (is_supervised, child, known.state) {
        (true, None, Phase::Active) => Phase::Failing.as_str(),
        (true, _, state) => state.as_str(),
        (false, Some(_), _) => UNSUPERVISED,
        (false, None, Phase::Failed) => Phase::Failed.as_str(),
        // Killed, or from before a reboot.
        (false, None, _) => Phase::Inactive.as_str(),
    }
}

/// What a service is started with.
#[must_use]
pub fn spawn(host: &Host, service: &Service) -> Spawn {
    Spawn {
        argv: service.argv.clone(),
        env: service.env.clone(),
        log: log_path(host, service),
        pid_file: pid_path(host, service.label()),
    }
}

/// Starts what does not run. What runs and nobody watches is started anew.
pub(super) fn start(host: &Host, service: &Service, now: &Running) -> Vec<Step> {
    let is_kept = now.state == Phase::Active.as_str();
    if is_kept { vec![] } else { restart(host, service, now) }
}

pub(super) fn restart(host: &Host, service: &Service, now: &Running) -> Vec<Step> {
    let mut steps = stop(host, service, now);
    steps.push(Step::Spawn(spawn(host, service)));
    steps
}

pub(super) fn stop(host: &Host, service: &Service, now: &Running) -> Vec<Step> {
    let label = service.label();
    let (log, pid_file) = (log_path(host, service), pid_path(host, label));
    let end = Step::Terminate { label: label.to_owned(), pid: now.pid, pid_file, log };
    if now.is_over() { vec![] } else { vec![end] }
}

/// What a service that our own supervisor keeps does not do.
pub(super) fn warnings(host: &Host, label: &str) -> Vec<Warning> {
    let program = host.this_program().unwrap_or_default();
    let text = format!(
        "nothing starts {label} again after a reboot; crontab -e can: @reboot {} start {label}",
        program.display()
    );
    vec![Warning::new("no_start_at_boot", text)]
}

/// What is known of a service that is over.
pub(super) fn uninstall(host: &Host, label: &str, now: &Running) -> Vec<Step> {
    let over = now.is_over().then(|| now.edition.clone()).flatten();
    over.map(|before| Step::Remove { path: pid_path(host, label), before }).into_iter().collect()
}

/// The last lines of the supervisor that is known.
pub(super) fn log_tail(host: &Host, service: &Service, lines: usize) -> Vec<String> {
    let known = State::read(&pid_path(host, service.label())).ok().flatten();
    log::tail(&log_path(host, service), known.map_or(0, |known| known.log_from), lines)
}
