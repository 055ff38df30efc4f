//! `POST /rpc`: some of the local socket's methods, over HTTP.
//!
//! What belongs to the machine and not to the data (logins, copies of the
//! store, running a cycle) stays with the socket.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};

use super::{
    Hub,
    body::JsonBody,
    door::Acting,
    patience::within,
    reply::{self, Reply},
};
use crate::rpc::{INVALID_REQUEST, METHOD_NOT_FOUND, Response, RpcError};

/// Whole families, and single methods.
const FAMILIES: [&str; 3] = ["node.", "link.", "conflicts."];
const METHODS: [&str; 3] = ["history", "health", "sync.status"];

fn is_open(method: &str) -> bool {
    METHODS.contains(&method) || FAMILIES.iter().any(|family| method.starts_with(family))
}

/// A call, as far as it is one.
struct Call {
    /// None for a notification: nobody waits for its outcome.
    id: Option<Value>,
    method: String,
    params: Value,
}

/// Takes a call apart.
///
/// # Errors
/// What is wrong with it, and the id to say so under.
fn read(call: Value) -> Result<Call, (Value, String)> {
    let Value::Object(mut call) = call else {
        let why = if call.is_array() { "a batch is not taken" } else { "a call is an object" };
        return Err((Value::Null, format!("{why}: send one call at a time")));
    };
    let id = call.remove("id");
    let named = id.clone().unwrap_or_default();
    let wrong = |why: &str| Err((Value::Null, why.to_owned()));
    if !matches!(named, Value::Null | Value::String(_) | Value::Number(_)) {
        return wrong("id: a text or a number");
    }
    if call.remove("jsonrpc") != Some(json!("2.0")) {
        return Err((named, "jsonrpc: must be \"2.0\"".to_owned()));
    }
    let Some(Value::String(method)) = call.remove("method") else {
        return Err((named, "method: the name of a method".to_owned()));
    };
    let params = call.remove("params").unwrap_or_default();
    if !matches!(params, Value::Null | Value::Object(_)) {
        return Err((named, "params: an object with the arguments by name".to_owned()));
    }
    Ok(Call { id, method, params })
}

pub(super) async fn handle(
    State(hub): State<Arc<Hub>>,
    Acting { owner, .. }: Acting,
    JsonBody(body): JsonBody,
) -> Reply {
    let call = serde_json::from_slice(&body).map_err(|e| reply::bad_request(&e.to_string()))?;
    let Call { id, method, params } = match read(call) {
        Ok(call) => call,
        Err((id, why)) => {
            return reply::ok(&Response::of(id, Err(RpcError::protocol(INVALID_REQUEST, why))));
        }
    };
    let outcome = if is_open(&method) {
        let called = async { Ok(hub.daemon.call(&method, params, Some(owner)).await) };
        within(hub.limits.patience, called).await?
    } else {
        let why = format!("there is no method {method:?} here");
        Err(RpcError::protocol(METHOD_NOT_FOUND, why))
    };
    match id {
        Some(id) => reply::ok(&Response::of(id, outcome)),
        None => Ok(reply::no_content()),
    }
}
