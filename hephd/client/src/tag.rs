//! `heph tag …`: which tags there are, and what they are on.

use clap::Subcommand;
use hephd::{
    error::{Code, Error, Result},
    id::EntityId,
    node::{Change, Linked, Node, TAGGED, Wanted, WantedLinks, Written},
    report::{Report, stream::Stream},
};
use serde_json::json;

use crate::{
    everywhere::Everywhere,
    session::{LONG, Session, short},
    shown::shown,
    table::{Table, clean, count},
    tags::{self, Tags, tag_id, tagged},
};

/// How many nodes change their tag in one transaction.
const BATCH: usize = 500;

/// What can have a tag.
const TAGGABLE: [&str; 3] = ["task", "doc", "journal"];

/// What to do with tags.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the tags, and on how much each one is
    List,
    /// Put tags on a task, a document, a journal's entry
    Add(On),
    /// Take tags off
    Remove(On),
    /// List what has a tag
    Show {
        /// The tag's name
        tag: String,
    },
    /// Give a tag another name, on all that has it
    Rename {
        /// What it is called now
        tag: String,
        /// What it is to be called; the two become one where that is a tag
        name: String,
    },
}

/// Which tags, and on what.
#[derive(Debug, clap::Args)]
pub struct On {
    /// The node's id, or how it begins
    node: String,
    /// The tags' names
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<String>,
}

impl Command {
    /// As it stands in the report.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::List => "tag list",
            Self::Add(_) => "tag add",
            Self::Remove(_) => "tag remove",
            Self::Show { .. } => "tag show",
            Self::Rename { .. } => "tag rename",
        }
    }
}

/// Runs a command.
///
/// # Errors
/// `node_not_found`, `usage`; the daemon's.
pub fn run(command: &Command, everywhere: &Everywhere, stream: &mut Stream) -> Result<Report> {
    let mut session = Session::open(everywhere.socket.as_deref(), LONG)?;
    match command {
        Command::List => list(&mut session, stream),
        Command::Add(on) => put(&mut session, on),
        Command::Remove(on) => take_off(&mut session, on),
        Command::Show { tag } => show(&mut session, tag, stream),
        Command::Rename { tag, name } => rename(&mut session, tag, name),
    }
}

fn list(session: &mut Session, stream: &mut Stream) -> Result<Report> {
    let kind = Some("tag".to_owned());
    let wanted = Wanted { kind, deleted: true, ..Wanted::default() };
    let mut table = Table::new(&["TAG", "ON"], 0);
    let mut is_empty = true;
    session.each_page(&wanted, |session, nodes| {
        for tag in nodes {
            let on = session.link_count(&tag.id)?.to.get(TAGGED).copied().unwrap_or(0);
            if tag.deleted && on == 0 {
                continue;
            }
            is_empty = false;
            if stream.json() {
                stream.item(&json!({ "id": tag.id, "name": tag.title, "on": on }))?;
            } else {
                table.row([&format!("#{}", tag.title), &on.to_string()]);
            }
        }
        if is_empty || stream.json() { Ok(()) } else { stream.lines(&table.take_lines()) }
    })?;
    let mut report = Report::new("listed", false, json!([]));
    if is_empty {
        report.lines.push("no tags".to_owned());
    }
    Ok(report)
}

fn put(session: &mut Session, on: &On) -> Result<Report> {
    let (owner, node) = (session.owner()?, session.meant(&on.node, false)?);
    let names = on.tags.iter().map(|tag| tags::name(tag)).collect::<Result<Vec<_>>>()?;
    if node.kind == "tag" || node.kind == "device" {
        return Err(Error::usage(
            format!("{} is a {}", short(&node.id), clean(&node.kind)),
            format!("tags go on: {}", TAGGABLE.join(", ")),
        ));
    }
    let mut tags = Tags::load(session)?;
    let changes: Vec<Change> =
        names.iter().flat_map(|name| tags.put(&owner, &node.id, name)).collect();
    let written = session.write(&changes)?;
    told(session, &node, &written, ("tagged", "already_tagged"), &names)
}

fn take_off(session: &mut Session, on: &On) -> Result<Report> {
    let (owner, node) = (session.owner()?, session.meant(&on.node, false)?);
    let names = on.tags.iter().map(|tag| tags::name(tag)).collect::<Result<Vec<_>>>()?;
    let off = |name: &String| tagged(&node.id, &tag_id(&owner, name));
    let changes: Vec<Change> =
        names.iter().map(|name| Change::Link { link: off(name), deleted: true }).collect();
    let written = session.write(&changes)?;
    told(session, &node, &written, ("untagged", "already_untagged"), &names)
}

