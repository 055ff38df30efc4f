//! Nodes and links as people see and change them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    clock::rfc3339,
    id::EntityId,
    merge::{Entity, Version},
};

/// The kinds of node that a person makes. Devices are the fifth kind: each
/// replica writes its own.
pub const KINDS: [&str; 4] = ["task", "doc", "journal", "tag"];

/// Links from a node to one of its tags.
pub const TAGGED: &str = "tag";

/// Links that a document's text makes to another document.
pub const WIKI: &str = "wiki";

/// Links from a task to the document whose line it is.
pub const LINE_OF: &str = "line_of";

/// Links from a journal's entry to the day that it belongs to.
pub const ENTRY_OF: &str = "entry_of";

/// A node as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: EntityId,
    /// `task`, `doc`, `journal`, `tag` or `device`.
    pub kind: String,
    /// Its title.
    pub title: String,
    /// All that is shown of it; a list leaves out `body`.
    pub fields: Map<String, Value>,
    /// When it was last written, in RFC 3339, by its author's clock.
    pub updated: String,
    /// It is deleted, and shown only because it was asked for.
    pub deleted: bool,
    /// How many of its fields have more than one value.
    pub conflicts: u64,
    /// The values of those fields; only where one node was asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, Vec<Version>>,
    /// The names of its tags, in the order of the alphabet; only where a
    /// daemon was asked for a node as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

impl Node {
    /// A node as its current versions show it, whole; none without a kind.
    #[must_use]
    pub fn of(id: &EntityId, entity: &Entity) -> Option<Self> {
        let text = |field| entity.shown(field).and_then(Value::as_str).unwrap_or_default();
        if text("kind").is_empty() {
            return None;
        }
        let conflicts = entity.conflicts();
        let versions = conflicts.iter().map(|f| ((*f).to_owned(), entity.versions(f).to_vec()));
        let fields = entity.shown_fields().map(|(name, value)| (name.to_owned(), value.clone()));
        Some(Self {
            id: id.clone(),
            kind: text("kind").to_owned(),
            title: text("title").to_owned(),
            fields: fields.collect(),
            updated: rfc3339(entity.updated_ms()),
            deleted: entity.hidden(),
            conflicts: conflicts.len() as u64,
            versions: versions.collect(),
            tags: None,
        })
    }

    /// The names of its tags, as far as they are told.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        self.tags.as_deref().unwrap_or_default()
    }

    /// A field that is text; empty where it is not.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A task that is done.
    #[must_use]
    pub fn done(&self) -> bool {
        self.fields.get("done").and_then(Value::as_bool).unwrap_or_default()
    }
}

/// A link as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// Where it starts.
    pub from: EntityId,
    /// Where it leads.
    pub to: EntityId,
    /// What it means: [`TAGGED`], [`WIKI`], [`LINE_OF`], or a word of the
    /// person's own.
    pub kind: String,
}

/// One thing that a person changes. What is so already makes no op.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A node gets values, or is deleted, or comes back.
    Node {
        /// Which; a fresh one where none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<EntityId>,
        /// Field by field.
        #[serde(default)]
        set: Map<String, Value>,
        /// Deleted or not; as it is where neither is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deleted: Option<bool>,
    },
    /// A link is made or removed.
    Link {
        /// Its ends and kind.
        #[serde(flatten)]
        link: Link,
        /// Removed rather than made.
        #[serde(default)]
        deleted: bool,
    },
}

/// What became of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The node or link of each change, in order.
    pub ids: Vec<EntityId>,
    /// How many ops it took; 0 when all was so already.
    pub ops: u64,
}

/// Which nodes are wanted, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// With this `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// With an id that begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_prefix: Option<String>,
    /// Deleted ones as well, after all others.
    #[serde(default)]
    pub deleted: bool,
    /// With `done` true, or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<bool>,
    /// From which such a link leads to a certain node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked: Option<Linked>,
    /// From which no link of this kind starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlinked: Option<String>,
    /// In which order they come.
    #[serde(default)]
    pub order: Order,
    /// Those after this place: the `cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Place>,
    /// At most so many in a page; the daemon has a bound of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linked {
    /// What it means.
    pub kind: String,
    /// The node that it leads to.
    pub to: EntityId,
}

/// The order of a list. Deleted nodes come after all others, and equal ones
/// in the order of their ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// By title.
    #[default]
    Title,
    /// What is open before what is done, the next one due first.
    Due,
}

/// A place in a list, between two nodes. It stays where it is whatever
/// happens to the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// After a deleted node.
    #[serde(default)]
    pub deleted: bool,
    /// After one that is done.
    #[serde(default)]
    pub done: bool,
    /// Its day; empty for none.
    #[serde(default)]
    pub due: String,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// Its id.
    pub id: EntityId,
}

impl Place {
    /// Behind a node.
    #[must_use]
    pub fn after(node: &Node) -> Self {
        Self {
            deleted: node.deleted,
            done: node.done(),
            due: node.text("due").to_owned(),
            title: node.title.clone(),
            id: node.id.clone(),
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The nodes, without their bodies.
    pub nodes: Vec<Node>,
    /// Others follow.
    pub more: bool,
    /// Where this page ends; none for an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Place>,
}

/// One of the two ends of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The links start at the node.
    #[default]
    From,
    /// They lead to it.
    To,
}

/// A place in the list of a node's links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkPlace {
    /// Which list.
    pub end: End,
    /// After a link of this kind,
    pub kind: String,
    /// and with this id.
    pub id: EntityId,
}

/// Which links are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedLinks {
    /// At which node.
    pub id: EntityId,
    /// Of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Those after this place: the `cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<LinkPlace>,
    /// At most so many in a page; the daemon has a bound of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of the links at a node: those that start there, then those that
/// lead there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// Those that start there.
    pub from: Vec<Link>,
    /// Those that lead there.
    pub to: Vec<Link>,
    /// Others follow.
    #[serde(default)]
    pub more: bool,
    /// Where this page ends; none for an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<LinkPlace>,
}

/// How many links there are at a node, by their kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCount {
    /// That start there.
    pub from: BTreeMap<String, u64>,
    /// That lead there.
    pub to: BTreeMap<String, u64>,
}
