//! What tasks and documents have in common: how they are named and shown.

use hephd::{
    error::{Error, Result},
    id::EntityId,
    node::Node,
    report::Report,
};
use serde_json::{Value, json};

use crate::{
    session::{Session, short},
    tags,
};

/// `#home #garden`.
#[must_use]
pub fn hashed(tags: &[String]) -> String {
    tags.iter().map(|tag| format!("#{tag}")).collect::<Vec<_>>().join(" ")
}

/// A node as scripts see it.
#[must_use]
pub fn with_tags(node: &Node, tags: &[String]) -> Value {
    let mut value = json!(node);
    value["tags"] = json!(tags);
    value
}

/// A node as scripts see it, as it now is.
///
/// # Errors
/// The daemon's.
pub fn shown(session: &mut Session, id: &EntityId) -> Result<Value> {
    let node = session.get(id)?.ok_or_else(|| Error::internal(format!("{id} went away")))?;
    let tags = tags::by_node(session)?.remove(id).unwrap_or_default();
    Ok(with_tags(&node, &tags))
}

/// How every `edit` ends.
#[must_use]
pub fn edited(changed: bool, id: &EntityId, title: &str, data: Value) -> Report {
    let (status, line) =
        if changed { ("updated", "changed") } else { ("up_to_date", "no change to") };
    Report::new(status, changed, data).line(format!("✓ {line} {}  {title}", short(id)))
}

/// A title has words.
///
/// # Errors
/// Where there are none.
pub fn title(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("a title has at least one word".to_owned())
    } else {
        Ok(text.to_owned())
    }
}
