//! What became of a node: its ops one by one, or all up to a time.
//!
//! A page is found by going along the ops of a node in the order of their ids,
//! from where the page before it ended. Nothing is read that is not on it,
//! however often the node was written.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::{Store, damaged, names, query::MAX_PAGE, state};
use crate::{
    clock::rfc3339,
    error::Result,
    history::{Event, History, LINKED, Replay, Standing, told_value},
    hlc::Hlc,
    id::{EntityId, Origin, OwnerId},
    node::{Link, Node},
    op::{Op, Set, Target},
};

/// At most this many bytes of ops in one page, unless a single event has more:
/// pages always get on.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// The ops of a node or link behind one of them, and those up to one.
const OPS_BEHIND: &str = "SELECT id, n FROM ops WHERE entity = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
const OPS_UP_TO: &str = "SELECT bytes FROM ops WHERE entity = ?1 AND id <= ?2 ORDER BY id";

/// A node or one of its links: its number, and which link.
struct About {
    target: Target,
    entity: i64,
    link: Option<Link>,
}

/// An op on a page: its number, and of which of those it is.
type Place = (i64, usize);

/// What the events of one page share.
struct Context<'a> {
    owner: &'a OwnerId,
    number: i64,
    /// The fields of the node that are in conflict now.
    disputed: BTreeSet<String>,
}

impl Store {
    /// A node as its ops up to this id mean it; none where it was not written
    /// yet.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn node_until(&self, owner: &OwnerId, id: &EntityId, until: Hlc) -> Result<Option<Node>> {
        let Some(number) = names::known_owner(&self.conn, owner)? else { return Ok(None) };
        let target = Target::Node(id.clone());
        let entity = names::number_of_entity(&self.conn, number, &target.key())?;
        let mut read = self.conn.prepare_cached(OPS_UP_TO)?;
        let mut rows = read.query(params![entity, until.to_string()])?;
        let mut replay = Replay::default();
        while let Some(row) = rows.next()? {
            let bytes = row.get_ref(0)?.as_str().map_err(|e| damaged("ops", &e))?;
            if let Op::Set(set) = Op::decode(bytes).map_err(|e| damaged("ops", &e))? {
                replay.take(set);
            }
        }
        Ok(Node::of(id, &replay.entity()))
    }

    /// The ops of a node and of the links that start there, oldest first: a
    /// page of those behind `after`.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn history(
        &self,
        owner: &OwnerId,
        id: &EntityId,
        after: Option<Hlc>,
        limit: usize,
    ) -> Result<History> {
        let mut page = History::default();
        let Some(number) = names::known_owner(&self.conn, owner)? else { return Ok(page) };
        let about = self.about(owner, number, id)?;
        let mut oldest = self.oldest_ops(&about, after, limit.clamp(1, MAX_PAGE))?;
        page.more = oldest.more;
        let context = Context { owner, number, disputed: self.disputed(owner, id)? };
        let mut bytes = 0;
        while let Some((_, (n, at))) = oldest.places.pop_first() {
            let (event, weight) = self.event(&context, n, &about[at])?;
            bytes += weight;
            if bytes > MAX_PAGE_BYTES && !page.events.is_empty() {
                page.more = true;
                break;
            }
            page.events.push(event);
        }
        let ids: Vec<Hlc> = page.events.iter().map(|event| event.id).collect();
        let devices = self.devices_of(owner, &ids)?;
        for event in &mut page.events {
            event.device = devices.get(&event.id).cloned().unwrap_or_default();
        }
        Ok(page)
    }

    /// The node, and the links that start there or once did, as far as there
    /// are ops about them.
    fn about(&self, owner: &OwnerId, number: i64, id: &EntityId) -> Result<Vec<About>> {
        let links = self.links_ever_from(owner, id)?.into_iter().map(|link| {
            let id = EntityId::of_link(owner, &link.from, &link.to, &link.kind);
            (Target::Link(id), Some(link))
        });
        let mut about = Vec::new();
        for (target, link) in [(Target::Node(id.clone()), None)].into_iter().chain(links) {
            if let Some(entity) = names::number_of_entity(&self.conn, number, &target.key())? {
                about.push(About { target, entity, link });
            }
        }
        Ok(about)
    }

    fn oldest_ops(&self, about: &[About], after: Option<Hlc>, limit: usize) -> Result<Oldest> {
        let mut oldest = Oldest { places: BTreeMap::new(), limit, more: false };
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let mut read = self.conn.prepare_cached(OPS_BEHIND)?;
        for (at, About { entity, .. }) in about.iter().enumerate() {
            let mut rows = read.query(params![entity, after, limit + 1])?;
            while let Some(row) = rows.next()? {
                let id = row.get_ref(0)?.as_str().map_err(|e| damaged("ops", &e))?;
                if !oldest.offer(id, (row.get(1)?, at)) {
                    break;
                }
            }
        }
        Ok(oldest)
    }

    /// The fields of a node that are in conflict now.
    fn disputed(&self, owner: &OwnerId, id: &EntityId) -> Result<BTreeSet<String>> {
        let entity = state::entity(&self.conn, owner, &Target::Node(id.clone()))?;
        Ok(entity.conflicts().into_iter().map(str::to_owned).collect())
    }

    /// An op as people see it, and how many bytes of ops that took. Who brought
    /// it is filled in later, for a whole page.
    fn event(&self, context: &Context<'_>, n: i64, about: &About) -> Result<(Event, usize)> {
        let (set, mut bytes) = self.set(n)?;
        let is_link = about.link.is_some();
        let (value, mut seen, mut before) =
            (told_value(&set, is_link), set.seen.clone(), Vec::new());
        seen.sort_unstable();
        for id in seen {
            if let Some((earlier, weight)) = self.seen(context.number, id, about.entity)?
                && earlier.field == set.field
            {
                bytes += weight;
                before.push(told_value(&earlier, is_link));
            }
        }
        let link = about.link.as_ref();
        let event = Event {
            id: set.id,
            time: rfc3339(set.id.ms),
            device: String::new(),
            to_title: link.map(|link| self.title(context.owner, &link.to)).transpose()?,
            standing: self.standing(context, n, about, &set, &value)?,
            field: if is_link { LINKED.to_owned() } else { set.field },
            link: about.link.clone(),
            value,
            before,
        };
        Ok((event, bytes))
    }

    fn standing(
        &self,
        context: &Context<'_>,
        n: i64,
        about: &About,
        set: &Set,
        told: &Value,
    ) -> Result<Standing> {
        let current = self
            .conn
            .prepare_cached("SELECT 1 FROM versions WHERE entity = ?1 AND field = ?2 AND op = ?3")?
            .exists(params![about.entity, set.field, n])?;
        Ok(if !current {
            Standing::Superseded
        } else if about.link.is_some() {
            // What made a link and what removed it are fields of their own, so
            // neither supersedes the other.
            let is_there = !state::entity(&self.conn, context.owner, &about.target)?.hidden();
            if *told == Value::Bool(is_there) { Standing::Current } else { Standing::Superseded }
        } else if context.disputed.contains(&set.field) {
            Standing::Conflicting
        } else {
            Standing::Current
        })
    }

    /// The op of a number that stands for one we understand, and its length.
    fn set(&self, n: i64) -> Result<(Set, usize)> {
        let mut read = self.conn.prepare_cached("SELECT bytes FROM ops WHERE n = ?1")?;
        let bytes: String = read.query_row([n], |row| row.get(0))?;
        match Op::decode(&bytes).map_err(|e| damaged("ops", &e))? {
            Op::Set(set) => Ok((set, bytes.len())),
            Op::Unknown { .. } => Err(damaged("ops", &"an op about a node cannot be read")),
        }
    }

    /// An op that another one had seen, if it is here and about the same.
    fn seen(&self, owner: i64, id: Hlc, entity: i64) -> Result<Option<(Set, usize)>> {
        let mut find = self
            .conn
            .prepare_cached("SELECT n FROM ops WHERE owner = ?1 AND id = ?2 AND entity = ?3")?;
        let n = find.query_row(params![owner, id.to_string(), entity], |row| row.get(0));
        n.optional()?.map(|n| self.set(n)).transpose()
    }

    pub(super) fn title(&self, owner: &OwnerId, id: &EntityId) -> Result<String> {
        let mut read = self.conn.prepare_cached(
            "SELECT title FROM nodes
             WHERE owner = (SELECT n FROM owners WHERE id = ?1) AND id = ?2",
        )?;
        let title = read.query_row([owner.as_str(), id.as_str()], |row| row.get(0)).optional()?;
        Ok(title.flatten().unwrap_or_default())
    }

    /// The names of the devices whose chains delivered ops. Where a chain was
    /// healed, an op lies in two; both are then of one machine.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn devices_of(&self, owner: &OwnerId, ids: &[Hlc]) -> Result<BTreeMap<Hlc, String>> {
        let mut find = self.conn.prepare_cached(
            "SELECT h.origin FROM ops o JOIN chains c ON c.op = o.n JOIN heads h ON h.n = c.chain
             WHERE o.owner = (SELECT n FROM owners WHERE id = ?1) AND o.id = ?2
             ORDER BY h.origin LIMIT 1",
        )?;
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let mut devices = BTreeMap::new();
        for id in ids {
            let row = find.query_row([owner.as_str(), &id.to_string()], |row| row.get(0));
            let Some(origin): Option<String> = row.optional()? else { continue };
            if !names.contains_key(&origin) {
                let device: Origin = origin.parse().map_err(|e| damaged("heads", &e))?;
                let title = self.title(owner, &EntityId::of_device(&device))?;
                names.insert(origin.clone(), title);
            }
            devices.insert(*id, names[&origin].clone());
        }
        Ok(devices)
    }
}

