//! Tags: nodes of their own, linked from what they are on. A tag's id comes
//! from its name in small letters, so that `Home` and `home` are one tag, on
//! every device of the owner.

use std::collections::HashMap;

use hephd::{
    error::{Error, Result},
    id::{EntityId, OwnerId},
    node::{Change, Link, Linked, Node, TAGGED},
};
use serde_json::{Value, json};

use crate::session::Session;

/// The tags that there are.
#[derive(Debug, Default)]
pub struct Tags {
    known: HashMap<EntityId, Node>,
    /// What each tag was first called in this run.
    made: HashMap<EntityId, String>,
}

impl Tags {
    /// Asks for all of them.
    ///
    /// # Errors
    /// The daemon's.
    pub fn load(session: &mut Session) -> Result<Self> {
        let nodes = session.all("tag", true)?;
        let known = nodes.into_iter().map(|node| (node.id.clone(), node)).collect();
        Ok(Self { known, made: HashMap::new() })
    }

    /// The changes that put a tag on a node, and make it where there is none.
    pub fn put(&mut self, owner: &OwnerId, node: &EntityId, name: &str) -> Vec<Change> {
        let tag = tag_id(owner, name);
        let mut changes = Vec::new();
        if self.known.get(&tag).is_none_or(|known| known.deleted) {
            let title = self.made.entry(tag.clone()).or_insert_with(|| name.to_owned());
            changes.push(set(&tag, json!({ "kind": "tag", "title": title })));
        }
        changes.push(Change::Link { link: tagged(node, &tag), deleted: false });
        changes
    }
}

/// The id of the tag with a name.
#[must_use]
pub fn tag_id(owner: &OwnerId, name: &str) -> EntityId {
    EntityId::derived(owner, "tag", &name.to_lowercase())
}

/// The link that puts a tag on a node.
#[must_use]
pub fn tagged(node: &EntityId, tag: &EntityId) -> Link {
    Link { from: node.clone(), to: tag.clone(), kind: TAGGED.to_owned() }
}

/// The condition to have a tag, where one is named.
///
/// # Errors
/// `usage` for what is no name; the daemon's.
pub fn linked(session: &mut Session, tag: Option<&str>) -> Result<Option<Linked>> {
    let Some(tag) = tag else { return Ok(None) };
    let to = tag_id(&session.owner()?, &name(tag)?);
    Ok(Some(Linked { kind: TAGGED.to_owned(), to }))
}

/// A change that gives a node values.
#[must_use]
pub fn set(id: &EntityId, values: Value) -> Change {
    let set = match values {
        Value::Object(values) => values,
        _ => serde_json::Map::new(),
    };
    Change::Node { id: Some(id.clone()), set, deleted: None }
}

/// A tag as people write it, `#home` or `home`.
///
/// # Errors
/// `usage` where no name is left.
pub fn name(given: &str) -> Result<String> {
    let name = given.trim().trim_start_matches('#').trim();
    if name.is_empty() {
        return Err(Error::usage(format!("{given:?} is no tag"), "give it a name: --tag home"));
    }
    Ok(name.to_owned())
}
