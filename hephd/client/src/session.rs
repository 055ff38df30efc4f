//! A conversation with the daemon: its methods as functions, and how people's
//! short ids become nodes. It holds no state of its own.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use hephd::{
    error::{Code, Error, Result},
    history::{Conflict, Conflicts, History, Resolved},
    hlc::Hlc,
    id::{EntityId, OwnerId},
    node::{Change, LinkCount, Links, Node, Page, Wanted, WantedLinks, Written},
    paths,
    record::{Record, Role},
    rpc::{client::Client, status::SyncStatus},
};
use serde_json::{Value, json};

use crate::table::clean;

/// For answers that a person waits for.
pub const SHORT: Duration = Duration::from_secs(10);

/// For a cycle of sync, and for hundreds of changes on a slow disk.
pub const LONG: Duration = Duration::from_secs(120);

/// How much of an id is shown.
const SHORT_ID: usize = 8;

/// How much of an id is enough to ask with.
const LEAST_PREFIX: usize = 4;

/// How many of those that a person may have meant are shown.
const SHOWN: usize = 10;

/// An open connection.
#[derive(Debug)]
pub struct Session {
    client: Client,
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

    /// What carries it.
    pub const fn client(&mut self) -> &mut Client {
        &mut self.client
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

    /// A page of nodes without their bodies.
    ///
    /// # Errors
    /// The daemon's.
    pub fn page(&mut self, wanted: &Wanted) -> Result<Page> {
        self.client.call("node.list", &json!(wanted))
    }

    /// Does something with each page of the nodes that are wanted, and holds
    /// one page at a time.
    ///
    /// # Errors
    /// The daemon's; those of `each`.
    pub fn each_page(
        &mut self,
        wanted: &Wanted,
        mut each: impl FnMut(&mut Self, Vec<Node>) -> Result<()>,
    ) -> Result<()> {
        let mut wanted = wanted.clone();
        loop {
            let page = self.page(&wanted)?;
            each(self, page.nodes)?;
            match page.cursor {
                Some(cursor) if page.more => wanted.after = Some(cursor),
                _ => return Ok(()),
            }
        }
    }

    /// All nodes of a kind, in memory; deleted ones as well if they are asked
    /// for.
    ///
    /// # Errors
    /// The daemon's.
    pub fn all(&mut self, kind: &str, deleted: bool) -> Result<Vec<Node>> {
        let mut all = Vec::new();
        let wanted = Wanted { kind: Some(kind.to_owned()), deleted, ..Wanted::default() };
        self.each_page(&wanted, |_, nodes| {
            all.extend(nodes);
            Ok(())
        })?;
        Ok(all)
    }

    /// One node, whole.
    ///
    /// # Errors
    /// The daemon's.
    pub fn get(&mut self, id: &EntityId) -> Result<Option<Node>> {
        self.client.call("node.get", &json!({ "id": id }))
    }

    /// One node as it was when an op was the last one.
    ///
    /// # Errors
    /// The daemon's.
    pub fn get_until(&mut self, id: &EntityId, until: Hlc) -> Result<Option<Node>> {
        self.client.call("node.get", &json!({ "id": id, "until": until }))
    }

    /// A page of what became of a node.
    ///
    /// # Errors
    /// The daemon's.
    pub fn history(&mut self, id: &EntityId, after: Option<Hlc>) -> Result<History> {
        self.client.call("history", &json!({ "id": id, "after": after }))
    }

    /// A page of the conflicts.
    ///
    /// # Errors
    /// The daemon's.
    pub fn conflicts(&mut self, after: Option<&EntityId>, limit: usize) -> Result<Conflicts> {
        self.client.call("conflicts.list", &json!({ "after": after, "limit": limit }))
    }

    /// What is in conflict at one node.
    ///
    /// # Errors
    /// The daemon's.
    pub fn conflict_of(&mut self, id: &EntityId) -> Result<Option<Conflict>> {
        let page: Conflicts = self.client.call("conflicts.list", &json!({ "id": id }))?;
        Ok(page.conflicts.into_iter().next())
    }

    /// Settles a conflict, if these versions are still the ones.
    ///
    /// # Errors
    /// `conflict_changed`, `value_too_large`; the daemon's others.
    pub fn resolve(
        &mut self,
        id: &EntityId,
        field: &str,
        value: &Value,
        versions: &[Hlc],
        changes: &[Change],
    ) -> Result<Resolved> {
        let answer = json!({ "id": id, "field": field, "value": value,
                             "versions": versions, "changes": changes });
        self.client.call("conflicts.resolve", &answer)
    }

    /// A page of the links at a node.
    ///
    /// # Errors
    /// The daemon's.
    pub fn links_page(&mut self, wanted: &WantedLinks) -> Result<Links> {
        self.client.call("link.list", &json!(wanted))
    }

    /// All links at a node, in memory.
    ///
    /// # Errors
    /// The daemon's.
    pub fn links(&mut self, id: &EntityId) -> Result<Links> {
        let mut links = Links::default();
        let mut wanted = WantedLinks { id: id.clone(), kind: None, after: None, limit: None };
        loop {
            let page = self.links_page(&wanted)?;
            links.from.extend(page.from);
            links.to.extend(page.to);
            match page.cursor {
                Some(cursor) if page.more => wanted.after = Some(cursor),
                _ => return Ok(links),
            }
        }
    }

    /// How many links there are at a node.
    ///
    /// # Errors
    /// The daemon's.
    pub fn link_count(&mut self, id: &EntityId) -> Result<LinkCount> {
        self.client.call("link.count", &json!({ "id": id }))
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
        self.find_any(Some(kind), given, false)
    }

    /// The one node that a person means, whatever it is; also a deleted one
    /// if they are asked for.
    ///
    /// # Errors
    /// As [`Session::find`].
    pub fn find_any(&mut self, kind: Option<&str>, given: &str, deleted: bool) -> Result<Node> {
        let fits =
            |node: &Node| kind.is_none_or(|kind| node.kind == kind) && (deleted || !node.deleted);
        if let Ok(id) = given.parse()
            && let Some(node) = self.get(&id)?.filter(fits)
        {
            return Ok(node);
        }
        let list = format!("heph {} list", kind.unwrap_or("task"));
        if given.len() < LEAST_PREFIX {
            return Err(Error::usage(
                format!("{given:?} is too short for an id"),
                format!("give its first {LEAST_PREFIX} characters or more: {list}"),
            ));
        }
        let kind_only = kind.map(str::to_owned);
        let mut found = self.begin_so(given, kind_only, deleted)?;
        match found.len() {
            0 => Err(self.not_found(kind, given)?),
            1 => Ok(found.swap_remove(0)),
            _ => Err(ambiguous(given, &found)),
        }
    }

    fn begin_so(&mut self, given: &str, kind: Option<String>, deleted: bool) -> Result<Vec<Node>> {
        let id_prefix = Some(given.to_owned());
        let wanted = Wanted { kind, id_prefix, deleted, limit: Some(SHOWN), ..Wanted::default() };
        Ok(self.page(&wanted)?.nodes)
    }

    fn not_found(&mut self, kind: Option<&str>, given: &str) -> Result<Error> {
        let others = self.begin_so(given, None, true)?;
        let what = kind.unwrap_or("node");
        let message = match others.as_slice() {
            [other] if kind.is_some_and(|kind| kind != other.kind) => {
                format!("{} is a {}, not a {what}", short(&other.id), clean(&other.kind))
            }
            [other] if other.deleted => return Ok(deleted(other)),
            _ => format!("there is no {what} {given:?}"),
        };
        let hint = match kind {
            Some(kind) => format!("list what there is: heph {kind} list"),
            None => "list what there is: heph task list, heph doc list".to_owned(),
        };
        Ok(Error::new(Code::NodeNotFound, message, hint))
    }
}

/// For a node that has to be there first.
#[must_use]
pub fn deleted(node: &Node) -> Error {
    let (id, title) = (short(&node.id), clean(&node.title));
    Error::new(
        Code::NodeNotFound,
        format!("{id} {title} is deleted"),
        format!("take it back: heph revert {id} --to TIME; the times: heph history {id}"),
    )
}

fn ambiguous(given: &str, found: &[Node]) -> Error {
    let many = if found.len() == SHOWN { "at least " } else { "" };
    let mut message = format!("{given:?} begins {many}{} ids", found.len());
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
