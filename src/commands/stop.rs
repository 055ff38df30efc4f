//! `heph-ops stop`: stops a service, which finishes what is in flight.

use hephd::{
    error::{Error, Result},
    report::Report,
};
use serde_json::json;

use super::{How, report_plan};
use crate::{host::Host, plan::Plan, service::Service, service_manager::Manager};

/// Stop a service; it finishes what is in flight
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which; the only one where none is named
    pub label: Option<String>,
}

/// Stops what runs.
///
/// # Errors
/// `service_not_found`; `not_ready` when it does not stop in time.
pub fn run(args: &Args, how: How, host: &Host) -> Result<Report> {
    let service = Service::find(host, args.label.as_deref())?;
    let _alone = host.alone_with(service.record.scope, service.label(), how.check)?;
    let (manager, now) = Manager::look_at_ours(host, &service)?;
    let plan = Plan { steps: manager.stop(host, &service, &now) };
    if !how.check {
        host.apply(&plan).map_err(Error::after_attempt)?;
    }
    let status = if plan.is_empty() { "already_stopped" } else { "stopped" };
    let report = report_plan(how, &plan, status, json!({ "label": service.label() }));
    Ok(match how.check {
        true => report,
        false => report.line(format!("✓ {} {}", service.label(), status.replace('_', " "))),
    })
}
