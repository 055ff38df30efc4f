//! systemd, a person's own or the machine's: words to send, output to parse.

mod shown;

use std::path::{Path, PathBuf};

use hephd::{
    error::{Code, Error, Result},
    record::{Hardening, ManagerKind, Record, Scope},
    report::Warning,
};

use self::shown::{Shown, parse};
use super::{Manager, Running, linger, units};
use crate::{
    host::Host,
    plan::Step,
    service::Service,
    unit::{self, EDITION, Kind, UnitFile, hardening::Walls, job},
};

const PROPERTIES: &str = "Id,ActiveState,SubState,MainPID,NRestarts,Result,ExecMainStatus,Job,\
     UnitFileState,ExecMainStartTimestampMonotonic,FragmentPath,LoadState,NeedDaemonReload";

/// Older ones do not know `ExecStart=:`.
const OLDEST: u32 = 244;

/// What is rendered where nobody can be asked: all that there is.
pub const NEWEST: u32 = 999;

/// One systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Systemd {
    scope: Scope,
    version: u32,
    /// It does not read the person's own folder, so units last for a boot.
    until_reboot: bool,
}

fn systemctl(scope: Scope, words: &[&str]) -> Vec<String> {
    let of_person = (scope == Scope::User).then_some("--user");
    let words = ["systemctl"]
        .into_iter()
        .chain(of_person)
        .chain(["--no-ask-password"])
        .chain(words.iter().copied());
    words.map(str::to_owned).collect()
}

fn unit_name(label: &str) -> String {
    format!("{label}.service")
}

/// All units that a service may have: its own, then those of its jobs.
fn unit_names(label: &str) -> Vec<String> {
    let jobs = job::WORDS
        .iter()
        .flat_map(|word| [format!("{label}-{word}.service"), format!("{label}-{word}.timer")]);
    std::iter::once(unit_name(label)).chain(jobs).collect()
}

impl Systemd {
    /// The systemd of a scope, if it is there and talks to us.
    ///
    /// # Errors
    /// `no_service_manager`, `no_user_bus`.
    pub fn find(host: &Host, scope: Scope) -> Result<Self> {
        let socket = match scope {
            Scope::System => Some(PathBuf::from("/run/systemd/private")),
            Scope::User => host.runtime_dir().map(|dir| dir.join("systemd/private")),
        };
        let is_there = socket.is_some_and(|socket| socket.exists());
        let words = systemctl(scope, &["show", "--property=Version,UnitPath"]);
        let shown = is_there.then(|| host.run(&words).ok()).flatten();
        let shown =
            shown.filter(|output| output.status.success()).ok_or_else(|| silent(host, scope))?;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        let value =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        let version = version(value("Version="));
        if version < OLDEST {
            return Err(Error::new(
                Code::NoServiceManager,
                format!("systemd {version} is too old: units here need {OLDEST}"),
                "take --manager process",
            ));
        }
        let folder = units(host, scope);
        let is_read = value("UnitPath=").split_whitespace().any(|path| folder.as_os_str() == path);
        Ok(Self {
            scope,
            version,
            until_reboot: scope == Scope::User && !is_read && host.runtime_dir().is_some(),
        })
    }

    /// Where units go: the person's own folder, if systemd reads it. It does
    /// not where HOME is not the home that the person's systemd was started
    /// with; units then go to its runtime folder.
    fn folder(self, host: &Host) -> PathBuf {
        match host.runtime_dir() {
            Some(runtime) if self.until_reboot => runtime.join("systemd/user"),
            _ => units(host, self.scope),
        }
    }

    pub(super) fn files(self, host: &Host, service: &Service) -> Result<Vec<UnitFile>> {
        unit::systemd::files(service, &self.folder(host), self.version)
    }

    fn ctl(self, words: &[&str]) -> Step {
        Step::Run(systemctl(self.scope, words))
    }

    fn enable(self, verb: &str, name: &str) -> Step {
        let mut words = vec![verb];
        words.extend(self.until_reboot.then_some("--runtime"));
        words.push(name);
        self.ctl(&words)
    }

