//! What the ops of one node or link mean together.
//!
//! Each field is a multi-value register. A version is superseded once any
//! known op names it in its `seen`; the rest are current. The highest id is
//! shown; more than one current version with different values is a conflict.
//! Time decides nothing else, so nothing that was written is ever discarded
//! because of a clock. All of it depends on the *set* of ops, never on their
//! order.
//!
//! Deleting is a write to the field [`DELETED`] that names the versions of
//! the whole node that its author had seen. An edit it had not seen keeps the
//! node visible, as a conflict.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::hlc::Hlc;

/// The field that says whether a node or link is deleted.
pub const DELETED: &str = "deleted";

/// A current version of a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The op that wrote it.
    pub id: Hlc,
    /// What it wrote.
    pub value: Value,
}

/// The current versions of one node or link, by field, each list in the
/// order of the ids.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entity {
    fields: BTreeMap<String, Vec<Version>>,
}

impl Entity {
    /// Adds a current version.
    pub fn insert(&mut self, field: &str, version: Version) {
        let versions = self.fields.entry(field.to_owned()).or_default();
        let place = versions.partition_point(|other| other.id < version.id);
        versions.insert(place, version);
    }

    /// Takes a version away; whether it was there.
    pub fn remove(&mut self, field: &str, id: Hlc) -> bool {
        let Some(versions) = self.fields.get_mut(field) else { return false };
        let before = versions.len();
        versions.retain(|version| version.id != id);
        let was_there = versions.len() < before;
        if versions.is_empty() {
            self.fields.remove(field);
        }
        was_there
    }

    /// The value that is shown for a field.
    #[must_use]
    pub fn shown(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)?.last().map(|version| &version.value)
    }

    /// The current versions of a field; more than one while nobody has
    /// written over both.
    #[must_use]
    pub fn versions(&self, field: &str) -> &[Version] {
        self.fields.get(field).map_or(&[], Vec::as_slice)
    }

    /// Every current version of every field.
    pub fn all(&self) -> impl Iterator<Item = &Version> {
        self.fields.values().flatten()
    }

    /// Every field but [`DELETED`], with the value that is shown.
    pub fn shown_fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        let fields = self.fields.iter().filter(|(name, _)| *name != DELETED);
        fields.filter_map(|(name, versions)| Some((name.as_str(), &versions.last()?.value)))
    }

    /// When the youngest of the current versions was written, in ms since
    /// 1970, by its author's clock.
    #[must_use]
    pub fn updated_ms(&self) -> u64 {
        self.fields.values().flatten().map(|version| version.id.ms).max().unwrap_or(0)
    }

    /// The fields with more than one value, and [`DELETED`] where a deletion
    /// met an edit that it had not seen.
    #[must_use]
    pub fn conflicts(&self) -> Vec<&str> {
        let differ = |versions: &[Version]| versions.windows(2).any(|w| w[0].value != w[1].value);
        let mut names: Vec<&str> = (self.fields.iter())
            .filter(|(name, versions)| *name != DELETED && differ(versions))
            .map(|(name, _)| name.as_str())
            .collect();
        if !self.hidden() && self.deletions().next().is_some() {
            names.push(DELETED);
        }
        names
    }

    /// Deleted, and nothing was written that the deletions had not seen.
    #[must_use]
    pub fn hidden(&self) -> bool {
        let kept = self.versions(DELETED).iter().any(|version| !is_deletion(&version.value));
        if kept || self.deletions().next().is_none() {
            return false;
        }
        self.unseen_by_deletions().is_empty()
    }

    /// What was written to other fields and no deletion had seen.
    #[must_use]
    pub fn unseen_by_deletions(&self) -> Vec<(&str, &Version)> {
        let covered: BTreeSet<Hlc> = self.deletions().flatten().collect();
        let others = self.fields.iter().filter(|(name, _)| *name != DELETED);
        let versions = others.flat_map(|(name, all)| all.iter().map(move |v| (name.as_str(), v)));
        versions.filter(|(_, version)| !covered.contains(&version.id)).collect()
    }

    /// The value that a deletion written now has: all that it has seen.
    #[must_use]
    pub fn deletion(&self) -> Value {
        let others = self.fields.iter().filter(|(name, _)| *name != DELETED);
        json!(others.flat_map(|(_, versions)| versions).map(|v| v.id).collect::<BTreeSet<_>>())
    }

    fn deletions(&self) -> impl Iterator<Item = Vec<Hlc>> {
        let values = self.versions(DELETED).iter().filter(|v| is_deletion(&v.value));
        values.map(|v| serde_json::from_value(v.value.clone()).unwrap_or_default())
    }
}

/// A deletion's value is the list of what it had seen; anything else, such as
/// `false`, keeps the node.
#[must_use]
pub fn is_deletion(value: &Value) -> bool {
    value.is_array()
}
