//! Files that a manager reads: which of them have to be written or removed.
//! What stands is compared with what is wanted by what it means.

use std::{collections::BTreeMap, path::Path};

use hephd::error::{Code, Error, Result};

use super::{Manager, Running};
use crate::{host::Host, plan::Step, template::RENDERED_BY, unit::UnitFile};

/// What stands at some paths.
///
/// # Errors
/// When one is there and cannot be read.
pub(super) fn standing<'a>(
    host: &Host,
    paths: impl Iterator<Item = impl AsRef<Path> + 'a>,
) -> Result<BTreeMap<std::path::PathBuf, String>> {
    let mut files = BTreeMap::new();
    for path in paths {
        if let Some(text) = host.read(path.as_ref())? {
            files.insert(path.as_ref().to_owned(), text);
        }
    }
    Ok(files)
}

/// Ours say so in their first lines.
///
/// # Errors
/// `unit_foreign` for one that is not.
pub(super) fn refuse_foreign(now: &Running) -> Result<()> {
    match now.files.iter().find(|(_, text)| !text.contains(RENDERED_BY)) {
        Some((path, _)) => Err(foreign(path)),
        None => Ok(()),
    }
}

/// Those that stand and are ours: what somebody else wrote stays.
pub(super) fn ours(now: &Running) -> impl Iterator<Item = (&std::path::PathBuf, &String)> {
    now.files.iter().filter(|(_, text)| text.contains(RENDERED_BY))
}

pub(super) fn foreign(path: &Path) -> Error {
    Error::new(
        Code::UnitForeign,
        format!("{} was not written by heph-ops", path.display()),
        "move it away, or choose another --label",
    )
}

/// Writes the files that do not stand yet or mean something else.
pub(super) fn write(manager: Manager, wanted: &[UnitFile], now: &Running, mode: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    for file in wanted {
        let before = now.files.get(&file.path);
        let same = |text: &String| manager.meaning(text) == manager.meaning(&file.text);
        if !before.is_some_and(same) {
            if let (None, Some(folder)) = (before, file.path.parent().filter(|f| !f.is_dir())) {
                steps.push(Step::MakeFolder { path: folder.to_owned(), owner: None });
            }
            steps.push(Step::Write {
                path: file.path.clone(),
                mode,
                before: before.cloned(),
                after: file.text.clone(),
            });
        }
    }
    steps.dedup();
    steps
}

/// The files that stand and are not wanted.
pub(super) fn unwanted<'a>(
    wanted: &'a [UnitFile],
    now: &'a Running,
) -> impl Iterator<Item = (&'a std::path::PathBuf, &'a String)> {
    now.files.iter().filter(|(path, _)| !wanted.iter().any(|file| file.path == **path))
}
