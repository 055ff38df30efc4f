//! What there is to see, page by page: a list never holds more than a page,
//! and a page goes on behind a place in the list's own order, so nothing is
//! passed over or told twice because of what was written meanwhile elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Row, params, params_from_iter};
use serde_json::{Map, Value};

use super::{
    Store,
    asked::{Asked, Stretch},
    damaged, state,
};
use crate::{
    clock::rfc3339,
    error::Result,
    id::{EntityId, OwnerId},
    node::{
        End, Link, LinkCount, LinkPlace, Links, Node, Page, Place, TAGGED, Wanted, WantedLinks,
    },
    op::Target,
};

/// At most this many nodes or links in one page.
pub const MAX_PAGE: usize = 1_000;

/// At most this many bytes of fields in one page, unless a single node has
/// more: pages always get on.
const MAX_PAGE_BYTES: usize = 1 << 20;

impl Store {
    /// One node, whole, also a deleted one; none that was never written.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn node(&self, owner: &OwnerId, id: &EntityId) -> Result<Option<Node>> {
        let entity = state::entity(&self.conn, owner, &Target::Node(id.clone()))?;
        Ok(Node::of(id, &entity))
    }

    /// All nodes that are wanted, without their bodies, in memory.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn nodes(&self, owner: &OwnerId, wanted: &Wanted) -> Result<Vec<Node>> {
        Ok(self.select(owner, wanted, usize::MAX, usize::MAX)?.nodes)
    }

    /// A page of the nodes that are wanted, without their bodies and with
    /// their tags.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn page(&self, owner: &OwnerId, wanted: &Wanted) -> Result<Page> {
        let limit = wanted.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
        let mut page = self.select(owner, wanted, limit, MAX_PAGE_BYTES)?;
        for node in &mut page.nodes {
            node.tags = Some(self.tags_of(owner, &node.id)?);
        }
        Ok(page)
    }

    fn select(
        &self,
        owner: &OwnerId,
        wanted: &Wanted,
        limit: usize,
        most_bytes: usize,
    ) -> Result<Page> {
        let (mut page, mut bytes) = (Page::default(), 0);
        for stretch in Stretch::of(wanted) {
            let asked = Asked::new(owner, wanted, *stretch, limit.saturating_add(1));
            let mut read = self.conn.prepare_cached(&asked.sql)?;
            let mut rows = read.query(params_from_iter(asked.values))?;
            while let Some(row) = rows.next()? {
                bytes += row.get_ref(3)?.as_str().map_or(0, str::len);
                if page.nodes.len() == limit || (bytes > most_bytes && !page.nodes.is_empty()) {
                    page.more = true;
                    page.cursor = page.nodes.last().map(Place::after);
                    return Ok(page);
                }
                page.nodes.push(listed(row)?);
            }
        }
        page.cursor = page.nodes.last().map(Place::after);
        Ok(page)
    }

    /// The names of a node's tags. The links decide: a tag that was renamed
    /// or deleted elsewhere meanwhile is still told.
    ///
    /// # Errors
    /// SQLite's.
    pub fn tags_of(&self, owner: &OwnerId, id: &EntityId) -> Result<Vec<String>> {
        let mut read = self.conn.prepare_cached(
            "SELECT t.title FROM links l JOIN nodes t ON t.owner = l.owner AND t.id = l.target
             WHERE l.owner = (SELECT n FROM owners WHERE id = ?1) AND l.source = ?2 AND l.kind = ?3 AND NOT l.hidden
               AND t.title IS NOT NULL ORDER BY t.title",
        )?;
        let names = read.query_map([owner.as_str(), id.as_str(), TAGGED], |row| row.get(0))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }

    /// A page of the links at a node.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn links_page(&self, owner: &OwnerId, wanted: &WantedLinks) -> Result<Links> {
        let limit = wanted.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
        let mut page = Links::default();
        let passed = wanted.after.as_ref().map(|place| place.end);
        if passed != Some(End::To) {
            self.add_links(owner, wanted, End::From, limit, &mut page)?;
        }
        if !page.more {
            self.add_links(owner, wanted, End::To, limit, &mut page)?;
        }
        Ok(page)
    }

    fn add_links(
        &self,
        owner: &OwnerId,
        wanted: &WantedLinks,
        end: End,
        limit: usize,
        page: &mut Links,
    ) -> Result<()> {
        let column = if end == End::From { "source" } else { "target" };
        let mut read = self.conn.prepare_cached(&format!(
            "SELECT source, target, kind, id FROM links
             WHERE owner = (SELECT n FROM owners WHERE id = ?1) AND {column} = ?2 AND NOT hidden AND (?3 IS NULL OR kind = ?3)
               AND (kind, id) > (?4, ?5) ORDER BY kind, id"
        ))?;
        let after = wanted.after.as_ref().filter(|place| place.end == end);
        let (kind, id) = after.map_or(("", ""), |place| (&*place.kind, place.id.as_str()));
        let at = wanted.id.as_str();
        let mut rows = read.query(params![owner.as_str(), at, wanted.kind, kind, id])?;
        while let Some(row) = rows.next()? {
            if page.from.len() + page.to.len() == limit {
                page.more = true;
                return Ok(());
            }
            let link = Link { from: entity_id(row, 0)?, to: entity_id(row, 1)?, kind: row.get(2)? };
            page.cursor = Some(LinkPlace { end, kind: link.kind.clone(), id: entity_id(row, 3)? });
            if end == End::From { &mut page.from } else { &mut page.to }.push(link);
        }
        Ok(())
    }

    /// How many links there are at a node.
    ///
    /// # Errors
    /// SQLite's.
    pub fn link_count(&self, owner: &OwnerId, id: &EntityId) -> Result<LinkCount> {
        let count = |column: &str| -> Result<BTreeMap<String, u64>> {
            let mut read = self.conn.prepare_cached(&format!(
                "SELECT kind, count(*) FROM links
                 WHERE owner = (SELECT n FROM owners WHERE id = ?1) AND {column} = ?2 AND NOT hidden GROUP BY kind"
            ))?;
            let rows = read
                .query_map([owner.as_str(), id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        Ok(LinkCount { from: count("source")?, to: count("target")? })
    }

    /// The links that start at a node or once did.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn links_ever_from(&self, owner: &OwnerId, id: &EntityId) -> Result<BTreeSet<Link>> {
        let mut read = self.conn.prepare_cached(
            "SELECT source, target, kind FROM links WHERE owner = (SELECT n FROM owners WHERE id = ?1) AND source = ?2",
        )?;
        let mut rows = read.query([owner.as_str(), id.as_str()])?;
        let mut links = BTreeSet::new();
        while let Some(row) = rows.next()? {
            let (from, to, kind) = (entity_id(row, 0)?, entity_id(row, 1)?, row.get(2)?);
            links.insert(Link { from, to, kind });
        }
        Ok(links)
    }

    /// The nodes behind `after` with a field that has more than one value, in
    /// the order of their ids, at most `limit`.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn in_conflict(
        &self,
        owner: &OwnerId,
        after: Option<&EntityId>,
        limit: usize,
    ) -> Result<Vec<EntityId>> {
        let mut read = self.conn.prepare_cached(
            "SELECT id FROM nodes WHERE owner = (SELECT n FROM owners WHERE id = ?1) AND conflicts > 0 AND NOT hidden AND id > ?2
             ORDER BY id LIMIT ?3",
        )?;
        let after = after.map_or("", EntityId::as_str);
        let mut rows = read.query(params![owner.as_str(), after, limit])?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next()? {
            ids.push(entity_id(row, 0)?);
        }
        Ok(ids)
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

    /// How many nodes have a field with more than one value. What is deleted
    /// was deleted in the knowledge of all of them.
    ///
    /// # Errors
    /// SQLite's.
    pub fn conflicts(&self, owner: &OwnerId) -> Result<u64> {
        let mut count = self.conn.prepare_cached(
            "SELECT count(*) FROM nodes WHERE owner = (SELECT n FROM owners WHERE id = ?1) AND conflicts > 0 AND NOT hidden",
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
        tags: None,
    })
}

fn entity_id(row: &Row<'_>, column: usize) -> Result<EntityId> {
    row.get::<_, String>(column)?.parse().map_err(|error| damaged("an id", &error))
}
