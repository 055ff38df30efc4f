//! `heph-ops install-service`: renders a service, installs it, (re)starts it
//! and waits until it is ready.
//!
//! What is named is laid over what is recorded, so a later install with fewer
//! flags drops none. What is so already is not touched, and nobody is
//! restarted for it. A service that does not get ready is put back: the
//! previous one runs again, or, at a first install, nothing stays but its log.

use std::path::PathBuf;

use hephd::{
    args::Flags,
    error::{Code, Error, Result},
    record::{ManagerKind, Record, Role, Scope},
    report::{Report, Warning},
    store::{Birth, file},
};
use serde_json::{Value, json};

mod put_back;
mod wanted;

use self::{put_back::put_back, wanted::wanted};
use super::{How, Patience, ready_data, report_plan, timing};
use crate::{
    health::{self, Ready},
    host::Host,
    plan::{Plan, Step},
    service::{Service, default_label},
    service_manager::{Manager, Running},
};

/// Install a service, start it, wait until it is ready
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What it is for
    #[arg(long, value_enum)]
    pub role: Role,
    /// Its name [default: heph-hub, heph-spoke]
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// What runs it [default: as recorded, else auto]
    #[arg(long, value_enum, value_name = "MANAGER")]
    pub manager: Option<ManagerChoice>,
    /// Whose service it is [default: system for root, else user]
    #[arg(long, value_enum, value_name = "SCOPE")]
    pub scope: Option<Scope>,
    /// The hephd to run [default: as recorded, else the one beside heph-ops]
    #[arg(long, value_name = "PATH")]
    pub bin: Option<PathBuf>,
    /// Keep a device's login in the system's keyring rather than in a file
    #[arg(long, conflicts_with = "token_file")]
    pub keyring: bool,
    /// Set a variable of its environment
    #[arg(long, value_name = "K=V", value_parser = parse_env)]
    pub env: Vec<(String, String)>,
    /// What is not named goes back to its default
    #[arg(long)]
    pub exact: bool,
    /// Take a recorded flag away, for example --unset web-root
    #[arg(long, value_name = "FLAG")]
    pub unset: Vec<String>,
    /// Install, but do not start
    #[arg(long)]
    pub no_start: bool,
    /// Print the unit and do nothing
    #[arg(long)]
    pub print: bool,
    #[command(flatten)]
    patience: Patience,
    /// hephd's own flags
    #[command(flatten, next_help_heading = "Flags of hephd")]
    pub flags: Flags,
}

/// What may run a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ManagerChoice {
    /// systemd where it answers, else process
    Auto,
    /// systemd
    Systemd,
    /// A detached process; nothing starts it again after a crash
    Process,
}

impl Args {
    /// A role and nothing else said.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            label: None,
            manager: None,
            scope: None,
            bin: None,
            keyring: false,
            env: Vec::new(),
            exact: false,
            unset: Vec::new(),
            no_start: false,
            print: false,
            patience: Patience::default(),
            flags: Flags::default(),
        }
    }
}

fn parse_env(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give it as NAME=VALUE".to_owned()),
    }
}

/// What is there before anything is done.
struct Observed {
    recorded: Option<Record>,
    record_text: Option<String>,
    manager: Manager,
    running: Running,
    store_exists: bool,
}

