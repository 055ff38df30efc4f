//! Where each document goes in an export. Pure: the same documents give the
//! same places, on every device.
//!
//! A document's `path` may come from another device, so it is obeyed only
//! where an import could have made it: relative, no `..`, nothing hidden,
//! Markdown. Every document gets a place of its own, and none is left out.

use std::collections::HashSet;

use hephd::{id::EntityId, node::Node, report::Warning};

use crate::{folder::is_markdown, session::short, table::clean};

/// Two names that differ in capitals only are one file on a Mac.
const FOLDS_CASE: bool = cfg!(target_os = "macos");

/// The most bytes that one name may have, on every file system.
const MAX_NAME: usize = 255;

/// How much of a title becomes a name.
const TITLE_CHARS: usize = 80;
const TITLE_BYTES: usize = 180;

/// What decides where a document goes; the rest of it need not be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    id: EntityId,
    title: String,
    path: String,
}

impl Wish {
    /// That of a document.
    #[must_use]
    pub fn of(node: &Node) -> Self {
        let path = node.text("path").to_owned();
        Self { id: node.id.clone(), title: node.title.clone(), path }
    }
}

/// A document and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which document.
    pub id: EntityId,
    /// Its file, from the folder on.
    pub path: String,
}

/// Finds a place for every document. Those that have a path of their own
/// choose first, in the order of their ids.
#[must_use]
pub fn assign(documents: &[Wish]) -> (Vec<Place>, Vec<Warning>) {
    let mut order: Vec<&Wish> = documents.iter().collect();
    order.sort_by_key(|node| (own_path(node).is_none(), &node.id));
    let mut taken = Taken::default();
    let mut warnings = Vec::new();
    let mut places = Vec::new();
    for node in order {
        let path = taken.first_free(node);
        warnings.extend(warning(node, &path));
        places.push(Place { id: node.id.clone(), path });
    }
    places.sort_by(|a, b| a.path.cmp(&b.path));
    (places, warnings)
}

fn warning(node: &Wish, path: &str) -> Option<Warning> {
    let given = &*node.path;
    let why = match own_path(node) {
        _ if given.is_empty() || given == path => return None,
        None => ("path_unsafe", "is not one to write to"),
        Some(_) => ("path_taken", "is taken by another document"),
    };
    let message = format!(
        "the path {:?} of {} {}: written to {}",
        given,
        short(&node.id),
        why.1,
        clean(path)
    );
    Some(Warning::new(why.0, message))
}

#[derive(Default)]
struct Taken {
    files: HashSet<String>,
    folders: HashSet<String>,
}

impl Taken {
    fn first_free(&mut self, node: &Wish) -> String {
        let name = title_name(node);
        let own = own_path(node);
        let beside = own.map(|path| with_id(path, short(&node.id)));
        let candidates = [
            own.map(str::to_owned),
            beside.filter(|path| is_safe(path)),
            own.is_none().then(|| format!("{name}.md")),
            Some(format!("{name} ({}).md", short(&node.id))),
        ];
        let free = candidates.into_iter().flatten().find(|path| self.is_free(path));
        let path = free.unwrap_or_else(|| self.numbered(&name, &node.id));
        self.take(&path);
        path
    }

    /// Other documents can have paths that look like this one's id, but not
    /// like all its numbers.
    fn numbered(&self, name: &str, id: &EntityId) -> String {
        let numbered = |n: u64| format!("{name} ({id}, {n}).md");
        let first = (1..u64::MAX).map(numbered).find(|path| self.is_free(path));
        first.unwrap_or_else(|| numbered(0))
    }

    fn is_free(&self, path: &str) -> bool {
        let path = folded(path);
        let inside_a_file = parents(&path).any(|parent| self.files.contains(parent));
        !inside_a_file && !self.files.contains(&path) && !self.folders.contains(&path)
    }

    fn take(&mut self, path: &str) {
        let path = folded(path);
        self.folders.extend(parents(&path).map(str::to_owned));
        self.files.insert(path);
    }
}

/// A document's own path, if it can be obeyed.
fn own_path(node: &Wish) -> Option<&str> {
    Some(&*node.path).filter(|path| is_safe(path))
}

/// Whether an import could have made this path.
fn is_safe(path: &str) -> bool {
    let name_is_safe = |name: &str| {
        !name.is_empty() && !name.starts_with('.') && !name.contains('\0') && name.len() <= MAX_NAME
    };
    path.split('/').all(name_is_safe) && is_markdown(path) && path.len() < 4096
}

/// `a/b (id).md` for `a/b.md`.
fn with_id(path: &str, id: &str) -> String {
    let (trunk, extension) = path.rsplit_once('.').unwrap_or((path, "md"));
    format!("{trunk} ({id}).{extension}")
}

