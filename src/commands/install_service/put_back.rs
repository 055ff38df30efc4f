//! After a service that did not get ready: the machine as it was.

use hephd::{
    error::{Error, Result},
    record::Record,
};

use super::{Args, Observed, planned::forget_before};
use crate::{
    commands::uninstall_service,
    host::Host,
    plan::{Plan, Step},
    service::Service,
    service_manager::{Manager, Running, linger},
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
    // An install that was cut off left what stood before it.
    let before = observed.before.clone().or(observed.record_text.clone()).unwrap_or_default();
    let previous = match before.is_empty() {
        true => None,
        false => Some(Record::parse(&before, &service.record_path)?).filter(|r| r.installed),
    };
    let now = observed.manager.observe(host, service)?;
    let Some(previous) = previous else {
        host.apply(&remove_again(host, service, observed, &now, before)?)?;
        return Ok("the service was removed again");
    };
    let previous = Service::new(host, previous)?;
    let manager = Manager::of(host, &previous)?;
    let mut plan = Plan::default();
    plan.write(previous.record_path.clone(), 0o600, host.read(&previous.record_path)?, before);
    plan.extend(manager.install(host, &previous, &now)?);
    let ran_before = observed.running.pid.is_some() || observed.before.is_some();
    plan.extend(match ran_before {
        true if manager.is_current(host, &previous, &now)? => manager.start(host, &previous, &now),
        true => manager.restart(host, &previous, &now),
        false => manager.stop(host, &previous, &now),
    });
    plan.extend(forget_before(service, &now));
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
    before: String,
) -> Result<Plan> {
    let mut plan = uninstall_service::stop_and_forget(host, observed.manager, service, now);
    if !observed.store_exists {
        plan.extend([Step::RemoveEmptyStore(service.config.db.clone())]);
    }
    if observed.linger_is_off {
        plan.extend([linger::turn_off(host)]);
    }
    if let Some(user) = service.record.run_as.clone().filter(|_| observed.no_user) {
        plan.extend([Step::Try(vec!["userdel".to_owned(), user])]);
    }
    let path = service.record_path.clone();
    match (host.read(&path)?, before.is_empty()) {
        (standing, false) => plan.write(path, 0o600, standing, before),
        (Some(standing), true) => plan.extend([Step::Remove { path, before: standing }]),
        (None, true) => {}
    }
    plan.extend(forget_before(service, now));
    Ok(plan)
}
