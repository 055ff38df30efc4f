//! What was seen of one service, as a row, as lines, as data.

use hephd::{
    clock::{ago, span},
    config::is_loopback,
    error::Result,
    op::Heads,
    record::Role,
    report::Warning,
    rpc::status::{Access, SyncStatus},
};
use serde_json::{Value, json};
use url::Url;

use super::Wanted;
use crate::{
    health::{self, Answers},
    host::Host,
    service::Service,
    service_manager::{Manager, Running, process::UNSUPERVISED},
    table::bytes,
};

/// What was seen of one service.
pub(super) struct Seen {
    pub(super) service: Service,
    pub(super) running: Running,
    pub(super) answers: Answers,
    /// A device has what its hub has: as of its last cycle, or, where the hub
    /// is seen as well, as of now.
    pub(super) equal: Option<bool>,
    /// Where its log is, in words.
    pub(super) log_place: String,
}

impl Seen {
    pub(super) fn of(host: &Host, service: Service) -> Result<Self> {
        let (manager, running) = Manager::look(host, &service)?;
        let log_place = manager.log_place(host, &service);
        let answers = running.pid.map_or_else(Answers::default, |pid| health::ask(&service, pid));
        let equal = answers.sync.as_ref().and_then(|sync| sync.equal);
        Ok(Self { service, running, answers, equal, log_place })
    }

    /// Compares a device with its hub, where both are on this machine.
    pub(super) fn compare(&mut self, all: &[(u16, Heads)]) {
        let url = self.service.config.hub_url.as_ref().filter(|url| is_loopback(url));
        let port = url.and_then(Url::port_or_known_default);
        let hub = all.iter().find(|(hub, _)| Some(*hub) == port);
        if let (Some((_, hub)), Some(sync)) = (hub, &self.answers.sync) {
            self.equal = Some(sync.heads == *hub);
        }
    }

    /// A hub's port, and what it holds.
    pub(super) fn hub_heads(&self) -> Option<(u16, Heads)> {
        let port = self.service.probe_address()?.port();
        Some((port, self.answers.sync.as_ref()?.heads.clone()))
    }

    pub(super) fn is(&self, wanted: Wanted) -> bool {
        let spoke = self.service.config.hub_url.is_some();
        let sync = self.answers.sync.as_ref();
        self.is_ready()
            && match wanted {
                Wanted::Ready => true,
                _ if !spoke => true,
                Wanted::Synced => {
                    sync.is_some_and(|s| s.last_success.is_some() && s.last_error.is_none())
                }
                Wanted::Equal => self.equal == Some(true),
            }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.running.pid.is_some() && self.answers.trouble.is_none()
    }

    /// What keeps it from being well. A device without its hub is well: it
    /// was made for that.
    pub(super) fn unwell(&self) -> Option<String> {
        let sync = self.answers.sync.as_ref();
        let failing = sync.filter(|sync| matches!(sync.word(), "auth" | "failing"));
        match (&self.answers.trouble, self.running.pid) {
            (_, None) => Some(format!("it is {}", self.running.state)),
            (Some(trouble), _) => Some(trouble.message.clone()),
            _ => failing.and_then(|sync| Some(sync.last_error.as_ref()?.message.clone())),
        }
    }

    /// It runs, and only a person can let it sync.
    pub(super) fn wants_login(&self) -> bool {
        self.is_ready() && self.answers.sync.as_ref().is_some_and(|sync| sync.auth_failure)
    }

