//! What is in conflict: every value that a field has, with device and time.

use serde_json::{Value, json};

use super::{Store, query::MAX_PAGE, state};
use crate::{
    clock::rfc3339,
    error::Result,
    history::{Conflict, Conflicts, Disputed, Told},
    hlc::Hlc,
    id::{EntityId, OwnerId},
    merge::{DELETED, Entity, Version, is_deletion},
    op::Target,
};

/// At most this many bytes of values in one page, unless a single node has
/// more: pages always get on.
const MAX_PAGE_BYTES: usize = 4 << 20;

impl Store {
    /// The nodes behind `after` with fields that have more than one value,
    /// with all of these: a page in the order of their ids.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn conflicts_page(
        &self,
        owner: &OwnerId,
        after: Option<&EntityId>,
        limit: usize,
    ) -> Result<Conflicts> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut ids = self.in_conflict(owner, after, limit + 1)?;
        let more = ids.len() > limit;
        ids.truncate(limit);
        let page = self.conflicts_of(owner, &ids)?;
        Ok(Conflicts { more: more || page.more, ..page })
    }

    /// What is in conflict at some nodes, as far as it fits in one page.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn conflicts_of(&self, owner: &OwnerId, ids: &[EntityId]) -> Result<Conflicts> {
        let (mut page, mut bytes) = (Conflicts::default(), 0);
        for id in ids {
            if bytes > MAX_PAGE_BYTES {
                page.more = true;
                break;
            }
            let entity = state::entity(&self.conn, owner, &Target::Node(id.clone()))?;
            let fields = self.disputes(owner, &entity)?;
            if fields.is_empty() {
                continue;
            }
            let told = fields.iter().flat_map(|field| &field.versions);
            bytes += told.map(|version| weight(&version.value)).sum::<usize>();
            let text = |field| entity.shown(field).and_then(Value::as_str).unwrap_or_default();
            let (kind, title) = (text("kind").to_owned(), text("title").to_owned());
            page.conflicts.push(Conflict { id: id.clone(), kind, title, fields });
        }
        Ok(page)
    }

    /// The fields of a node that have more than one value.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn disputes_of(&self, owner: &OwnerId, id: &EntityId) -> Result<Vec<Disputed>> {
        let entity = state::entity(&self.conn, owner, &Target::Node(id.clone()))?;
        self.disputes(owner, &entity)
    }

    fn disputes(&self, owner: &OwnerId, entity: &Entity) -> Result<Vec<Disputed>> {
        let mut disputes = Vec::new();
        if entity.hidden() {
            return Ok(disputes);
        }
        for field in entity.conflicts() {
            let mut versions: Vec<(&str, &Version)> =
                entity.versions(field).iter().map(|version| (field, version)).collect();
            if field == DELETED {
                versions.extend(entity.unseen_by_deletions());
                versions.sort_by_key(|(_, version)| version.id);
            }
            let ids: Vec<Hlc> = versions.iter().map(|(_, version)| version.id).collect();
            let devices = self.devices_of(owner, &ids)?;
            let tell = |(field, version): (&str, &Version)| Told {
                id: version.id,
                time: rfc3339(version.id.ms),
                device: devices.get(&version.id).cloned().unwrap_or_default(),
                field: field.to_owned(),
                value: match field {
                    DELETED => json!(is_deletion(&version.value)),
                    _ => version.value.clone(),
                },
            };
            let versions = versions.into_iter().map(tell).collect();
            disputes.push(Disputed { field: field.to_owned(), versions });
        }
        Ok(disputes)
    }
}

/// About how many bytes a value has.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        other => other.to_string().len(),
    }
}
