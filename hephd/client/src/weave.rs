//! What a document's text means for the rest of the store: its tags, the
//! tasks that its boxes are, its links. Pure once it is loaded.
//!
//! What counts is what the text says *now* against what it said *before*: only
//! where the two differ does the text decide. A task that was done in heph
//! stays done although its box is still empty, and a tag that was put on in
//! heph stays on.

use std::collections::{BTreeSet, HashMap, HashSet};

use hephd::{
    error::Result,
    id::{EntityId, OwnerId},
    node::{Change, LINE_OF, Link, Links, Node, WIKI},
};
use serde_json::json;

use crate::{
    markdown::{Parsed, TaskBox},
    session::Session,
    tags::{self, Tags, tag_id, tagged},
    wiki::{self, Index},
};

/// A document as the store has it.
#[derive(Debug, Default)]
pub struct Before {
    /// What its text says; none for a new or a deleted document.
    pub said: Option<Parsed>,
    /// Its links.
    pub links: Links,
}

/// All that documents are woven into.
#[derive(Debug)]
pub struct Weaver {
    owner: OwnerId,
    tags: Tags,
    tasks: HashMap<EntityId, Node>,
}

impl Weaver {
    /// Asks for all tasks and tags.
    ///
    /// # Errors
    /// `no_owner_yet`; the daemon's others.
    pub fn load(session: &mut Session) -> Result<Self> {
        let tasks = session.all("task", true)?;
        Ok(Self {
            owner: session.owner()?,
            tags: Tags::load(session)?,
            tasks: tasks.into_iter().map(|task| (task.id.clone(), task)).collect(),
        })
    }

    /// Whose data it is.
    #[must_use]
    pub const fn owner(&self) -> &OwnerId {
        &self.owner
    }

    /// How the task of a box stands; none where there is no such task.
    #[must_use]
    pub fn done(&self, doc: &EntityId, found: &TaskBox) -> Option<bool> {
        let task = self.tasks.get(&line_task(&self.owner, doc, found))?;
        (!task.deleted).then(|| task.done())
    }

    /// What follows from a document's text for tags and tasks.
    pub fn changes(&mut self, doc: &EntityId, before: &Before, now: &Parsed) -> Vec<Change> {
        let mut changes = self.tag_changes(doc, before, now);
        let said = before.said.as_ref().map_or(&[][..], |said| &said.boxes);
        let old: HashMap<_, _> = said.iter().map(|b| (b.key(), b.done)).collect();
        let new: HashSet<_> = now.boxes.iter().map(TaskBox::key).collect();
        for found in &now.boxes {
            let stands = old.get(&found.key()) == Some(&found.done);
            changes.extend(self.box_changes(doc, before, found, stands));
        }
        for gone in said.iter().filter(|b| !new.contains(&b.key())) {
            changes.extend(self.gone_changes(doc, gone));
        }
        changes
    }

    fn tag_changes(&mut self, doc: &EntityId, before: &Before, now: &Parsed) -> Vec<Change> {
        let ids = |names: &[String]| -> BTreeSet<EntityId> {
            names.iter().map(|name| tag_id(&self.owner, name)).collect()
        };
        let old = ids(before.said.as_ref().map_or(&[], |said| &said.tags));
        let new = ids(&now.tags);
        let is_on = |tag: &EntityId| before.links.from.contains(&tagged(doc, tag));
        let off = old.difference(&new).filter(|tag| is_on(tag));
        let mut changes: Vec<Change> =
            off.map(|tag| Change::Link { link: tagged(doc, tag), deleted: true }).collect();
        for name in &now.tags {
            let tag = tag_id(&self.owner, name);
            if !old.contains(&tag) && !is_on(&tag) {
                changes.extend(self.tags.put(&self.owner, doc, name));
            }
        }
        changes
    }

    fn box_changes(
        &self,
        doc: &EntityId,
        before: &Before,
        found: &TaskBox,
        stands: bool,
    ) -> Vec<Change> {
        let id = line_task(&self.owner, doc, found);
        let mut changes = match self.tasks.get(&id) {
            Some(_) if stands => return Vec::new(),
            Some(task) if !task.deleted && task.done() == found.done => Vec::new(),
            Some(task) if !task.deleted => vec![tags::set(&id, json!({ "done": found.done }))],
            _ => vec![tags::set(
                &id,
                json!({ "kind": "task", "title": found.text, "done": found.done }),
            )],
        };
        let link = line_of(&id, doc);
        if !before.links.to.contains(&link) {
            changes.push(Change::Link { link, deleted: false });
        }
        changes
    }

    /// The line is gone. A task that was given more in heph than the line had
    /// stays, on its own; any other goes with its line.
    fn gone_changes(&self, doc: &EntityId, gone: &TaskBox) -> Vec<Change> {
        let id = line_task(&self.owner, doc, gone);
        let Some(task) = self.tasks.get(&id).filter(|task| !task.deleted) else {
            return Vec::new();
        };
        let more = !task.text("note").is_empty() || !task.text("due").is_empty();
        let mut changes = vec![Change::Link { link: line_of(&id, doc), deleted: true }];
        if !more && task.tags().is_empty() {
            let set = serde_json::Map::new();
            changes.push(Change::Node { id: Some(id), set, deleted: Some(true) });
        }
        changes
    }
}

/// The id of the task that a box is.
#[must_use]
pub fn line_task(owner: &OwnerId, doc: &EntityId, found: &TaskBox) -> EntityId {
    EntityId::derived(owner, "line", &format!("{doc}\n{}\n{}", found.text, found.nth))
}

fn line_of(task: &EntityId, doc: &EntityId) -> Link {
    Link { from: task.clone(), to: doc.clone(), kind: LINE_OF.to_owned() }
}

/// Where a text's wiki links lead.
#[derive(Debug, Default)]
pub struct Targets {
    /// The documents that they mean.
    pub found: BTreeSet<EntityId>,
    /// The links that mean none.
    pub unresolved: Vec<String>,
}

impl Targets {
    /// Follows the links of the document `doc`, which lies at `path`.
    #[must_use]
    pub fn of(index: &Index, doc: &EntityId, path: &str, links: &[String]) -> Self {
        let mut targets = Self::default();
        for link in links {
            match index.resolve(path, link) {
                Some(id) if id != doc => drop(targets.found.insert(id.clone())),
                None if !wiki::is_inner(link) && !targets.unresolved.contains(link) => {
                    targets.unresolved.push(link.clone());
                }
                _ => {}
            }
        }
        targets
    }

    /// The changes that make the document's wiki links these and no others.
    #[must_use]
    pub fn changes(&self, doc: &EntityId, links: &[Link]) -> Vec<Change> {
        let old: BTreeSet<EntityId> =
            links.iter().filter(|link| link.kind == WIKI).map(|link| link.to.clone()).collect();
        let change = |to: &EntityId, deleted| Change::Link {
            link: Link { from: doc.clone(), to: to.clone(), kind: WIKI.to_owned() },
            deleted,
        };
        let made = self.found.difference(&old).map(|to| change(to, false));
        let removed = old.difference(&self.found).map(|to| change(to, true));
        made.chain(removed).collect()
    }
}