    /// One word on how it is.
    fn health(&self) -> &'static str {
        let sync = self.answers.sync.as_ref();
        match (&self.answers.trouble, self.running.pid) {
            (_, None) => "-",
            (Some(trouble), _) => trouble.word,
            _ if sync.and_then(|sync| sync.access.as_ref()).is_some_and(Access::lets_nobody_in) => {
                "no-keys"
            }
            _ => match sync.map(SyncStatus::word) {
                Some(word @ ("auth" | "offline" | "failing")) => word,
                _ => "ok",
            },
        }
    }

    fn address(&self) -> String {
        match self.service.record.role {
            Role::Hub => self.service.config.http_addr.to_string(),
            Role::Spoke => self.service.config.socket.file_name().map_or_else(
                || self.service.config.socket.display().to_string(),
                |name| name.to_string_lossy().into_owned(),
            ),
        }
    }

    fn uptime(&self, host: &Host) -> Option<u64> {
        let now = host.machine.clock.now_ms() / 1000;
        self.running.since.map(|since| now.saturating_sub(since))
    }

    pub(super) fn row(&self, host: &Host) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let health = self.answers.health.as_ref();
        vec![
            self.service.label().to_owned(),
            self.service.record.role.as_str().to_owned(),
            self.running.state.clone(),
            or_dash(health.map(|health| health.version.clone())),
            or_dash(self.running.pid.map(|pid| pid.to_string())),
            or_dash(self.uptime(host).map(span)),
            self.address(),
            self.health().to_owned(),
            or_dash(self.answers.latency.map(|time| format!("{} ms", time.as_millis().max(1)))),
        ]
    }

    /// What a person should know of a service that is well.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let mut warnings = health::access_warnings(&self.service, &self.answers);
        if self.running.state == UNSUPERVISED {
            let label = self.service.label();
            let text = format!("{label}: its supervisor is gone; mend it: heph-ops start {label}");
            warnings.push(Warning::new(UNSUPERVISED, text));
        }
        warnings
    }

    /// What stands below the row: where it is, how it syncs, what is wrong.
    pub(super) fn lines(&self, host: &Host) -> Vec<String> {
        let config = &self.service.config;
        let size =
            std::fs::metadata(&config.db).map_or_else(|_| "missing".to_owned(), |m| bytes(m.len()));
        let mut lines = vec![format!("  → {}, {size}", config.db.display())];
        if let Some(sync) = &self.answers.sync {
            lines.extend(self.sync_line(sync, host));
        }
        if let Some(trouble) = &self.answers.trouble {
            lines.push(format!("  ! {}", trouble.message));
        }
        if self.running.pid.is_none() {
            let why =
                self.running.result.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            let mend = if config.db.exists() {
                format!("heph-ops start {}", self.service.label())
            } else {
                "its store is gone: put it back first".to_owned()
            };
            lines.push(format!("  ! not running{why}: {mend}"));
        }
        lines
    }

    fn sync_line(&self, sync: &SyncStatus, host: &Host) -> Vec<String> {
        let (ops, devices) = (sync.heads.entries(), count(sync.heads.0.len(), "device"));
        let held = format!("{ops} ops from {devices} · {}", digest(sync));
        let Some(url) = &sync.hub_url else {
            let owner = sync.owner_id.as_deref().unwrap_or("none yet");
            let bound = match &sync.access {
                Some(Access { issuer: Some(_), claimed: true, .. }) => ", bound",
                Some(Access { issuer: Some(_), .. }) => ", unclaimed",
                Some(_) => ", no login needed",
                None => "",
            };
            return vec![format!("  → {held} · owner {owner:.8}{bound}")];
        };
        let last = sync.last_success.as_deref().map_or_else(
            || "no sync yet".to_owned(),
            |at| {
                format!(
                    "last good sync {} ago",
                    ago(at, host.machine.clock.now_ms()).unwrap_or_default()
                )
            },
        );
        let equal = match self.equal {
            Some(true) => "replicas equal".to_owned(),
            Some(false) => format!("replicas differ, {} ops unsent", sync.unsent_ops),
            None if sync.hub_heads.is_none() => "the hub's not known yet".to_owned(),
            None => format!("{} ops unsent", sync.unsent_ops),
        };
        let mut lines = vec![format!("  → {url} · {last}"), format!("  → {held} · {equal}")];
        lines.extend(sync.last_error.iter().map(|error| format!("  ! {}", error.told())));
        if sync.pending_conflicts > 0 {
            let conflicts = usize::try_from(sync.pending_conflicts).unwrap_or(usize::MAX);
            lines.push(format!("  ! {}: both versions are kept", count(conflicts, "conflict")));
        }
        lines
    }

    pub(super) fn data(&self, host: &Host) -> Value {
        let health = self.answers.health.as_ref();
        let sync = self.answers.sync.as_ref();
        json!({
            "label": self.service.label(),
            "role": self.service.record.role.as_str(),
            "manager": self.service.record.manager.as_str(),
            "state": self.running.state,
            "pid": self.running.pid,
            "restarts": self.running.restarts,
            "result": self.running.result,
            "version": health.map(|health| &health.version),
            "instance": health.map(|health| &health.instance),
            "uptime_secs": self.uptime(host),
            "address": match self.service.record.role {
                Role::Hub => json!(self.service.config.http_addr.to_string()),
                Role::Spoke => json!(self.service.config.socket),
            },
            "socket": self.service.config.socket,
            "db": self.service.config.db,
            "health": self.health(),
            "trouble": self.answers.trouble.as_ref().map(|trouble| &trouble.message),
            "latency_secs": self.answers.latency.map(|latency| latency.as_secs_f64()),
            "equal": self.equal,
            "sync": sync,
        })
    }
}

/// The same on two replicas exactly where they hold the same ops.
fn digest(sync: &SyncStatus) -> String {
    let owner = sync.owner_id.as_deref().and_then(|owner| owner.parse().ok());
    let digest = owner.map(|owner| sync.heads.digest(&owner).to_string());
    digest.map_or_else(|| "no heads".to_owned(), |digest| format!("heads {}", &digest[..8]))
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
