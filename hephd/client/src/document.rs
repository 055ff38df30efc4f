//! Which document a file is, and the change that makes the document what the
//! file is. Pure once it is loaded.

use std::collections::HashMap;

use hephd::{
    clock::Entropy,
    error::Result,
    id::{EntityId, OwnerId},
    node::{Change, Node},
    op::Hash,
};
use serde_json::{Map, Value, json};

use crate::{markdown::Parsed, session::Session, wiki};

/// The documents that there are, also the deleted ones.
#[derive(Debug)]
pub struct Documents {
    owner: OwnerId,
    known: HashMap<EntityId, Node>,
    by_path: HashMap<String, EntityId>,
    typed: HashMap<String, Vec<EntityId>>,
}

impl Documents {
    /// Asks for all of them.
    ///
    /// # Errors
    /// The daemon's.
    pub fn load(session: &mut Session, owner: &OwnerId) -> Result<Self> {
        let nodes = session.all("doc", true)?;
        Ok(Self {
            owner: owner.clone(),
            by_path: by_path(owner, &nodes),
            typed: typed(&nodes),
            known: nodes.into_iter().map(|node| (node.id.clone(), node)).collect(),
        })
    }

    /// Whether there is a document with this id.
    #[must_use]
    pub fn has(&self, id: &EntityId) -> bool {
        self.known.contains_key(id)
    }

    /// The documents of this title that were typed in heph, and lie nowhere.
    #[must_use]
    pub fn typed(&self, title: &str) -> Vec<EntityId> {
        self.typed.get(title).cloned().unwrap_or_default()
    }

    /// The document at a path; else the one that every device would make of
    /// it, unless that one has moved to another path meanwhile.
    #[must_use]
    pub fn identity(&self, path: &str) -> EntityId {
        if let Some(known) = self.by_path.get(path) {
            return known.clone();
        }
        let derived = derived(&self.owner, path);
        if self.has(&derived) { EntityId::draw(&Entropy::System) } else { derived }
    }
}

fn typed(nodes: &[Node]) -> HashMap<String, Vec<EntityId>> {
    let mut typed: HashMap<String, Vec<EntityId>> = HashMap::new();
    for node in nodes.iter().filter(|node| node.text("path").is_empty() && !node.deleted) {
        typed.entry(node.title.clone()).or_default().push(node.id.clone());
    }
    typed
}

fn derived(owner: &OwnerId, path: &str) -> EntityId {
    EntityId::derived(owner, "doc", path)
}

/// Of several documents with one path, the living one, then the one that
/// every device would make.
fn by_path(owner: &OwnerId, nodes: &[Node]) -> HashMap<String, EntityId> {
    let mut best: HashMap<&str, &Node> = HashMap::new();
    for node in nodes.iter().filter(|node| !node.text("path").is_empty()) {
        let path = node.text("path");
        let rank = |node: &Node| (node.deleted, node.id != derived(owner, path), node.id.clone());
        let known = best.entry(path).or_insert(node);
        if rank(node) < rank(known) {
            *known = node;
        }
    }
    best.into_iter().map(|(path, node)| (path.to_owned(), node.id.clone())).collect()
}

/// A file that is to be imported.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// The name of the folder that is imported.
    pub folder: &'a str,
    /// Where the file lies in it.
    pub path: &'a str,
    /// What it says.
    pub text: &'a str,
}

/// What a file is to its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The document becomes what the file is.
    Leads,
    /// The file is as it was imported; the document has gone on in heph.
    Old,
    /// Taking the file would lose something, for this reason.
    Refused(&'static str),
}

impl Standing {
    /// Looks at a file and the document that it is, if there is one.
    #[must_use]
    pub fn of(file: File<'_>, stored: Option<&Node>) -> Self {
        let Some(node) = stored.filter(|node| !node.deleted) else { return Self::Leads };
        let (body, imported) = (node.text("body"), node.text("imported"));
        if imported == digest(file.text) && body != file.text {
            return Self::Old;
        }
        let from = node.text("folder");
        if node.versions.contains_key("body") {
            Self::Refused("its document has two versions that differ; --overwrite takes the file's")
        } else if body == file.text {
            Self::Leads
        } else if !from.is_empty() && from != file.folder {
            Self::Refused(
                "a file of another folder is the document of that path; --overwrite replaces it",
            )
        } else if imported != digest(body) {
            Self::Refused("it was changed in heph too; --overwrite takes the file's text")
        } else {
            Self::Leads
        }
    }
}

/// How a text is known again.
fn digest(text: &str) -> String {
    Hash::of(text).to_string()
}

/// The change that makes a document what its file is; none where it is so.
#[must_use]
pub fn change(
    id: &EntityId,
    stored: Option<&Node>,
    said: Option<&Parsed>,
    file: File<'_>,
    now: &Parsed,
) -> Option<Change> {
    let mut set = follows(file.path, said, now);
    set.insert("kind".to_owned(), json!("doc"));
    set.insert("path".to_owned(), json!(file.path));
    set.insert("body".to_owned(), json!(file.text));
    set.insert("folder".to_owned(), json!(file.folder));
    set.insert("imported".to_owned(), json!(digest(file.text)));
    let deleted = stored.is_some_and(|node| node.deleted);
    if let Some(node) = stored.filter(|node| !node.deleted) {
        set.retain(|field, value| node.fields.get(field) != Some(value));
    }
    let is_needed = deleted || !set.is_empty();
    is_needed.then(|| Change::Node { id: Some(id.clone()), set, deleted: deleted.then_some(false) })
}

/// The fields that follow the text only where it says something else than
/// before: a title that was given in heph stays.
fn follows(path: &str, said: Option<&Parsed>, now: &Parsed) -> Map<String, Value> {
    let title = |parsed: &Parsed| {
        let names = [parsed.title.as_deref().unwrap_or_default(), wiki::stem(path), "untitled"];
        names.into_iter().find(|name| !name.trim().is_empty()).map(str::to_owned)
    };
    let fields = [
        ("title", said.map(title), title(now)),
        ("created", said.map(|said| said.created.clone()), now.created.clone()),
        ("modified", said.map(|said| said.modified.clone()), now.modified.clone()),
    ];
    let differs = fields.into_iter().filter(|(_, before, now)| match before {
        Some(before) => before != now,
        None => now.is_some(),
    });
    differs.map(|(field, _, now)| (field.to_owned(), json!(now))).collect()
}
