//! The local socket: JSON-RPC 2.0, one line a message.
//!
//! Whoever may open the socket is its owner; there is no other check than
//! the file's mode and the peer's uid.

pub mod auth;
pub mod client;
#[cfg(feature = "daemon")]
mod data;
#[cfg(feature = "daemon")]
pub mod methods;
#[cfg(feature = "daemon")]
mod past;
#[cfg(feature = "daemon")]
pub mod server;
#[cfg(feature = "daemon")]
pub mod snapshot;
pub mod status;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Code, Error};

/// The most that one message may have, both ways.
pub const MAX_MESSAGE_BYTES: u64 = 64 << 20;

/// A call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Comes back in the reply.
    #[serde(default)]
    pub id: Value,
    /// Which method.
    pub method: String,
    /// Its arguments.
    #[serde(default)]
    pub params: Value,
}

/// What became of a call: a result or an error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Response {
    /// Always 2.0.
    #[serde(default)]
    pub jsonrpc: String,
    /// That of the call.
    #[serde(default)]
    pub id: Value,
    /// What it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RpcError>,
}

impl Response {
    /// The answer to a call.
    #[must_use]
    pub fn of(id: Value, outcome: Result<Value, RpcError>) -> Self {
        let (result, error) = match outcome {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error)),
        };
        Self { jsonrpc: "2.0".to_owned(), id, result, error }
    }
}

/// A failure as it travels. `data` carries this project's code and hint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RpcError {
    /// JSON-RPC's number.
    pub code: i64,
    /// One line.
    pub message: String,
    /// `{code, hint}`.
    #[serde(default)]
    pub data: Value,
}

/// Whether a method writes: one whose answer never came may have done so.
#[must_use]
pub fn writes(method: &str) -> bool {
    matches!(method, "node.write" | "conflicts.resolve")
}

/// JSON-RPC's number for a line that is no request.
pub const PARSE_ERROR: i64 = -32700;
/// JSON-RPC's number for JSON that is no call.
pub const INVALID_REQUEST: i64 = -32600;
/// JSON-RPC's number for a method that there is not.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC's number for arguments that do not fit.
pub const INVALID_PARAMS: i64 = -32602;
/// Our number for every failure of a method that ran.
pub const METHOD_FAILED: i64 = -32000;

impl RpcError {
    /// A failure with JSON-RPC's own number.
    #[must_use]
    pub fn protocol(code: i64, message: String) -> Self {
        Self { code, message, data: Value::Null }
    }
}

impl From<Error> for RpcError {
    fn from(error: Error) -> Self {
        let data = json!({ "code": error.code.as_str(), "hint": error.hint });
        Self { code: METHOD_FAILED, message: error.message, data }
    }
}

impl From<RpcError> for Error {
    fn from(error: RpcError) -> Self {
        let text = |key: &str| error.data.get(key).and_then(Value::as_str);
        match text("code").and_then(Code::from_slug) {
            Some(code) => Self::new(code, &error.message, text("hint").unwrap_or_default()),
            None if error.code == INVALID_PARAMS => Self::usage(
                error.message.clone(),
                "see docs/reference/daemon.md for what the method takes",
            ),
            None => Self::internal(format!("the daemon answered: {}", error.message)),
        }
    }
}
