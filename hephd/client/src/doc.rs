//! `heph doc …`: documents. Their text means the same whether it came from a
//! file or was typed here: boxes are tasks, wiki links are links.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use hephd::{
    clock::Entropy,
    error::{Code, Error, Result, file},
    id::EntityId,
    node::{Change, Node, Wanted},
    op::MAX_OP_BYTES,
    report::{Report, stream::Stream},
};
use serde_json::json;

use crate::{
    everywhere::Everywhere,
    listing::{self, Look},
    markdown::{self, Parsed},
    session::{SHORT, Session, short},
    shown::{edited, hashed, in_conflict, shown, title},
    table::{Table, clean},
    tags::{self, Tags},
    weave::{Before, Targets, Weaver},
    wiki::Index,
};

/// What to do with documents.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a document
    Add {
        /// Its title
        #[arg(value_parser = title)]
        title: String,
        #[command(flatten)]
        text: Text,
        /// A tag; may be given several times
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// List the documents
    List {
        /// Only those with this tag
        #[arg(long, value_name = "TAG")]
        tag: Option<String>,
    },
    /// Print a document's text
    Show {
        /// The document's id, or how it begins
        id: String,
    },
    /// Change a document
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["title", "body", "file"]))]
    Edit {
        /// The document's id, or how it begins
        id: String,
        /// Its title
        #[arg(long, value_name = "TEXT", value_parser = title)]
        title: Option<String>,
        #[command(flatten)]
        text: Text,
    },
}

/// Where a text comes from.
#[derive(Debug, clap::Args)]
pub struct Text {
    /// Its text; - reads it from stdin
    #[arg(long, value_name = "TEXT", conflicts_with = "file", allow_hyphen_values = true)]
    body: Option<String>,
    /// A file with its text; - reads it from stdin
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

impl Command {
    /// As it stands in the report.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "doc add",
            Self::List { .. } => "doc list",
            Self::Show { .. } => "doc show",
            Self::Edit { .. } => "doc edit",
        }
    }
}

/// Runs a command.
///
/// # Errors
/// `node_not_found`, `usage`, `value_too_large`; the daemon's.
pub fn run(command: &Command, everywhere: &Everywhere, stream: &mut Stream) -> Result<Report> {
    let text = match command {
        Command::Add { text, .. } | Command::Edit { text, .. } => text.read()?,
        _ => None,
    };
    let mut session = Session::open(everywhere.socket.as_deref(), SHORT)?;
    match command {
        Command::Add { title, tags, .. } => {
            add(&mut session, title, &text.unwrap_or_default(), tags)
        }
        Command::List { tag } => list(&mut session, tag.as_deref(), stream),
        Command::Show { id } => show(&mut session, id),
        Command::Edit { id, title, .. } => {
            edit(&mut session, id, title.as_deref(), text.as_deref())
        }
    }
}

impl Text {
    fn read(&self) -> Result<Option<String>> {
        let path = match (&self.body, &self.file) {
            (Some(body), _) if body != "-" => return Ok(Some(body.clone())),
            (Some(_), _) => Path::new("-"),
            (None, Some(path)) => path,
            (None, None) => return Ok(None),
        };
        read_given(path, "--body \"\"").map(Some)
    }
}

/// The text of a file; - is stdin.
///
/// # Errors
/// `source_not_found`, `usage` for what is not UTF-8, `value_too_large`.
pub fn read_path(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return read_text(std::io::stdin().lock(), path);
    }
    let open = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::new(
            Code::SourceNotFound,
            format!("{} is not there", path.display()),
            "give the path of a file",
        ),
        _ => file(path, "read")(error),
    })?;
    read_text(open, path)
}

/// The same, where nothing on stdin is more likely a program that failed than
/// a text; `empty` is how to say that an empty one is meant.
///
/// # Errors
/// As [`read_path`]; `usage` for nothing on stdin.
pub fn read_given(path: &Path, empty: &str) -> Result<String> {
    let text = read_path(path)?;
    if text.is_empty() && path == Path::new("-") {
        let hint = format!("look at what should have come from there; an empty text: {empty}");
        return Err(Error::usage("there is nothing on stdin", hint));
    }
    Ok(text)
}

