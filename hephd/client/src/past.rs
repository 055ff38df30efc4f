//! `heph show` and `heph revert`: a node as it is or was, and back to that.
//!
//! Nothing is unmade: a node goes back by a new write, and what was in between
//! stays in its history.

use hephd::{
    clock::rfc3339,
    error::{Code, Error, Result},
    hlc::Hlc,
    merge::DELETED,
    node::{Change, Node},
    report::Report,
};
use serde_json::{Map, Value, json};

use crate::{
    diff, doc,
    everywhere::Everywhere,
    moment, said,
    session::{LONG, Session, short},
    shown::in_conflict,
    table::{clean, clean_lines},
};

/// How many lines of a text's difference are shown.
const DIFF_LINES: usize = 12;

/// What to show, and as of when.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The node's id, or how it begins; #TAG; a journal's day
    node: String,
    /// As it was then: 2026-05-01 (the end of that day), 2026-05-01T10:00:00Z,
    /// 3d (3 days ago), or an op's id
    #[arg(long, value_name = "TIME", value_parser = moment::given)]
    at: Option<Hlc>,
}

/// What to take back, and to when.
#[derive(Debug, clap::Args)]
pub struct Revert {
    /// The node's id, or how it begins; #TAG; a journal's day
    node: String,
    /// To what it was then: 2026-05-01 (the end of that day),
    /// 2026-05-01T10:00:00Z, 3d (3 days ago), or an op's id
    #[arg(long, value_name = "TIME", value_parser = moment::given)]
    to: Hlc,
    /// Change nothing; say what would be
    #[arg(long, alias = "dry-run")]
    pub check: bool,
}

/// Shows a node.
///
/// # Errors
/// `node_not_found`, also where it was not written yet; the daemon's.
pub fn show(args: &Show, everywhere: &Everywhere) -> Result<Report> {
    let mut session = Session::open(everywhere.socket.as_deref(), LONG)?;
    let now = session.meant(&args.node, true)?;
    let node = match args.at {
        Some(at) => then(&mut session, &now, at)?,
        None => session.get(&now.id)?.unwrap_or(now),
    };
    let mut report = Report::new("shown", false, json!(node));
    report.lines = described(&node, args.at, everywhere.style.verbose);
    if args.at.is_none() {
        report.warnings = in_conflict([&node]);
    }
    Ok(report)
}

/// The node as it was.
fn then(session: &mut Session, now: &Node, at: Hlc) -> Result<Node> {
    if let Some(node) = session.get_until(&now.id, at)? {
        return Ok(node);
    }
    let first = session.history(&now.id, None)?.events.into_iter().next();
    let since = first.map_or_else(String::new, |event| format!("; it begins at {}", event.time));
    let id = short(&now.id);
    Err(Error::new(
        Code::NodeNotFound,
        format!("{id} was not there yet at {}{since}", rfc3339(at.ms)),
        format!("name a later time; see them all: heph history {id}"),
    ))
}

/// What the importer keeps for itself: seen with `-v` only.
const IMPORTERS: [&str; 2] = ["imported", "folder"];

fn described(node: &Node, at: Option<Hlc>, verbose: bool) -> Vec<String> {
    let mut lines = vec![clean(&node.title)];
    let mut row = |name: &str, text: &str| {
        if !text.is_empty() {
            lines.push(format!("  {:<9} {text}", clean(name)));
        }
    };
    row("id", node.id.as_str());
    row("kind", &clean(&node.kind));
    row("state", if node.deleted { "deleted" } else { "" });
    row("as of", &at.map_or_else(String::new, |at| rfc3339(at.ms)));
    row("written", &node.updated);
    row("tags", &clean(&crate::shown::hashed(node.tags())));
    let told = |(name, _): &(&String, &Value)| {
        let name = name.as_str();
        !["kind", "title"].contains(&name) && (verbose || !IMPORTERS.contains(&name))
    };
    let (long, short): (Vec<_>, Vec<_>) =
        node.fields.iter().filter(told).partition(|(_, value)| said::long(value).is_some());
    short.iter().for_each(|(name, value)| row(name, &said::value(value)));
    for (name, value) in long {
        lines.push(format!("  {}:", clean(name)));
        let text = clean_lines(value.as_str().unwrap_or_default());
        lines.extend(text.iter().map(|line| format!("    {line}").trim_end().to_owned()));
    }
    lines
}