fn told(
    session: &mut Session,
    node: &Node,
    written: &Written,
    status: (&str, &str),
    names: &[String],
) -> Result<Report> {
    let changed = written.ops > 0;
    let status = if changed { status.0 } else { status.1 };
    let (id, title) = (short(&node.id), clean(&node.title));
    let names = clean(&crate::shown::hashed(names));
    let word = status.replace('_', " ");
    let data = shown(session, &node.id)?;
    Ok(Report::new(status, changed, data).line(format!("✓ {word}: {id}  {title}  {names}")))
}

/// Kind by kind, each in the order of the titles.
fn show(session: &mut Session, tag: &str, stream: &mut Stream) -> Result<Report> {
    let tag = known(session, tag)?;
    let mut table = Table::new(&["ID", "KIND", "TITLE"], 2);
    let mut is_empty = true;
    for kind in TAGGABLE {
        session.each_page(&tagged_with(kind, &tag.id), |_, nodes| {
            is_empty &= nodes.is_empty();
            if stream.json() {
                return nodes.iter().try_for_each(|node| stream.item(node));
            }
            nodes.iter().for_each(|node| table.row([short(&node.id), &node.kind, &node.title]));
            if nodes.is_empty() { Ok(()) } else { stream.lines(&table.take_lines()) }
        })?;
    }
    let mut report = Report::new("listed", false, json!([]));
    if is_empty {
        report.lines.push(format!("nothing has #{}", clean(&tag.title)));
    }
    Ok(report)
}

fn tagged_with(kind: &str, tag: &EntityId) -> Wanted {
    let linked = Linked { kind: TAGGED.to_owned(), to: tag.clone() };
    Wanted { kind: Some(kind.to_owned()), linked: Some(linked), ..Wanted::default() }
}

/// A tag by its name, also one that was deleted while it was still put on
/// something elsewhere.
fn known(session: &mut Session, name: &str) -> Result<Node> {
    let name = tags::name(name)?;
    let id = tag_id(&session.owner()?, &name);
    session.get(&id)?.ok_or_else(|| {
        let message = format!("there is no tag {name:?}");
        Error::new(Code::NodeNotFound, message, "list what there is: heph tag list")
    })
}

/// A tag's id comes from its name, so all that has it gets another tag. What
/// is done stays done where it is cut short: run again, it goes on.
fn rename(session: &mut Session, from: &str, name: &str) -> Result<Report> {
    let owner = session.owner()?;
    let (from, name) = (known(session, from)?, tags::name(name)?);
    let to = tag_id(&owner, &name);
    let made = session.write(&[tags::set(&to, json!({ "kind": "tag", "title": name }))])?;
    let moved = if to == from.id { 0 } else { move_all(session, &from.id, &to)? };
    let mut changed = made.ops > 0 || moved > 0;
    if to != from.id {
        let set = serde_json::Map::new();
        let gone = Change::Node { id: Some(from.id.clone()), set, deleted: Some(true) };
        changed |= session.write(&[gone])?.ops > 0;
    }
    let (status, verb) =
        if changed { ("renamed", "renamed") } else { ("already_renamed", "called so already") };
    let data = json!({ "id": to, "name": name, "moved": moved });
    let on = if moved > 0 { format!(", on {}", count(moved, "node")) } else { String::new() };
    let line = format!("✓ {verb}: #{} → #{}{on}", clean(&from.title), clean(&name));
    Ok(Report::new(status, changed, data).line(line))
}

/// Each page is asked for anew: what was moved is in it no more.
fn move_all(session: &mut Session, from: &EntityId, to: &EntityId) -> Result<usize> {
    let (kind, limit) = (Some(TAGGED.to_owned()), Some(BATCH));
    let wanted = WantedLinks { id: from.clone(), kind, after: None, limit };
    let mut moved = 0;
    loop {
        let links = session.links_page(&wanted)?.to;
        if links.is_empty() {
            return Ok(moved);
        }
        moved += links.len();
        let changes: Vec<Change> = links
            .into_iter()
            .flat_map(|link| {
                let on = Change::Link { link: tagged(&link.from, to), deleted: false };
                [on, Change::Link { link, deleted: true }]
            })
            .collect();
        session.write(&changes)?;
    }
}
