//! A folder of files as it is found: what can be imported, and what not, with
//! the reason. Nothing is followed that leads out of it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use hephd::{
    error::{Code, Error, Result, file},
    op::MAX_OP_BYTES,
};
use serde::Serialize;
use walkdir::{DirEntry, WalkDir};

/// What an op has beside its value.
const SLACK: usize = 4096;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order of their names.
    pub files: Vec<Markdown>,
    /// All the rest.
    pub skipped: Vec<Skipped>,
}

/// A Markdown file.
#[derive(Debug)]
pub struct Markdown {
    /// From the folder on, with `/`.
    pub path: String,
    at: PathBuf,
}

/// Something that is not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// From the folder on.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Looks through a folder.
///
/// # Errors
/// `source_not_found` when it is none.
pub fn look(folder: &Path) -> Result<Found> {
    let not_found = |why: &str| {
        Error::new(
            Code::SourceNotFound,
            format!("{} is {why}", folder.display()),
            "give the path of a folder with Markdown files",
        )
    };
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not_found("not there"));
        }
        Err(error) => return Err(file(folder, "read")(error)),
        Ok(there) if !there.is_dir() => return Err(not_found("no folder")),
        Ok(_) => drop(std::fs::read_dir(folder).map_err(file(folder, "read"))?),
    }
    let mut found = Found::default();
    let mut walk = WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let (path, verdict) = match &entry {
            Ok(entry) => (entry.path(), judge(entry)),
            Err(error) => (error.path().unwrap_or(folder), Verdict::Skip(unreadable(error))),
        };
        let inner = path.strip_prefix(folder).unwrap_or(path);
        match verdict {
            Verdict::Enter => {}
            Verdict::Take(inner) => {
                found.files.push(Markdown { path: inner, at: path.to_owned() });
            }
            Verdict::Skip(reason) => {
                let path = inner.to_string_lossy().into_owned();
                found.skipped.push(Skipped { path, reason });
                if entry.is_ok_and(|entry| entry.file_type().is_dir()) {
                    walk.skip_current_dir();
                }
            }
        }
    }
    Ok(found)
}

enum Verdict {
    Enter,
    Take(String),
    Skip(String),
}

fn judge(entry: &DirEntry) -> Verdict {
    let skip = |reason: &str| Verdict::Skip(reason.to_owned());
    let kind = entry.file_type();
    match entry.file_name().to_str() {
        None => skip("the name is not UTF-8"),
        Some(name) if name.starts_with('.') => skip("hidden"),
        Some(_) if kind.is_symlink() => skip("a symlink"),
        Some(_) if kind.is_dir() && is_empty(entry.path()) => skip("an empty folder"),
        Some(_) if kind.is_dir() => Verdict::Enter,
        Some(_) if !kind.is_file() => skip("no regular file"),
        Some(name) if !is_markdown(name) => skip("not Markdown"),
        Some(_) => inner_path(entry).map_or_else(|| skip("the name is not UTF-8"), Verdict::Take),
    }
}

/// All the names from the folder on; each was judged on the way.
fn inner_path(entry: &DirEntry) -> Option<String> {
    let names: Vec<&str> = entry.path().iter().map(|name| name.to_str()).collect::<Option<_>>()?;
    Some(names[names.len() - entry.depth()..].join("/"))
}

/// Whether a file's name says that it is Markdown.
#[must_use]
pub fn is_markdown(name: &str) -> bool {
    let extension = Path::new(name).extension().map(std::ffi::OsStr::to_ascii_lowercase);
    extension.is_some_and(|extension| extension == "md" || extension == "markdown")
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn unreadable(error: impl std::fmt::Display) -> String {
    format!("unreadable: {error}")
}

impl Markdown {
    /// The text.
    ///
    /// # Errors
    /// Why it cannot be imported.
    pub fn read(&self) -> Result<String, String> {
        let mut bytes = Vec::new();
        // One byte more than there may be is enough to see.
        let most = MAX_OP_BYTES as u64 + 1;
        let open = File::open(&self.at).map_err(unreadable)?;
        let size = open.metadata().map_err(unreadable)?.len();
        open.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
        if size >= most || bytes.len() as u64 >= most {
            return Err(format!("too large: {size} bytes, {} are the most", MAX_OP_BYTES - SLACK));
        }
        let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
        let (stored, most) = (encoded(&text), MAX_OP_BYTES - SLACK);
        if stored > most {
            return Err(format!(
                "too large: {size} bytes, {stored} as stored, {most} are the most"
            ));
        }
        Ok(text)
    }
}

/// The length of a text as JSON.
#[must_use]
pub fn encoded(text: &str) -> usize {
    let escapes = |c: u8| match c {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    2 + text.bytes().map(escapes).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_length_as_json_is_right(text in any::<String>()) {
            prop_assert_eq!(encoded(&text), serde_json::to_string(&text).unwrap().len());
        }
    }
}