/// The oldest ops of several nodes and links together, without the ops.
struct Oldest {
    /// By the ids' texts, which have the order of the ids.
    places: BTreeMap<String, Place>,
    limit: usize,
    more: bool,
}

impl Oldest {
    /// Whether a younger one of the same node may still have a place.
    fn offer(&mut self, id: &str, place: Place) -> bool {
        let full = self.places.len() == self.limit;
        if full && self.places.last_key_value().is_some_and(|(last, _)| id > last.as_str()) {
            self.more = true;
            return false;
        }
        self.places.insert(id.to_owned(), place);
        if self.places.len() > self.limit {
            self.places.pop_last();
            self.more = true;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{machine::Machine, store::Birth};

    /// Else a page would cost as much as all that come before it, and a node's
    /// past would be sorted in memory.
    #[test]
    fn the_ops_of_a_node_are_found_by_going_along_an_index() {
        let store = Store::in_memory(&Birth::Minting, &Machine::this()).unwrap();
        for (sql, along) in [(OPS_BEHIND, "id>?"), (OPS_UP_TO, "id<?")] {
            let mut explain = store.conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let lines = explain.raw_query().mapped(|row| row.get::<_, String>(3));
            let plan = lines.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("; ");
            assert!(
                plan.ends_with(&format!("INDEX ops_by_entity (entity=? AND {along})")),
                "{plan}"
            );
        }
    }
}
