//! What runs services: how to ask it, what to tell it. Telling is planned
//! here and done by the host.

pub mod launchd;
pub mod linger;
pub mod process;
pub mod systemd;
mod units;

use std::{collections::BTreeMap, path::PathBuf};

use hephd::{
    error::Result,
    record::{ManagerKind, Record, Scope},
    report::Warning,
};

use self::{launchd::Launchd, systemd::Systemd};
use crate::{
    host::Host,
    log::{self, Place, Which},
    plan::Step,
    service::Service,
    template::RENDERED_BY,
    unit::{Kind, Meaning, UnitFile, edition_in},
};

/// A manager that is here and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// systemd: the person's own, or the machine's.
    Systemd(Systemd),
    /// launchd: a person's session, or the machine.
    Launchd(Launchd),
    /// Processes of our own, each with a supervisor.
    Process,
}

/// How a service stands with its manager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// The files of it that stand, ours or not.
    pub files: BTreeMap<PathBuf, String>,
    /// What it was started with, as far as the manager can tell: the edition
    /// of its unit, or a process's own words.
    pub edition: Option<String>,
    /// The manager goes by files that have changed since.
    pub stale: bool,
    /// Where it is loaded, for a manager that has several places.
    pub domains: Vec<String>,
    /// Of its timers, those that run.
    pub timers: Vec<String>,
    /// Jobs of it that run where they do not belong.
    pub strays: Vec<String>,
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

