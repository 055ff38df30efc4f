//! `heph-ops install-service`: renders a service, installs it, (re)starts it
//! and waits until it is ready.
//!
//! What is named is laid over what is recorded, so a later install with fewer
//! flags drops none. What is so already is not touched, and nobody is
//! restarted for it. A service that does not get ready is put back: the
//! previous one runs again, or, at a first install, nothing stays but its log.

use std::path::Path;

use hephd::{
    args::Flags,
    error::{Error, Result},
    paths::quoted,
    record::{ManagerKind, Record, Scope},
    report::{Report, Warning},
};
use serde_json::{Value, json};

mod args;
mod as_person;
mod observed;
mod planned;
mod put_back;
mod wanted;

pub use self::args::{Args, ManagerChoice};
pub(super) use self::planned::forget_before;
use self::{
    observed::{Observed, observe, recorded},
    planned::{finish, plan, status},
    put_back::put_back,
    wanted::wanted,
};
use super::{How, ready_data, report_plan, timing};
use crate::{
    health::{self, Ready},
    host::Host,
    plan::Plan,
    service::{Service, default_label},
    service_manager::{
        Manager, linger,
        systemd::{self, Systemd},
    },
    unit::{self, job},
};

/// Installs.
///
/// # Errors
/// What hephd refuses of the flags (2); `store_missing`, `port_in_use`,
/// `unit_foreign`, `no_service_manager` (4), nothing touched; `not_ready`,
/// `crash_loop` after everything was put back (1).
pub fn run(args: &Args, how: How, host: &Host) -> Result<Report> {
    let label = label(args)?;
    if args.print {
        let known = recorded(args, host, &label)?;
        return print(&Service::new(host, wanted(args, host, label, known.as_ref())?)?);
    }
    go_on_as_person(args, how, host)?;
    let asleep = may_wake(args, host) && !how.check && Systemd::find(host, Scope::User).is_err();
    let woken = asleep && linger::wake(host, &host.user_name(), host.uid);
    let args = &Args { enabled_linger: args.enabled_linger || woken, ..args.clone() };
    let installed = install(args, how, host, label);
    if installed.is_err() && args.enabled_linger && !Service::all(host).iter().any(Result::is_ok) {
        host.apply(&Plan { steps: vec![linger::turn_off(host)] })?;
    }
    installed
}

fn install(args: &Args, how: How, host: &Host, label: String) -> Result<Report> {
    let known = recorded(args, host, &label)?;
    let service = Service::new(host, wanted(args, host, label, known.as_ref())?)?;
    let _alone = host.alone_with(service.record.scope, service.label(), how.check)?;
    // Whoever had the lock may have installed it meanwhile.
    let again = recorded(args, host, service.label())?;
    let service = match again == known {
        true => service,
        false => Service::new(host, wanted(args, host, service.record.label, again.as_ref())?)?,
    };
    let observed = observe(args, host, &service, again)?;
    let plan = plan(args, host, &service, &observed)?;
    let status = status(&observed, &plan);
    if how.check {
        let data = with_kept(json!({ "label": service.label() }), &kept(args, &observed));
        let mut report = report_plan(how, &plan, status, data);
        report.warnings = warnings(host, &service, observed.manager, &plan);
        return Ok(report);
    }
    let mut done = 0;
    let ready = match apply(args, host, &service, &observed, (&plan, &mut done)) {
        Ok(ready) => ready,
        // Nothing was changed, so there is nothing to put back.
        Err(error) if plan.is_empty() => return Err(error),
        Err(error) => {
            let done = &plan.steps[..done];
            return Err(put_back(args, host, &service, &observed, (done, error)));
        }
    };
    host.apply(&finish(host, &service, &observed)?)?;
    if args.wait_synced {
        health::wait_until_synced(host, &service, args.patience.timeout())?;
    }
    let data = ready.as_ref().map_or_else(|| json!({}), |ready| ready_data(&service, ready));
    let mut report = report_plan(how, &plan, status, with_kept(data, &kept(args, &observed)));
    report.warnings = warnings(host, &service, observed.manager, &plan);
    let access = ready.iter().flat_map(|ready| health::access_warnings(&service, &ready.answers));
    report.warnings.extend(access);
    Ok(describe(args, report, &service, ready.as_ref(), &observed))
}

/// Root becomes the person whose service it is to be, where it is told to: this
/// process then starts anew as them.
///
/// # Errors
/// `no_user_bus`, as in [`run`]; why it could not.
pub fn go_on_as_person(args: &Args, how: How, host: &Host) -> Result<()> {
    match as_person::asked_for(args, host)? {
        Some(person) => Err(person.go_on(host, how.check)),
        None => Ok(()),
    }
}

/// The service as it would be, and what is recorded of it; nothing is changed.
///
/// # Errors
/// As [`run`], of the flags and of the record.
pub fn foresee(args: &Args, host: &Host) -> Result<(Service, Option<Record>)> {
    let label = label(args)?;
    let known = recorded(args, host, &label)?;
    let service = Service::new(host, wanted(args, host, label, known.as_ref())?)?;
    Ok((service, known))
}

fn label(args: &Args) -> Result<String> {
    let label = args.label.clone().unwrap_or_else(|| default_label(args.role).to_owned());
    check_label(&label).map(|()| label)
}