    /// Writes the units, and enables them.
    pub(super) fn install(
        self,
        service: &Service,
        wanted: &[UnitFile],
        now: &Running,
    ) -> Result<Vec<Step>> {
        units::refuse_foreign(now)?;
        let mut steps = Vec::new();
        for (path, _) in units::unwanted(wanted, now) {
            steps.extend(self.forget(&name_of(path), now));
        }
        steps.extend(remove(units::unwanted(wanted, now)));
        steps.extend(units::write(Manager::Systemd(self), wanted, now, 0o644));
        if !steps.is_empty() || now.stale {
            steps.push(self.ctl(&["daemon-reload"]));
        }
        if !now.enabled {
            steps.push(self.enable("enable", &unit_name(service.label())));
        }
        for timer in wanted.iter().filter(|file| file.kind == Kind::Timer) {
            let is_new = !now.timers.contains(&timer.name);
            let changed = !now.files.contains_key(&timer.path);
            if is_new || changed {
                steps.push(self.enable("enable", &timer.name));
                steps.push(self.ctl(&["restart", &timer.name]));
            }
        }
        Ok(steps)
    }

    /// Disables and removes the units.
    pub(super) fn uninstall(self, service: &Service, now: &Running) -> Vec<Step> {
        if now.files.is_empty() {
            return vec![];
        }
        let mut steps: Vec<Step> =
            units::ours(now).flat_map(|(path, _)| self.forget(&name_of(path), now)).collect();
        steps.extend(self.forget_failure(service.label(), now));
        steps.extend(remove(units::ours(now)));
        steps.push(self.ctl(&["daemon-reload"]));
        steps
    }

    /// A timer stops; what starts with the machine does so no more.
    fn forget(self, name: &str, now: &Running) -> Vec<Step> {
        let runs = now.timers.iter().any(|timer| timer == name);
        let stop = runs.then(|| self.ctl(&["stop", name]));
        let disable =
            (!name.ends_with(".service") || !is_work(name)).then(|| self.enable("disable", name));
        stop.into_iter().chain(disable).collect()
    }

    /// After too many failures systemd refuses to start a unit until it is
    /// told to forget them.
    fn forget_failure(self, label: &str, now: &Running) -> Option<Step> {
        (now.state == "failed").then(|| self.ctl(&["reset-failed", &unit_name(label)]))
    }

    /// `--no-block`, because readiness is watched by us, with our deadline.
    pub(super) fn start(self, label: &str, now: &Running) -> Vec<Step> {
        let mut steps: Vec<Step> = self.forget_failure(label, now).into_iter().collect();
        steps.push(self.ctl(&["start", "--no-block", &unit_name(label)]));
        steps
    }

    pub(super) fn stop(self, label: &str) -> Vec<Step> {
        vec![self.ctl(&["stop", &unit_name(label)])]
    }

    pub(super) fn check_walls(
        self,
        host: &Host,
        service: &Service,
        recorded: Option<&Record>,
    ) -> Result<()> {
        Walls::of(service, &service.argv, &[], self.version).check()?;
        for job in &service.jobs {
            Walls::of(service, &job.argv, &job.writes, self.version).check()?;
        }
        let was_so =
            recorded.is_some_and(|r| r.installed && r.hardening == service.record.hardening);
        if was_so || self.scope == Scope::System || service.hardening() != Hardening::Strict {
            return Ok(());
        }
        // What systemd would do for it, without a bus or a unit.
        let probed = host.run(&["unshare", "--user", "true"].map(str::to_owned))?;
        if self.version >= unit::hardening::HIDES_FOR_PERSONS && probed.status.success() {
            return Ok(());
        }
        Err(Error::new(
            Code::NotSupported,
            "--hardening strict: this machine does not let a person's own services hide anything",
            "take --hardening basic, or install it for the machine: --scope system",
        ))
    }

    pub(super) fn warnings(self, host: &Host, service: &Service) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.scope == Scope::User && linger::is_off(host) {
            warnings.push(Warning::new("linger_off", linger::advice(host)));
        }
        if self.until_reboot {
            let text = format!(
                "systemd does not read {}, so the unit is there until the next reboot only",
                units(host, self.scope).display()
            );
            warnings.push(Warning::new("gone_after_reboot", text));
        }
        if service.record.run_as.as_deref() == Some("root") {
            let text = "it runs as root: give its store to a user of its own, and name that user: --run-as";
            warnings.push(Warning::new("runs_as_root", text));
        }
        warnings
    }

    /// The words that show a service's journal.
    pub(super) fn journal(self, label: &str) -> Vec<String> {
        let of_person = (self.scope == Scope::User).then_some("--user");
        let words = ["journalctl"].into_iter().chain(of_person).chain(["-u", label]);
        words.map(str::to_owned).collect()
    }

    pub(super) fn log_place(self, service: &Service) -> String {
        match &service.record.log_dir {
            Some(_) => service.log_files()[1].display().to_string(),
            None => self.journal(service.label()).join(" "),
        }
    }
}

