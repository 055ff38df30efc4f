//! `heph link …`: what leads from one node to another.

use clap::Subcommand;
use hephd::{
    error::{Error, Result},
    id::EntityId,
    node::{Change, ENTRY_OF, LINE_OF, Link, TAGGED, WIKI, WantedLinks},
    report::{Report, Warning, stream::Stream},
};
use serde_json::json;

use crate::{
    everywhere::Everywhere,
    session::{LONG, Session, short},
    table::{Table, clean},
};

/// What to do with links.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Link one node to another
    Add(Ends),
    /// Take a link away
    Remove(Ends),
    /// List the links at a node, from it and to it
    List {
        /// The node's id, or how it begins; #TAG; a journal's day
        node: String,
    },
}

/// From where to where.
#[derive(Debug, clap::Args)]
pub struct Ends {
    /// Where it starts: an id, or how it begins; #TAG; a journal's day
    from: String,
    /// Where it leads
    to: String,
    /// What it means, in a word of your own
    #[arg(long, value_name = "WORD", default_value = "related", value_parser = kind)]
    kind: String,
}

/// Links that follow from something else are made and removed there.
fn kind(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text {
        TAGGED => Err("tags are put on with heph tag add".to_owned()),
        WIKI | LINE_OF => Err("such links follow from a document's text".to_owned()),
        ENTRY_OF => Err("entries are added with heph journal add".to_owned()),
        "" => Err("a word is needed".to_owned()),
        word if word.chars().any(char::is_control) => Err("one line is the most".to_owned()),
        word => Ok(word.to_owned()),
    }
}

impl Command {
    /// As it stands in the report.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "link add",
            Self::Remove(_) => "link remove",
            Self::List { .. } => "link list",
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
        Command::Add(ends) => write(&mut session, ends, false),
        Command::Remove(ends) => write(&mut session, ends, true),
        Command::List { node } => list(&mut session, node, stream),
    }
}

/// A link may be removed from what was deleted, and not be made there.
fn write(session: &mut Session, ends: &Ends, deleted: bool) -> Result<Report> {
    let from = session.meant(&ends.from, deleted)?;
    let to = session.meant(&ends.to, deleted)?;
    if from.id == to.id {
        let hint = "name two nodes: heph link add FROM TO";
        return Err(Error::usage(format!("{} would lead to itself", short(&from.id)), hint));
    }
    let link = Link { from: from.id.clone(), to: to.id.clone(), kind: ends.kind.clone() };
    let data = json!(link);
    let changed = session.write(&[Change::Link { link, deleted }])?.ops > 0;
    let (status, word) = match (deleted, changed) {
        (false, true) => ("linked", "linked"),
        (false, false) => ("already_linked", "linked already"),
        (true, true) => ("unlinked", "no longer linked"),
        (true, false) => ("already_unlinked", "not linked"),
    };
    let others = if deleted && !changed { kinds(session, &from.id, &to.id)? } else { Vec::new() };
    let (from, to, kind) = (clean(&from.title), clean(&to.title), clean(&ends.kind));
    let report =
        Report::new(status, changed, data).line(format!("✓ {word}: {from} → {to}  ({kind})"));
    if others.is_empty() {
        return Ok(report);
    }
    let message = format!("still linked: {}; name one: --kind KIND", others.join(", "));
    Ok(Report { warnings: vec![Warning::new("still_linked", message)], ..report })
}

/// The kinds of the links from one node to another.
fn kinds(session: &mut Session, from: &EntityId, to: &EntityId) -> Result<Vec<String>> {
    let links = session.links(from)?.from.into_iter().filter(|link| link.to == *to);
    Ok(links.map(|link| clean(&link.kind)).collect())
}

fn list(session: &mut Session, node: &str, stream: &mut Stream) -> Result<Report> {
    let node = session.meant(node, true)?;
    let mut wanted = WantedLinks { id: node.id.clone(), kind: None, after: None, limit: None };
    let mut table = Table::new(&["", "KIND", "ID", "TITLE"], 3);
    let mut is_empty = true;
    loop {
        let page = session.links_page(&wanted)?;
        let from = page.from.iter().map(|link| ("→", &link.to, link));
        let to = page.to.iter().map(|link| ("←", &link.from, link));
        for (arrow, other, link) in from.chain(to) {
            is_empty = false;
            let title = title(session, other)?;
            if stream.json() {
                let mut item = json!(link);
                item["title"] = json!(title);
                stream.item(&item)?;
            } else {
                table.row([arrow, &link.kind, short(other), &title]);
            }
        }
        if !is_empty && !stream.json() {
            stream.lines(&table.take_lines())?;
        }
        match page.cursor {
            Some(cursor) if page.more => wanted.after = Some(cursor),
            _ => break,
        }
    }
    let mut report = Report::new("listed", false, json!([]));
    if is_empty {
        report.lines.push(format!("no links at {}", clean(&node.title)));
    }
    Ok(report)
}

/// The title of what stands at the other end.
fn title(session: &mut Session, id: &EntityId) -> Result<String> {
    Ok(session.get(id)?.map(|node| node.title).unwrap_or_default())
}
