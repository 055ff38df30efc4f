//! What the ops of one node or link meant at any time, and how people see
//! each of them. Pure, and built on `merge`: where the ops lie and who brought
//! them is the store's business.
//!
//! What is current among some ops is said by those ops alone, so a node "as it
//! was" is what its ops up to then mean together. Times are those of the
//! authors' clocks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    hlc::Hlc,
    id::EntityId,
    merge::{DELETED, Entity, Version},
    node::Link,
    op::Set,
};

/// The field of an [`Event`] that makes or removes a link.
pub const LINKED: &str = "link";

/// How a version stands among all that is known now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It holds.
    Current,
    /// A later one was written in its knowledge.
    Superseded,
    /// It holds, and so does another one that says something else.
    Conflicting,
}

/// One op of a node, or of a link that starts there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The op.
    pub id: Hlc,
    /// When, in RFC 3339, by its author's clock.
    pub time: String,
    /// The name of the device whose chain delivered it first.
    pub device: String,
    /// The link, where it is about one; then `field` is [`LINKED`] and `value`
    /// tells whether it was made or removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
    /// The title of the node that the link leads to, as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_title: Option<String>,
    /// Which field; [`DELETED`] where it deletes the node or keeps it.
    pub field: String,
    /// What it wrote.
    pub value: Value,
    /// The values that it superseded; several where it settled a conflict.
    pub before: Vec<Value>,
    /// How it stands now.
    pub standing: Standing,
}

/// A page of a node's history, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The ops, in the order of their ids.
    pub events: Vec<Event>,
    /// Others follow: ask for those after the last one.
    pub more: bool,
}

/// A value as people see it: a deletion's list of what it had seen is `true`,
/// and a link is there or not.
#[must_use]
pub fn told_value(set: &Set, is_link: bool) -> Value {
    let deletes = set.field == DELETED && set.value.is_array();
    match (is_link, set.field == DELETED) {
        (true, _) => Value::Bool(!deletes),
        (false, true) => Value::Bool(deletes),
        (false, false) => set.value.clone(),
    }
}

/// Takes the ops of one node or link, in any order, and keeps what is current
/// among them. Beside that it holds only the ids of what was superseded twice.
#[derive(Debug, Default)]
pub struct Replay {
    entity: Entity,
    awaited: BTreeSet<(Hlc, String)>,
}

impl Replay {
    /// The next op.
    pub fn take(&mut self, set: Set) {
        for seen in &set.seen {
            // It was superseded before, or has yet to come.
            if !self.entity.remove(&set.field, *seen) {
                self.awaited.insert((*seen, set.field.clone()));
            }
        }
        let superseded =
            set.seen.contains(&set.id) || self.awaited.remove(&(set.id, set.field.clone()));
        if !superseded {
            self.entity.insert(&set.field, Version { id: set.id, value: set.value });
        }
    }

    /// What they mean together.
    #[must_use]
    pub fn entity(self) -> Entity {
        self.entity
    }
}

/// A node with fields that have more than one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// Which node.
    pub id: EntityId,
    /// What it is.
    pub kind: String,
    /// Its title, as it is shown.
    pub title: String,
    /// Its fields in conflict.
    pub fields: Vec<Disputed>,
}

/// A field with more than one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disputed {
    /// Which field; [`DELETED`] where a deletion met what it had not seen.
    pub field: String,
    /// The values, in the order of their ids: the last one is shown.
    pub versions: Vec<Told>,
}

/// One of the values that a field has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The op that wrote it.
    pub id: Hlc,
    /// When, in RFC 3339, by its author's clock.
    pub time: String,
    /// The name of the device whose chain delivered it first.
    pub device: String,
    /// The field that was written: another than the disputed one where a
    /// deletion had not seen it.
    pub field: String,
    /// What was written; of [`DELETED`] whether it deletes.
    pub value: Value,
}

impl Told {
    /// Of a deletion that met something: whether this is a deletion.
    #[must_use]
    pub fn deletes(&self) -> bool {
        self.field == DELETED && self.value == Value::Bool(true)
    }
}

/// A page of conflicts, in the order of the nodes' ids.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Conflicts {
    /// The nodes.
    pub conflicts: Vec<Conflict>,
    /// Others follow: ask for those after the last one.
    pub more: bool,
}

/// What an answer to a conflict came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// There was a conflict, and now there is none.
    pub resolved: bool,
    /// How many ops it took.
    pub ops: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::op::Target;

    /// An op of field `f` or `g`; its `seen` are places in the list.
    fn ops(shape: &[(bool, Vec<prop::sample::Index>)]) -> Vec<Set> {
        let id = |n: usize| Hlc { ms: n as u64, counter: 0, actor: 1 };
        let op = |(n, (first, seen)): (usize, &(bool, Vec<prop::sample::Index>))| Set {
            id: id(n),
            owner: "o".parse().unwrap(),
            target: Target::Node("n".parse().unwrap()),
            field: if *first { "f" } else { "g" }.to_owned(),
            value: json!(n),
            seen: seen.iter().map(|at| id(at.index(shape.len()))).collect(),
        };
        shape.iter().enumerate().map(op).collect()
    }

    /// The definition, word by word.
    fn current(ops: &[Set]) -> Vec<Hlc> {
        let superseded = |op: &Set| {
            ops.iter().any(|other| other.field == op.field && other.seen.contains(&op.id))
        };
        ops.iter().filter(|op| !superseded(op)).map(|op| op.id).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn a_replay_up_to_any_time_is_what_those_ops_mean(
            shape in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(any::<prop::sample::Index>(), 0..4)), 0..12),
            upto in any::<prop::sample::Index>(),
            order in any::<prop::sample::Index>(),
        ) {
            let ops = ops(&shape);
            let upto = &ops[..upto.index(ops.len() + 1)];
            let mut replay = Replay::default();
            let (last, first) = upto.split_at(order.index(upto.len() + 1));
            first.iter().rev().chain(last).for_each(|op| replay.take(op.clone()));
            let entity = replay.entity();
            let mut kept: Vec<Hlc> =
                ["f", "g"].iter().flat_map(|f| entity.versions(f)).map(|v| v.id).collect();
            kept.sort();
            prop_assert_eq!(kept, current(upto));
        }
    }
}