/// It is a person's systemd that is to run it, as far as that can be told
/// before it is there.
fn may_wake(args: &Args, host: &Host) -> bool {
    let for_a_person = args.scope.map_or(host.uid != 0, |scope| scope == Scope::User);
    for_a_person
        && matches!(args.manager, None | Some(ManagerChoice::Auto | ManagerChoice::Systemd))
        && linger::is_off(host)
}

fn check_label(label: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    // A unit's name has its kind behind it, and a job's its work.
    let taken = |end: &str| {
        let ends = label.rsplit_once('-').is_some_and(|(_, last)| last == end);
        ends || label.ends_with(&format!(".{end}"))
    };
    let is_taken = job::WORDS.iter().chain(&["service", "timer", "plist"]).any(|end| taken(end));
    let ends_well = !label.starts_with(['.', '-']) && !label.ends_with(['@', '.']);
    if (1..=100).contains(&label.len()) && label.chars().all(fine) && ends_well && !is_taken {
        return Ok(());
    }
    Err(Error::usage(
        format!("--label {label:?} is not a service's name"),
        "use letters, digits, - _ . @, and no ending like -backup or .service: heph-hub",
    ))
}

/// The units, for any machine: no path is looked at, no manager asked.
fn print(service: &Service) -> Result<Report> {
    let folder = service.paths().units(service.record.manager).unwrap_or_default();
    let files = match service.record.manager {
        ManagerKind::Systemd => unit::systemd::files(service, &folder, systemd::NEWEST)?,
        ManagerKind::Launchd => unit::plist::files(service, &folder)?,
        ManagerKind::Process => vec![],
    };
    let mut text = match service.record.manager {
        ManagerKind::Process => {
            let words = service.argv.iter().map(|word| quoted(Path::new(word)));
            words.collect::<Vec<_>>().join(" ") + "\n"
        }
        _ => String::new(),
    };
    for file in &files {
        // One file is to be had as it is; several have to be told apart.
        if files.len() > 1 {
            text.push_str(&format!("==> {} <==\n", file.path.display()));
        }
        text.push_str(&file.text);
    }
    let list: Vec<Value> =
        files.iter().map(|file| json!({ "path": file.path, "text": file.text })).collect();
    let report = Report::new("printed", false, json!({ "text": text, "files": list }));
    Ok(text.lines().fold(report, Report::line))
}

fn apply(
    args: &Args,
    host: &Host,
    service: &Service,
    observed: &Observed,
    (plan, done): (&Plan, &mut usize),
) -> Result<Option<Ready>> {
    let manager = observed.manager;
    if plan.is_empty() && !args.no_start {
        // Nobody was restarted, so there is nothing to settle.
        let answers = observed.running.pid.map(|pid| (pid, health::ask(service, pid)));
        if let Some((pid, answers)) = answers.filter(|(_, answers)| answers.trouble.is_none()) {
            return Ok(Some(Ready { pid, took: std::time::Duration::ZERO, answers }));
        }
    }
    host.apply_noting(plan, done)?;
    if args.no_start {
        return Ok(None);
    }
    args.patience.wait(host, manager, service).map(Some)
}

fn warnings(host: &Host, service: &Service, manager: Manager, plan: &Plan) -> Vec<Warning> {
    // What was so at the last install has been said.
    if plan.is_empty() { Vec::new() } else { manager.warnings(host, service) }
}

/// The recorded flags that were not named this time, and stand.
fn kept(args: &Args, observed: &Observed) -> Vec<String> {
    let recorded = observed.recorded.as_ref().filter(|_| !args.exact);
    let table = |flags: &Flags| flags.to_table().unwrap_or_default();
    let named = table(&args.flags);
    let recorded = recorded.map(|record| table(&record.flags)).unwrap_or_default();
    let stands = |name: &&String| {
        !named.contains_key(*name)
            && !args.unset.iter().any(|u| u.trim_start_matches("--") == *name)
    };
    recorded.keys().filter(stands).map(|name| format!("--{name}")).collect()
}

fn with_kept(mut data: Value, kept: &[String]) -> Value {
    data["kept"] = json!(kept);
    data
}

fn describe(
    args: &Args,
    report: Report,
    service: &Service,
    ready: Option<&Ready>,
    observed: &Observed,
) -> Report {
    let label = service.label();
    let done = report.status.replace('_', " ");
    let state = match ready {
        Some(ready) if report.changed => timing(ready, args.patience),
        Some(ready) => format!("ready (pid {}); nothing to do", ready.pid),
        None => match observed.running.pid {
            Some(pid) => format!("runs on with what it was started with (pid {pid})"),
            None => "not started".to_owned(),
        },
    };
    let mut report = report
        .line(format!("✓ {label} {done}, {state}"))
        .line(format!("  manager   {}", observed.manager.place(service)))
        .line(format!("  store     {}", service.config.db.display()))
        .line(format!("  record    {}", service.record_path.display()));
    if let Some(user) = &service.record.run_as {
        report = report.line(format!("  runs as   {user}"));
    }
    if let Some(backups) = &service.record.backups {
        report = report.line(format!(
            "  backups   every {} to {}",
            backups.every,
            backups.dir.display()
        ));
    }
    match kept(args, observed) {
        kept if kept.is_empty() => report,
        kept => {
            report.line(format!("  kept      {} (recorded, not named this time)", kept.join(" ")))
        }
    }
}
