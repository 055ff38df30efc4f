//! `heph-ops connect`: a device joins a hub, in one command.
//!
//! 1. It looks, and refuses: another hub, another owner, no hub, no provider.
//! 2. The device's service is installed, as `install-service` does it.
//! 3. A person logs in, where the hub asks for that and nobody is.
//! 4. It waits until both hold the same, and shows that.
//!
//! Each step goes by what it finds, so that a second run has nothing to do, and
//! one that was cut off is gone on with. What step 2 installed stays when a
//! later one fails: it is whole, and it may be the person who was too slow.

mod args;
mod before;
mod equal;
mod hub;
mod login;
mod told;

use std::time::{Duration, Instant};

use hephd::{
    error::{Code, Error, Result},
    report::{Report, Style, Warning},
    rpc::status::SyncStatus,
};
use serde_json::{Value, json};

pub use self::args::Args;
use self::{before::Before, hub::Hub, login::LoggedIn, told::Teller};
use super::{How, install_service};
use hephd::report::thousands;

use crate::{host::Host, service::Service};

/// How much of a hash or id is shown to people.
const SHORT: usize = 8;

/// Joins.
///
/// # Errors
/// `hub_unreachable`, `not_ready`, `auth_failed` (3) where the hub or its
/// provider is not there, before anything is touched; `owner_mismatch`,
/// `unit_foreign`, `not_supported` (4); those of `install-service`. What fails
/// later makes the report end with its error.
pub fn run(args: &Args, how: How, style: Style, host: &Host) -> Result<Report> {
    let begun = Instant::now();
    let install = args.install()?;
    install_service::go_on_as_person(&install, how, host)?;
    let before = Before::look(&install, host)?;
    let hub = Hub::look(host, &before.service.config)?;
    before.refuse_another_owner(&hub, host)?;
    let wants_login = before.wants_login(&hub);
    if wants_login {
        hub.check_provider(host)?;
    }
    if how.check {
        let planned = install_service::run(&install, how, host)?;
        return Ok(would(&hub, planned, wants_login));
    }
    let mut teller = Teller::new(style);
    teller.done(&hub.line(), &event("hub", hub.data()));
    let installed = install_service::run(&install, how, host)?;
    let service = Service::find(host, Some(before.service.label()))?;
    let until = begun + Duration::from_secs(args.timeout);
    let joining = Joining { host, style, service, before, hub, begun, until, teller };
    joining.go_on(installed, args)
}

/// What would be done.
fn would(hub: &Hub, planned: Report, wants_login: bool) -> Report {
    let changed = planned.changed || wants_login;
    let data = json!({ "hub": hub.data(), "service": planned.data, "login": wants_login });
    let mut report = Report { data, changed, ..planned };
    report.status = if changed { "connected" } else { "already_connected" }.to_owned();
    report.lines.retain(|line| !(changed && line.starts_with('✓')));
    report.lines.insert(0, hub.line());
    if let Some(issuer) = hub.issuer.as_ref().filter(|_| wants_login) {
        report.lines.push(format!("  would let you log in at {issuer}"));
    }
    if changed {
        report.lines.push("  would wait until both hold the same".to_owned());
    }
    report
}

/// A device whose service is installed.
struct Joining<'a> {
    host: &'a Host,
    style: Style,
    service: Service,
    before: Before,
    hub: Hub,
    begun: Instant,
    until: Instant,
    teller: Teller,
}

