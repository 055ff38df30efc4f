//! launchd on a Mac: words to send, output to parse.
//!
//! A service lives in a *domain*. `system` is the machine's and there from
//! boot; `gui/UID` is a person's session at the screen; `user/UID` is there as
//! soon as that person does anything at all, and what is put into it by hand is
//! gone after a reboot. Through ssh a Mac that nobody sits at has no `gui/UID`.

pub mod act;
mod said;

use std::path::{Path, PathBuf};

use hephd::{
    error::{Code, Error, Result},
    record::{ManagerKind, Scope},
    report::Warning,
};

use self::act::Act;
use super::{Manager, Running, units};
use crate::{
    host::Host,
    plan::Step,
    service::Service,
    unit::{self, UnitFile, job},
};

/// A domain of launchd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launchd(Domain);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Domain {
    System,
    Gui(u32),
    User(u32),
}

impl Domain {
    fn name(self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::Gui(uid) => format!("gui/{uid}"),
            Self::User(uid) => format!("user/{uid}"),
        }
    }
}

fn launchctl(words: &[&str]) -> Vec<String> {
    std::iter::once(&"launchctl").chain(words).map(|word| (*word).to_owned()).collect()
}

/// There is a launchd that talks to us.
#[must_use]
pub fn answers(host: &Host) -> bool {
    host.has_program("launchctl")
}

impl Launchd {
    /// The domain of a service, if launchd is here.
    ///
    /// # Errors
    /// `no_service_manager`; `insecure_permissions` where only root may.
    pub fn find(host: &Host, service: &Service) -> Result<Self> {
        if !answers(host) {
            let what = "there is no launchd on this machine";
            return Err(Error::new(Code::NoServiceManager, what, "take --manager auto"));
        }
        if service.record.scope == Scope::System {
            return Ok(Self(Domain::System));
        }
        let session = Domain::Gui(host.uid);
        let asked = act::ask(host, &launchctl(&["print", &session.name()]))?;
        Ok(Self(if asked.is_fine() { session } else { Domain::User(host.uid) }))
    }

    /// The domain's name.
    #[must_use]
    pub fn domain(self) -> String {
        self.0.name()
    }

    fn target(self, label: &str) -> String {
        format!("{}/{label}", self.domain())
    }

    /// How a service stands. One that was put into `user/UID` while nobody sat
    /// at the screen is still there when somebody does.
    pub(super) fn observe(self, host: &Host, service: &Service) -> Result<Running> {
        let label = service.label();
        let mut domains = vec![self.0];
        if let Domain::Gui(uid) = self.0 {
            domains.push(Domain::User(uid));
        }
        let mut running = Running { state: "inactive".to_owned(), ..Running::default() };
        for domain in domains {
            let words = launchctl(&["print", &format!("{}/{label}", domain.name())]);
            let asked = act::ask(host, &words)?;
            if asked.is_fine() {
                let mut domains = std::mem::take(&mut running.domains);
                if domains.is_empty() {
                    running = said::service(&asked.out);
                }
                domains.push(domain.name());
                running.domains = domains;
            }
        }
        let disabled = act::ask(host, &launchctl(&["print-disabled", &self.domain()]))?;
        running.enabled = !said::is_disabled(&disabled.out, label);
        let folder = folder(service);
        let names = std::iter::once(label.to_owned())
            .chain(job::WORDS.iter().map(|word| format!("{label}-{word}")));
        let paths: Vec<PathBuf> = names.map(|name| folder.join(format!("{name}.plist"))).collect();
        running.files = units::standing(host, paths.iter())?;
        for path in running.files.keys().filter(|path| **path != paths[0]) {
            let name = name_of(path);
            let asked = act::ask(host, &launchctl(&["print", &self.target(&name)]))?;
            running.timers.extend(asked.is_fine().then_some(name));
        }
        Ok(running)
    }

    /// It is loaded here and nowhere else, if it is loaded at all.
    pub(super) fn is_only_place(self, now: &Running) -> bool {
        now.domains.iter().all(|domain| *domain == self.domain())
    }

