//! The methods about an owner's data: `node.*`, `link.*`, `history`,
//! `conflicts.*`. Each is about one owner's and no other's.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{INVALID_PARAMS, METHOD_NOT_FOUND, RpcError};
use crate::{
    error::Result,
    id::{EntityId, OwnerId},
    node::{Change, Wanted, WantedLinks},
    replica::Replica,
    store::Store,
};

/// An owner's data.
pub(super) struct Data<'a> {
    pub(super) replica: &'a Replica,
    /// Whose; the replica's owner's where nobody is named.
    pub(super) acting: Option<OwnerId>,
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

impl Data<'_> {
    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        match method {
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

    pub(super) async fn owner(&self) -> Result<OwnerId> {
        match &self.acting {
            Some(owner) => Ok(owner.clone()),
            None => self.replica.owner().await,
        }
    }

    /// Answers a person's question with what a reader of the store finds.
    pub(super) async fn show<T: Serialize + Send + 'static>(
        &self,
        find: impl FnOnce(&Store, &OwnerId) -> Result<T> + Send + 'static,
    ) -> Result<Value, RpcError> {
        let owner = self.owner().await?;
        Ok(json!(self.replica.browse(move |store| find(store, &owner)).await?))
    }

    async fn write(&self, WriteParams { changes }: WriteParams) -> Result<Value, RpcError> {
        let owner = self.owner().await?;
        let write = move |store: &mut Store| store.write(&owner, &changes);
        Ok(json!(self.replica.add(write, |written| written.ops > 0).await?))
    }
}

fn read_params<T: DeserializeOwned>(params: Value) -> Result<T, RpcError> {
    let params = if params.is_null() { json!({}) } else { params };
    serde_path_to_error::deserialize(params)
        .map_err(|error| RpcError::protocol(INVALID_PARAMS, format!("the arguments: {error}")))
}