fn units(host: &Host, scope: Scope) -> PathBuf {
    host.paths(scope).units(ManagerKind::Systemd).unwrap_or_default()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_work(name: &str) -> bool {
    job::WORDS.iter().any(|word| name.ends_with(&format!("-{word}.service")))
}

fn remove<'a>(files: impl Iterator<Item = (&'a PathBuf, &'a String)>) -> Vec<Step> {
    files
        .map(|(path, before)| Step::Remove { path: path.clone(), before: before.clone() })
        .collect()
}

/// `252 (252.39-1~deb12u1)` and the like; 0 for what is no number, which leaves
/// out whatever might not be known.
fn version(text: &str) -> u32 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn silent(host: &Host, scope: Scope) -> Error {
    match scope {
        Scope::User if host.booted_by_systemd() => Error::new(
            Code::NoUserBus,
            "this person's systemd does not answer: no user bus",
            linger::advice(host),
        ),
        Scope::User => Error::new(
            Code::NoServiceManager,
            "there is no systemd for this person on this machine",
            "take --manager process, or auto",
        ),
        Scope::System => Error::new(
            Code::NoServiceManager,
            "systemd does not run this machine",
            "take --scope user, or --manager process",
        ),
    }
}

/// How a service's units stand.
///
/// # Errors
/// When systemctl fails; `unit_foreign` where the unit is somebody else's.
pub fn observe(host: &Host, service: &Service) -> Result<Running> {
    let label = service.label();
    let ours = [
        Some(units(host, service.record.scope)),
        host.runtime_dir().map(|dir| dir.join("systemd/user")),
    ];
    // Asked for what is not there, systemd looks through all of its folders.
    let stands = |name: &String| ours.iter().flatten().any(|folder| folder.join(name).exists());
    let mut names = unit_names(label);
    names.retain(|name| *name == unit_name(label) || stands(name));
    let mut words = vec!["show", "--property", PROPERTIES];
    words.extend(names.iter().map(String::as_str));
    let output = host.run(&systemctl(service.record.scope, &words))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::internal(format!("systemctl show {label} failed: {said}")));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let shown: Vec<Shown<'_>> = text.split("\n\n").map(Shown::parse).collect();
    let booted = host.booted_at();
    let mut running = shown.first().map(|shown| parse(shown, booted)).unwrap_or_default();
    let ours = [
        Some(units(host, service.record.scope)),
        host.runtime_dir().map(|dir| dir.join("systemd/user")),
    ];
    if shown.first().is_some_and(|one| one.value("LoadState") == "masked") {
        return Err(masked(host, service));
    }
    let mut paths = Vec::new();
    for path in shown.iter().map(|one| one.value("FragmentPath")).filter(|path| !path.is_empty()) {
        let folder = Path::new(path).parent();
        if !ours.iter().flatten().any(|ours| Some(ours.as_path()) == folder) {
            return Err(units::foreign(Path::new(path)));
        }
        paths.push(PathBuf::from(path));
    }
    // A file that was written before a reload is not known to it yet.
    paths.extend(
        ours.iter().flatten().flat_map(|folder| names.iter().map(|name| folder.join(name))),
    );
    running.files = units::standing(host, paths.iter())?;
    running.stale = shown.iter().any(|one| one.value("NeedDaemonReload") == "yes")
        || running.files.len()
            > shown.iter().filter(|one| one.value("LoadState") == "loaded").count();
    let timers = shown.iter().filter(|one| one.value("ActiveState") == "active");
    running.timers =
        timers.map(|one| one.value("Id").to_owned()).filter(|id| id.ends_with(".timer")).collect();
    running.edition = running.pid.and_then(|pid| host.variable_of(pid, EDITION));
    Ok(running)
}

fn masked(host: &Host, service: &Service) -> Error {
    let scope = service.record.scope;
    let words = systemctl(scope, &["unmask", service.label()]).join(" ");
    let folder = units(host, scope).display().to_string();
    Error::new(
        Code::UnitForeign,
        format!("{} is masked in {folder}: somebody wants it never to start", service.label()),
        words.replace(" --no-ask-password", ""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_in_several_ways() {
        let all = ["252.39-1~deb12u1", "257 (257.4-6.fc42)", "v?"].map(version);
        assert_eq!(all, [252, 257, 0]);
    }
}