    pub(super) fn files(self, service: &Service) -> Result<Vec<UnitFile>> {
        unit::plist::files(service, &folder(service))
    }

    /// Writes the property lists. One whose file has changed is loaded anew by
    /// whoever starts it.
    pub(super) fn install(self, service: &Service, now: &Running) -> Result<Vec<Step>> {
        units::refuse_foreign(now)?;
        let wanted = self.files(service)?;
        let mut steps = self.log_files(service);
        for (path, before) in units::unwanted(&wanted, now) {
            steps.extend(self.unload_timer(&name_of(path), now));
            steps.push(Step::Remove { path: path.clone(), before: before.clone() });
        }
        let written = units::write(Manager::Launchd(self), &wanted, now, 0o600);
        for file in wanted.iter().filter(|file| file.kind == unit::Kind::Timer) {
            let changed = written
                .iter()
                .any(|step| matches!(step, Step::Write { path, .. } if *path == file.path));
            if changed {
                steps.extend(self.unload_timer(&file.name, now));
            }
        }
        steps.extend(written.iter().cloned());
        if !now.enabled {
            steps.push(self.act(Act::Enable { target: self.target(service.label()) }));
        }
        for file in wanted.iter().filter(|file| file.kind == unit::Kind::Timer) {
            let changed = written
                .iter()
                .any(|step| matches!(step, Step::Write { path, .. } if *path == file.path));
            if changed || !now.timers.contains(&file.name) {
                steps.push(self.bootstrap(&file.name, &file.path));
            }
        }
        Ok(steps)
    }

    /// launchd opens these as the service's user, who may make no file where
    /// the machine's logs are.
    fn log_files(self, service: &Service) -> Vec<Step> {
        let user = service.record.run_as.as_ref();
        let missing = service.log_files().into_iter().filter(|path| !path.exists());
        missing.map(|path| Step::MakeFile { path, mode: 0o600, owner: user.cloned() }).collect()
    }

    fn unload_timer(self, name: &str, now: &Running) -> Option<Step> {
        let loaded = now.timers.iter().any(|timer| timer == name);
        loaded.then(|| self.act(Act::Bootout { target: self.target(name) }))
    }

    pub(super) fn uninstall(self, _: &Service, now: &Running) -> Vec<Step> {
        let timers = now.timers.iter().filter_map(|name| self.unload_timer(name, now));
        let files = now
            .files
            .iter()
            .map(|(path, before)| Step::Remove { path: path.clone(), before: before.clone() });
        timers.chain(files).collect()
    }

    /// Loads it, and sees to it that it really starts: now and then launchd
    /// loads a job and leaves it at that.
    pub(super) fn start(self, service: &Service, now: &Running) -> Vec<Step> {
        let target = self.target(service.label());
        let kickstart = self.act(Act::Kickstart { target });
        if now.loaded {
            return vec![kickstart];
        }
        let path = folder(service).join(format!("{}.plist", service.label()));
        vec![self.bootstrap(service.label(), &path), kickstart]
    }

    pub(super) fn stop(self, label: &str, now: &Running) -> Vec<Step> {
        let target = |domain: &String| format!("{domain}/{label}");
        let bootout = |domain| self.act(Act::Bootout { target: target(domain) });
        now.domains.iter().map(bootout).collect()
    }

    fn bootstrap(self, name: &str, plist: &Path) -> Step {
        let (domain, target) = (self.domain(), self.target(name));
        self.act(Act::Bootstrap { domain, target, plist: plist.to_owned() })
    }

    fn act(self, act: Act) -> Step {
        Step::Launchctl(act)
    }

    pub(super) fn warnings(self, service: &Service) -> Vec<Warning> {
        let Domain::User(_) = self.0 else { return vec![] };
        let text = format!(
            "nobody is logged in at this Mac's screen, so {} runs until the next reboot only; for a \
             Mac without a screen: sudo heph-ops install-service --role {} --scope system --run-as NAME",
            service.label(),
            service.record.role.as_str()
        );
        vec![Warning::new("gone_after_reboot", text)]
    }
}

fn folder(service: &Service) -> PathBuf {
    service.paths().units(ManagerKind::Launchd).unwrap_or_default()
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
