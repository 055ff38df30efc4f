//! After a service that did not get ready: the machine as it was.

use hephd::error::{Error, Result};

use super::{Args, Observed};
use crate::{
    commands::uninstall_service,
    host::Host,
    plan::{Plan, Step},
    service::Service,
    service_manager::{Manager, Running},
};

/// The machine is as it was: the previous service runs again, or none does.
pub(super) fn put_back(
    args: &Args,
    host: &Host,
    service: &Service,
    observed: &Observed,
    error: Error,
) -> Error {
    let undone = undo(args, host, service, observed);
    let mut error = error.after_attempt();
    match undone {
        Ok(what) => error.message = format!("{}\n  {what}", error.message),
        Err(again) => {
            error.message = format!("{}\n  and putting it back failed: {again}", error.message);
        }
    }
    error
}

fn undo(args: &Args, host: &Host, service: &Service, observed: &Observed) -> Result<&'static str> {
    let now = observed.manager.observe(host, service)?;
    let Some(previous) = observed.recorded.as_ref().filter(|record| record.installed) else {
        host.apply(&remove_again(host, service, observed, &now)?)?;
        return Ok("the service was removed again");
    };
    let previous = Service::new(host, previous.clone())?;
    let manager = Manager::of(host, &previous)?;
    let mut plan = Plan::default();
    let after = observed.record_text.clone().unwrap_or_default();
    plan.write(previous.record_path.clone(), 0o600, host.read(&previous.record_path)?, after);
    plan.extend(manager.install(host, &previous, &now)?);
    let ran_before = observed.running.pid.is_some();
    plan.extend(match ran_before {
        true => manager.restart(host, &previous, &now),
        false => manager.stop(host, &previous, &now),
    });
    host.apply(&plan)?;
    if ran_before {
        args.patience.wait(host, manager, &previous)?;
        return Ok("the previous settings were put back, and it runs with them");
    }
    Ok("the previous settings were put back")
}

/// Back to where no service was installed; settings of an earlier one stay.
fn remove_again(
    host: &Host,
    service: &Service,
    observed: &Observed,
    now: &Running,
) -> Result<Plan> {
    let mut plan = uninstall_service::stop_and_forget(host, observed.manager, service, now);
    if !observed.store_exists {
        plan.extend([Step::RemoveEmptyStore(service.config.db.clone())]);
    }
    let path = service.record_path.clone();
    match (host.read(&path)?, observed.record_text.clone()) {
        (before, Some(after)) => plan.write(path, 0o600, before, after),
        (Some(before), None) => plan.extend([Step::Remove { path, before }]),
        (None, None) => {}
    }
    Ok(plan)
}
