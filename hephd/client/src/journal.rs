//! `heph journal`: a page for each day. A day's id comes from its date, and
//! every entry is a node of its own that is linked to it: two devices that
//! write on the same day have nothing to settle.

use clap::Subcommand;
use hephd::{
    clock::{Clock, Entropy},
    error::{Error, Result},
    id::EntityId,
    node::{Change, ENTRY_OF, Link, Node, Wanted, WantedLinks},
    report::{Report, stream::Stream},
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::json;

use crate::{
    doc,
    everywhere::Everywhere,
    meant::{day, journal_id},
    session::{SHORT, Session, short},
    shown::{in_conflict, shown, title},
    table::{Table, clean, clean_lines},
    tags::{self, Tags},
};

/// How much of an entry's first line is its title.
const TITLE_CHARS: usize = 120;

/// Which day, and what with it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add an entry to today's page
    Add {
        /// What it says; - reads it from stdin
        #[arg(value_parser = title, allow_hyphen_values = true)]
        text: String,
        /// To another day's page, YYYY-MM-DD
        #[arg(long, value_name = "DATE", value_parser = day)]
        date: Option<Date>,
        /// A tag; may be given several times
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Print a day's entries, today's if none is named; so does heph journal
    Show {
        /// The day, YYYY-MM-DD
        #[arg(value_parser = day)]
        date: Option<Date>,
    },
    /// List the days that have a page
    List,
}

impl Args {
    /// As it stands in the report.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match &self.command {
            None | Some(Command::Show { .. }) => "journal show",
            Some(Command::Add { .. }) => "journal add",
            Some(Command::List) => "journal list",
        }
    }
}

/// Runs a command.
///
/// # Errors
/// `usage`, `value_too_large`; the daemon's.
pub fn run(args: &Args, everywhere: &Everywhere, stream: &mut Stream) -> Result<Report> {
    let mut session = Session::open(everywhere.socket.as_deref(), SHORT)?;
    match &args.command {
        None => show(&mut session, today(), stream),
        Some(Command::Show { date }) => show(&mut session, date.unwrap_or_else(today), stream),
        Some(Command::Add { text, date, tags }) => {
            let text = if text == "-" { from_stdin()? } else { text.clone() };
            add(&mut session, &text, date.unwrap_or_else(today), tags)
        }
        Some(Command::List) => list(&mut session, stream),
    }
}

fn from_stdin() -> Result<String> {
    let text = doc::read_path("-".as_ref())?;
    if text.trim().is_empty() {
        let hint = "an entry has at least one word: heph journal add TEXT";
        return Err(Error::usage("there is nothing on stdin", hint));
    }
    Ok(text)
}

/// Where this machine is.
fn today() -> Date {
    here(Clock::System.now_ms()).map_or(Date::ZERO, |now| now.date())
}

fn here(ms: u64) -> Option<jiff::Zoned> {
    let time = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(time.to_zoned(TimeZone::system()))
}

fn add(session: &mut Session, text: &str, date: Date, given: &[String]) -> Result<Report> {
    let names = given.iter().map(|tag| tags::name(tag)).collect::<Result<Vec<_>>>()?;
    let owner = session.owner()?;
    let (id, page) = (EntityId::draw(&Entropy::System), journal_id(&owner, date));
    let at = here(Clock::System.now_ms()).map(|now| now.timestamp().to_string());
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let title: String = first.chars().take(TITLE_CHARS).collect();
    let entry = json!({ "kind": "journal", "title": title, "body": text, "at": at });
    let link = Link { from: id.clone(), to: page.clone(), kind: ENTRY_OF.to_owned() };
    let mut changes = vec![
        tags::set(&page, json!({ "kind": "journal", "title": date.to_string() })),
        tags::set(&id, entry),
        Change::Link { link, deleted: false },
    ];
    if !names.is_empty() {
        let mut tags = Tags::load(session)?;
        changes.extend(names.iter().flat_map(|name| tags.put(&owner, &id, name)));
    }
    session.write(&changes)?;
    let line = format!("✓ added {} to {date}  {}", short(&id), clean(&title));
    Ok(Report::new("added", true, shown(session, &id)?).line(line))
}

