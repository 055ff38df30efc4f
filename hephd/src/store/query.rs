//! What there is to see.

use std::collections::BTreeMap;

use rusqlite::{Row, params};
use serde_json::{Map, Value};

use super::{Store, damaged, state};
use crate::{
    clock::rfc3339,
    error::Result,
    id::{EntityId, OwnerId},
    node::{Link, Node, Wanted},
    op::Target,
};

impl Store {
    /// One node, whole, also a deleted one; none that was never written.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn node(&self, owner: &OwnerId, id: &EntityId) -> Result<Option<Node>> {
        let entity = state::entity(&self.conn, owner, &Target::Node(id.clone()))?;
        let text = |field| entity.shown(field).and_then(Value::as_str).unwrap_or_default();
        if text("kind").is_empty() {
            return Ok(None);
        }
        let conflicts = entity.conflicts();
        let versions: BTreeMap<_, _> =
            conflicts.iter().map(|f| ((*f).to_owned(), entity.versions(f).to_vec())).collect();
        let fields = entity.shown_fields().map(|(name, value)| (name.to_owned(), value.clone()));
        Ok(Some(Node {
            id: id.clone(),
            kind: text("kind").to_owned(),
            title: text("title").to_owned(),
            fields: fields.collect(),
            updated: rfc3339(entity.updated_ms()),
            deleted: entity.hidden(),
            conflicts: conflicts.len() as u64,
            versions,
        }))
    }

    /// Nodes without their bodies, in the order of their titles.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn nodes(&self, owner: &OwnerId, wanted: &Wanted) -> Result<Vec<Node>> {
        let mut read = self.conn.prepare_cached(
            "SELECT id, kind, title, fields, updated, hidden, conflicts FROM nodes
             WHERE owner = (SELECT n FROM owners WHERE id = ?1) AND kind IS NOT NULL
               AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR path = ?3)
               AND (?4 IS NULL OR substr(id, 1, length(?4)) = ?4) AND (?5 OR NOT hidden)
             ORDER BY title, id",
        )?;
        let Wanted { kind, path, id_prefix, deleted } = wanted;
        let mut rows = read.query(params![owner.as_str(), kind, path, id_prefix, deleted])?;
        let mut nodes = Vec::new();
        while let Some(row) = rows.next()? {
            nodes.push(listed(row)?);
        }
        Ok(nodes)
    }

    /// The links of a kind that start at a node.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn links_from(&self, owner: &OwnerId, id: &EntityId) -> Result<Vec<Link>> {
        self.links("source", owner, id)
    }

    /// The links that lead to a node.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn links_to(&self, owner: &OwnerId, id: &EntityId) -> Result<Vec<Link>> {
        self.links("target", owner, id)
    }

    fn links(&self, end: &str, owner: &OwnerId, id: &EntityId) -> Result<Vec<Link>> {
        let mut read = self.conn.prepare_cached(&format!(
            "SELECT source, target, kind FROM links
             WHERE owner = (SELECT n FROM owners WHERE id = ?1) AND {end} = ?2 AND NOT hidden ORDER BY kind, source, target"
        ))?;
        let mut rows = read.query([owner.as_str(), id.as_str()])?;
        let mut links = Vec::new();
        while let Some(row) = rows.next()? {
            links.push(Link {
                from: entity_id(row, 0)?,
                to: entity_id(row, 1)?,
                kind: row.get(2)?,
            });
        }
        Ok(links)
    }

    /// How many nodes have a field with more than one value.
    ///
    /// # Errors
    /// SQLite's.
    pub fn conflicts(&self, owner: &OwnerId) -> Result<u64> {
        let mut count = self.conn.prepare_cached(
            "SELECT count(*) FROM nodes
             WHERE owner = (SELECT n FROM owners WHERE id = ?1) AND conflicts > 0",
        )?;
        Ok(count.query_row([owner.as_str()], |row| row.get(0))?)
    }
}

fn listed(row: &Row<'_>) -> Result<Node> {
    let fields: String = row.get(3)?;
    let fields: Map<String, Value> =
        serde_json::from_str(&fields).map_err(|error| damaged("nodes", &error))?;
    Ok(Node {
        id: entity_id(row, 0)?,
        kind: row.get(1)?,
        title: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
        fields,
        updated: rfc3339(row.get(4)?),
        deleted: row.get(5)?,
        conflicts: row.get(6)?,
        versions: BTreeMap::new(),
    })
}

fn entity_id(row: &Row<'_>, column: usize) -> Result<EntityId> {
    row.get::<_, String>(column)?.parse().map_err(|error| damaged("an id", &error))
}