/// Installs.
///
/// # Errors
/// What hephd refuses of the flags (2); `store_missing`, `port_in_use`,
/// `unit_foreign`, `no_service_manager` (4), nothing touched; `not_ready`,
/// `crash_loop` after everything was put back (1).
pub fn run(args: &Args, how: How, host: &Host) -> Result<Report> {
    let label = args.label.clone().unwrap_or_else(|| default_label(args.role).to_owned());
    check_label(&label)?;
    let look = || {
        let recorded = Record::load(&host.record_folder(), &label)?;
        let wanted = wanted(args, host, label.clone(), recorded.as_ref())?;
        Ok::<_, Error>((Service::new(host, wanted)?, recorded))
    };
    // What makes no sense is refused before anything is locked.
    let (service, _) = look()?;
    if args.print {
        return print(args, &service);
    }
    let _alone = host.alone_with(&label, how.check)?;
    let (service, recorded) = look()?;
    let observed = observe(host, &service, recorded)?;
    let plan = plan(args, host, &service, &observed)?;
    let status = status(&observed, &plan);
    if how.check {
        let data = json!({ "label": service.label(), "record": service.record_path });
        return Ok(report_plan(how, &plan, status, data));
    }
    let ready = match apply(args, host, &service, observed.manager, &plan) {
        Ok(ready) => ready,
        Err(error) => return Err(put_back(args, host, &service, &observed, error)),
    };
    let data = ready.as_ref().map_or_else(|| json!({}), |ready| ready_data(&service, ready));
    let mut report = report_plan(how, &plan, status, with_kept(data, &kept(args, &observed)));
    report.warnings = warnings(&service, &plan);
    report
        .warnings
        .extend(ready.iter().flat_map(|ready| health::access_warnings(&service, &ready.answers)));
    Ok(describe(args, report, &service, ready.as_ref(), &observed))
}

fn check_label(label: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if (1..=100).contains(&label.len()) && label.chars().all(fine) && !label.starts_with('.') {
        return Ok(());
    }
    Err(Error::usage(
        format!("--label {label:?} is not a service's name"),
        "use letters, digits, - _ . @, for example heph-hub",
    ))
}

/// The unit, for any machine: no path is looked at, no manager asked.
fn print(args: &Args, service: &Service) -> Result<Report> {
    let text = match args.manager {
        Some(ManagerChoice::Process) => service.argv.join(" "),
        _ => crate::unit::systemd(service)?,
    };
    let report = Report::new("printed", false, json!({ "text": text }));
    Ok(text.lines().fold(report, Report::line))
}

fn observe(host: &Host, service: &Service, recorded: Option<Record>) -> Result<Observed> {
    service.config.check_files()?;
    refuse_other_manager(service, recorded.as_ref())?;
    refuse_anothers_store(host, service)?;
    let manager = Manager::of(host, service)?;
    let running = manager.observe(host, service)?;
    let db = &service.config.db;
    // Once installed, a store that is missing is a disk that is not mounted.
    let first = recorded.as_ref().is_none_or(|record| !record.installed);
    let may_make_one = first && service.record.role == Role::Spoke;
    if file::folder(db).is_dir() {
        file::check_place(db)?;
    }
    let store_exists = db.exists();
    if !store_exists && !may_make_one {
        return Err(missing(service));
    }
    if !service.record.bin.is_file() {
        return Err(Error::new(
            Code::SourceNotFound,
            format!("there is no hephd at {}", service.record.bin.display()),
            "name it: --bin PATH",
        ));
    }
    check_port(service, recorded.as_ref(), &running)?;
    let record_text = host.read(&service.record_path)?;
    Ok(Observed { recorded, record_text, manager, running, store_exists })
}

/// A device has all that it needs to know at its hub; a hub has not.
fn missing(service: &Service) -> Error {
    let mut error = hephd::store::missing(&service.config.db);
    if service.config.hub_url.is_some() {
        error.hint = format!(
            "mount its disk; or have all from the hub again: heph-ops uninstall-service {0}, then install {0}",
            service.label()
        );
    }
    error
}

/// One store, one service.
fn refuse_anothers_store(host: &Host, service: &Service) -> Result<()> {
    let others = Service::all(host).into_iter().flatten();
    let mut others = others.filter(|other| other.label() != service.label());
    match others.find(|other| other.config.db == service.config.db) {
        Some(other) => Err(Error::new(
            Code::StoreInUse,
            format!("{} is the store of {}", service.config.db.display(), other.label()),
            "give this service a store of its own: --db PATH; see heph-ops seed",
        )),
        None => Ok(()),
    }
}

/// The old manager would still have the service.
fn refuse_other_manager(service: &Service, recorded: Option<&Record>) -> Result<()> {
    let other = recorded.filter(|r| r.installed && r.manager != service.record.manager);
    let Some(other) = other else { return Ok(()) };
    let (label, manager) = (service.label(), other.manager.as_str());
    Err(Error::new(
        Code::UnitForeign,
        format!("{label} is run by {manager}"),
        format!("uninstall it there first: heph-ops uninstall-service {label}"),
    ))
}

