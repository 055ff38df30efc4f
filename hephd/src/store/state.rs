//! What the ops mean: current versions, and the nodes and links shown.
//!
//! `versions` is kept by `intake`; [`refresh`] works out the rows of `nodes` and
//! `links` from it.

use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{damaged, names};
use crate::{
    error::Result,
    id::{EntityId, OwnerId},
    merge::{Entity, Version},
    node::Link,
    op::{Op, Target},
};

/// The current versions of one node or link.
pub(super) fn entity(conn: &Connection, owner: &OwnerId, target: &Target) -> Result<Entity> {
    let Some(owner) = names::known_owner(conn, owner)? else { return Ok(Entity::default()) };
    match names::number_of_entity(conn, owner, &target.key())? {
        Some(n) => versions_of(conn, n),
        None => Ok(Entity::default()),
    }
}

pub(super) fn versions_of(conn: &Connection, entity: i64) -> Result<Entity> {
    let mut read = conn.prepare_cached(
        "SELECT o.bytes FROM versions v JOIN ops o ON o.n = v.op WHERE v.entity = ?1",
    )?;
    let mut rows = read.query([entity])?;
    let mut entity = Entity::default();
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_str().map_err(|e| damaged("ops", &e))?;
        if let Op::Set(set) = Op::decode(bytes).map_err(|e| damaged("ops", &e))? {
            entity.insert(&set.field, Version { id: set.id, value: set.value });
        }
    }
    Ok(entity)
}

/// Writes down what is shown of a node or link.
pub(super) fn refresh(
    conn: &Connection,
    owner: i64,
    target: &Target,
    shown: &Entity,
) -> Result<()> {
    match target {
        Target::Node(id) => refresh_node(conn, owner, id, shown),
        Target::Link(id) => refresh_link(conn, owner, id, shown),
    }
}

fn refresh_node(conn: &Connection, owner: i64, id: &EntityId, node: &Entity) -> Result<()> {
    let text = |field| node.shown(field).and_then(Value::as_str);
    let fields: Map<String, Value> = node
        .shown_fields()
        .filter(|(name, _)| *name != "body")
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    conn.prepare_cached(
        "INSERT OR REPLACE INTO nodes (owner, id, kind, title, path, fields, updated, hidden, conflicts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        owner,
        id.as_str(),
        text("kind"),
        text("title").unwrap_or_default(),
        text("path"),
        Value::Object(fields).to_string(),
        node.updated_ms(),
        node.hidden(),
        node.conflicts().len(),
    ])?;
    Ok(())
}

fn refresh_link(conn: &Connection, owner: i64, id: &EntityId, link: &Entity) -> Result<()> {
    // Ends that are none come from an op that nobody here would write; such a
    // link leads nowhere, and stands in nobody's way.
    let ends = link.shown("ends").and_then(|ends| Link::deserialize(ends).ok());
    let end = |name: fn(&Link) -> &str| ends.as_ref().map(name);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO links (owner, id, source, target, kind, hidden)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        owner,
        id.as_str(),
        end(|link| link.from.as_str()),
        end(|link| link.to.as_str()),
        end(|link| link.kind.as_str()),
        link.hidden(),
    ])?;
    Ok(())
}