impl Joining<'_> {
    fn go_on(mut self, installed: Report, args: &Args) -> Result<Report> {
        self.tell_service(&installed);
        let mut login = None;
        let joined = self.join(&mut login);
        self.teller.still();
        let changed = installed.changed || login.is_some();
        let mut data = json!({ "hub": self.hub.data(), "service": installed.data });
        data["login"] = login.as_ref().map_or(Value::Null, |login| json!(login.status));
        let mut report = Report { diff: installed.diff, ..Report::new("connected", changed, data) };
        report.warnings = installed.warnings;
        report.warnings.extend(login.into_iter().flat_map(|login| login.warnings));
        match joined {
            Ok(status) => Ok(self.prove(report, &status)),
            Err(error) if error.code == Code::OwnerMismatch => {
                self.before.put_back(self.host)?;
                Err(self.before.another_owner(&self.hub.url))
            }
            Err(error) => {
                report.status = "failed".to_owned();
                report.error = Some(self.stays(error, args));
                Ok(report)
            }
        }
    }

    fn tell_service(&mut self, installed: &Report) {
        if installed.changed {
            let line = installed.lines.iter().find_map(|line| line.strip_prefix("✓ "));
            let line = format!("✓ service   {}", line.unwrap_or(self.service.label()));
            self.teller.done(&line, &event("service", installed.data.clone()));
        }
    }

    /// A login that the hub takes is not asked for again. One that it does not
    /// take is seen only now.
    fn join(&mut self, login: &mut Option<LoggedIn>) -> Result<SyncStatus> {
        let asks = self.hub.issuer.is_some();
        if asks && !before::ask(&self.service.config.socket)?.0.logged_in {
            *login = Some(self.log_in()?);
        }
        match self.wait() {
            Err(error) if error.code == Code::AuthFailed && asks && login.is_none() => {
                *login = Some(self.log_in()?);
                self.wait()
            }
            ended => ended,
        }
    }

    fn log_in(&mut self) -> Result<LoggedIn> {
        self.teller.still();
        let login = login::log_in(self.host, self.style, &self.service, self.until)?;
        if !self.style.json {
            // With --json the login has told that by itself.
            self.teller.done(&login.line(), &Value::Null);
        }
        Ok(login)
    }

    fn wait(&mut self) -> Result<SyncStatus> {
        equal::wait(self.host, &self.service, &mut self.teller, self.until)
    }

    fn prove(&self, mut report: Report, status: &SyncStatus) -> Report {
        let took = self.begun.elapsed().as_secs_f64();
        let (ops, devices) = (status.heads.entries(), status.heads.0.len());
        let owner = status.owner_id.as_deref().unwrap_or_default();
        let digest = owner.parse().map(|owner| status.heads.digest(&owner).to_string());
        let digest = digest.unwrap_or_default();
        let name = &self.host.machine.name;
        for (key, value) in [
            ("equal", json!(true)),
            ("ops", json!(ops)),
            ("devices", json!(devices)),
            ("heads", json!(digest)),
            ("owner_id", json!(owner)),
            ("origin", json!(status.origin)),
            ("name", json!(name)),
            ("clock_offset_secs", json!(status.clock_offset_secs)),
            ("took_secs", json!(took)),
        ] {
            report.data[key] = value;
        }
        let off = status.clock_is_off().map(|off| Warning::new("clock_off", off));
        report.warnings.extend(off);
        let plural = if devices == 1 { "" } else { "s" };
        let held = format!(
            "{} ops from {devices} device{plural}, heads {}",
            thousands(ops),
            digest.get(..SHORT).unwrap_or(&digest)
        );
        if !report.changed {
            report.status = "already_connected".to_owned();
            return report.line(format!("✓ equal     {held}: already connected, nothing to do"));
        }
        report
            .line(format!("✓ equal     {held}, {took:.1} s"))
            .line(format!("  owner     {owner}"))
            .line(format!("  device    {name}, origin {}", status.origin))
    }

    /// What a person should know of a failure after the service was installed,
    /// and what to do from here.
    fn stays(&self, mut error: Error, args: &Args) -> Error {
        let (label, again) = (self.service.label(), args.again());
        let go_on = format!("{label} stays installed; to go on: {again}");
        if matches!(error.code, Code::Interrupted | Code::Terminated) {
            return Error::new(error.code, "interrupted; what was done by then is whole", go_on);
        }
        error.hint = match error.hint.as_str() {
            "heph auth login" => go_on,
            hint => hint
                .replace("heph auth login", &again)
                .replace(" --client-id ", " --oidc-client-id "),
        };
        error
    }
}

fn event(name: &str, mut data: Value) -> Value {
    data["event"] = json!(name);
    data
}
