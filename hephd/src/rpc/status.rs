//! What `health` and `sync.status` answer.

use serde::{Deserialize, Serialize};

use crate::{clock::span, op::Heads};

/// Which process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Drawn at its start.
    pub instance: String,
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// `server`, `local` or `client`.
    pub mode: String,
    /// The store's file; empty for a client, which has none.
    pub db: String,
    /// Where a hub listens.
    #[serde(default)]
    pub http_addr: Option<String>,
    /// When it started, RFC 3339.
    pub started: String,
}

/// How sync stands: what last succeeded, not what is configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// `server`, `local` or `client`.
    pub mode: String,
    /// Whose data; none until a joining device has met its hub.
    pub owner_id: Option<String>,
    /// The chain that this replica appends to.
    pub origin: String,
    /// The hub; none for a hub and for a device on its own.
    pub hub_url: Option<String>,
    /// The last cycle's start, RFC 3339.
    pub last_attempt: Option<String>,
    /// The end of the last cycle that went through.
    pub last_success: Option<String>,
    /// Why the last cycle did not; none when it did.
    pub last_error: Option<SyncError>,
    /// The last error was a refused or missing login.
    pub auth_failure: bool,
    /// Nodes with more than one value in some field.
    pub pending_conflicts: u64,
    /// Ops of a kind that only a later version knows: kept and passed on.
    #[serde(default)]
    pub unknown_ops: u64,
    /// Entries here that the hub was not yet seen to have.
    pub unsent_ops: u64,
    /// Forks that this replica has healed.
    pub forks_healed: u64,
    /// The hub's clock minus this one, in seconds.
    pub clock_offset_secs: Option<f64>,
    /// The ends of the chains here.
    pub heads: Heads,
    /// The ends of the hub's chains, as last seen.
    pub hub_heads: Option<Heads>,
    /// The two are the same; none where there is no hub to compare with.
    pub equal: Option<bool>,
    /// Of a hub: who may ask it.
    #[serde(default)]
    pub access: Option<Access>,
    /// Of a hub: the devices that sync with it, by origin.
    #[serde(default)]
    pub devices: Vec<DeviceSeen>,
}

/// A device, as its hub saw it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSeen {
    /// The chain that it appends to.
    pub origin: String,
    /// The machine's name; none before it has written anything.
    pub name: Option<String>,
    /// The version of its daemon.
    pub version: String,
    /// Its last request, by the hub's clock, RFC 3339.
    pub last_seen: String,
    /// Its clock minus the hub's, then.
    pub clock_offset_ms: i64,
}

impl SyncStatus {
    /// How it stands, in one word. The first that is true is said: `auth`,
    /// `offline`, `failing`, `conflicts`, `synced`, `not_synced_yet`; `hub`
    /// and `local` where there is nobody to sync with.
    #[must_use]
    pub fn word(&self) -> &'static str {
        let error = self.last_error.as_ref().map(|error| error.code.as_str());
        match (&self.hub_url, error) {
            (Some(_), _) if self.auth_failure => "auth",
            (Some(_), Some("hub_unreachable" | "not_ready")) => "offline",
            (Some(_), Some(_)) => "failing",
            _ if self.pending_conflicts > 0 => "conflicts",
            (Some(_), None) if self.last_success.is_some() => "synced",
            (Some(_), None) => "not_synced_yet",
            (None, _) if self.mode == "server" => "hub",
            (None, _) => "local",
        }
    }
}

impl SyncStatus {
    /// Ops are ordered among those of the same moment by their clocks, so a
    /// wrong one loses nothing; it only shows odd times.
    #[must_use]
    pub fn clock_is_off(&self) -> Option<String> {
        const TOLERATED_SECS: f64 = 300.0;
        let offset = self.clock_offset_secs.filter(|offset| offset.abs() > TOLERATED_SECS)?;
        let way = if offset > 0.0 { "behind" } else { "ahead of" };
        let by = span(offset.abs() as u64);
        Some(format!(
            "this device's clock is {by} {way} the hub's; nothing is lost, but set it right"
        ))
    }
}

/// Who may ask a hub.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Access {
    /// Whose tokens count; none where nobody needs one.
    pub issuer: Option<String>,
    /// The issuer's keys are known; while they are not, nobody gets in.
    pub keys: bool,
    /// A subject is bound to the owner, so nobody else can claim it.
    pub claimed: bool,
    /// One of them is this issuer's, and can get in.
    pub reachable: bool,
    /// It listens on more than this machine.
    pub exposed: bool,
    /// `--insecure-no-auth` was said.
    pub insecure: bool,
}

impl Access {
    /// Its provider never gave its keys.
    #[must_use]
    pub const fn lets_nobody_in(&self) -> bool {
        self.issuer.is_some() && !self.keys
    }

    /// What a person should know, as codes and lines; the worst first.
    pub fn warnings(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        let (oidc, open) = (self.issuer.is_some(), self.issuer.is_none());
        [
            (oidc && !self.keys).then_some((
                "provider_silent",
                "the OpenID provider never gave its keys, so nobody gets in; the hub's log says why",
            )),
            (oidc && self.claimed && !self.reachable).then_some((
                "owner_elsewhere",
                "its owner is known at another issuer, so nobody gets in: name them at this one \
                 with --owner-sub",
            )),
            (oidc && !self.claimed).then_some((
                "hub_unclaimed",
                "nobody has claimed this hub: the first who logs in owns it; log in, or name \
                 the owner with --owner-sub",
            )),
            (open && (self.exposed || self.claimed)).then_some((
                "no_authentication",
                "--insecure-no-auth: everybody who reaches this hub may read and write",
            )),
            (oidc && self.insecure).then_some((
                "insecure_no_auth_waits",
                "--insecure-no-auth does nothing beside --oidc-issuer, and opens the hub once that \
                 is gone: --unset insecure-no-auth",
            )),
        ]
        .into_iter()
        .flatten()
    }
}

/// Why a cycle failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncError {
    /// The stable slug.
    pub code: String,
    /// One line.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl SyncError {
    /// One line for people. A login that ended says nothing without what to do.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.hint {
            Some(hint) if self.code == "auth_failed" => format!("{}: {hint}", self.message),
            _ => self.message.clone(),
        }
    }
}
