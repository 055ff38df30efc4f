//! Which document a `[[wiki link]]` means. Pure, and the same on every
//! device: it depends on the documents' ids, titles and paths alone.
//!
//! A link may give a path, a path without its extension, a title, or a file's
//! name without its extension. Capitals count only where they tell two
//! documents apart. Of several, the one in the same folder is meant, then the
//! one that lies highest.

use std::collections::HashMap;

use hephd::{id::EntityId, node::Node};

/// Where links can lead.
#[derive(Debug, Default)]
pub struct Index {
    documents: Vec<Document>,
    exact: HashMap<String, Vec<Found>>,
    folded: HashMap<String, Vec<Found>>,
}

#[derive(Debug)]
struct Document {
    id: EntityId,
    path: String,
}

/// A document by its place, and how good a match its name is: 0 is best.
type Found = (u8, usize);

impl Index {
    /// An index of documents that are not deleted.
    #[must_use]
    pub fn new(documents: &[Node]) -> Self {
        let mut index = Self::default();
        for node in documents {
            index.add(node);
        }
        index
    }

    fn add(&mut self, node: &Node) {
        let (n, path) = (self.documents.len(), node.text("path").to_owned());
        let trunk = without_extension(&path);
        for (rank, name) in [&path, trunk, &node.title, file_name(trunk)].into_iter().enumerate() {
            let found = (u8::try_from(rank).unwrap_or(u8::MAX), n);
            if !name.is_empty() {
                self.exact.entry(name.to_owned()).or_default().push(found);
                self.folded.entry(name.to_lowercase()).or_default().push(found);
            }
        }
        self.documents.push(Document { id: node.id.clone(), path });
    }

    /// The document that a link in the document at `from` means.
    #[must_use]
    pub fn resolve(&self, from: &str, link: &str) -> Option<&EntityId> {
        let heading = link.split('#').next().unwrap_or_default().trim();
        [link, heading].into_iter().find_map(|name| {
            let beside = join(folder(from), name);
            let beside = beside.as_deref().and_then(|path| self.by_path(path));
            beside.or_else(|| self.by_name(from, name.trim_start_matches('/')))
        })
    }

    /// `../other/note`, from where the link stands.
    fn by_path(&self, path: &str) -> Option<&EntityId> {
        let paths = self.exact.get(path)?.iter().filter(|(rank, _)| *rank < 2);
        paths.min().map(|(_, n)| &self.documents[*n].id)
    }

    fn by_name(&self, from: &str, name: &str) -> Option<&EntityId> {
        let found = self.exact.get(name).or_else(|| self.folded.get(&name.to_lowercase()))?;
        let best = found.iter().min_by_key(|(rank, n)| {
            let Document { id, path } = &self.documents[*n];
            let elsewhere = folder(path) != folder(from);
            (*rank, elsewhere, path.matches('/').count(), path, id)
        });
        best.map(|(_, n)| &self.documents[*n].id)
    }
}

/// Whether a link leads to a place in its own document.
#[must_use]
pub fn is_inner(link: &str) -> bool {
    link.trim_start().starts_with('#') || link.trim().is_empty()
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A file's name without its extension.
#[must_use]
pub fn stem(path: &str) -> &str {
    file_name(without_extension(path))
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn without_extension(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((trunk, extension)) if !extension.contains('/') && !trunk.is_empty() => trunk,
        _ => path,
    }
}

/// A relative path, followed from a folder; none that leads out of the whole.
fn join(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn index(documents: &[(&str, &str)]) -> Index {
        let node = |(n, (path, title)): (usize, &(&str, &str))| Node {
            id: format!("id{n}").parse().unwrap(),
            kind: "doc".to_owned(),
            title: (*title).to_owned(),
            fields: json!({ "path": path }).as_object().unwrap().clone(),
            updated: String::new(),
            deleted: false,
            conflicts: 0,
            versions: BTreeMap::new(),
            tags: None,
        };
        Index::new(&documents.iter().enumerate().map(node).collect::<Vec<_>>())
    }

    #[test]
    fn a_link_may_say_path_title_or_name() {
        let index = index(&[("a/b.md", "Title B"), ("c.markdown", "C!"), ("", "No path")]);
        for (link, id) in [
            ("a/b.md", "id0"),
            ("a/b", "id0"),
            ("b", "id0"),
            ("B", "id0"),
            ("title b", "id0"),
            ("/a/b", "id0"),
            ("b#part", "id0"),
            ("c", "id1"),
            ("no path", "id2"),
        ] {
            assert_eq!(index.resolve("x.md", link).map(EntityId::as_str), Some(id), "{link}");
        }
        for link in ["d", "", "../../b", "a"] {
            assert_eq!(index.resolve("x.md", link), None, "{link}");
        }
    }

    #[test]
    fn of_two_the_nearer_is_meant_then_the_higher() {
        let index = index(&[("a/n.md", ""), ("b/n.md", ""), ("n.md", ""), ("b/N.md", "")]);
        let found = |from, link| index.resolve(from, link).map(EntityId::as_str);
        assert_eq!(found("b/x.md", "n"), Some("id1"));
        assert_eq!(found("c/x.md", "n"), Some("id2"));
        assert_eq!(found("b/x.md", "N"), Some("id3"));
        assert_eq!(found("b/x.md", "../a/n"), Some("id0"));
    }

    #[test]
    fn a_heading_of_its_own_is_no_link_elsewhere() {
        assert!(is_inner("#part") && is_inner(" ") && !is_inner("a#part"));
    }
}
