//! What a set of ops means, by definition: no transactions, no order of
//! arrival, nothing remembered. Slow, short, and written without a look at
//! how the store does it.
//!
//! A version of a field is current unless some op of the set names it in its
//! `seen` for the same node and field.

use std::collections::{BTreeMap, BTreeSet};

use hephd::{clock::rfc3339, hlc::Hlc, node::Link};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Debug, Clone, Deserialize)]
pub struct Set {
    pub id: Hlc,
    node: Option<String>,
    link: Option<String>,
    pub field: String,
    pub value: Value,
    seen: Vec<Hlc>,
}

/// The fields of one node or link, each with its versions in the order of
/// their ids.
pub type Fields = BTreeMap<String, Vec<Set>>;

impl Set {
    /// A change that this version understands; none for any other op.
    pub fn read(op: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Kind {
            op: String,
        }
        let kind: Kind = serde_json::from_str(op).unwrap();
        (kind.op == "set").then(|| serde_json::from_str(op).unwrap())
    }

    /// The node or link that it is about.
    pub fn entity(&self) -> &str {
        self.node.as_deref().or(self.link.as_deref()).unwrap()
    }
}

/// The current versions of everything there is.
pub fn current(ops: &[Set]) -> BTreeMap<String, Fields> {
    let superseded: BTreeSet<(&str, &str, Hlc)> = ops
        .iter()
        .flat_map(|op| op.seen.iter().map(|seen| (op.entity(), op.field.as_str(), *seen)))
        .collect();
    let stays = |op: &&Set| !superseded.contains(&(op.entity(), op.field.as_str(), op.id));
    by_entity(ops.iter().filter(stays).cloned())
}

/// Ops by what they are about, in the order of their ids.
pub fn by_entity(ops: impl Iterator<Item = Set>) -> BTreeMap<String, Fields> {
    let mut all: BTreeMap<String, Fields> = BTreeMap::new();
    for op in ops {
        let fields = all.entry(op.entity().to_owned()).or_default();
        fields.entry(op.field.clone()).or_default().push(op);
    }
    all.values_mut().flat_map(BTreeMap::values_mut).for_each(|v| v.sort_by_key(|op| op.id));
    all
}

/// The text that `world::export` gives of a replica with these ops.
pub fn export<'a>(ops: impl IntoIterator<Item = &'a String>) -> String {
    let ops: Vec<Set> = ops.into_iter().filter_map(|op| Set::read(op)).collect();
    shown(&current(&ops))
}

/// What is shown of current versions.
pub fn shown(all: &BTreeMap<String, Fields>) -> String {
    let (mut nodes, mut links, mut conflicts) = (BTreeMap::new(), Vec::new(), 0);
    for (id, fields) in all {
        let text = |field| last(fields, field).and_then(Value::as_str).unwrap_or_default();
        if fields.contains_key("ends") && !hidden(fields) {
            links.push(
                serde_json::from_value::<Link>(last(fields, "ends").unwrap().clone()).unwrap(),
            );
        }
        let is_node = !fields.contains_key("ends");
        // What is deleted was deleted in the knowledge of all its values.
        if is_node && !hidden(fields) && in_conflict(fields).count() > 0 {
            conflicts += 1;
        }
        if !text("kind").is_empty() {
            nodes.insert(id, node(id, fields, text("kind"), text("title")));
        }
    }
    links.retain(|link| nodes.contains_key(&link.from.to_string()));
    links.sort();
    let text = json!({ "nodes": nodes, "links": links, "conflicts": conflicts });
    text.to_string()
}

fn node(id: &str, fields: &Fields, kind: &str, title: &str) -> Value {
    let values: Map<String, Value> = fields
        .keys()
        .filter(|name| *name != "deleted")
        .map(|name| (name.clone(), last(fields, name).unwrap().clone()))
        .collect();
    let youngest = fields.values().flatten().map(|op| op.id.ms).max().unwrap_or(0);
    let mut node = json!({
        "id": id, "kind": kind, "title": title, "fields": values, "updated": rfc3339(youngest),
        "deleted": hidden(fields), "conflicts": in_conflict(fields).count(),
    });
    let versions = |name: &str| {
        let all = fields[name].iter().map(|op| json!({ "id": op.id, "value": op.value }));
        Value::Array(all.collect())
    };
    let versions: Map<String, Value> =
        in_conflict(fields).map(|name| (name.to_owned(), versions(name))).collect();
    if !versions.is_empty() {
        node["versions"] = Value::Object(versions);
    }
    node
}

fn last<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.get(name)?.last().map(|op| &op.value)
}

/// The fields whose current values differ, and `deleted` where a deletion met
/// something that it had not seen.
fn in_conflict(fields: &Fields) -> impl Iterator<Item = &str> {
    fields
        .iter()
        .filter(|(name, ops)| match name.as_str() {
            "deleted" => ops.iter().any(|op| op.value.is_array()) && !hidden(fields),
            _ => ops.iter().any(|op| op.value != ops[0].value),
        })
        .map(|(name, _)| name.as_str())
}

/// Deleted, by deletions that together have seen all that is current, and
/// that nobody has taken back.
fn hidden(fields: &Fields) -> bool {
    let deletions = fields.get("deleted").map_or(&[][..], Vec::as_slice);
    let have_seen: BTreeSet<String> = deletions
        .iter()
        .filter_map(|op| op.value.as_array())
        .flat_map(|ids| ids.iter().map(|id| id.as_str().unwrap().to_owned()))
        .collect();
    let all_seen = fields
        .iter()
        .filter(|(name, _)| *name != "deleted")
        .all(|(_, ops)| ops.iter().all(|op| have_seen.contains(&op.id.to_string())));
    !deletions.is_empty() && deletions.iter().all(|op| op.value.is_array()) && all_seen
}
