//! `heph-ops restart`: stops a service, starts it as recorded, waits until it
//! is ready. No flag is dropped: they all stand in the record.

use hephd::{error::Result, report::Report};
use serde_json::json;

use super::{How, Patience, ready_data, report_plan, timing};
use crate::{host::Host, plan::Plan, service::Service, service_manager::Manager};

/// Stop a service, start it as recorded, wait until it is ready
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which; the only one where none is named
    pub label: Option<String>,
    #[command(flatten)]
    pub(super) patience: Patience,
}

/// Stops and starts.
///
/// # Errors
/// `service_not_found`; `not_ready` and `crash_loop` with the last log lines.
pub fn run(args: &Args, how: How, host: &Host) -> Result<Report> {
    let service = Service::find(host, args.label.as_deref())?;
    let manager = Manager::of(host, &service)?;
    let _alone = host.alone_with(service.label(), how.check)?;
    let now = manager.observe(host, &service)?;
    let plan = Plan { steps: manager.restart(host, &service, &now) };
    let label = service.label();
    if how.check {
        return Ok(report_plan(how, &plan, "restarted", json!({ "label": label })));
    }
    host.apply(&plan)?;
    let ready = args.patience.wait(host, manager, &service)?;
    let report = report_plan(how, &plan, "restarted", ready_data(&service, &ready));
    Ok(report.line(format!("✓ {label} restarted, {}", timing(&ready, args.patience))))
}
