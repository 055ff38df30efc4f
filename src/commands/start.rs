//! `heph-ops start` and `restart`: bring a service up, and wait until it is
//! ready. No flag is dropped: they all stand in the record.

use hephd::{
    error::{Error, Result},
    report::{Report, Warning},
};
use serde_json::json;

use super::{How, Patience, ready_data, report_plan, timing};
use crate::{
    host::Host,
    plan::{Plan, Step},
    service::Service,
    service_manager::{Manager, Running},
};

/// Which service, and how long to wait for it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which; the only one where none is named
    pub label: Option<String>,
    #[command(flatten)]
    patience: Patience,
}

/// Starts what does not run.
///
/// # Errors
/// `service_not_found`; `not_ready` and `crash_loop` with the last log lines.
pub fn start(args: &Args, how: How, host: &Host) -> Result<Report> {
    bring_up(args, how, host, "started", Manager::start)
}

/// Stops what runs, and starts it as it is recorded.
///
/// # Errors
/// As [`start`].
pub fn restart(args: &Args, how: How, host: &Host) -> Result<Report> {
    bring_up(args, how, host, "restarted", Manager::restart)
}

fn bring_up(
    args: &Args,
    how: How,
    host: &Host,
    done: &str,
    steps: impl FnOnce(Manager, &Host, &Service, &Running) -> Vec<Step>,
) -> Result<Report> {
    let service = Service::find(host, args.label.as_deref())?;
    let _alone = host.alone_with(service.record.scope, service.label(), how.check)?;
    let (manager, now) = Manager::look_at_ours(host, &service)?;
    let plan = Plan { steps: steps(manager, host, &service, &now) };
    let status = if plan.is_empty() { format!("already_{done}") } else { done.to_owned() };
    let label = service.label();
    if how.check {
        return Ok(report_plan(how, &plan, &status, json!({ "label": label })));
    }
    host.apply(&plan).map_err(Error::after_attempt)?;
    let ready = args.patience.wait(host, manager, &service)?;
    let mut report = report_plan(how, &plan, &status, ready_data(&service, &ready));
    let now = manager.observe(host, &service)?;
    if !manager.is_current(host, &service, &manager.wanted(host, &service)?, &now) {
        let role = service.record.role.as_str();
        let text = format!(
            "{label} runs with other settings than its record has: heph-ops install-service \
             --role {role} --label {label} applies them"
        );
        report.warnings.push(Warning::new("record_differs", text));
    }
    let (done, timing) = (status.replace('_', " "), timing(&ready, args.patience));
    Ok(report.line(format!("✓ {label} {done}, {timing}")))
}
