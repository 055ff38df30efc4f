//! What runs services: how to ask it, what to tell it. Telling is planned
//! here and done by the host.

pub mod process;
pub mod systemd;

use hephd::{
    error::{Code, Error, Result},
    record::ManagerKind,
};

use crate::{host::Host, plan::Step, service::Service, unit};

/// A manager that is here and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// The person's own systemd.
    Systemd,
    /// Detached processes, kept by pid and start time.
    Process,
}

/// How a service stands with its manager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// The installed unit's text; for a process, the command line it was
    /// started with.
    pub installed: Option<String>,
    /// It runs, with this pid.
    pub pid: Option<u32>,
    /// What the manager calls its state: `active`, `failed`, …
    pub state: String,
    /// How often the manager had to start it again.
    pub restarts: u32,
    /// Why it ended, where it did.
    pub result: Option<String>,
    /// It starts by itself after a reboot.
    pub enabled: bool,
    /// When the process started, seconds since 1970.
    pub since: Option<u64>,
}

impl Running {
    /// It has ended and nobody will start it again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.pid.is_none() && matches!(self.state.as_str(), "failed" | "inactive")
    }
}

impl Manager {
    /// The manager that a service's record names.
    ///
    /// # Errors
    /// `no_service_manager`, or `no_user_bus` where systemd runs the machine
    /// and not this person's services.
    pub fn of(host: &Host, service: &Service) -> Result<Self> {
        match service.record.manager {
            ManagerKind::Process => Ok(Self::Process),
            ManagerKind::Systemd if systemd::answers(host) => Ok(Self::Systemd),
            ManagerKind::Systemd if host.booted_by_systemd() => Err(Error::new(
                Code::NoUserBus,
                "this person's systemd does not answer: no user bus",
                "loginctl enable-linger, then log in anew; or take --manager process",
            )),
            ManagerKind::Systemd => Err(Error::new(
                Code::NoServiceManager,
                "there is no systemd for this person on this machine",
                "take --manager process, or auto",
            )),
        }
    }

    /// systemd where it answers, else processes of our own.
    #[must_use]
    pub fn auto(host: &Host) -> ManagerKind {
        if systemd::answers(host) { ManagerKind::Systemd } else { ManagerKind::Process }
    }

    /// How a service stands.
    ///
    /// # Errors
    /// When the manager cannot be asked.
    pub fn observe(self, host: &Host, service: &Service) -> Result<Running> {
        match self {
            Self::Systemd => systemd::observe(host, service.label()),
            Self::Process => process::observe(host, service.label()),
        }
    }

    /// Makes the manager know the service as it is wanted now.
    ///
    /// # Errors
    /// As [`crate::unit::systemd`].
    pub fn install(self, host: &Host, service: &Service, now: &Running) -> Result<Vec<Step>> {
        match self {
            Self::Systemd => systemd::install(host, service, now),
            Self::Process => Ok(vec![]),
        }
    }

    /// Makes the manager forget the service, which has been stopped.
    #[must_use]
    pub fn uninstall(self, host: &Host, service: &Service, now: &Running) -> Vec<Step> {
        match self {
            Self::Systemd => systemd::uninstall(host, service.label(), now),
            Self::Process => process::uninstall(host, service.label(), now),
        }
    }

    /// Starts what does not run.
    #[must_use]
    pub fn start(self, host: &Host, service: &Service, now: &Running) -> Vec<Step> {
        match (self, now.pid) {
            (_, Some(_)) => vec![],
            (Self::Systemd, None) => systemd::start(service.label(), now),
            (Self::Process, None) => vec![Step::Spawn(process::spawn(host, service))],
        }
    }

    /// Stops what runs, or what the manager would start again.
    #[must_use]
    pub fn stop(self, host: &Host, service: &Service, now: &Running) -> Vec<Step> {
        match (self, now.pid) {
            (Self::Systemd, None) if now.is_over() => vec![],
            (Self::Systemd, _) => systemd::stop(service.label()),
            (Self::Process, Some(pid)) => vec![process::stop(host, service.label(), pid)],
            (Self::Process, None) => vec![],
        }
    }

    /// Stops what runs, waits until it is gone, and starts it as it is wanted
    /// now: whoever answers afterwards is not the old process.
    #[must_use]
    pub fn restart(self, host: &Host, service: &Service, now: &Running) -> Vec<Step> {
        let mut steps = self.stop(host, service, now);
        steps.extend(self.start(host, service, &Running { pid: None, ..now.clone() }));
        steps
    }

    /// What runs does so as it is wanted now.
    ///
    /// # Errors
    /// As [`crate::unit::systemd`].
    pub fn is_current(self, host: &Host, service: &Service, now: &Running) -> Result<bool> {
        let wanted = match self {
            Self::Systemd => unit::systemd(service)?,
            Self::Process => process::spawn(host, service).fingerprint(),
        };
        // The file may have changed since the process was started from it.
        let runs = now.pid.and_then(|pid| host.command_line(pid));
        let same = runs.is_none_or(|argv| argv == service.argv);
        Ok(same && now.installed.as_ref() == Some(&wanted))
    }

    /// The last lines that the service logged.
    #[must_use]
    pub fn log_tail(self, host: &Host, label: &str, lines: usize) -> Vec<String> {
        match self {
            Self::Systemd => systemd::log_tail(host, label, lines),
            Self::Process => process::log_tail(host, label, lines),
        }
    }

    /// Where its log is, in words.
    #[must_use]
    pub fn log_place(self, host: &Host, label: &str) -> String {
        match self {
            Self::Systemd => format!("journalctl --user -u {label}"),
            Self::Process => process::log_path(host, label).display().to_string(),
        }
    }
}
