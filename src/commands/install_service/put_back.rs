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
    (done, error): (&[Step], Error),
) -> Error {
    // The signal that may have brought us here has been heard.
    let _ = host.interrupted();
    let undone = undo(args, host, service, observed, done);
    let mut error = error.after_attempt();
    match undone {
        Ok(what) => error.message = format!("{}\n  {what}", error.message),
        Err(again) => {
            error.message = format!("{}\n  and putting it back failed: {again}", error.message);
        }
    }
    error
}

fn undo(
    args: &Args,
    host: &Host,
    service: &Service,
    observed: &Observed,
    done: &[Step],
) -> Result<&'static str> {
    // An install that was cut off left what stood before it.
    let before = observed.before.clone().or(observed.record_text.clone()).unwrap_or_default();
    let previous = match before.is_empty() {
        true => None,
        false => Some(Record::parse(&before, &service.record_path)?).filter(|r| r.installed),
    };
    let now = observed.manager.observe(host, service)?;
    let Some(previous) = previous else {
        host.apply_all(&remove_again(host, service, observed, &now, (done, before))?)?;
        return Ok("the service was removed again");
    };
    let previous = Service::new(host, previous)?;
    let manager = Manager::of(host, &previous)?;
    let mut plan = Plan::default();
    plan.write(previous.record_path.clone(), 0o600, host.read(&previous.record_path)?, before);
    let wanted = manager.wanted(host, &previous)?;
    plan.extend(manager.install(&previous, &wanted, &now)?);
    // Between two crashes it is to come back as well.
    let ran_before = !observed.running.is_over() || observed.before.is_some();
    plan.extend(match ran_before {
        true if manager.is_current(host, &previous, &wanted, &now) => {
            manager.start(host, &previous, &now)
        }
        true => manager.restart(host, &previous, &now),
        false => manager.stop(host, &previous, &now),
    });
    plan.extend(forget_before(service, &now));
    plan.extend(give_back(done));
    host.apply_all(&plan)?;
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
    (done, before): (&[Step], String),
) -> Result<Plan> {
    let mut plan = uninstall_service::stop_and_forget(host, observed.manager, service, now);
    plan.extend(give_back(done));
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

/// What was made and is of no use to anybody, and what was given away.
fn give_back(done: &[Step]) -> Vec<Step> {
    let back = |step: &Step| match step {
        Step::CreateStore { db, .. } => Some(Step::RemoveEmptyStore(db.clone())),
        Step::MakeFolder { path, owner: Some(_) } => Some(Step::RemoveEmptyFolder(path.clone())),
        Step::Give { paths, .. } => {
            Some(Step::Give { paths: paths.clone(), owner: "root".to_owned() })
        }
        _ => None,
    };
    done.iter().rev().filter_map(back).collect()
}
