//! What the ops mean: current versions, and the nodes and links shown.
//!
//! [`apply`] keeps `versions` to its definition, the ops that no known op
//! supersedes, in whatever order the ops come. [`refresh`] then works out the
//! rows of `nodes` and `links` that are concerned.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Transaction, params};
use serde::Deserialize;
use serde_json::{Map, Value};

use rusqlite::Connection;

use super::damaged;
use crate::{
    error::Result,
    id::{EntityId, OwnerId},
    merge::{Entity, Version},
    node::Link,
    op::{Op, Set, Target},
};

/// The nodes and links that a transaction has to do with.
pub(super) type Touched = BTreeSet<Target>;

/// A new op takes its place among the versions of its field.
pub(super) fn apply(tx: &Transaction<'_>, set: &Set, n: i64, touched: &mut Touched) -> Result<()> {
    let (owner, entity) = (set.owner.as_str(), set.target.key());
    for seen in &set.seen {
        let seen = seen.to_string();
        let known: Option<i64> = tx
            .prepare_cached("SELECT n FROM ops WHERE owner = ?1 AND id = ?2")?
            .query_row([owner, &seen], |row| row.get(0))
            .optional()?;
        match known {
            Some(n) => tx
                .prepare_cached(
                    "DELETE FROM versions
                     WHERE owner = ?1 AND entity = ?2 AND field = ?3 AND op = ?4",
                )?
                .execute(params![owner, entity, set.field, n])?,
            None => tx
                .prepare_cached("INSERT OR IGNORE INTO awaited VALUES (?1, ?2, ?3, ?4)")?
                .execute([owner, &seen, &entity, &set.field])?,
        };
    }
    if !was_awaited(tx, set)? && !set.seen.contains(&set.id) {
        tx.prepare_cached(
            "INSERT INTO versions (owner, entity, field, op) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![owner, entity, set.field, n])?;
    }
    touched.insert(set.target.clone());
    Ok(())
}

/// Whether a known op supersedes this one. Whoever named it for another field
/// did not mean it; nobody waits for it any longer either way.
fn was_awaited(tx: &Transaction<'_>, set: &Set) -> Result<bool> {
    let (owner, id) = (set.owner.as_str(), set.id.to_string());
    let superseded = tx
        .prepare_cached(
            "SELECT 1 FROM awaited WHERE owner = ?1 AND id = ?2 AND entity = ?3 AND field = ?4",
        )?
        .exists([owner, &id, &set.target.key(), &set.field])?;
    tx.prepare_cached("DELETE FROM awaited WHERE owner = ?1 AND id = ?2")?.execute([owner, &id])?;
    Ok(superseded)
}

/// The current versions of one node or link.
pub(super) fn entity(conn: &Connection, owner: &OwnerId, target: &Target) -> Result<Entity> {
    let mut read = conn.prepare_cached(
        "SELECT o.bytes FROM versions v JOIN ops o ON o.n = v.op
         WHERE v.owner = ?1 AND v.entity = ?2",
    )?;
    let mut rows = read.query([owner.as_str(), &target.key()])?;
    let mut entity = Entity::default();
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_str().map_err(|e| damaged("ops", &e))?;
        if let Op::Set(set) = Op::decode(bytes).map_err(|e| damaged("ops", &e))? {
            entity.insert(&set.field, Version { id: set.id, value: set.value });
        }
    }
    Ok(entity)
}

/// Works out again what is shown of the nodes and links concerned.
pub(super) fn refresh(tx: &Transaction<'_>, owner: &OwnerId, touched: &Touched) -> Result<()> {
    for target in touched {
        let shown = entity(tx, owner, target)?;
        match target {
            Target::Node(id) => refresh_node(tx, owner, id, &shown)?,
            Target::Link(id) => refresh_link(tx, owner, id, &shown)?,
        }
    }
    Ok(())
}

fn refresh_node(tx: &Transaction<'_>, owner: &OwnerId, id: &EntityId, node: &Entity) -> Result<()> {
    let text = |field| node.shown(field).and_then(Value::as_str);
    let fields: Map<String, Value> = node
        .shown_fields()
        .filter(|(name, _)| *name != "body")
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    tx.prepare_cached(
        "INSERT OR REPLACE INTO nodes (owner, id, kind, title, path, fields, updated, hidden, conflicts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        owner.as_str(),
        id.as_str(),
        text("kind"),
        text("title"),
        text("path"),
        Value::Object(fields).to_string(),
        node.updated_ms(),
        node.hidden(),
        node.conflicts().len(),
    ])?;
    Ok(())
}

fn refresh_link(tx: &Transaction<'_>, owner: &OwnerId, id: &EntityId, link: &Entity) -> Result<()> {
    // Ends that are none come from an op that nobody here would write; such a
    // link leads nowhere, and stands in nobody's way.
    let ends = link.shown("ends").and_then(|ends| Link::deserialize(ends).ok());
    let end = |name: fn(&Link) -> &str| ends.as_ref().map(name);
    tx.prepare_cached(
        "INSERT OR REPLACE INTO links (owner, id, source, target, kind, hidden)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        owner.as_str(),
        id.as_str(),
        end(|link| link.from.as_str()),
        end(|link| link.to.as_str()),
        end(|link| link.kind.as_str()),
        link.hidden(),
    ])?;
    Ok(())
}
