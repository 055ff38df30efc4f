//! What the local socket can be asked for.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    INVALID_PARAMS, METHOD_NOT_FOUND, RpcError,
    status::{DeviceSeen, Health, SyncStatus},
};
use crate::{
    clock::rfc3339,
    devices::Devices,
    error::{Code, Error, Result},
    id::{EntityId, Origin, OwnerId},
    node::{Change, Wanted, WantedLinks},
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteParams {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdParams {
    id: EntityId,
}

impl Daemon {
    /// Runs a method.
    ///
    /// # Errors
    /// −32601 for a method that there is not, −32602 for arguments that do
    /// not fit, else the method's own.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        match method {
            "health" => Ok(json!(self.health)),
            "sync.status" => Ok(json!(self.sync_status().await?)),
            "sync.now" => {
                self.sync_now().await?;
                Ok(json!(self.sync_status().await?))
            }
            "node.write" => self.write(read_params(params)?).await,
            "node.get" => self.get(read_params(params)?).await,
            "node.list" => {
                let wanted: Wanted = read_params(params)?;
                self.show(move |store, owner| store.page(owner, &wanted)).await
            }
            "link.list" => {
                let wanted: WantedLinks = read_params(params)?;
                self.show(move |store, owner| store.links_page(owner, &wanted)).await
            }
            "link.count" => {
                let IdParams { id } = read_params(params)?;
                self.show(move |store, owner| store.link_count(owner, &id)).await
            }
            "history" => self.history(read_params(params)?).await,
            "conflicts.list" => self.conflicts(read_params(params)?).await,
            "conflicts.resolve" => self.resolve(read_params(params)?).await,
            _ => {
                Err(RpcError::protocol(METHOD_NOT_FOUND, format!("there is no method {method:?}")))
            }
        }
    }

    /// Answers a person's question with what a reader of the store finds.
    pub(super) async fn show<T: Serialize + Send + 'static>(
        &self,
        find: impl FnOnce(&Store, &OwnerId) -> Result<T> + Send + 'static,
    ) -> Result<Value, RpcError> {
        let owner = self.replica.owner().await?;
        Ok(json!(self.replica.browse(move |store| find(store, &owner)).await?))
    }

    async fn write(&self, WriteParams { changes }: WriteParams) -> Result<Value, RpcError> {
        let owner = self.replica.owner().await?;
        let write = move |store: &mut Store| store.write(&owner, &changes);
        Ok(json!(self.replica.add(write, |written| written.ops > 0).await?))
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

    async fn sync_status(&self) -> Result<SyncStatus> {
        let health = self.spoke.as_ref().map(Spoke::health);
        let mode = self.health.mode.clone();
        let hub_url = self.spoke.as_ref().map(|spoke| spoke.hub_url.to_string());
        let devices = self.devices.seen();
        self.replica.read(move |store| describe(store, mode, hub_url, health, devices)).await
    }
}

fn describe(
    store: &Store,
    mode: String,
    hub_url: Option<String>,
    health: Option<SyncHealth>,
    devices: BTreeMap<Origin, Seen>,
) -> Result<SyncStatus> {
    let owner = store.owner()?;
    let heads = owner.as_ref().map_or(Ok(Heads::default()), |owner| store.heads(owner))?;
    let health = health.unwrap_or_default();
    let hub_heads = health.hub_heads;
    let unsent = match (&hub_url, &hub_heads) {
        (None, _) => 0,
        (Some(_), None) => heads.entries(),
        (Some(_), Some(hub)) => heads.beyond(hub),
    };
    Ok(SyncStatus {
        mode,
        origin: store.origin()?.to_string(),
        hub_url,
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

fn read_params<T: DeserializeOwned>(params: Value) -> Result<T, RpcError> {
    let params = if params.is_null() { json!({}) } else { params };
    serde_path_to_error::deserialize(params)
        .map_err(|error| RpcError::protocol(INVALID_PARAMS, format!("the arguments: {error}")))
}
