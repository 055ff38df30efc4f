//! `heph task …`: what is to be done.

use clap::Subcommand;
use hephd::{
    clock::Entropy,
    error::Result,
    id::EntityId,
    node::{LINE_OF, Node, Order, Wanted},
    report::{Report, stream::Stream},
};
use serde_json::{Map, Value, json};

use crate::{
    everywhere::Everywhere,
    listing::{self, Look},
    meant::day,
    session::{SHORT, Session, short},
    shown::{edited, hashed, in_conflict, shown, title},
    table::{Table, clean, clean_lines},
    tags::{self, Tags},
};

/// What to do with tasks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a task
    Add {
        /// What is to be done
        #[arg(value_parser = title)]
        title: String,
        /// More about it
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// The day it is due, YYYY-MM-DD
        #[arg(long, value_name = "DATE", value_parser = due)]
        due: Option<String>,
        /// A tag; may be given several times
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// List the open tasks, the next one due first
    List {
        /// Also those that are done
        #[arg(long)]
        all: bool,
        /// Only those with this tag
        #[arg(long, value_name = "TAG")]
        tag: Option<String>,
    },
    /// Show all there is to know of a task
    Show {
        /// The task's id, or how it begins
        id: String,
    },
    /// Change a task
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Edit {
        /// The task's id, or how it begins
        id: String,
        /// What is to be done
        #[arg(long, group = "what", value_name = "TEXT", value_parser = title)]
        title: Option<String>,
        /// More about it; "" takes it away
        #[arg(long, group = "what", value_name = "TEXT")]
        note: Option<String>,
        /// The day it is due, YYYY-MM-DD; "" takes it away
        #[arg(long, group = "what", value_name = "DATE", value_parser = due_or_none)]
        due: Option<String>,
    },
    /// Tasks are done
    Done {
        /// The tasks' ids, or how they begin
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// They are not done after all
        #[arg(long)]
        undo: bool,
    },
}

impl Command {
    /// As it stands in the report.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "task add",
            Self::List { .. } => "task list",
            Self::Show { .. } => "task show",
            Self::Edit { .. } => "task edit",
            Self::Done { .. } => "task done",
        }
    }
}

fn due(text: &str) -> Result<String, String> {
    day(text).map(|day| day.to_string())
}

fn due_or_none(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { due(text) }
}

/// Runs a command.
///
/// # Errors
/// `node_not_found`, `usage`; the daemon's.
pub fn run(command: &Command, everywhere: &Everywhere, stream: &mut Stream) -> Result<Report> {
    let mut session = Session::open(everywhere.socket.as_deref(), SHORT)?;
    match command {
        Command::Add { title, note, due, tags } => {
            add(&mut session, title, note.as_deref(), due.as_deref(), tags)
        }
        Command::List { all, tag } => list(&mut session, *all, tag.as_deref(), stream),
        Command::Show { id } => show(&mut session, id),
        Command::Edit { id, title, note, due } => {
            edit(&mut session, id, [("title", title), ("note", note), ("due", due)])
        }
        Command::Done { ids, undo } => done(&mut session, ids, !undo),
    }
}

fn add(
    session: &mut Session,
    title: &str,
    note: Option<&str>,
    due: Option<&str>,
    given: &[String],
) -> Result<Report> {
    let names = given.iter().map(|tag| tags::name(tag)).collect::<Result<Vec<_>>>()?;
    let owner = session.owner()?;
    let id = EntityId::draw(&Entropy::System);
    let mut values = json!({ "kind": "task", "title": title, "done": false });
    for (field, text) in [("note", note), ("due", due)] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            values[field] = json!(text);
        }
    }
    let mut changes = vec![tags::set(&id, values)];
    if !names.is_empty() {
        let mut tags = Tags::load(session)?;
        changes.extend(names.iter().flat_map(|name| tags.put(&owner, &id, name)));
    }
    session.write(&changes)?;
    let line = format!("✓ added {}  {}", short(&id), clean(title));
    Ok(Report::new("added", true, shown(session, &id)?).line(line))
}

