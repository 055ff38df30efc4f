//! A conversation with the daemon: its methods as functions, and how people's
//! short ids become nodes. It holds no state of its own.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use hephd::{
    error::{Code, Error, Result},
    id::{EntityId, OwnerId},
    node::{Change, Link, Node, Wanted, Written},
    paths,
    record::{Record, Role},
    rpc::{client::Client, status::SyncStatus},
};
use serde::Deserialize;
use serde_json::json;

use crate::table::clean;

/// For answers that a person waits for.
pub const SHORT: Duration = Duration::from_secs(10);

/// For a cycle of sync, and for hundreds of changes on a slow disk.
pub const LONG: Duration = Duration::from_secs(120);

/// How much of an id is shown.
const SHORT_ID: usize = 8;

/// How much of an id is enough to ask with.
const LEAST_PREFIX: usize = 4;

/// An open connection.
#[derive(Debug)]
pub struct Session {
    client: Client,
}

/// The links at a node.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Links {
    /// Those that start there.
    pub from: Vec<Link>,
    /// Those that lead there.
    pub to: Vec<Link>,
}

impl Session {
    /// Connects to the daemon at a socket, or to the one that is meant where
    /// none is named.
    ///
    /// # Errors
    /// `not_ready` when nobody listens there; `config_invalid`.
    pub fn open(socket: Option<&Path>, deadline: Duration) -> Result<Self> {
        let socket = socket.map_or_else(usual_socket, |socket| Ok(socket.to_owned()))?;
        Ok(Self { client: Client::connect(&socket, deadline)? })
    }

    /// How sync stands.
    ///
    /// # Errors
    /// The daemon's.
    pub fn sync_status(&mut self) -> Result<SyncStatus> {
        self.client.call("sync.status", &json!({}))
    }

    /// A whole cycle of sync; how it stands then.
    ///
    /// # Errors
    /// `hub_unreachable`, `auth_failed`; the daemon's others.
    pub fn sync_now(&mut self) -> Result<SyncStatus> {
        self.client.call("sync.now", &json!({}))
    }

    /// Whose data it is.
    ///
    /// # Errors
    /// `no_owner_yet` until a joining device has met its hub.
    pub fn owner(&mut self) -> Result<OwnerId> {
        let owner = self.sync_status()?.owner_id.ok_or_else(|| {
            Error::new(
                Code::NoOwnerYet,
                "this device has not met its hub yet, so it has no owner",
                "wait until the hub answers: heph sync --status",
            )
        })?;
        owner.parse().map_err(Error::internal)
    }

    /// Nodes without their bodies, in the order of their titles.
    ///
    /// # Errors
    /// The daemon's.
    pub fn list(&mut self, wanted: &Wanted) -> Result<Vec<Node>> {
        self.client.call("node.list", &json!(wanted))
    }

    /// All nodes of a kind, deleted ones as well if they are asked for.
    ///
    /// # Errors
    /// The daemon's.
    pub fn all(&mut self, kind: &str, deleted: bool) -> Result<Vec<Node>> {
        self.list(&Wanted { kind: Some(kind.to_owned()), deleted, ..Wanted::default() })
    }

    /// One node, whole.
    ///
    /// # Errors
    /// The daemon's.
    pub fn get(&mut self, id: &EntityId) -> Result<Option<Node>> {
        self.client.call("node.get", &json!({ "id": id }))
    }

    /// The links at a node.
    ///
    /// # Errors
    /// The daemon's.
    pub fn links(&mut self, id: &EntityId) -> Result<Links> {
        self.client.call("link.list", &json!({ "id": id }))
    }

    /// Writes changes, all or none.
    ///
    /// # Errors
    /// `value_too_large`; the daemon's others.
    pub fn write(&mut self, changes: &[Change]) -> Result<Written> {
        self.client.call("node.write", &json!({ "changes": changes }))
    }

    /// The one node of a kind that a person means by an id or its beginning.
    ///
    /// # Errors
    /// `node_not_found`; `usage` for a beginning that is too short or that
    /// several ids have.
    pub fn find(&mut self, kind: &str, given: &str) -> Result<Node> {
        let mut found = self.list(&Wanted {
            kind: Some(kind.to_owned()),
            id_prefix: Some(given.to_owned()),
            ..Wanted::default()
        })?;
        if let Some(n) = found.iter().position(|node| node.id.as_str() == given) {
            return Ok(found.swap_remove(n));
        }
        if given.len() < LEAST_PREFIX {
            return Err(Error::usage(
                format!("{given:?} is too short for an id"),
                format!("give its first {LEAST_PREFIX} characters or more: heph {kind} list"),
            ));
        }
        match found.len() {
            0 => Err(self.not_found(kind, given)?),
            1 => Ok(found.swap_remove(0)),
            _ => Err(ambiguous(given, &found)),
        }
    }

    fn not_found(&mut self, kind: &str, given: &str) -> Result<Error> {
        let wanted = Wanted { id_prefix: Some(given.to_owned()), ..Wanted::default() };
        let others = self.list(&wanted)?;
        let message = match others.as_slice() {
            [other] => format!("{} is a {}, not a {kind}", short(&other.id), clean(&other.kind)),
            _ => format!("there is no {kind} {given:?}"),
        };
        let hint = format!("list what there is: heph {kind} list");
        Ok(Error::new(Code::NodeNotFound, message, hint))
    }
}

fn ambiguous(given: &str, found: &[Node]) -> Error {
    let mut message = format!("{given:?} begins {} ids", found.len());
    for node in found {
        message.push_str(&format!("\n  {}  {}", node.id, clean(&node.title)));
    }
    Error::usage(message, "give more of the id")
}

/// An id as it is shown to people.
#[must_use]
pub fn short(id: &EntityId) -> &str {
    id.as_str().get(..SHORT_ID).unwrap_or(id.as_str())
}

fn usual_socket() -> Result<PathBuf> {
    let records = Record::load_installed(&paths::record_folder()?);
    let mut spokes = records.iter().flatten().filter(|record| record.role == Role::Spoke);
    match (spokes.next(), spokes.next()) {
        (Some(only), None) => only.socket(),
        _ => Ok(paths::socket_beside(&paths::default_db()?)),
    }
}
