//! A disk, and what may be on it once the power was cut. What a program sees
//! is not yet there: of a file's data that was not synced since, any part may
//! be missing; of a folder's names the later ones, in their order.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{dice::Dice, record::Op};

/// Whatever is written, the medium takes as much of it at once.
const SECTOR: usize = 512;

/// Folders and files, each once, whatever its names. The first is the root.
pub struct Disk(Vec<Thing>);

enum Thing {
    File(Content),
    Folder(Names),
}

#[derive(Default)]
struct Content {
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    SetLength(usize),
}

#[derive(Default)]
struct Names {
    synced: BTreeMap<OsString, usize>,
    since: Vec<Edit>,
}

enum Edit {
    Name(OsString, usize),
    Rename(OsString, OsString),
    Remove(OsString),
}

/// The files below a folder with their bytes, and the folders without.
pub type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

impl Disk {
    /// All of it was there long before.
    pub fn holding(tree: &Tree) -> Self {
        let mut disk = Self(vec![Thing::Folder(Names::default())]);
        for (path, bytes) in tree {
            let thing = match bytes {
                Some(bytes) => Thing::File(Content { synced: bytes.clone(), since: Vec::new() }),
                None => Thing::Folder(Names::default()),
            };
            disk.make(path, thing);
        }
        for thing in &mut disk.0 {
            thing.sync();
        }
        disk
    }

    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::MakeFolder(path) => self.make(path, Thing::Folder(Names::default())),
            Op::MakeFile(path) if self.find(path).is_some() => {}
            Op::MakeFile(path) => self.make(path, Thing::File(Content::default())),
            Op::Write(path, at, bytes) => self.change(path, Change::Write(*at, bytes.clone())),
            Op::SetLength(path, length) => self.change(path, Change::SetLength(*length)),
            Op::Sync(path) => {
                if let Some(n) = self.find(path) {
                    self.0[n].sync();
                }
            }
            Op::Rename(from, to) => {
                assert_eq!(from.parent(), to.parent(), "only within a folder");
                self.edit(from, Edit::Rename(name(from), name(to)));
            }
            Op::Link(from, to) => {
                let n = self.find(from).unwrap();
                self.edit(to, Edit::Name(name(to), n));
            }
            Op::Remove(path) => self.edit(path, Edit::Remove(name(path))),
            Op::Answer => {}
        }
    }

    /// What a program sees.
    pub fn seen(&self) -> Tree {
        self.tree(|content| content.after(content.since.clone()), |names| names.since.len())
    }

    /// What may be left of it.
    pub fn after_power_cut(&self, dice: &Dice) -> Tree {
        self.tree(|content| content.cut(dice), |names| dice.below(names.since.len() + 1))
    }

    fn make(&mut self, path: &Path, thing: Thing) {
        self.0.push(thing);
        self.edit(path, Edit::Name(name(path), self.0.len() - 1));
    }

    /// A file that has no name any more is of no interest.
    fn change(&mut self, path: &Path, change: Change) {
        if let Some(n) = self.find(path) {
            let Thing::File(content) = &mut self.0[n] else { panic!("{path:?} is a folder") };
            content.since.push(change);
        }
    }

    fn edit(&mut self, path: &Path, edit: Edit) {
        let n = self.find(path.parent().unwrap()).unwrap();
        let Thing::Folder(names) = &mut self.0[n] else { panic!("{path:?} is in no folder") };
        names.since.push(edit);
    }

    fn find(&self, path: &Path) -> Option<usize> {
        path.iter().try_fold(0, |n, name| match &self.0[n] {
            Thing::Folder(names) => names.after(names.since.len()).get(name).copied(),
            Thing::File(_) => None,
        })
    }

    fn tree(&self, content: impl Fn(&Content) -> Vec<u8>, edits: impl Fn(&Names) -> usize) -> Tree {
        let mut tree = Tree::new();
        let mut open = vec![(PathBuf::new(), 0)];
        while let Some((path, n)) = open.pop() {
            let bytes = match &self.0[n] {
                Thing::File(file) => Some(content(file)),
                Thing::Folder(names) => {
                    let inside = names.after(edits(names));
                    open.extend(inside.into_iter().map(|(name, n)| (path.join(name), n)));
                    None
                }
            };
            tree.insert(path, bytes);
        }
        tree.remove(Path::new(""));
        tree
    }
}

impl Thing {
    fn sync(&mut self) {
        match self {
            Self::File(content) => {
                *content =
                    Content { synced: content.after(content.since.clone()), since: Vec::new() };
            }
            Self::Folder(names) => {
                *names = Names { synced: names.after(names.since.len()), since: Vec::new() };
            }
        }
    }
}

impl Content {
    fn after(&self, changes: impl IntoIterator<Item = Change>) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in changes {
            match change {
                Change::SetLength(length) => bytes.resize(length, 0),
                Change::Write(at, new) => {
                    bytes.resize(bytes.len().max(at + new.len()), 0);
                    bytes[at..at + new.len()].copy_from_slice(&new);
                }
            }
        }
        bytes
    }

    /// Nothing since the last sync, or all, or some, or up to somewhere in the
    /// middle of a write.
    fn cut(&self, dice: &Dice) -> Vec<u8> {
        let since = self.since.iter().cloned();
        match dice.below(4) {
            0 => self.synced.clone(),
            1 => self.after(since),
            2 => self.after(since.filter(|_| dice.below(2) == 0)),
            _ => {
                let mut kept: Vec<_> = since.take(dice.below(self.since.len() + 1)).collect();
                if let Some(Change::Write(_, bytes)) = kept.last_mut() {
                    bytes.truncate(dice.below(bytes.len() / SECTOR + 1) * SECTOR);
                }
                self.after(kept)
            }
        }
    }
}

impl Names {
    fn after(&self, edits: usize) -> BTreeMap<OsString, usize> {
        let mut names = self.synced.clone();
        for edit in &self.since[..edits] {
            match edit {
                Edit::Name(name, n) => drop(names.insert(name.clone(), *n)),
                Edit::Remove(name) => drop(names.remove(name)),
                Edit::Rename(from, to) => {
                    let n = names.remove(from).unwrap();
                    names.insert(to.clone(), n);
                }
            }
        }
        names
    }
}

fn name(path: &Path) -> OsString {
    path.file_name().unwrap().to_owned()
}

/// What is below a folder, and the folder itself, as paths from `root`.
pub fn read(root: &Path, folder: &Path) -> Tree {
    let path = folder.strip_prefix(root).unwrap().to_owned();
    if !folder.is_dir() {
        let bytes = std::fs::read(folder).ok();
        return bytes.into_iter().map(|bytes| (path.clone(), Some(bytes))).collect();
    }
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|below| read(root, &below)).chain([(path, None)]).collect()
}

/// Makes all of it, for its owner alone as everything that we make.
pub fn lay(root: &Path, tree: &Tree) {
    for (path, bytes) in tree {
        let path = root.join(path);
        match bytes {
            None => std::fs::DirBuilder::new().mode(0o700).create(path).unwrap(),
            Some(bytes) => {
                let mut file = std::fs::OpenOptions::new();
                let mut file = file.write(true).create_new(true).mode(0o600).open(path).unwrap();
                std::io::Write::write_all(&mut file, bytes).unwrap();
            }
        }
    }
}
