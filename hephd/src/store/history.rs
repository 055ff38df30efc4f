//! What became of a node: its ops one by one, or all up to a time.
//!
//! Every function goes over the ops as often as it needs to and keeps no more
//! than a page of them: a node may have been written a million times.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::OptionalExtension;
use serde_json::{Value, json};

use super::{Store, damaged, names, query::MAX_PAGE, state};
use crate::{
    clock::rfc3339,
    error::Result,
    history::{
        Conflict, Conflicts, Disputed, Event, History, LINKED, Replay, Standing, Told, told_value,
    },
    hlc::Hlc,
    id::{EntityId, Origin, OwnerId},
    merge::{DELETED, Entity, Version, is_deletion},
    node::{Link, Node},
    op::{Op, Set, Target},
};

/// At most this many bytes of values in one page, unless a single op has
/// more: pages always get on.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// A node or one of its links, and which one.
type About = (Target, Option<Link>);

impl Store {
    /// Hands out the ops of one node or link, in the order in which they came
    /// here.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`; those of `each`.
    pub fn each_op_of(
        &self,
        owner: &OwnerId,
        target: &Target,
        each: &mut dyn FnMut(Set) -> Result<()>,
    ) -> Result<()> {
        let Some(owner) = names::known_owner(&self.conn, owner)? else { return Ok(()) };
        let entity = names::number_of_entity(&self.conn, owner, &target.key())?;
        let mut read =
            self.conn.prepare_cached("SELECT bytes FROM ops WHERE entity = ?1 ORDER BY n")?;
        let mut rows = read.query([entity])?;
        while let Some(row) = rows.next()? {
            let bytes = row.get_ref(0)?.as_str().map_err(|e| damaged("ops", &e))?;
            if let Op::Set(set) = Op::decode(bytes).map_err(|e| damaged("ops", &e))? {
                each(set)?;
            }
        }
        Ok(())
    }

