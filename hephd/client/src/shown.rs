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
};

/// `#home #garden`.
#[must_use]
pub fn hashed(tags: &[String]) -> String {
    tags.iter().map(|tag| format!("#{tag}")).collect::<Vec<_>>().join(" ")
}

/// A node as scripts see it, as it now is.
///
/// # Errors
/// The daemon's.
pub fn shown(session: &mut Session, id: &EntityId) -> Result<Value> {
    let node = session.get(id)?.ok_or_else(|| Error::internal(format!("{id} went away")))?;
    Ok(json!(node))
}

/// What two devices changed without knowing of each other, of all that is
/// listed. The first few are named.
#[derive(Debug, Default)]
pub struct Torn {
    named: Vec<Warning>,
    others: usize,
}

/// How many conflicts a list names.
const NAMED: usize = 10;

impl Torn {
    /// Some more of the list.
    pub fn look<'a>(&mut self, nodes: impl IntoIterator<Item = &'a Node>) {
        for node in nodes.into_iter().filter(|node| node.conflicts > 0) {
            self.add(&node.id, &node.title);
        }
    }

    /// A node that is in conflict.
    pub fn add(&mut self, id: &EntityId, title: &str) {
        if self.named.len() < NAMED {
            self.named.push(warning(id, title));
        } else {
            self.others += 1;
        }
    }

    /// What there is to warn of.
    #[must_use]
    pub fn warnings(self) -> Vec<Warning> {
        let others = (self.others > 0).then(|| {
            let message = format!("{} more have two versions: heph conflicts", self.others);
            Warning::new("conflict", message)
        });
        self.named.into_iter().chain(others).collect()
    }
}

/// The same of a few nodes.
#[must_use]
pub fn in_conflict<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Vec<Warning> {
    let mut torn = Torn::default();
    torn.look(nodes);
    torn.warnings()
}

/// Both values are kept until somebody writes over both.
fn warning(id: &EntityId, title: &str) -> Warning {
    let (id, title) = (short(id), clean(title));
    Warning::new("conflict", format!("{id} {title} has two versions: see both with heph conflicts"))
}

/// How every `edit` ends; `before` is the node as it was. Whoever writes over a
/// conflict has settled it, and may not have meant to.
#[must_use]
pub fn edited(changed: bool, before: Option<&Node>, id: &EntityId, data: Value) -> Report {
    let (status, line) =
        if changed { ("updated", "changed") } else { ("up_to_date", "no change to") };
    let title = clean(data["title"].as_str().unwrap_or_default());
    let torn = before.into_iter().flat_map(|node| node.versions.keys());
    let settled: Vec<Warning> =
        torn.filter(|field| data["versions"][*field].is_null()).map(|f| settled(id, f)).collect();
    let report =
        Report::new(status, changed, data).line(format!("✓ {line} {}  {title}", short(id)));
    Report { warnings: settled, ..report }
}

fn settled(id: &EntityId, field: &str) -> Warning {
    let (id, field) = (short(id), clean(field));
    let message = format!("this settled the conflict in {field}; what it was: heph history {id}");
    Warning::new("conflict_settled", message)
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