/// A service as a manager is to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The files that it reads.
    pub files: Vec<UnitFile>,
    /// What a process of it is started with.
    edition: Option<String>,
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
        Ok(match service.record.manager {
            ManagerKind::Process => Self::Process,
            ManagerKind::Systemd => Self::Systemd(Systemd::find(host, service.record.scope)?),
            ManagerKind::Launchd => Self::Launchd(Launchd::find(host, service)?),
        })
    }

    /// The manager of a service, and how the service stands with it. Both are
    /// asked at the same time, where they can be.
    ///
    /// # Errors
    /// As [`Manager::of`] and [`Manager::observe`].
    pub fn look(host: &Host, service: &Service) -> Result<(Self, Running)> {
        if service.record.manager != ManagerKind::Systemd {
            let manager = Self::of(host, service)?;
            return Ok((manager, manager.observe(host, service)?));
        }
        let asked = std::thread::scope(|threads| {
            let running = threads.spawn(|| systemd::observe(host, service));
            let manager = Self::of(host, service);
            (manager, running.join())
        });
        let (manager, running) = (asked.0?, asked.1);
        match running {
            Ok(running) => Ok((manager, running?)),
            Err(_) => Ok((manager, manager.observe(host, service)?)),
        }
    }

    /// What runs services here, for whom: the machine's own systemd for root,
    /// a person's for a person, launchd on a Mac, else processes of our own.
    #[must_use]
    pub fn auto(host: &Host, scope: Option<Scope>) -> (ManagerKind, Scope) {
        let scopes: Vec<Scope> = match scope {
            Some(scope) => vec![scope],
            None => host.scopes().to_vec(),
        };
        if launchd::answers(host) {
            return (ManagerKind::Launchd, scopes.first().copied().unwrap_or(Scope::User));
        }
        let answers = |scope: &Scope| Systemd::find(host, *scope).is_ok();
        match scopes.into_iter().find(answers) {
            Some(scope) => (ManagerKind::Systemd, scope),
            // Whoever names it is told that it is not there.
            None if scope == Some(Scope::System) => (ManagerKind::Systemd, Scope::System),
            None => (ManagerKind::Process, Scope::User),
        }
    }

    /// As [`Manager::look`], for a verb that is only for what is ours.
    ///
    /// # Errors
    /// The same, and `unit_foreign`.
    pub fn look_at_ours(host: &Host, service: &Service) -> Result<(Self, Running)> {
        let (manager, now) = Self::look(host, service)?;
        let is_main = |path: &PathBuf| path.file_stem().is_some_and(|name| name == service.label());
        let main = now.files.iter().find(|(path, _)| is_main(path));
        match main.filter(|(_, text)| !text.contains(RENDERED_BY)) {
            Some((path, _)) => Err(units::foreign(path)),
            None => Ok((manager, now)),
        }
    }

    /// How a service stands.
    ///
    /// # Errors
    /// When the manager cannot be asked.
    pub fn observe(self, host: &Host, service: &Service) -> Result<Running> {
        match self {
            Self::Systemd(_) => systemd::observe(host, service),
            Self::Launchd(launchd) => launchd.observe(host, service),
            Self::Process => process::observe(host, service.label()),
        }
    }

    /// Makes the manager know the service as it is wanted now.
    ///
    /// # Errors
    /// `unit_foreign` where somebody else's unit has the name; as
    /// [`crate::unit`].
    pub fn install(self, service: &Service, wanted: &Wanted, now: &Running) -> Result<Vec<Step>> {
        match self {
            Self::Systemd(systemd) => systemd.install(service, &wanted.files, now),
            Self::Launchd(launchd) => launchd.install(service, &wanted.files, now),
            Self::Process => Ok(vec![]),
        }
    }

    /// A service as this manager is to have it.
    ///
    /// # Errors
    /// As [`crate::unit`].
    pub fn wanted(self, host: &Host, service: &Service) -> Result<Wanted> {
        let files = match self {
            Self::Systemd(systemd) => systemd.files(host, service)?,
            Self::Launchd(launchd) => launchd.files(service)?,
            Self::Process => {
                let edition = Some(process::spawn(host, service).fingerprint());
                return Ok(Wanted { files: vec![], edition });
            }
        };
        let main = files.iter().find(|file| file.kind == Kind::Service);
        let edition = main.and_then(|file| edition_in(&file.text));
        Ok(Wanted { files, edition })
    }

    /// Makes the manager forget the service, which has been stopped.
    #[must_use]
    pub fn uninstall(self, host: &Host, service: &Service, now: &Running) -> Vec<Step> {
        match self {
            Self::Systemd(systemd) => systemd.uninstall(service, now),
            Self::Launchd(launchd) => launchd.uninstall(now),
            Self::Process => process::uninstall(host, service.label(), now),
        }
    }

    /// Starts what does not run.
    #[must_use]
    pub fn start(self, host: &Host, service: &Service, now: &Running) -> Vec<Step> {
        match self {
            Self::Process => process::start(host, service, now),
            // Two of one service: the second finds the store in use.
            Self::Launchd(launchd) if !launchd.is_only_place(now) => {
                self.restart(host, service, now)
            }
            _ if now.pid.is_some() => vec![],
            Self::Systemd(systemd) => systemd.start(service.label(), now),
            Self::Launchd(launchd) => launchd.start(service, now),
        }
    }

    /// Stops what runs, or what the manager would start again.
    #[must_use]
    pub fn stop(self, host: &Host, service: &Service, now: &Running) -> Vec<Step> {
        match (self, now.pid) {
            (Self::Systemd(_), None) if now.is_over() => vec![],
            (Self::Systemd(systemd), _) => systemd.stop(service.label()),
            (Self::Launchd(launchd), _) => launchd.stop(service.label(), now),
            (Self::Process, _) => process::stop(host, service, now),
        }
    }

    /// Stops what runs, waits until it is gone, and starts it as it is wanted
    /// now: whoever answers afterwards is not the old process.
    #[must_use]
    pub fn restart(self, host: &Host, service: &Service, now: &Running) -> Vec<Step> {
        if self == Self::Process {
            return process::restart(host, service, now);
        }
        let mut steps = self.stop(host, service, now);
        let stopped = Running { pid: None, domains: vec![], ..now.clone() };
        steps.extend(self.start(host, service, &stopped));
        steps
    }

    /// What runs was started with what is wanted now.
    #[must_use]
    pub fn is_current(
        self,
        host: &Host,
        service: &Service,
        wanted: &Wanted,
        now: &Running,
    ) -> bool {
        // Whoever may not read what a process was started with goes by its words.
        let unknown = now.pid.filter(|_| now.edition.is_none());
        let runs = unknown.and_then(|pid| host.command_line(pid));
        let here = match self {
            Self::Launchd(launchd) => launchd.is_only_place(now),
            _ => true,
        };
        let same = here && runs.is_none_or(|argv| argv == service.argv);
        let is_wanted = |edition| Some(edition) == wanted.edition.as_ref();
        same && now.edition.as_ref().is_none_or(is_wanted)
    }

    /// What a service is to be kept from can be kept from it here.
    ///
    /// # Errors
    /// `usage` for paths that cannot be shown to it; `not_supported` where the
    /// kernel does not let a person's systemd hide anything.
    pub fn check_walls(
        self,
        host: &Host,
        service: &Service,
        recorded: Option<&Record>,
    ) -> Result<()> {
        match self {
            Self::Systemd(systemd) => systemd.check_walls(host, service, recorded),
            _ => Ok(()),
        }
    }

    /// What a file of this manager means.
    #[must_use]
    pub fn meaning(self, text: &str) -> Meaning {
        match self {
            Self::Launchd(_) => crate::unit::plist::meaning(text),
            _ => crate::unit::systemd::meaning(text),
        }
    }

    /// What a person should know of how it is run.
    #[must_use]
    pub fn warnings(self, host: &Host, service: &Service) -> Vec<Warning> {
        match self {
            Self::Systemd(systemd) => systemd.warnings(host, service),
            Self::Launchd(launchd) => launchd.warnings(service),
            Self::Process => process::warnings(host, service.label()),
        }
    }

    /// Where it is run, and why there.
    #[must_use]
    pub fn place(self, service: &Service) -> String {
        match self {
            Self::Systemd(_) => format!("systemd ({} scope)", service.record.scope.as_str()),
            Self::Launchd(launchd) => {
                format!("launchd ({}: {})", launchd.domain(), launchd.why())
            }
            Self::Process => "process".to_owned(),
        }
    }

    /// The last lines that the service logged.
    #[must_use]
    pub fn log_tail(self, host: &Host, service: &Service, lines: usize) -> Vec<String> {
        match self {
            Self::Systemd(_) | Self::Launchd(_) => {
                let place = self.log(host, service).of_service_alone();
                log::read(host, &place, Which::Last(lines)).unwrap_or_default()
            }
            Self::Process => process::log_tail(host, service, lines),
        }
    }

    /// Where its log is.
    #[must_use]
    pub fn log(self, host: &Host, service: &Service) -> Place {
        match self {
            Self::Systemd(systemd) if service.record.log_dir.is_none() => {
                Place::Journal(systemd.journal(service.label()))
            }
            Self::Process => process::log(host, service),
            _ => Place::Files { old: vec![], now: service.log_files().to_vec() },
        }
    }

    /// Where its log is, in words.
    #[must_use]
    pub fn log_place(self, host: &Host, service: &Service) -> String {
        match self {
            Self::Systemd(systemd) => systemd.log_place(service),
            Self::Launchd(_) => service.log_files()[1].display().to_string(),
            Self::Process => process::log_path(host, service).display().to_string(),
        }
    }
}
