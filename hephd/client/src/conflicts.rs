//! `heph conflicts`: what two devices wrote without knowing of each other,
//! with every value.

use clap::Subcommand;
use hephd::{
    error::Result,
    history::{Conflict, Disputed, Told},
    merge::DELETED,
    report::{Report, stream::Stream},
};
use serde_json::{Value, json};

use crate::{
    diff,
    everywhere::Everywhere,
    resolve, said,
    session::{LONG, Session, short},
    table::{Table, clean, count},
};

/// How many lines of a text's difference are shown.
const DIFF_LINES: usize = 12;

/// How many nodes are asked for at a time.
const PAGE: usize = 50;

/// To list, or to settle.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do with conflicts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List them, with every value; so does heph conflicts alone
    List,
    /// Settle one: take one of its values, or give another
    Resolve(resolve::Args),
}

impl Args {
    /// As it stands in the report.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match &self.command {
            None | Some(Command::List) => "conflicts list",
            Some(Command::Resolve(_)) => "conflicts resolve",
        }
    }
}

/// Runs a command.
///
/// # Errors
/// `node_not_found`, `usage`, `conflict_changed`; the daemon's.
pub fn run(args: &Args, everywhere: &Everywhere, stream: &mut Stream) -> Result<Report> {
    let mut session = Session::open(everywhere.socket.as_deref(), LONG)?;
    match &args.command {
        None | Some(Command::List) => list(&mut session, stream),
        Some(Command::Resolve(args)) => resolve::run(args, &mut session),
    }
}

fn list(session: &mut Session, stream: &mut Stream) -> Result<Report> {
    let mut report = Report::new("listed", false, json!([]));
    let (mut after, mut first) = (None, true);
    loop {
        let page = session.conflicts(after.as_ref(), PAGE)?;
        after = page.conflicts.last().map(|conflict| conflict.id.clone());
        for conflict in &page.conflicts {
            if stream.json() {
                stream.item(conflict)?;
            } else {
                let gap = if first { None } else { Some(String::new()) };
                let lines: Vec<String> = gap.into_iter().chain(lines(conflict)).collect();
                stream.lines(&lines)?;
            }
            first = false;
        }
        if !page.more || after.is_none() {
            break;
        }
    }
    if first {
        report.lines.push("no conflicts".to_owned());
    }
    Ok(report)
}

fn lines(conflict: &Conflict) -> Vec<String> {
    let id = short(&conflict.id);
    let (title, kind) = (clean(&conflict.title), clean(&conflict.kind));
    let mut lines = vec![format!("{id}  {title}  ({kind})")];
    for disputed in &conflict.fields {
        let field = clean(&disputed.field);
        lines.push(format!("  {field}"));
        lines.extend(versions(disputed).into_iter().map(|line| format!("    {line}")));
        let answer = if field == DELETED { "delete, or --take keep" } else { "1" };
        lines.push(format!("  settle it: heph conflicts resolve {id} {field} --take {answer}"));
    }
    lines
}

/// Every value by its number, with device and time; long texts by what
/// differs from the first one.
fn versions(disputed: &Disputed) -> Vec<String> {
    let mut table = Table::new(&["", "", "", ""], 3);
    let long = disputed.versions.iter().any(|told| said::long(&told.value).is_some());
    let first = disputed.versions.first().map_or(&Value::Null, |told| &told.value);
    for (n, told) in disputed.versions.iter().enumerate() {
        let number = (n + 1).to_string();
        let value = if long { long_value(n, told, first) } else { value(disputed, told) };
        table.row([&number, &told.device, &told.time, &value]);
    }
    let rows = table.take_lines();
    let mut lines = Vec::new();
    for (n, (told, row)) in disputed.versions.iter().zip(rows.into_iter().skip(1)).enumerate() {
        lines.push(row);
        if long && n > 0 && disputed.field != DELETED {
            let differs = diff::lines(text(first), text(&told.value), DIFF_LINES);
            lines.extend(differs.into_iter().map(|line| format!("     {line}")));
        }
    }
    lines
}

fn value(disputed: &Disputed, told: &Told) -> String {
    match disputed.field.as_str() {
        DELETED if told.deletes() => "delete it".to_owned(),
        DELETED if told.field == DELETED => "keep it".to_owned(),
        DELETED => format!("keep it, with {} {}", clean(&told.field), said::value(&told.value)),
        _ => said::value(&told.value),
    }
}

fn long_value(n: usize, told: &Told, first: &Value) -> String {
    match told.value.as_str() {
        None => said::value(&told.value),
        Some(_) if told.deletes() => "delete it".to_owned(),
        Some(text) if n == 0 => count(text.lines().count(), "line"),
        Some(now) => diff::count(text(first), now),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
