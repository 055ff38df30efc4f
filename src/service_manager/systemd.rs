//! systemd, the person's own: words to send, output to parse.

use std::{collections::BTreeMap, path::PathBuf};

use hephd::error::{Code, Error, Result};

use super::Running;
use crate::{
    host::Host,
    plan::{Plan, Step},
    service::Service,
    template::RENDERED_BY,
    unit,
};

const PROPERTIES: &str = "ActiveState,SubState,MainPID,NRestarts,Result,ExecMainStatus,UnitFileState,\
     ExecMainStartTimestamp";

fn systemctl(words: &[&str]) -> Vec<String> {
    ["systemctl", "--user", "--no-ask-password"]
        .iter()
        .chain(words)
        .map(|w| (*w).to_owned())
        .collect()
}

fn unit_name(label: &str) -> String {
    format!("{label}.service")
}

/// Where units go, and the word that enabling them takes there.
struct Place {
    folder: PathBuf,
    until_reboot: bool,
}

impl Place {
    /// The person's own folder, if systemd reads it. It does not where HOME is
    /// not the home that the person's systemd was started with; units then go
    /// to its runtime folder, which lasts until the next boot.
    fn of(host: &Host) -> Self {
        let folder = host.home.join(".config/systemd/user");
        let shown = host.run(&systemctl(&["show", "--property=UnitPath", "--value"]));
        let read = shown.map(|output| output.stdout).unwrap_or_default();
        let read = String::from_utf8_lossy(&read).into_owned();
        let is_read = read.split_whitespace().any(|path| folder.as_os_str() == path);
        match host.runtime_dir() {
            Some(runtime) if !is_read => {
                Self { folder: runtime.join("systemd/user"), until_reboot: true }
            }
            _ => Self { folder, until_reboot: false },
        }
    }

    fn unit(&self, label: &str) -> PathBuf {
        self.folder.join(unit_name(label))
    }

    fn enable(&self, verb: &str, label: &str) -> Step {
        let unit = unit_name(label);
        let mut words = vec![verb];
        words.extend(self.until_reboot.then_some("--runtime"));
        words.push(&unit);
        Step::Run(systemctl(&words))
    }
}

/// Whether this person's systemd is there and talks to us.
#[must_use]
pub fn answers(host: &Host) -> bool {
    let socket = host.runtime_dir().map(|dir| dir.join("systemd/private"));
    socket.is_some_and(|socket| socket.exists())
        && host
            .run(&systemctl(&["show", "--property=Version"]))
            .is_ok_and(|output| output.status.success())
}

/// How a unit stands.
///
/// # Errors
/// When systemctl fails.
pub fn observe(host: &Host, label: &str) -> Result<Running> {
    let output = host.run(&systemctl(&[
        "show",
        &unit_name(label),
        "--property",
        PROPERTIES,
        "--timestamp=unix",
    ]))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::internal(format!("systemctl show {label} failed: {said}")));
    }
    let installed = host.read(&Place::of(host).unit(label))?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout), installed))
}

fn parse(shown: &str, installed: Option<String>) -> Running {
    let values: BTreeMap<&str, &str> =
        shown.lines().filter_map(|line| line.split_once('=')).collect();
    let value = |key: &str| values.get(key).copied().unwrap_or_default();
    let number = |key: &str| value(key).parse::<u32>().unwrap_or_default();
    let state = match (value("ActiveState"), value("SubState")) {
        ("activating", "auto-restart") => "failing",
        ("activating", _) => "starting",
        // It was told to start, and has not begun yet.
        ("inactive" | "failed", _) if number("Job") > 0 => "starting",
        (state, _) => state,
    };
    let pid = Some(number("MainPID")).filter(|pid| *pid > 1);
    let result = match value("Result") {
        "" | "success" => None,
        "exit-code" => Some(format!("exit code {}", value("ExecMainStatus"))),
        other => Some(other.to_owned()),
    };
    Running {
        installed,
        pid,
        state: state.to_owned(),
        restarts: number("NRestarts"),
        result,
        enabled: value("UnitFileState").starts_with("enabled"),
        since: pid.and(value("ExecMainStartTimestamp").trim_start_matches('@').parse().ok()),
    }
}

/// Writes the unit and enables it.
///
/// # Errors
/// `unit_foreign` where somebody else's unit has the name.
pub fn install(host: &Host, service: &Service, now: &Running) -> Result<Vec<Step>> {
    let place = Place::of(host);
    let path = place.unit(service.label());
    if now.installed.as_ref().is_some_and(|text| !text.contains(RENDERED_BY)) {
        return Err(Error::new(
            Code::UnitForeign,
            format!("{} was not written by heph-ops", path.display()),
            "move it away, or choose another --label",
        ));
    }
    let mut plan = Plan::default();
    let wanted = unit::systemd(service)?;
    if now.installed.is_none() {
        plan.extend([Step::MakeFolder(path.parent().unwrap_or(&path).to_owned())]);
    }
    plan.write(path, 0o644, now.installed.clone(), wanted);
    if !plan.is_empty() {
        plan.extend([Step::Run(systemctl(&["daemon-reload"]))]);
    }
    if !now.enabled {
        plan.extend([place.enable("enable", service.label())]);
    }
    Ok(plan.steps)
}

/// Disables and removes the unit.
#[must_use]
pub fn uninstall(host: &Host, label: &str, now: &Running) -> Vec<Step> {
    let Some(before) = now.installed.clone() else { return vec![] };
    let place = Place::of(host);
    let mut steps = vec![place.enable("disable", label)];
    steps.extend(forget_failure(label, now));
    steps.push(Step::Remove { path: place.unit(label), before });
    steps.push(Step::Run(systemctl(&["daemon-reload"])));
    steps
}

/// After too many failures systemd refuses to start a unit until it is told
/// to forget them.
fn forget_failure(label: &str, now: &Running) -> Option<Step> {
    (now.state == "failed").then(|| Step::Run(systemctl(&["reset-failed", &unit_name(label)])))
}

/// `--no-block`, because readiness is watched by us, with our deadline.
pub(super) fn start(label: &str, now: &Running) -> Vec<Step> {
    let mut steps: Vec<Step> = forget_failure(label, now).into_iter().collect();
    steps.push(Step::Run(systemctl(&["start", "--no-block", &unit_name(label)])));
    steps
}

pub(super) fn stop(label: &str) -> Vec<Step> {
    vec![Step::Run(systemctl(&["stop", &unit_name(label)]))]
}

pub(super) fn log_tail(host: &Host, label: &str, lines: usize) -> Vec<String> {
    let argv = ["journalctl", "--user", "--no-pager", "--output=cat", "-u", label, "-n"];
    let mut argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    argv.push(lines.to_string());
    let output = host.run(&argv).map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_between_two_crashes_is_failing() {
        let shown = "MainPID=0\nNRestarts=3\nActiveState=activating\nSubState=auto-restart\n\
                     Result=exit-code\nExecMainStatus=1\nUnitFileState=enabled\n";
        let running = parse(shown, None);
        assert_eq!((running.state.as_str(), running.pid, running.restarts), ("failing", None, 3));
        assert_eq!(running.result.as_deref(), Some("exit code 1"));
        assert!(running.enabled && !running.is_over());
    }
}
