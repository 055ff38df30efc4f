//! `heph export`: every document as a file, byte for byte, its boxes ticked
//! as the tasks stand. Devices with equal heads write equal folders.
//!
//! Nothing is written before everything in the way is known; nothing outside
//! the folder is written at all, whatever a document's path says and whatever
//! links lie in the folder.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use hephd::{
    error::{Code, Error, Result, file},
    id::{EntityId, OwnerId},
    node::Wanted,
    report::{Report, Style},
};
use serde_json::json;

use crate::{
    everywhere::Everywhere,
    markdown,
    place::{self, Place, Wish},
    progress::Progress,
    session::{LONG, Session},
    shown::Torn,
    table::count,
    weave::line_task,
};

/// Where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder to write to; it is created where there is none
    dir: PathBuf,
    /// Write into a folder that is not empty: replaces files that differ,
    /// and touches nothing else
    #[arg(long)]
    overwrite: bool,
}

/// Exports.
///
/// # Errors
/// `target_not_empty`; `no_space` and the operating system's others; the
/// daemon's.
pub fn run(args: &Args, everywhere: &Everywhere) -> Result<Report> {
    let occupied = is_occupied(&args.dir)?;
    let mut session = Session::open(everywhere.socket.as_deref(), LONG)?;
    let (wishes, torn) = wishes(&mut session)?;
    let (places, mut warnings) = place::assign(&wishes);
    drop(wishes);
    warnings.extend(torn.warnings());
    let mut export = Export::begin(&args.dir, &mut session)?;
    if occupied {
        export.check_ways(&places)?;
    }
    if occupied && !args.overwrite && !export.all_stand(&places)? {
        return Err(not_empty(&args.dir));
    }
    let written = export.write(&places, everywhere.style)?;
    let data = json!({
        "dir": args.dir, "documents": places.len(),
        "written": written, "unchanged": places.len() - written,
    });
    let what = count(places.len(), "document");
    let dir = args.dir.display();
    let (status, line) = match written {
        0 => ("already_exported", format!("✓ already exported: {what} in {dir}")),
        n if n == places.len() => ("exported", format!("✓ exported {what} to {dir}")),
        n => ("exported", format!("✓ exported {what} to {dir}: {n} new or changed")),
    };
    let mut report = Report::new(status, written > 0, data).line(line);
    report.warnings = warnings;
    Ok(report)
}

/// Where the documents would like to go. No more of them is held: their texts
/// come one by one as they are written.
fn wishes(session: &mut Session) -> Result<(Vec<Wish>, Torn)> {
    let (mut wishes, mut torn) = (Vec::new(), Torn::default());
    let wanted = Wanted { kind: Some("doc".to_owned()), ..Wanted::default() };
    session.each_page(&wanted, |_, nodes| {
        torn.look(&nodes);
        wishes.extend(nodes.iter().map(Wish::of));
        Ok(())
    })?;
    Ok((wishes, torn))
}

fn not_empty(dir: &Path) -> Error {
    Error::new(
        Code::TargetNotEmpty,
        format!("{} is not empty", dir.display()),
        "name another folder, or say --overwrite: it replaces files that differ, nothing else",
    )
}

/// Whether something lies in the folder; false where there is none.
fn is_occupied(dir: &Path) -> Result<bool> {
    match fs::metadata(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(file(dir, "look at")(error)),
        Ok(there) if !there.is_dir() => Err(in_the_way(dir, "a file")),
        Ok(_) => Ok(fs::read_dir(dir).map_err(file(dir, "read"))?.next().is_some()),
    }
}

fn in_the_way(path: &Path, what: &str) -> Error {
    Error::new(
        Code::TargetNotEmpty,
        format!("{} is {what}, and in the way", path.display()),
        "move it away, or name another folder",
    )
}

/// An export under way.
struct Export<'a> {
    dir: &'a Path,
    session: &'a mut Session,
    owner: OwnerId,
}

impl<'a> Export<'a> {
    fn begin(dir: &'a Path, session: &'a mut Session) -> Result<Self> {
        Ok(Self { dir, owner: session.owner()?, session })
    }

