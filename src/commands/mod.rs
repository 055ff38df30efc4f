//! One verb, one file: its arguments, what it observes, what it plans, what
//! it reports.

pub mod backup;
pub mod connect;
pub mod drill;
pub mod install_service;
pub mod logs;
pub mod render;
pub mod restore;
pub mod seed;
pub mod snapshot;
pub mod start;
pub mod status;
pub mod stop;
pub mod uninstall_service;
pub mod verify;
pub mod which_store;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::builder::{PathBufValueParser, TypedValueParser};
use hephd::{error::Result, report::Report};
use serde_json::{Value, json};

use crate::{
    health::{self, Ready},
    host::Host,
    plan::Plan,
    service::Service,
    service_manager::Manager,
    ssh::Address,
};

/// A path of this machine. `nas:backups` would be a folder here, and whoever says
/// so means another machine, as with `--from`.
pub fn path_here() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        let elsewhere = path
            .to_str()
            .is_some_and(|words| words.contains("://") || Address::from_words(words).is_some());
        let here = Path::new(".").join(&path);
        match elsewhere {
            true => Err(format!("this writes on this machine; here it is {}", here.display())),
            false => Ok(path),
        }
    })
}

/// A store's file, named as one: `DIR/` would become a file of that name.
pub fn file_name() -> impl TypedValueParser<Value = PathBuf> {
    path_here().try_map(|path| {
        let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let example = path.join("heph.db");
        match is_folder {
            true => Err(format!("that names a folder; name the file: {}", example.display())),
            false => Ok(path),
        }
    })
}

/// How to do it; these flags stand on every command.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub struct How {
    /// Change nothing; say what would be done
    #[arg(long, alias = "dry-run", global = true)]
    pub check: bool,
    /// Show what changes in each file
    #[arg(long, global = true)]
    pub diff: bool,
}

/// How long to wait for a service.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Patience {
    /// Give a service this long to be ready
    #[arg(long, default_value_t = 60, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// It must stay so for this long
    #[arg(long, default_value_t = 1000, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub settle_ms: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { timeout: 60, settle_ms: 1000 }
    }
}

impl Patience {
    /// Waits until a service is ready and settled.
    ///
    /// # Errors
    /// `not_ready`, `crash_loop`.
    pub fn wait(self, host: &Host, manager: Manager, service: &Service) -> Result<Ready> {
        let settle = Duration::from_millis(self.settle_ms);
        health::wait_until_ready(host, manager, service, self.timeout(), settle)
    }

    /// The longest wait.
    #[must_use]
    pub const fn timeout(self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// A report of a plan that was carried out, or with `--check` would be.
#[must_use]
pub fn report_plan(how: How, plan: &Plan, status: &str, data: Value) -> Report {
    let mut report = Report::new(status, !plan.is_empty(), data);
    report.check = how.check;
    if how.diff {
        report.diff = Some(plan.diff());
        report.lines = plan.diff_lines();
    }
    if how.check {
        report.lines.extend(plan.steps.iter().map(|step| format!("  would {}", step.describe())));
        if plan.is_empty() {
            report.lines.push("✓ nothing to do".to_owned());
        }
    }
    report
}

/// What there is to say about a service that is ready.
#[must_use]
pub fn ready_data(service: &Service, ready: &Ready) -> Value {
    json!({
        "label": service.label(),
        "role": service.record.role.as_str(),
        "manager": service.record.manager.as_str(),
        "pid": ready.pid,
        "ready_secs": ready.took.as_secs_f64(),
        "db": service.config.db,
        "socket": service.config.socket,
        "record": service.record_path,
    })
}

/// "in 0.4 s, steady for 1.0 s".
#[must_use]
pub fn timing(ready: &Ready, patience: Patience) -> String {
    let (took, settle) = (ready.took.as_secs_f64(), patience.settle_ms as f64 / 1000.0);
    format!("ready in {took:.1} s, steady for {settle:.1} s (pid {})", ready.pid)
}