fn list(
    session: &mut Session,
    all: bool,
    tag: Option<&str>,
    stream: &mut Stream,
) -> Result<Report> {
    let wanted = Wanted {
        kind: Some("task".to_owned()),
        done: (!all).then_some(false),
        linked: tags::linked(session, tag)?,
        order: Order::Due,
        ..Wanted::default()
    };
    let row = |task: &Node, table: &mut Table| {
        let done = if task.done() { "✓" } else { "" };
        table.row([short(&task.id), done, task.text("due"), &task.title, &hashed(task.tags())]);
    };
    let look = Look {
        table: Table::new(&["ID", "DONE", "DUE", "TITLE", "TAGS"], 3),
        row: &row,
        nothing: if all || tag.is_some() { "no such tasks" } else { "no open tasks" },
    };
    listing::nodes(session, &wanted, look, stream)
}

fn show(session: &mut Session, given: &str) -> Result<Report> {
    let task = session.find("task", given)?;
    let data = shown(session, &task.id)?;
    let mut lines = vec![clean(&task.title)];
    let mut row = |name: &str, text: &str| {
        if !text.is_empty() {
            lines.push(format!("  {name:<9}{}", clean(text)));
        }
    };
    row("id", task.id.as_str());
    row("state", if task.done() { "done" } else { "open" });
    row("due", task.text("due"));
    row("tags", &hashed(task.tags()));
    row("line of", &line_of(session, &task.id)?);
    row("written", &task.updated);
    let note = clean_lines(task.text("note"));
    if !note.is_empty() {
        lines.push(String::new());
        lines.extend(note.iter().map(|line| format!("  {line}").trim_end().to_owned()));
    }
    let mut report = Report::new("shown", false, data);
    report.warnings = in_conflict([&task]);
    report.lines = lines;
    Ok(report)
}

/// The document that the task is a line of, if it is.
fn line_of(session: &mut Session, task: &EntityId) -> Result<String> {
    let links = session.links(task)?.from;
    let Some(link) = links.into_iter().find(|link| link.kind == LINE_OF) else {
        return Ok(String::new());
    };
    let doc = session.get(&link.to)?;
    Ok(doc.map_or_else(String::new, |doc| {
        let name = if doc.text("path").is_empty() { &doc.title } else { doc.text("path") };
        format!("{name} ({})", short(&doc.id))
    }))
}

fn edit(session: &mut Session, given: &str, to: [(&str, &Option<String>); 3]) -> Result<Report> {
    let task = session.find("task", given)?;
    let mut values = Map::new();
    for (field, text) in to {
        if let Some(text) = text {
            let value = if text.is_empty() { Value::Null } else { json!(text) };
            values.insert(field.to_owned(), value);
        }
    }
    let before = session.get(&task.id)?;
    let ops = session.write(&[tags::set(&task.id, Value::Object(values))])?.ops;
    let data = shown(session, &task.id)?;
    Ok(edited(ops > 0, before.as_ref(), &task.id, data))
}

fn done(session: &mut Session, given: &[String], done: bool) -> Result<Report> {
    let mut tasks: Vec<Node> = Vec::new();
    for id in given {
        let task = session.find("task", id)?;
        if !tasks.iter().any(|other| other.id == task.id) {
            tasks.push(task);
        }
    }
    let changes: Vec<_> =
        tasks.iter().map(|task| tags::set(&task.id, json!({ "done": done }))).collect();
    let changed = session.write(&changes)?.ops > 0;
    let data = tasks.iter().map(|task| shown(session, &task.id)).collect::<Result<Vec<_>>>()?;
    let status = match (done, changed) {
        (true, true) => "done",
        (true, false) => "already_done",
        (false, true) => "reopened",
        (false, false) => "already_open",
    };
    let mut report = Report::new(status, changed, json!(data));
    for task in &tasks {
        let word = match (done, task.done()) {
            (true, false) => "done",
            (true, true) => "already done",
            (false, true) => "open again",
            (false, false) => "open already",
        };
        report.lines.push(format!("✓ {word}: {}  {}", short(&task.id), clean(&task.title)));
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_in_one_way() {
        assert_eq!(due("2028-02-29").as_deref(), Ok("2028-02-29"));
        for text in ["2027-02-29", "2027-2-3", "20270203", "tomorrow", "", "2027-02-03T10:00"] {
            assert!(due(text).is_err(), "{text:?}");
        }
        assert_eq!(due_or_none("").as_deref(), Ok(""));
    }
}
