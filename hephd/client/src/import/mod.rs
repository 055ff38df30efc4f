//! `heph import`: a folder of Markdown files becomes documents, tasks and
//! links. A document's body is the file, byte for byte.
//!
//! One file's changes stand in one transaction, so an import that is cut off
//! leaves whole documents, and the next one goes on. What is so already is
//! not written again: a second import changes nothing. No file is ever the
//! reason why another is not imported.

mod summary;

use std::path::PathBuf;

use hephd::{
    error::{Code, Error, Result},
    id::EntityId,
    node::{Change, Link},
    report::{Report, Warning},
};

use self::summary::{Summary, Unresolved};
use crate::{
    document::{self, Documents, File, Standing},
    everywhere::Everywhere,
    folder::{self, Found, Markdown, Skipped, encoded},
    markdown::{self, Parsed},
    progress::Progress,
    session::{LONG, Session},
    table::clean,
    weave::{Before, Targets, Weaver},
    wiki::{self, Index},
};

/// How much one transaction takes, about.
const BATCH_CHANGES: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// The most that one file's changes may have: one message must hold them.
const MAX_FILE_BYTES: usize = 48 << 20;

/// About what a change has beside its texts.
const CHANGE_BYTES: usize = 320;

/// What to import.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder with the Markdown files
    dir: PathBuf,
    /// Take a file's text also where its document was changed in heph
    #[arg(long)]
    overwrite: bool,
}

/// Imports.
///
/// # Errors
/// `source_not_found`, `no_owner_yet`; the daemon's others.
pub fn run(args: &Args, everywhere: &Everywhere) -> Result<Report> {
    let Found { files, skipped } = folder::look(&args.dir)?;
    let mut session = Session::open(everywhere.socket.as_deref(), LONG)?;
    let mut import = Import::begin(&mut session, args, skipped)?;
    let mut progress = Progress::new(everywhere.style, "importing", files.len());
    for file in &files {
        progress.step();
        import.file(file)?;
    }
    import.flush()?;
    import.link()?;
    drop(progress);
    let warnings = std::mem::take(&mut import.warnings);
    Ok(import.summary().report(&args.dir, everywhere.style, warnings))
}

/// A file that has been read.
#[derive(Debug)]
struct Imported {
    doc: EntityId,
    path: String,
    tasks: usize,
    wiki: Vec<String>,
    links: Vec<Link>,
    new: bool,
    changed: bool,
}

/// An import under way.
struct Import<'a> {
    session: &'a mut Session,
    folder: String,
    overwrite: bool,
    weaver: Weaver,
    documents: Documents,
    batch: Vec<(Imported, Vec<Change>)>,
    batch_changes: usize,
    batch_bytes: usize,
    imported: Vec<Imported>,
    skipped: Vec<Skipped>,
    warnings: Vec<Warning>,
    links: usize,
    unresolved: Vec<Unresolved>,
    ops: u64,
}

