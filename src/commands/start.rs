//! `heph-ops start`: starts a service and waits until it is ready.

use hephd::{error::Result, report::Report};
use serde_json::json;

use super::{How, Patience, ready_data, report_plan, timing};
use crate::{host::Host, plan::Plan, service::Service, service_manager::Manager};

/// Start a service and wait until it is ready
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which; the only one where none is named
    pub label: Option<String>,
    #[command(flatten)]
    pub(super) patience: Patience,
}

/// Starts what does not run.
///
/// # Errors
/// `service_not_found`; `not_ready` and `crash_loop` with the last log lines.
pub fn run(args: &Args, how: How, host: &Host) -> Result<Report> {
    let service = Service::find(host, args.label.as_deref())?;
    let manager = Manager::of(host, &service)?;
    let _alone = host.alone_with(service.label(), how.check)?;
    let now = manager.observe(host, &service)?;
    let plan = Plan { steps: manager.start(host, &service, &now) };
    let label = service.label();
    if how.check {
        return Ok(report_plan(how, &plan, "started", json!({ "label": label })));
    }
    host.apply(&plan)?;
    let ready = args.patience.wait(host, manager, &service)?;
    let status = if plan.is_empty() { "already_started" } else { "started" };
    let report = report_plan(how, &plan, status, ready_data(&service, &ready));
    Ok(report.line(format!(
        "✓ {label} {}, {}",
        status.replace('_', " "),
        timing(&ready, args.patience)
    )))
}
