//! What an install does, in order. Whoever is cut off in between leaves the old
//! service or the new one, and a note of what to go back to; the next run
//! goes by what it finds.

use std::path::{Path, PathBuf};

use hephd::{
    error::Result,
    store::{Birth, file::folder},
};

use super::{args::Args, observed::Observed};
use crate::{
    host::{Host, staged},
    plan::{Plan, Step},
    service::Service,
    service_manager::{Running, linger},
};

pub(super) fn plan(
    args: &Args,
    host: &Host,
    service: &Service,
    observed: &Observed,
) -> Result<Plan> {
    let Observed { manager, running, .. } = observed;
    let mut plan = Plan::default();
    if observed.no_user {
        plan.extend(make_user(service));
    }
    record(&mut plan, service, observed)?;
    let owner = service.record.run_as.clone();
    let mut folders: Vec<&Path> = Vec::new();
    if !observed.store_exists {
        folders.push(folder(&service.config.db));
    }
    folders.extend(service.jobs.iter().flat_map(|job| &job.writes).map(PathBuf::as_path));
    folders.extend(service.record.log_dir.as_deref());
    for path in folders.into_iter().filter(|path| !path.is_dir()) {
        plan.extend([Step::MakeFolder { path: path.to_owned(), owner: owner.clone() }]);
    }
    if let Some(owner) = owner.clone().filter(|_| !observed.to_give.is_empty()) {
        plan.extend([Step::Give { paths: observed.to_give.clone(), owner }]);
    }
    if !observed.store_exists {
        let (db, birth) = (service.config.db.clone(), Birth::of(&service.config));
        plan.extend([Step::CreateStore { db, birth, user: owner }]);
    }
    if observed.linger_is_off {
        plan.extend([linger::turn_on(host)]);
    }
    let wanted = manager.wanted(host, service)?;
    plan.extend(manager.install(service, &wanted, running)?);
    if !args.no_start {
        plan.extend(match manager.is_current(host, service, &wanted, running) {
            true => manager.start(host, service, running),
            false => manager.restart(host, service, running),
        });
    }
    Ok(plan)
}

fn make_user(service: &Service) -> Option<Step> {
    let name = service.record.run_as.as_deref()?;
    let home = folder(&service.config.db).display().to_string();
    let words = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", &home];
    let words = words.into_iter().chain(["--shell", "/usr/sbin/nologin", name]);
    Some(Step::Run(words.map(str::to_owned).collect()))
}

/// The record, and before it what it said until now.
fn record(plan: &mut Plan, service: &Service, observed: &Observed) -> Result<()> {
    let text = observed.record_text.clone();
    if observed.recorded.is_none() {
        plan.make_folder(service.paths().records());
    }
    let after = match &observed.recorded {
        Some(same) if *same == service.record => text.clone().unwrap_or_default(),
        _ => service.record.to_text(text.as_deref())?,
    };
    if observed.before.is_none() && text.as_ref() != Some(&after) {
        plan.extend([Step::Note {
            path: service.paths().record_before(service.label()),
            text: text.clone().unwrap_or_default(),
        }]);
    }
    plan.write(service.record_path.clone(), 0o600, text, after);
    Ok(())
}

/// It is done: there is nothing to go back to any more.
pub(super) fn finish(host: &Host, service: &Service, observed: &Observed) -> Result<Plan> {
    let mut plan = Plan::default();
    let recorded = host.read(&service.record_path)?;
    // Only root may let some people's services run without a login.
    if let Some(text) = recorded.filter(|_| service.record.enabled_linger && linger::is_off(host)) {
        let mut record = service.record.clone();
        record.enabled_linger = false;
        let after = record.to_text(Some(&text))?;
        plan.write(service.record_path.clone(), 0o600, Some(text), after);
    }
    plan.extend(forget_before(service, &observed.running));
    Ok(plan)
}

/// Forgets what to go back to, and what a write that was cut off has left.
pub(in crate::commands) fn forget_before(service: &Service, now: &Running) -> Vec<Step> {
    let note = service.paths().record_before(service.label());
    let written = [&service.record_path, &note].into_iter().chain(now.files.keys());
    let mut left: Vec<PathBuf> = written.map(|path| staged(path)).collect();
    left.push(note);
    left.into_iter().filter(|path| path.exists()).map(Step::Unnote).collect()
}

pub(super) fn status(observed: &Observed, plan: &Plan) -> &'static str {
    match &observed.recorded {
        _ if plan.is_empty() => "already_installed",
        Some(record) if record.installed => "updated",
        _ => "installed",
    }
}
