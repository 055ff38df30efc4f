//! What the local socket can be asked for.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    RpcError,
    data::Data,
    status::{Access, DeviceSeen, Health, SyncStatus},
};
use crate::{
    clock::rfc3339,
    devices::Devices,
    error::{Code, Error, Result},
    id::{Origin, OwnerId},
    oidc::keys::Keys,
    op::Heads,
    replica::Replica,
    spoke::{Spoke, SyncHealth},
    store::{Store, devices::Seen},
};

/// Who answers: the replica, and the loop that syncs it where there is one.
#[derive(Debug)]
pub struct Daemon {
    /// The store.
    pub replica: Arc<Replica>,
    /// The sync loop of a device that has a hub.
    pub spoke: Option<Spoke>,
    /// What `health` says.
    pub health: Health,
    /// Who asks, where this is a hub.
    pub devices: Arc<Devices>,
    /// Who may ask, where this is a hub.
    pub gate: Option<Gate>,
}

/// Who may ask a hub, as it was told.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The keys of those whose tokens count; none where nobody needs one.
    pub keys: Option<Keys>,
    /// It listens on more than this machine.
    pub exposed: bool,
    /// `--insecure-no-auth` was said.
    pub insecure: bool,
}

impl Gate {
    fn access(self, store: &Store, owner: Option<&OwnerId>) -> Result<Access> {
        let issuer = self.keys.as_ref().map(|keys| keys.provider().issuer().to_owned());
        let bound = owner.map_or(Ok(Vec::new()), |owner| store.subjects_of(owner))?;
        Ok(Access {
            keys: self.keys.as_ref().is_some_and(Keys::has_any),
            claimed: !bound.is_empty(),
            reachable: bound.iter().any(|subject| Some(&subject.issuer) == issuer.as_ref()),
            exposed: self.exposed,
            insecure: self.insecure,
            issuer,
        })
    }
}

impl Daemon {
    /// Runs a method, for the owner that whoever asks acts for; for the
    /// replica's where nobody is named.
    ///
    /// # Errors
    /// −32601 for a method that there is not, −32602 for arguments that do
    /// not fit, else the method's own.
    pub async fn call(
        &self,
        method: &str,
        params: Value,
        acting: Option<OwnerId>,
    ) -> Result<Value, RpcError> {
        match method {
            "health" => Ok(json!(self.health)),
            "sync.status" => Ok(json!(self.sync_status(acting).await?)),
            "sync.now" => {
                self.sync_now().await?;
                Ok(json!(self.sync_status(acting).await?))
            }
            _ => {
                let called = Data { replica: &self.replica, acting }.call(method, params).await;
                called.map_err(|error| self.until_logged_in(error))
            }
        }
    }

    /// A new device waits for its hub, and a hub that wants a login waits for a
    /// person.
    fn until_logged_in(&self, mut error: RpcError) -> RpcError {
        let waits = self.spoke.as_ref().is_some_and(|spoke| spoke.health().auth_failure);
        if waits && error.data["code"] == Code::NoOwnerYet.as_str() {
            error.message =
                "this device has no owner before it has logged in; nothing was written".to_owned();
            error.data["hint"] = json!("heph auth login");
        }
        error
    }

    /// What a person should know of who may ask, where this is a hub.
    pub async fn warnings(&self) -> Vec<(&'static str, &'static str)> {
        let access = self.sync_status(None).await.ok().and_then(|status| status.access);
        access.iter().flat_map(Access::warnings).collect()
    }

    async fn sync_now(&self) -> Result<()> {
        match &self.spoke {
            Some(spoke) => spoke.sync_now().await,
            None => Err(Error::new(
                Code::NotSupported,
                "this daemon has no hub to sync with",
                "give it one: hephd --mode local --hub-url http://HOST:8787",
            )),
        }
    }

    async fn sync_status(&self, acting: Option<OwnerId>) -> Result<SyncStatus> {
        let health = self.spoke.as_ref().map(Spoke::health).unwrap_or_default();
        let mut devices = self.devices.seen();
        let mut known = SyncStatus {
            mode: self.health.mode.clone(),
            hub_url: self.spoke.as_ref().map(|spoke| spoke.hub_url.to_string()),
            ..SyncStatus::default()
        };
        let gate = self.gate.clone();
        // Another owner's devices are none of theirs.
        let all = acting.is_none();
        let describe = move |store: &Store| {
            let owner = acting.map_or_else(|| store.owner(), |owner| Ok(Some(owner)))?;
            if let (false, Some(owner)) = (all, &owner) {
                let theirs = |origin: &Origin| store.knows(owner, origin).unwrap_or(false);
                devices.retain(|origin, _| theirs(origin));
            }
            known.access = gate.map(|gate| gate.access(store, owner.as_ref())).transpose()?;
            describe(store, owner, known, health, devices)
        };
        self.replica.read(describe).await
    }
}

fn describe(
    store: &Store,
    owner: Option<OwnerId>,
    known: SyncStatus,
    health: SyncHealth,
    devices: BTreeMap<Origin, Seen>,
) -> Result<SyncStatus> {
    let heads = owner.as_ref().map_or(Ok(Heads::default()), |owner| store.heads(owner))?;
    let hub_heads = health.hub_heads;
    let unsent = match (&known.hub_url, &hub_heads) {
        (None, _) => 0,
        (Some(_), None) => heads.entries(),
        (Some(_), Some(hub)) => heads.beyond(hub),
    };
    Ok(SyncStatus {
        origin: store.origin()?.to_string(),
        last_attempt: health.last_attempt.map(rfc3339),
        last_success: health.last_success.map(rfc3339),
        last_error: health.last_error,
        auth_failure: health.auth_failure,
        pending_conflicts: owner.as_ref().map_or(Ok(0), |owner| store.conflicts(owner))?,
        unknown_ops: owner.as_ref().map_or(Ok(0), |owner| store.unknown_ops(owner))?,
        unsent_ops: unsent,
        forks_healed: store.forks_healed()?,
        clock_offset_secs: health.clock_offset_ms.map(|ms| ms as f64 / 1000.0),
        equal: hub_heads.as_ref().map(|hub| *hub == heads),
        devices: owner.as_ref().map_or(Ok(Vec::new()), |owner| name(store, owner, devices))?,
        owner_id: owner.map(|owner| owner.to_string()),
        heads,
        hub_heads,
        ..known
    })
}

fn name(
    store: &Store,
    owner: &OwnerId,
    devices: BTreeMap<Origin, Seen>,
) -> Result<Vec<DeviceSeen>> {
    let named = devices.into_iter().map(|(origin, seen)| {
        Ok(DeviceSeen {
            name: store.device_name(owner, &origin)?,
            origin: origin.into(),
            version: seen.version,
            last_seen: rfc3339(seen.last_seen_ms),
            clock_offset_ms: seen.clock_offset_ms,
        })
    });
    named.collect()
}
