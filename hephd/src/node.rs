//! Nodes and links as people see and change them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{id::EntityId, merge::Version};

/// The kinds of node that a person makes. Devices are the fifth kind: each
/// replica writes its own.
pub const KINDS: [&str; 4] = ["task", "doc", "journal", "tag"];

/// Links from a node to one of its tags.
pub const TAGGED: &str = "tag";

/// Links that a document's text makes to another document.
pub const WIKI: &str = "wiki";

/// Links from a task to the document whose line it is.
pub const LINE_OF: &str = "line_of";

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
}

impl Node {
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

/// Which nodes are wanted.
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
    /// Deleted ones as well.
    #[serde(default)]
    pub deleted: bool,
}