    /// Refuses what stands where a file or a folder should be. Symlinks are
    /// in the way too: who knows where they lead.
    fn check_ways(&self, places: &[Place]) -> Result<()> {
        for place in places {
            let path = self.dir.join(&place.path);
            let folders = path.ancestors().skip(1).take_while(|folder| *folder != self.dir);
            for folder in folders {
                check(folder, Metadata::is_dir)?;
            }
            check(&path, Metadata::is_file)?;
        }
        Ok(())
    }

    /// Whether every document stands there already.
    fn all_stand(&mut self, places: &[Place]) -> Result<bool> {
        for place in places {
            let text = self.text(&place.id)?;
            if !stands(&self.dir.join(&place.path), &text) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes what differs; how many files that were.
    fn write(&mut self, places: &[Place], style: Style) -> Result<usize> {
        fs::create_dir_all(self.dir).map_err(file(self.dir, "create"))?;
        let mut progress = Progress::new(style, "exporting", places.len());
        let mut written = 0;
        for place in places {
            progress.step();
            let (path, text) = (self.dir.join(&place.path), self.text(&place.id)?);
            if !stands(&path, &text) {
                self.make_folders(&path)?;
                replace(&path, &text).map_err(file(&path, "write"))?;
                written += 1;
            }
        }
        Ok(written)
    }

    /// The file's text: the body, with the boxes as the tasks stand.
    fn text(&mut self, doc: &EntityId) -> Result<String> {
        let node = self.session.get(doc)?;
        let body = node.as_ref().map_or("", |node| node.text("body"));
        let mut done = HashMap::new();
        for found in markdown::parse(body).boxes {
            let id = line_task(&self.owner, doc, &found);
            let task = self.session.get(&id)?.filter(|task| !task.deleted && task.kind == "task");
            done.extend(task.map(|task| (id, task.done())));
        }
        let state = |found: &_| done.get(&line_task(&self.owner, doc, found)).copied();
        Ok(markdown::tick(body, state))
    }

    /// Each is looked at just before it is gone into.
    fn make_folders(&self, path: &Path) -> Result<()> {
        let mut folders: Vec<&Path> =
            path.ancestors().skip(1).take_while(|folder| *folder != self.dir).collect();
        folders.reverse();
        for folder in folders {
            match fs::create_dir(folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    check(folder, Metadata::is_dir)?;
                }
                made => made.map_err(file(folder, "create"))?,
            }
        }
        Ok(())
    }
}

/// Refuses what is there and is not of the right sort; links are of none.
fn check(path: &Path, right: impl Fn(&Metadata) -> bool) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if right(&there) => Ok(()),
        Ok(there) if there.is_symlink() => Err(in_the_way(path, "a symlink")),
        Ok(there) if there.is_dir() => Err(in_the_way(path, "a folder")),
        Ok(_) => Err(in_the_way(path, "a file")),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(())
        }
        Err(error) => Err(file(path, "look at")(error)),
    }
}

/// Whether a file has this text.
fn stands(path: &Path, text: &str) -> bool {
    let is_like_it = |there: Metadata| there.is_file() && there.len() == text.len() as u64;
    fs::symlink_metadata(path).is_ok_and(is_like_it)
        && fs::read(path).is_ok_and(|bytes| bytes == text.as_bytes())
}

/// Writes beside the file and renames: nobody ever sees half of it.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = path.with_file_name(format!(".heph-export-{}", std::process::id()));
    let made = write_draft(&draft, path, text).and_then(|()| fs::rename(&draft, path));
    if made.is_err() {
        let _ = fs::remove_file(&draft);
    }
    made
}

fn write_draft(draft: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    let mut made = File::create_new(draft)?;
    made.write_all(text.as_bytes())?;
    // Where there is nothing to lose, a crash may leave an empty file.
    if let Ok(old) = fs::symlink_metadata(path) {
        made.set_permissions(old.permissions())?;
        made.sync_data()?;
    }
    Ok(())
}
