//! What the ops mean: current versions, and the nodes and links shown.
//!
//! [`apply`] keeps `versions` to its definition, the ops that no known op
//! supersedes, in whatever order the ops come. [`refresh`] then works out the
//! rows of `nodes` and `links` that are concerned.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    damaged,
    intake::{self, Intake},
};
use crate::{
    error::Result,
    hlc::Hlc,
    id::{EntityId, OwnerId},
    merge::{Entity, Version},
    node::Link,
    op::{Op, Set, Target},
};

/// A new op takes its place among the versions of its field.
pub(super) fn apply(intake: &mut Intake<'_>, set: &Set, entity: i64, n: i64) -> Result<()> {
    for seen in &set.seen {
        supersede(intake, set, *seen, entity)?;
    }
    if was_awaited(intake, set, entity)? || set.seen.contains(&set.id) {
        return Ok(());
    }
    intake
        .conn
        .prepare_cached("INSERT INTO versions (entity, field, op) VALUES (?1, ?2, ?3)")?
        .execute(params![entity, set.field, n])?;
    let version = Version { id: set.id, value: set.value.clone() };
    intake.entity(&set.target)?.insert(&set.field, version);
    Ok(())
}

/// A version is current no longer, or never will be once it comes.
fn supersede(intake: &mut Intake<'_>, set: &Set, seen: Hlc, entity: i64) -> Result<()> {
    let (conn, owner, id) = (intake.conn, intake.owner, seen.to_string());
    let known: Option<i64> = conn
        .prepare_cached("SELECT n FROM ops WHERE owner = ?1 AND id = ?2")?
        .query_row(params![owner, id], |row| row.get(0))
        .optional()?;
    match known {
        Some(n) => {
            conn.prepare_cached(
                "DELETE FROM versions WHERE entity = ?1 AND field = ?2 AND op = ?3",
            )?
            .execute(params![entity, set.field, n])?;
            intake.entity(&set.target)?.remove(&set.field, seen);
        }
        None => {
            intake.awaiting = true;
            conn.prepare_cached("INSERT OR IGNORE INTO awaited VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![owner, id, entity, set.field])?;
        }
    }
    Ok(())
}

/// Whether a known op supersedes this one. Whoever named it for another field
/// did not mean it; nobody waits for it any longer either way.
fn was_awaited(intake: &Intake<'_>, set: &Set, entity: i64) -> Result<bool> {
    if !intake.awaiting {
        return Ok(false);
    }
    let (conn, owner, id) = (intake.conn, intake.owner, set.id.to_string());
    let superseded = conn
        .prepare_cached(
            "SELECT 1 FROM awaited WHERE owner = ?1 AND id = ?2 AND entity = ?3 AND field = ?4",
        )?
        .exists(params![owner, id, entity, set.field])?;
    conn.prepare_cached("DELETE FROM awaited WHERE owner = ?1 AND id = ?2")?
        .execute(params![owner, id])?;
    Ok(superseded)
}

/// The current versions of one node or link.
pub(super) fn entity(conn: &Connection, owner: &OwnerId, target: &Target) -> Result<Entity> {
    let Some(owner) = intake::known_owner(conn, owner)? else { return Ok(Entity::default()) };
    match intake::number_of_entity(conn, owner, &target.key())? {
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