/// A title as a file's name, without an extension.
fn title_name(node: &Wish) -> String {
    let safe = |c: char| !c.is_control() && !r#"/\:*?"<>|"#.contains(c);
    let name: String = (node.title.chars())
        .map(|c| if safe(c) { c } else { '-' })
        .take(TITLE_CHARS)
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= TITLE_BYTES).then_some(c)
        })
        .collect();
    let name = name.trim_matches(|c: char| c == '.' || c.is_whitespace());
    if name.is_empty() { "untitled".to_owned() } else { name.to_owned() }
}

fn folded(path: &str) -> String {
    if FOLDS_CASE { path.to_lowercase() } else { path.to_owned() }
}

/// `a` and `a/b` for `a/b/c`.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn wish(id: &str, title: &str, path: &str) -> Wish {
        Wish { id: id.parse().unwrap(), title: title.to_owned(), path: path.to_owned() }
    }

    fn places(documents: &[(&str, &str, &str)]) -> Vec<(String, String)> {
        let nodes: Vec<Wish> = documents.iter().map(|(id, t, p)| wish(id, t, p)).collect();
        assign(&nodes).0.into_iter().map(|p| (p.id.to_string(), p.path)).collect()
    }

    fn place(title: &str, path: &str) -> String {
        places(&[("id000001", title, path)]).remove(0).1
    }

    #[test]
    fn a_path_that_leads_out_or_hides_is_not_obeyed() {
        let long = format!("{}.md", "x".repeat(300));
        for path in [
            "/etc/x.md",
            "../x.md",
            "a/../x.md",
            "a//x.md",
            "./x.md",
            ".git/x.md",
            "a/.x.md",
            "x\0.md",
            "x.txt",
            "Makefile",
            "a/",
            "..",
            &long,
        ] {
            assert_eq!(place("T", path), "T.md", "{path:?}");
        }
        for path in ["x.md", "a/b/x.MD", "é/..x/y.markdown", "a\\b.md"] {
            let expected = if path.contains("/.") { "T.md" } else { path };
            assert_eq!(place("T", path), expected, "{path:?}");
        }
    }

    #[test]
    fn a_title_becomes_a_name() {
        for (title, name) in [
            ("Plan: a/b?", "Plan- a-b-.md"),
            (" ..hidden. ", "hidden.md"),
            ("", "untitled.md"),
            ("a\nb\0c", "a-b-c.md"),
        ] {
            assert_eq!(place(title, ""), name, "{title:?}");
        }
        assert!(place(&"カ".repeat(300), "").len() <= MAX_NAME);
    }

    #[test]
    fn the_second_of_two_says_its_id() {
        let found = places(&[
            ("bbbbbbbb2", "", "n.md"),
            ("aaaaaaaa1", "", "n.md"),
            ("cccccccc3", "n", ""),
            ("dddddddd4", "", "n.md/inside.md"),
        ]);
        let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(
            found,
            [
                ("bbbbbbbb2", "n (bbbbbbbb).md"),
                ("cccccccc3", "n (cccccccc).md"),
                ("aaaaaaaa1", "n.md"),
                ("dddddddd4", "untitled (dddddddd).md"),
            ]
        );
    }

    #[test]
    fn what_is_not_where_it_wants_to_be_is_warned_of() {
        let nodes = [wish("aaaa", "", "n.md"), wish("bbbb", "", "n.md"), wish("cccc", "", "../n")];
        let codes: Vec<String> = assign(&nodes).1.into_iter().map(|w| w.code).collect();
        assert_eq!(codes, ["path_taken", "path_unsafe"]);
    }

    proptest! {
        #[test]
        fn everything_has_a_safe_place_of_its_own(given in vec(("[a-b]{0,2}", "[a-b./]{0,6}(.md)?"), 0..12)) {
            let nodes: Vec<Wish> =
                given.iter().enumerate().map(|(n, (t, p))| wish(&format!("same-prefix-{n}"), t, p)).collect();
            let (places, _) = assign(&nodes);
            let distinct: HashSet<&str> = places.iter().map(|p| &*p.path).collect();
            prop_assert_eq!((places.len(), distinct.len()), (nodes.len(), nodes.len()));
            for place in &places {
                prop_assert!(is_safe(&place.path), "{:?}", place);
                prop_assert!(parents(&place.path).all(|p| !distinct.contains(p)), "{:?}", place);
            }
            let mut reversed: Vec<Wish> = nodes.clone();
            reversed.reverse();
            prop_assert_eq!(assign(&reversed).0, places);
        }
    }
}
