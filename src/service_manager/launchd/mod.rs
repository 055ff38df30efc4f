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
        let there = act::print(host, &session.name())?;
        Ok(Self(if there.is_some() { session } else { Domain::User(host.uid) }))
    }

    /// Why it is there.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self.0 {
            Domain::System => "from boot, without a login",
            Domain::Gui(_) => "while its person is logged in at the screen",
            Domain::User(_) => "until the next reboot: nobody is at the screen",
        }
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
        for domain in &domains {
            if let Some(said) = act::print(host, &format!("{}/{label}", domain.name()))? {
                let mut domains = std::mem::take(&mut running.domains);
                if domains.is_empty() {
                    running = said::service(&said);
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
            for domain in &domains {
                let target = format!("{}/{name}", domain.name());
                match act::print(host, &target)? {
                    Some(_) if *domain == self.0 => running.timers.push(name.clone()),
                    Some(_) => running.strays.push(target),
                    None => {}
                }
            }
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
    pub(super) fn install(
        self,
        service: &Service,
        wanted: &[UnitFile],
        now: &Running,
    ) -> Result<Vec<Step>> {
        units::refuse_foreign(now)?;
        let mut steps = log_files(service, wanted);
        steps.extend(self.unload_strays(now));
        for (path, before) in units::unwanted(wanted, now) {
            steps.extend(self.unload_timer(&name_of(path), now));
            steps.push(Step::Remove { path: path.clone(), before: before.clone() });
        }
        let written = units::write(Manager::Launchd(self), wanted, now, 0o600);
        let is_new = |file: &&UnitFile| {
            let is_it =
                |step: &Step| matches!(step, Step::Write { path, .. } if *path == file.path);
            written.iter().any(is_it) || !now.timers.contains(&file.name)
        };
        let timers = wanted.iter().filter(|file| file.kind == unit::Kind::Timer);
        let new: Vec<&UnitFile> = timers.filter(is_new).collect();
        steps.extend(new.iter().filter_map(|file| self.unload_timer(&file.name, now)));
        steps.extend(written.iter().cloned());
        if !now.enabled {
            steps.push(Step::Launchctl(Act::Enable { target: self.target(service.label()) }));
        }
        steps.extend(new.iter().map(|file| self.bootstrap(&file.name, &file.path)));
        Ok(steps)
    }

    /// Jobs in a domain that is not the one they belong to any more.
    fn unload_strays(self, now: &Running) -> Vec<Step> {
        let bootout = |target: &String| Step::Launchctl(Act::Bootout { target: target.clone() });
        now.strays.iter().map(bootout).collect()
    }

    fn unload_timer(self, name: &str, now: &Running) -> Option<Step> {
        let loaded = now.timers.iter().any(|timer| timer == name);
        loaded.then(|| Step::Launchctl(Act::Bootout { target: self.target(name) }))
    }

    pub(super) fn uninstall(self, now: &Running) -> Vec<Step> {
        let timers = now.timers.iter().filter_map(|name| self.unload_timer(name, now));
        let timers = timers.chain(self.unload_strays(now));
        let files = units::ours(now)
            .map(|(path, before)| Step::Remove { path: path.clone(), before: before.clone() });
        timers.chain(files).collect()
    }

    /// Loads it, and sees to it that it really starts: now and then launchd
    /// loads a job and leaves it at that.
    pub(super) fn start(self, service: &Service, now: &Running) -> Vec<Step> {
        let target = self.target(service.label());
        let kickstart = Step::Launchctl(Act::Kickstart { target });
        if !now.domains.is_empty() {
            return vec![kickstart];
        }
        let path = folder(service).join(format!("{}.plist", service.label()));
        vec![self.bootstrap(service.label(), &path), kickstart]
    }

    pub(super) fn stop(self, label: &str, now: &Running) -> Vec<Step> {
        let target = |domain: &String| format!("{domain}/{label}");
        let bootout = |domain| Step::Launchctl(Act::Bootout { target: target(domain) });
        now.domains.iter().map(bootout).collect()
    }

    fn bootstrap(self, name: &str, plist: &Path) -> Step {
        let (domain, target) = (self.domain(), self.target(name));
        Step::Launchctl(Act::Bootstrap { domain, target, plist: plist.to_owned() })
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

/// launchd opens these as the service's user, who may make no file where the
/// machine's logs are.
fn log_files(service: &Service, wanted: &[UnitFile]) -> Vec<Step> {
    let (paths, folder) = (service.paths(), service.record.log_dir.as_deref());
    let all = wanted.iter().flat_map(|file| paths.log_files(&file.name, folder));
    let owner = &service.record.run_as;
    all.filter(|path| !path.exists())
        .map(|path| Step::MakeFile { path, mode: 0o600, owner: owner.clone() })
        .collect()
}

fn folder(service: &Service) -> PathBuf {
    service.paths().units(ManagerKind::Launchd).unwrap_or_default()
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