impl<'a> Import<'a> {
    fn begin(session: &'a mut Session, args: &Args, skipped: Vec<Skipped>) -> Result<Self> {
        let weaver = Weaver::load(session)?;
        let documents = Documents::load(session, weaver.owner())?;
        let dir = args.dir.canonicalize().unwrap_or_else(|_| args.dir.clone());
        let folder = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self {
            folder,
            overwrite: args.overwrite,
            documents,
            session,
            weaver,
            batch: Vec::new(),
            batch_changes: 0,
            batch_bytes: 0,
            imported: Vec::new(),
            skipped,
            warnings: Vec::new(),
            links: 0,
            unresolved: Vec::new(),
            ops: 0,
        })
    }

    /// Reads one file, and writes a batch when there is enough for one.
    fn file(&mut self, file: &Markdown) -> Result<()> {
        match file.read() {
            Ok(text) => self.text(&file.path, &text)?,
            Err(reason) => self.skip(&file.path, reason),
        }
        if self.batch_changes >= BATCH_CHANGES { self.flush() } else { Ok(()) }
    }

    fn text(&mut self, path: &str, text: &str) -> Result<()> {
        let parsed = markdown::parse(text);
        if let Some(why) = &parsed.unreadable {
            let message = format!("{path}: the front matter is taken as text: {why}");
            self.warnings.push(Warning::new("front_matter_unreadable", clean(&message)));
        }
        let (imported, changes) = match self.changes(path, text, &parsed)? {
            Ok(changes) => changes,
            Err(why) => {
                self.skip(path, why.to_owned());
                return Ok(());
            }
        };
        let bytes = 2 * encoded(text) + CHANGE_BYTES * changes.len();
        if bytes > MAX_FILE_BYTES {
            self.skip(path, format!("too many tasks for one file: {}", imported.tasks));
            return Ok(());
        }
        if self.batch_bytes + bytes > BATCH_BYTES {
            self.flush()?;
        }
        self.batch_changes += changes.len();
        self.batch_bytes += if changes.is_empty() { 0 } else { bytes };
        self.batch.push((imported, changes));
        Ok(())
    }

    /// What the file changes; the inner `Err` says why it is left alone.
    fn changes(
        &mut self,
        path: &str,
        text: &str,
        now: &Parsed,
    ) -> Result<Result<(Imported, Vec<Change>), &'static str>> {
        let doc = match self.exported(path, text)? {
            Some(typed) => typed,
            None => self.documents.identity(path),
        };
        let is_known = self.documents.has(&doc);
        let stored = if is_known { self.session.get(&doc)? } else { None };
        let before = match &stored {
            Some(node) => Before {
                said: (!node.deleted).then(|| markdown::parse(node.text("body"))),
                links: self.session.links(&doc)?,
            },
            None => Before::default(),
        };
        let file = File { folder: &self.folder, path, text };
        let standing = match Standing::of(file, stored.as_ref()) {
            _ if self.overwrite => Standing::Leads,
            Standing::Refused(why) => return Ok(Err(why)),
            standing => standing,
        };
        // A file that the document has left behind changes nothing.
        let now = match (&standing, &before.said) {
            (Standing::Old, Some(said)) => said,
            _ => now,
        };
        let mut changes = Vec::new();
        if standing == Standing::Leads {
            let said = before.said.as_ref();
            changes.extend(document::change(&doc, stored.as_ref(), said, file, now));
            changes.extend(self.weaver.changes(&doc, &before, now));
        }
        let (tasks, wiki) = (now.boxes.len(), now.links.clone());
        let Before { links: hephd::node::Links { from: links, .. }, .. } = before;
        let (new, changed) = (stored.is_none(), !changes.is_empty());
        let path = path.to_owned();
        Ok(Ok((Imported { doc, path, tasks, wiki, links, new, changed }, changes)))
    }

    /// The document that was typed in heph, and whose export this file is.
    fn exported(&mut self, path: &str, text: &str) -> Result<Option<EntityId>> {
        if self.documents.has(&self.documents.identity(path)) {
            return Ok(None);
        }
        for doc in self.documents.typed(wiki::stem(path)) {
            let Some(node) = self.session.get(&doc)? else { continue };
            let ticked = markdown::tick(node.text("body"), |found| self.weaver.done(&doc, found));
            if ticked == text {
                return Ok(Some(doc));
            }
        }
        Ok(None)
    }

    fn skip(&mut self, path: &str, reason: String) {
        self.skipped.push(Skipped { path: path.to_owned(), reason });
    }

    /// Writes the batch; where something in it is refused, each file alone.
    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        (self.batch_changes, self.batch_bytes) = (0, 0);
        let (files, changes): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        match self.write(&changes.concat()) {
            Ok(()) => self.imported.extend(files),
            Err(error) if !is_refusal(&error) => return Err(error),
            Err(_) => {
                for (file, changes) in files.into_iter().zip(changes) {
                    self.write_alone(file, &changes)?;
                }
            }
        }
        Ok(())
    }

    fn write_alone(&mut self, file: Imported, changes: &[Change]) -> Result<()> {
        match self.write(changes) {
            Ok(()) => self.imported.push(file),
            Err(error) if !is_refusal(&error) => return Err(error),
            Err(error) => self.skip(&file.path, error.message),
        }
        Ok(())
    }

    fn write(&mut self, changes: &[Change]) -> Result<()> {
        if !changes.is_empty() {
            self.ops += self.session.write(changes)?.ops;
        }
        Ok(())
    }

    /// The wiki links, now that all documents are there.
    fn link(&mut self) -> Result<()> {
        let index = Index::new(&self.session.all("doc", false)?);
        let mut changes = Vec::new();
        let mut imported = std::mem::take(&mut self.imported);
        for Imported { doc, path, wiki, links, changed, .. } in &mut imported {
            let targets = Targets::of(&index, doc, path, wiki);
            self.links += targets.found.len();
            let dangling = targets.unresolved.iter();
            let dangling =
                dangling.map(|link| Unresolved { path: path.clone(), link: link.clone() });
            self.unresolved.extend(dangling);
            let these = targets.changes(doc, links);
            *changed |= !these.is_empty();
            changes.extend(these);
        }
        self.imported = imported;
        changes.chunks(BATCH_CHANGES).try_for_each(|changes| self.write(changes))
    }

    fn summary(self) -> Summary {
        let documents = self.imported.len();
        let new = self.imported.iter().filter(|file| file.new).count();
        let changed = self.imported.iter().filter(|file| file.changed && !file.new).count();
        Summary {
            documents,
            tasks: self.imported.iter().map(|file| file.tasks).sum(),
            links: self.links,
            new,
            changed,
            unchanged: documents - new - changed,
            written_ops: self.ops,
            skipped: self.skipped,
            unresolved: self.unresolved,
        }
    }
}

/// Something in the changes is not accepted; others may be.
fn is_refusal(error: &Error) -> bool {
    matches!(error.code, Code::ValueTooLarge | Code::Usage | Code::NodeNotFound)
}