/// A port that somebody else has is found out before anything is touched. The
/// port that the service has already is its own to listen on otherwise.
fn check_port(service: &Service, recorded: Option<&Record>, running: &Running) -> Result<()> {
    let before = recorded.and_then(|record| record.flags.check(record.role.mode()).ok());
    let same = before.is_some_and(|b| b.http_addr.port() == service.config.http_addr.port());
    if service.record.role == Role::Hub && !(same && running.pid.is_some()) {
        hephd::port::listen(service.config.http_addr)?;
    }
    Ok(())
}

fn plan(args: &Args, host: &Host, service: &Service, observed: &Observed) -> Result<Plan> {
    let Observed { recorded, record_text, manager, running, store_exists } = observed;
    let mut plan = Plan::default();
    if recorded.is_none() {
        plan.extend([Step::MakeFolder(host.record_folder())]);
    }
    let text = match recorded {
        Some(same) if *same == service.record => record_text.clone().unwrap_or_default(),
        _ => service.record.to_text()?,
    };
    plan.write(service.record_path.clone(), 0o600, record_text.clone(), text);
    if !store_exists {
        let db = service.config.db.clone();
        plan.extend([
            Step::MakeFolder(file::folder(&db).to_owned()),
            Step::CreateStore { db, birth: Birth::of(&service.config) },
        ]);
    }
    plan.extend(manager.install(host, service, running)?);
    if !args.no_start {
        plan.extend(if running.pid.is_none() {
            manager.start(host, service, running)
        } else if manager.is_current(host, service, running)? {
            vec![]
        } else {
            manager.restart(host, service, running)
        });
    }
    Ok(plan)
}

fn status(observed: &Observed, plan: &Plan) -> &'static str {
    match &observed.recorded {
        _ if plan.is_empty() => "already_installed",
        Some(record) if record.installed => "updated",
        _ => "installed",
    }
}

fn apply(
    args: &Args,
    host: &Host,
    service: &Service,
    manager: Manager,
    plan: &Plan,
) -> Result<Option<Ready>> {
    host.apply(plan)?;
    if args.no_start {
        return Ok(None);
    }
    args.patience.wait(host, manager, service).map(Some)
}

fn warnings(service: &Service, plan: &Plan) -> Vec<Warning> {
    let unsupervised = service.record.manager == ManagerKind::Process && !plan.is_empty();
    let text =
        "there is no service manager here: nothing starts it again after a crash or a reboot";
    unsupervised.then(|| Warning::new("no_supervisor", text)).into_iter().collect()
}

/// The recorded flags that were not named this time, and stand.
fn kept(args: &Args, observed: &Observed) -> Vec<String> {
    let recorded = observed.recorded.as_ref().filter(|_| !args.exact);
    let table = |flags: &Flags| flags.to_table().unwrap_or_default();
    let named = table(&args.flags);
    let recorded = recorded.map(|record| table(&record.flags)).unwrap_or_default();
    let stands = |name: &&String| {
        !named.contains_key(*name)
            && !args.unset.iter().any(|u| u.trim_start_matches("--") == *name)
    };
    recorded.keys().filter(stands).map(|name| format!("--{name}")).collect()
}

fn with_kept(mut data: Value, kept: &[String]) -> Value {
    data["kept"] = json!(kept);
    data
}

fn describe(
    args: &Args,
    report: Report,
    service: &Service,
    ready: Option<&Ready>,
    observed: &Observed,
) -> Report {
    let label = service.label();
    let done = report.status.replace('_', " ");
    let state = match ready {
        Some(ready) => timing(ready, args.patience),
        None => "not started".to_owned(),
    };
    let report = report
        .line(format!("✓ {label} {done}, {state}"))
        .line(format!("  manager   {}", service.record.manager.as_str()))
        .line(format!("  store     {}", service.config.db.display()))
        .line(format!("  record    {}", service.record_path.display()));
    match kept(args, observed) {
        kept if kept.is_empty() => report,
        kept => {
            report.line(format!("  kept      {} (recorded, not named this time)", kept.join(" ")))
        }
    }
}