/// Takes a node back.
///
/// # Errors
/// As [`show`]; `value_too_large`.
pub fn revert(args: &Revert, everywhere: &Everywhere) -> Result<Report> {
    let mut session = Session::open(everywhere.socket.as_deref(), LONG)?;
    let meant = session.meant(&args.node, true)?;
    let now = session.get(&meant.id)?.unwrap_or(meant);
    let then = then(&mut session, &now, args.to)?;
    let back = Back::between(&now, &then);
    let id = short(&now.id);
    let data = json!({ "id": now.id, "to": args.to, "fields": back.told(&now) });
    let (title, time) = (clean(&then.title), rfc3339(args.to.ms));
    if back.is_nothing() {
        let line = format!("✓ already so: {id} {title} is as it was at {time}");
        return Ok(Report {
            check: args.check,
            ..Report::new("already_so", false, data).line(line)
        });
    }
    if !args.check {
        let mut changes = vec![back.change(&now)];
        changes.extend(follows(&mut session, &now, &then)?);
        session.write(&changes)?;
    }
    let verb = if args.check { "would be" } else { "is" };
    let mut report = Report::new("reverted", true, data);
    report.check = args.check;
    report.lines.push(format!("✓ {id} {title} {verb} as it was at {time}"));
    report.lines.extend(back.lines(&now));
    Ok(report)
}

/// What follows from an older text for tags, tasks and links.
fn follows(session: &mut Session, now: &Node, then: &Node) -> Result<Vec<Change>> {
    let is_text = now.kind == "doc" && now.text("body") != then.text("body");
    if !is_text || then.deleted {
        return Ok(Vec::new());
    }
    doc::follows(session, now, &[now.text("body")], then.text("body"))
}

/// What has to be written.
struct Back {
    set: Map<String, Value>,
    deleted: Option<bool>,
}

impl Back {
    /// The fields that say something else now, or that are in a conflict now
    /// and were in none then.
    fn between(now: &Node, then: &Node) -> Self {
        let names = now.fields.keys().chain(then.fields.keys());
        let was = |name: &str| then.fields.get(name).unwrap_or(&Value::Null).clone();
        let differs = |name: &&String| {
            let is = now.fields.get(*name).unwrap_or(&Value::Null);
            let torn = |node: &Node| node.versions.contains_key(*name);
            *is != was(name) || (torn(now) && !torn(then))
        };
        let set = names.filter(differs).map(|name| (name.clone(), was(name))).collect();
        let torn = now.versions.contains_key(DELETED) && !then.versions.contains_key(DELETED);
        let deleted = (torn || now.deleted != then.deleted).then_some(then.deleted);
        Self { set, deleted }
    }

    fn is_nothing(&self) -> bool {
        self.set.is_empty() && self.deleted.is_none()
    }

    /// A deleted node stays so while its fields go back.
    fn change(&self, now: &Node) -> Change {
        let deleted = self.deleted.or(now.deleted.then_some(true));
        Change::Node { id: Some(now.id.clone()), set: self.set.clone(), deleted }
    }

    /// Field by field, for scripts.
    fn told(&self, now: &Node) -> Value {
        let is = |name: &String| now.fields.get(name).unwrap_or(&Value::Null);
        let pair = |(name, value): (&String, &Value)| {
            (name.clone(), json!({ "before": is(name), "after": value }))
        };
        let mut told: Map<String, Value> = self.set.iter().map(pair).collect();
        if let Some(deleted) = self.deleted {
            told.insert(DELETED.to_owned(), json!({ "before": now.deleted, "after": deleted }));
        }
        Value::Object(told)
    }

    fn lines(&self, now: &Node) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, value) in &self.set {
            let is = now.fields.get(name).unwrap_or(&Value::Null);
            let name = clean(name);
            if said::long(is).is_some() || said::long(value).is_some() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                lines.push(format!("  {name}: {}", diff::count(&text(is), &text(value))));
                let differs = diff::lines(&text(is), &text(value), DIFF_LINES);
                lines.extend(differs.iter().map(|line| format!("    {line}")));
            } else {
                lines.push(format!("  {name}: {} → {}", said::value(is), said::value(value)));
            }
        }
        match self.deleted {
            Some(true) => lines.push("  deleted".to_owned()),
            Some(false) => lines.push("  not deleted any more".to_owned()),
            None => {}
        }
        lines
    }
}
