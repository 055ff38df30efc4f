//! `heph history NODE`: every change of a node, oldest first, as it comes.

use hephd::{
    error::Result,
    history::{Event, Standing},
    report::{Report, stream::Stream},
};
use serde_json::{Value, json};

use crate::{
    diff,
    everywhere::Everywhere,
    said,
    session::{LONG, Session},
    table::Table,
};

/// How many lines of a text's difference are shown.
const DIFF_LINES: usize = 12;

/// Whose.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node's id, or how it begins; #TAG; a journal's day
    node: String,
}

/// Tells a node's history.
///
/// # Errors
/// `node_not_found`, `usage`; the daemon's.
pub fn run(args: &Args, everywhere: &Everywhere, stream: &mut Stream) -> Result<Report> {
    let mut session = Session::open(everywhere.socket.as_deref(), LONG)?;
    let node = session.meant(&args.node, true)?;
    let mut table = Table::new(&["WHEN", "DEVICE", "FIELD", "STATE", "CHANGE"], 4);
    let mut after = None;
    loop {
        let page = session.history(&node.id, after)?;
        after = page.events.last().map(|event| event.id);
        if stream.json() {
            page.events.iter().try_for_each(|event| stream.item(event))?;
        } else if !page.events.is_empty() {
            stream.lines(&lines(&mut table, &page.events))?;
        }
        if !page.more || after.is_none() {
            return Ok(Report::new("listed", false, json!([])));
        }
    }
}

/// A row for each event, and below it what differs in a long text.
fn lines(table: &mut Table, events: &[Event]) -> Vec<String> {
    for event in events {
        let state = match event.standing {
            Standing::Current => "now",
            Standing::Superseded => "",
            Standing::Conflicting => "conflict",
        };
        let change = texts(event).map_or_else(|| said::event(event), |(a, b)| diff::count(a, b));
        table.row([&*event.time, &event.device, &event.field, state, &change]);
    }
    let rows = table.take_lines();
    let heading = rows.len() - events.len();
    let mut lines: Vec<String> = rows[..heading].to_vec();
    for (event, row) in events.iter().zip(&rows[heading..]) {
        lines.push(row.clone());
        let differs = texts(event).map(|(before, now)| diff::lines(before, now, DIFF_LINES));
        lines.extend(differs.into_iter().flatten().map(|line| format!("    {line}")));
    }
    lines
}

/// Before and after, where one of them is a long text.
fn texts(event: &Event) -> Option<(&str, &str)> {
    let before = event.before.last().unwrap_or(&Value::Null);
    let is_long = said::long(before).is_some() || said::long(&event.value).is_some();
    is_long.then(|| (before.as_str().unwrap_or_default(), event.value.as_str().unwrap_or_default()))
}