    /// A node as its ops up to this id mean it; none where it was not written
    /// yet.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn node_until(&self, owner: &OwnerId, id: &EntityId, until: Hlc) -> Result<Option<Node>> {
        let mut replay = Replay::default();
        self.each_op_of(owner, &Target::Node(id.clone()), &mut |set| {
            if set.id <= until {
                replay.take(set);
            }
            Ok(())
        })?;
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
        let about = self.about(owner, id)?;
        let limit = limit.clamp(1, MAX_PAGE);
        let mut draft = Draft { after, limit, ..Draft::default() };
        for (n, (target, _)) in about.iter().enumerate() {
            self.each_op_of(owner, target, &mut |set| {
                draft.offer(n, set);
                Ok(())
            })?;
        }
        let concerned = draft.settle();
        for n in &concerned {
            self.each_op_of(owner, &about[*n].0, &mut |set| {
                draft.weigh(*n, &set);
                Ok(())
            })?;
        }
        draft.cut();
        for n in &concerned {
            self.each_op_of(owner, &about[*n].0, &mut |set| {
                draft.fill(*n, &set, about[*n].1.is_some());
                Ok(())
            })?;
        }
        self.finish(owner, draft, &about)
    }

    fn about(&self, owner: &OwnerId, id: &EntityId) -> Result<Vec<About>> {
        let links = self.links_ever_from(owner, id)?.into_iter().map(|link| {
            let id = EntityId::of_link(owner, &link.from, &link.to, &link.kind);
            (Target::Link(id), Some(link))
        });
        Ok([(Target::Node(id.clone()), None)].into_iter().chain(links).collect())
    }

    fn finish(&self, owner: &OwnerId, draft: Draft, about: &[About]) -> Result<History> {
        let more = draft.more;
        let ids: Vec<Hlc> = draft.lines.keys().copied().collect();
        let devices = self.devices_of(owner, &ids)?;
        let disputed = self.disputed(owner, about, &draft)?;
        let mut events = Vec::new();
        for (id, mut line) in draft.lines {
            line.before.sort_by_key(|(id, _)| *id);
            let link = about[line.about].1.clone();
            let standing = match &link {
                _ if line.superseded => Standing::Superseded,
                Some(_) if !self.holds(owner, &about[line.about].0, &line.value)? => {
                    Standing::Superseded
                }
                None if disputed.contains(&line.field) => Standing::Conflicting,
                _ => Standing::Current,
            };
            events.push(Event {
                id,
                time: rfc3339(id.ms),
                device: devices.get(&id).cloned().unwrap_or_default(),
                to_title: link.as_ref().map(|link| self.title(owner, &link.to)).transpose()?,
                field: if link.is_some() { LINKED.to_owned() } else { line.field },
                link,
                value: line.value,
                before: line.before.into_iter().map(|(_, value)| value).collect(),
                standing,
            });
        }
        Ok(History { events, more })
    }

    /// Whether a link is now what an op said of it. What made a link and what
    /// removed it are fields of their own, so neither supersedes the other.
    fn holds(&self, owner: &OwnerId, link: &Target, made: &Value) -> Result<bool> {
        let is_there = !state::entity(&self.conn, owner, link)?.hidden();
        Ok(*made == Value::Bool(is_there))
    }

    /// The fields of the node that are in conflict now.
    fn disputed(
        &self,
        owner: &OwnerId,
        about: &[About],
        draft: &Draft,
    ) -> Result<BTreeSet<String>> {
        if draft.lines.is_empty() {
            return Ok(BTreeSet::new());
        }
        let entity = state::entity(&self.conn, owner, &about[0].0)?;
        Ok(entity.conflicts().into_iter().map(str::to_owned).collect())
    }

    fn title(&self, owner: &OwnerId, id: &EntityId) -> Result<String> {
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

/// A page of history in the making.
#[derive(Default)]
struct Draft {
    after: Option<Hlc>,
    limit: usize,
    lines: BTreeMap<Hlc, Line>,
    /// Which lines want to tell the value of an op as what was before.
    wanted_by: BTreeMap<Hlc, Vec<Hlc>>,
    more: bool,
}

#[derive(Default)]
struct Line {
    about: usize,
    field: String,
    value: Value,
    seen: Vec<Hlc>,
    before: Vec<(Hlc, Value)>,
    bytes: usize,
    superseded: bool,
}

impl Draft {
    /// The oldest ones behind `after` stay.
    fn offer(&mut self, about: usize, set: Set) {
        if self.after.is_some_and(|after| set.id <= after) {
            return;
        }
        let line = Line { about, field: set.field, seen: set.seen, ..Line::default() };
        self.lines.insert(set.id, line);
        if self.lines.len() > self.limit {
            self.lines.pop_last();
            self.more = true;
        }
    }

    /// Which are in it; gives the nodes and links that they are about.
    fn settle(&mut self) -> BTreeSet<usize> {
        for (id, line) in &self.lines {
            for seen in &line.seen {
                self.wanted_by.entry(*seen).or_default().push(*id);
            }
        }
        self.lines.values().map(|line| line.about).collect()
    }

    fn weigh(&mut self, about: usize, set: &Set) {
        for seen in &set.seen {
            if let Some(line) = self.lines.get_mut(seen)
                && line.about == about
                && line.field == set.field
            {
                line.superseded = true;
            }
        }
        let weight = weight(&set.value);
        self.each_teller(about, set, |_, line| line.bytes += weight);
    }

    fn fill(&mut self, about: usize, set: &Set, is_link: bool) {
        self.each_teller(about, set, |is_own, line| match is_own {
            true => line.value = told_value(set, is_link),
            false => line.before.push((set.id, told_value(set, is_link))),
        });
    }

    /// The lines that tell an op's value, as their own or as what was before.
    fn each_teller(&mut self, about: usize, set: &Set, mut tell: impl FnMut(bool, &mut Line)) {
        if let Some(own) = self.lines.get_mut(&set.id) {
            tell(true, own);
        }
        for id in self.wanted_by.get(&set.id).into_iter().flatten() {
            if let Some(line) = self.lines.get_mut(id)
                && line.about == about
                && line.field == set.field
            {
                tell(false, line);
            }
        }
    }

    /// Not more than fits in one page, and always something.
    fn cut(&mut self) {
        let (mut bytes, mut first) = (0, true);
        let too_much = self.lines.iter().find(|(_, line)| {
            bytes += line.bytes;
            !std::mem::take(&mut first) && bytes > MAX_PAGE_BYTES
        });
        if let Some(id) = too_much.map(|(id, _)| *id) {
            self.lines.split_off(&id);
            self.more = true;
        }
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
