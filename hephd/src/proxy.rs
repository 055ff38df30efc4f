//! `--mode client`: no replica. Calls at the local socket go to the hub's
//! `POST /rpc`, and its answers come back.
//!
//! Nothing is kept here: without the hub there is nothing to see and nothing
//! to write to. What is about this process is answered by it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    clock::{Clock, rfc3339},
    error::{Code, Error, Result},
    rpc::{
        self, RpcError,
        status::{Health, SyncStatus},
    },
    spoke::wire::Wire,
};

/// The hub's time to answer: less than the ten seconds of the command line, so
/// that a hub that hangs is told by its name.
const DEADLINE: Duration = Duration::from_secs(8);

/// Passes calls on to a hub.
#[derive(Debug)]
pub struct Proxy {
    /// The hub.
    pub wire: Wire,
    /// What `health` says.
    pub health: Health,
    /// For when the hub was last heard.
    pub clock: Clock,
}

impl Proxy {
    /// Runs a method there.
    ///
    /// # Errors
    /// `hub_unreachable`, `auth_failed`; the method's own.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        match method {
            "health" => Ok(json!(self.health)),
            "sync.status" => self.sync_status(params).await,
            "sync.now" => Err(no_replica().into()),
            _ => self.pass_on(method, params).await,
        }
    }

    async fn pass_on(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let writes = rpc::writes(method);
        let answer = tokio::time::timeout(DEADLINE, self.wire.call(&call)).await;
        let response = match answer {
            Ok(answer) => answer.map_err(|error| kept_nowhere(error, writes))?,
            Err(_) => {
                let error = self.wire.no_hub("did not answer in time");
                return Err(kept_nowhere(error, writes).into());
            }
        };
        match response.error {
            Some(error) => Err(error),
            None => Ok(response.result.unwrap_or_default()),
        }
    }

    /// The hub's, as it looks from here: what is seen is the hub's own data,
    /// at this very moment.
    async fn sync_status(&self, params: Value) -> Result<Value, RpcError> {
        let theirs = self.pass_on("sync.status", params).await?;
        let theirs: SyncStatus = serde_json::from_value(theirs)
            .map_err(|error| RpcError::from(self.wire.no_hub(&format!("is no hub: {error}"))))?;
        let now = rfc3339(self.clock.now_ms());
        Ok(json!(SyncStatus {
            mode: self.health.mode.clone(),
            hub_url: Some(self.wire.hub_url().to_string()),
            last_attempt: Some(now.clone()),
            last_success: Some(now),
            hub_heads: Some(theirs.heads.clone()),
            equal: Some(true),
            ..theirs
        }))
    }
}

/// A replica would send it later; here there is nothing to send it from. A hub
/// that went silent may have written it all the same.
fn kept_nowhere(error: Error, writes: bool) -> Error {
    let hint = match error.code {
        code if code != Code::HubUnreachable => return error,
        _ if writes => {
            "this device keeps no data, so nothing will be sent later: look before you repeat it"
        }
        _ => "this device keeps no data: look whether the hub runs and the network is there",
    };
    Error { hint: hint.to_owned(), ..error }
}

fn no_replica() -> Error {
    Error::new(
        Code::NotSupported,
        "there is nothing to sync here: --mode client holds no data of its own",
        "run a replica instead: hephd --mode local --hub-url URL",
    )
}
