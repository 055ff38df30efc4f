//! Lists of nodes as they come: a page at a time, each on its way before the
//! next one is asked for.

use hephd::{
    error::Result,
    node::{Node, Wanted},
    report::{Report, stream::Stream},
};
use serde_json::json;

use crate::{session::Session, shown::Torn, table::Table};

/// What a list of nodes looks like.
pub struct Look<'a> {
    /// Its columns.
    pub table: Table,
    /// A node's row.
    pub row: &'a dyn Fn(&Node, &mut Table),
    /// What is said where there is none.
    pub nothing: &'a str,
}

/// How many nodes in conflict are asked for at a time.
const PAGE: usize = 50;

/// A conflict waits for its answer also where its node is not in the list.
fn look_at_all(session: &mut Session, kind: &str, torn: &mut Torn) -> Result<()> {
    if session.sync_status()?.pending_conflicts == 0 {
        return Ok(());
    }
    let mut after = None;
    loop {
        let page = session.conflicts(after.as_ref(), PAGE)?;
        for conflict in page.conflicts.iter().filter(|conflict| conflict.kind == kind) {
            torn.add(&conflict.id, &conflict.title);
        }
        after = page.conflicts.last().map(|conflict| conflict.id.clone());
        if !page.more || after.is_none() {
            return Ok(());
        }
    }
}

/// Lists nodes.
///
/// # Errors
/// The daemon's; when nobody reads on.
pub fn nodes(
    session: &mut Session,
    wanted: &Wanted,
    mut look: Look<'_>,
    stream: &mut Stream,
) -> Result<Report> {
    let (mut torn, mut is_empty) = (Torn::default(), true);
    session.each_page(wanted, |_, nodes| {
        is_empty &= nodes.is_empty();
        if stream.json() {
            return nodes.iter().try_for_each(|node| stream.item(node));
        }
        nodes.iter().for_each(|node| (look.row)(node, &mut look.table));
        if nodes.is_empty() { Ok(()) } else { stream.lines(&look.table.take_lines()) }
    })?;
    if let Some(kind) = &wanted.kind {
        look_at_all(session, kind, &mut torn)?;
    }
    let mut report = Report::new("listed", false, json!([]));
    report.warnings = torn.warnings();
    if is_empty {
        report.lines.push(look.nothing.to_owned());
    }
    Ok(report)
}