/// A day's entries, in the order in which they were written.
fn show(session: &mut Session, date: Date, stream: &mut Stream) -> Result<Report> {
    let page = journal_id(&session.owner()?, date);
    let entries = entries(session, &page)?;
    let mut report = Report::new("shown", false, json!([]));
    report.warnings = in_conflict(&entries);
    if entries.is_empty() {
        return Ok(report.line(format!("nothing on {date}")));
    }
    if stream.json() {
        entries.iter().try_for_each(|entry| stream.item(entry))?;
    } else {
        stream.lines(&[date.to_string()])?;
        entries.iter().try_for_each(|entry| stream.lines(&lines(entry)))?;
    }
    Ok(report)
}

fn entries(session: &mut Session, page: &EntityId) -> Result<Vec<Node>> {
    let kind = Some(ENTRY_OF.to_owned());
    let mut wanted = WantedLinks { id: page.clone(), kind, after: None, limit: None };
    let mut entries = Vec::new();
    loop {
        let links = session.links_page(&wanted)?;
        for link in links.to {
            entries.extend(session.get(&link.from)?.filter(|entry| !entry.deleted));
        }
        match links.cursor {
            Some(cursor) if links.more => wanted.after = Some(cursor),
            _ => break,
        }
    }
    entries.sort_by(|a, b| (a.text("at"), &a.id).cmp(&(b.text("at"), &b.id)));
    Ok(entries)
}

/// `  10:32  abcd1234  #home  What it says`, and its other lines below.
fn lines(entry: &Node) -> Vec<String> {
    let at = entry.text("at").parse::<Timestamp>().ok();
    let clock = at.map(|at| at.to_zoned(TimeZone::system()).strftime("%H:%M").to_string());
    let tags = clean(&crate::shown::hashed(entry.tags()));
    let begin =
        format!("  {}  {}  ", clock.unwrap_or_else(|| "     ".to_owned()), short(&entry.id));
    let mut text = clean_lines(entry.text("body")).into_iter();
    let first = text.next().unwrap_or_default();
    let mut lines = vec![format!("{begin}{first}  {tags}").trim_end().to_owned()];
    let indent = " ".repeat(begin.chars().count());
    lines.extend(text.map(|line| format!("{indent}{line}").trim_end().to_owned()));
    lines
}

fn list(session: &mut Session, stream: &mut Stream) -> Result<Report> {
    let owner = session.owner()?;
    let wanted = Wanted {
        kind: Some("journal".to_owned()),
        unlinked: Some(ENTRY_OF.to_owned()),
        ..Wanted::default()
    };
    let mut table = Table::new(&["DAY", "ENTRIES", "TAGS"], 2);
    let mut is_empty = true;
    session.each_page(&wanted, |session, mut nodes| {
        // An entry that was unlinked by hand is no day.
        nodes.retain(|node| day(&node.title).is_ok_and(|d| journal_id(&owner, d) == node.id));
        for node in &nodes {
            let count = session.link_count(&node.id)?.to.get(ENTRY_OF).copied().unwrap_or(0);
            if stream.json() {
                stream.item(&json!({ "id": node.id, "day": node.title, "entries": count }))?;
            } else {
                table.row([&node.title, &count.to_string(), &crate::shown::hashed(node.tags())]);
            }
        }
        is_empty &= nodes.is_empty();
        if nodes.is_empty() || stream.json() { Ok(()) } else { stream.lines(&table.take_lines()) }
    })?;
    let mut report = Report::new("listed", false, json!([]));
    if is_empty {
        report.lines.push("no journal yet; begin one: heph journal add TEXT".to_owned());
    }
    Ok(report)
}