fn read_text(from: impl Read, path: &Path) -> Result<String> {
    let name = if path == Path::new("-") { Path::new("stdin") } else { path };
    let mut bytes = Vec::new();
    let most = MAX_OP_BYTES as u64;
    from.take(most + 1).read_to_end(&mut bytes).map_err(file(name, "read"))?;
    if bytes.len() as u64 > most {
        return Err(Error::new(
            Code::ValueTooLarge,
            format!("{} is too large: {most} bytes are the most", name.display()),
            "split it into several documents",
        ));
    }
    String::from_utf8(bytes).map_err(|_| {
        Error::usage(format!("{} is not UTF-8 text", name.display()), "convert it to UTF-8 first")
    })
}

fn add(session: &mut Session, title: &str, body: &str, given: &[String]) -> Result<Report> {
    let names = given.iter().map(|tag| tags::name(tag)).collect::<Result<Vec<_>>>()?;
    let id = EntityId::draw(&Entropy::System);
    let owner = session.owner()?;
    let mut changes = vec![tags::set(&id, json!({ "kind": "doc", "title": title, "body": body }))];
    if !names.is_empty() {
        let mut tags = Tags::load(session)?;
        changes.extend(names.iter().flat_map(|name| tags.put(&owner, &id, name)));
    }
    changes.extend(meaning(session, &id, "", &Before::default(), &markdown::parse(body))?);
    session.write(&changes)?;
    let line = format!("✓ added {}  {}", short(&id), clean(title));
    Ok(Report::new("added", true, shown(session, &id)?).line(line))
}

/// What follows from a text for tags, tasks and links.
fn meaning(
    session: &mut Session,
    id: &EntityId,
    path: &str,
    before: &Before,
    now: &Parsed,
) -> Result<Vec<Change>> {
    let mut changes = Weaver::load(session)?.changes(id, before, now);
    let index = Index::new(&session.all("doc", false)?);
    let targets = Targets::of(&index, id, path, &now.links);
    changes.extend(targets.changes(id, &before.links.from));
    Ok(changes)
}

/// What follows for tags, tasks and links when a document's text becomes
/// another one. `texts` are those that it had; the last one counts most.
///
/// # Errors
/// The daemon's.
pub fn follows(
    session: &mut Session,
    doc: &Node,
    texts: &[&str],
    now: &str,
) -> Result<Vec<Change>> {
    let said = texts.iter().map(|text| markdown::parse(text)).reduce(|mut said, text| {
        said.tags.extend(text.tags);
        said.boxes.extend(text.boxes);
        said
    });
    let before = Before { said, links: session.links(&doc.id)? };
    meaning(session, &doc.id, doc.text("path"), &before, &markdown::parse(now))
}

fn list(session: &mut Session, tag: Option<&str>, stream: &mut Stream) -> Result<Report> {
    let kind = Some("doc".to_owned());
    let wanted = Wanted { kind, linked: tags::linked(session, tag)?, ..Wanted::default() };
    let row = |doc: &Node, table: &mut Table| {
        table.row([short(&doc.id), &doc.title, doc.text("path"), &hashed(doc.tags())]);
    };
    let table = Table::new(&["ID", "TITLE", "PATH", "TAGS"], 1);
    listing::nodes(session, &wanted, Look { table, row: &row, nothing: "no documents" }, stream)
}

fn show(session: &mut Session, given: &str) -> Result<Report> {
    let doc = session.find("doc", given)?;
    let data = shown(session, &doc.id)?;
    let text = data["fields"]["body"].as_str().unwrap_or_default().to_owned();
    let warnings = in_conflict([&doc]);
    Ok(Report { text: Some(text), warnings, ..Report::new("shown", false, data) })
}

fn edit(
    session: &mut Session,
    given: &str,
    title: Option<&str>,
    body: Option<&str>,
) -> Result<Report> {
    let id = session.find("doc", given)?.id;
    let before = session.get(&id)?;
    let mut changes = Vec::new();
    if let Some(title) = title {
        changes.push(tags::set(&id, json!({ "title": title })));
    }
    if let Some(body) = body {
        changes.push(tags::set(&id, json!({ "body": body })));
        if let Some(doc) = &before {
            changes.extend(follows(session, doc, &[doc.text("body")], body)?);
        }
    }
    let ops = session.write(&changes)?.ops;
    let data = shown(session, &id)?;
    Ok(edited(ops > 0, before.as_ref(), &id, data))
}
