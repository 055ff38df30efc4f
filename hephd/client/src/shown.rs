//! What tasks and documents have in common: how they are named and shown.

use hephd::{
    error::{Error, Result},
    id::EntityId,
    node::Node,
    report::{Report, Warning},
};
use serde_json::{Value, json};

use crate::{
    session::{Session, short},
    table::clean,
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

/// What two devices changed without knowing of each other. Both values are
/// kept until somebody writes over both.
#[must_use]
pub fn in_conflict<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Vec<Warning> {
    let torn = nodes.into_iter().filter(|node| node.conflicts > 0);
    let warning = |node: &Node| {
        let (id, kind) = (short(&node.id), &node.kind);
        Warning::new(
            "conflict",
            format!(
                "{id} {} has two versions: see both with heph {kind} show {id} --json; \
                 an edit of the same field settles it",
                clean(&node.title)
            ),
        )
    };
    torn.map(warning).collect()
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
