//! `heph-ops uninstall-service`: stops and removes a service. Data stays, and
//! what stays is said.

use hephd::{
    error::{Code, Error, Result},
    record::{ManagerKind, Record, Scope},
    report::Report,
};
use serde_json::json;

use super::{How, install_service, report_plan};
use crate::{
    host::Host,
    plan::{Plan, Step},
    service::Service,
    service_manager::{Manager, Running, linger},
};

/// Stop and remove a service; its data stays
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which; the only one where none is named
    pub label: Option<String>,
    /// Also forget what it was given
    #[arg(long)]
    pub purge_config: bool,
}

/// Stops and removes.
///
/// # Errors
/// `usage` where several services are installed and none is named;
/// `not_ready` when it does not stop in time.
pub fn run(args: &Args, how: How, host: &Host) -> Result<Report> {
    let service = match Service::find(host, args.label.as_deref()) {
        Err(error) if error.code == Code::ServiceNotFound => {
            return purge(args, how, host).unwrap_or_else(|| Ok(nothing(&error)));
        }
        found => found?,
    };
    let _alone = host.alone_with(service.record.scope, service.label(), how.check)?;
    let (manager, now) = Manager::look_at_ours(host, &service)?;
    let mut plan = stop_and_forget(host, manager, &service, &now);
    if service.record.enabled_linger {
        plan.extend(linger_without(host, &service)?);
    }
    // There is nothing to go back to, also not for an install that was cut off. The
    // record is last: as long as it says that this is installed, this is found.
    plan.extend(install_service::forget_before(&service, &now));
    plan.extend(forget_record(args, host, &service)?);
    if !how.check {
        host.apply(&plan).map_err(Error::after_attempt)?;
    }
    // What is not there cannot stay, and nobody is to think that it does.
    let mut stays: Vec<_> =
        [Some(service.config.db.clone()), service.token_file()].into_iter().flatten().collect();
    stays.extend(service.record.backups.iter().map(|backups| backups.dir.clone()));
    stays.extend(service.drop_ins());
    stays.retain(|path| path.exists());
    if !args.purge_config {
        stays.push(service.record_path.clone());
    }
    let user = service.record.run_as.as_ref().filter(|user| *user != "root");
    let data = json!({ "label": service.label(), "stays": stays });
    let mut report = report_plan(how, &plan, "uninstalled", data);
    if !how.check {
        report = report.line(format!("✓ {} uninstalled", service.label()));
    }
    if let Some(user) = user {
        report = report.line(format!("  stays  the user {user}"));
    }
    Ok(stays
        .iter()
        .fold(report, |report, path| report.line(format!("  stays  {}", path.display()))))
}

/// Lingering goes with the last service that needs it; until then another one
/// remembers that it was us who turned it on.
fn linger_without(host: &Host, service: &Service) -> Result<Option<Step>> {
    let mut others = Service::all(host).into_iter().flatten().filter(|other| {
        other.label() != service.label()
            && other.record.scope == Scope::User
            && other.record.manager == ManagerKind::Systemd
    });
    let Some(heir) = others.next() else { return Ok(Some(linger::turn_off(host))) };
    let (path, mut record) = (heir.record_path, heir.record);
    record.enabled_linger = true;
    let before = host.read(&path)?;
    let after = record.to_text(before.as_deref())?;
    Ok((before.as_ref() != Some(&after)).then_some(Step::Write {
        path,
        mode: 0o600,
        before,
        after,
    }))
}

/// The settings that an earlier uninstall left.
fn purge(args: &Args, how: How, host: &Host) -> Option<Result<Report>> {
    let label = args.label.as_deref().filter(|_| args.purge_config)?;
    let paths = host.scopes().iter().map(|scope| host.paths(*scope).record(label));
    let (path, before) =
        paths.into_iter().find_map(|path| Some((path.clone(), host.read(&path).ok()??)))?;
    let plan = Plan { steps: vec![Step::Remove { path, before }] };
    let report = report_plan(how, &plan, "uninstalled", json!({ "label": label, "stays": [] }));
    let done = if how.check { Ok(()) } else { host.apply(&plan) };
    Some(done.map(|()| match how.check {
        true => report,
        false => report.line(format!("✓ the settings of {label} are gone")),
    }))
}

fn nothing(why: &Error) -> Report {
    let report = Report::new("already_uninstalled", false, json!({}));
    report.line(format!("✓ {why}; nothing to do"))
}

/// The record goes, or says that it is of a service that was.
fn forget_record(args: &Args, host: &Host, service: &Service) -> Result<Vec<Step>> {
    let path = service.record_path.clone();
    let before = host.read(&path)?;
    if args.purge_config {
        return Ok(before.map(|before| Step::Remove { path, before }).into_iter().collect());
    }
    let record = Record { installed: false, enabled_linger: false, ..service.record.clone() };
    let after = record.to_text(before.as_deref())?;
    Ok(vec![Step::Write { path, mode: 0o600, before, after }])
}

/// Stops the service, and makes its manager forget it.
pub(super) fn stop_and_forget(
    host: &Host,
    manager: Manager,
    service: &Service,
    now: &Running,
) -> Plan {
    let mut plan = Plan { steps: manager.stop(host, service, now) };
    plan.extend(manager.uninstall(host, service, now));
    plan
}
