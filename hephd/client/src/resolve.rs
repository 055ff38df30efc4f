//! `heph conflicts resolve`: an answer to a conflict is an ordinary write that
//! knows of all the values that were shown.

use std::path::PathBuf;

use hephd::{
    error::{Error, Result},
    history::{Conflict, Disputed, Told},
    hlc::Hlc,
    merge::DELETED,
    node::Node,
    report::Report,
};
use serde_json::{Value, json};

use crate::{
    doc, said,
    session::{Session, short},
    table::clean,
};

/// Which conflict, and what is to stand.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("answer").required(true))]
pub struct Args {
    /// The node's id, or how it begins; #TAG; a journal's day
    node: String,
    /// Which of its fields
    field: String,
    /// One of the values: by its number, or by how its text or its device's
    /// name begins; delete or keep where a deletion met an edit
    #[arg(long, group = "answer", value_name = "WHICH")]
    take: Option<String>,
    /// Another value; "" takes it away
    #[arg(long, group = "answer", value_name = "TEXT", allow_hyphen_values = true)]
    value: Option<String>,
    /// A file with another value; - reads it from stdin
    #[arg(long, group = "answer", value_name = "PATH")]
    value_file: Option<PathBuf>,
    /// All of the values, one after the other; of a title or a body only
    #[arg(long, group = "answer")]
    keep_both: bool,
    /// Change nothing; say what would be
    #[arg(long, alias = "dry-run")]
    pub check: bool,
}

/// Settles a conflict. What is settled already is left as it is.
///
/// # Errors
/// `node_not_found`, `usage`, `conflict_changed`; the daemon's.
pub fn run(args: &Args, session: &mut Session) -> Result<Report> {
    let node = session.meant(&args.node, true)?;
    let node = session.get(&node.id)?.unwrap_or(node);
    let Some(disputed) = disputed(session, &node, &args.field)? else {
        return already(args, &node);
    };
    let value = args.answer(&disputed)?;
    let versions: Vec<Hlc> = disputed.versions.iter().map(|told| told.id).collect();
    let is_text = node.kind == "doc" && args.field == "body";
    if !args.check {
        let follows = match value.as_str() {
            Some(text) if is_text => follows(session, &node, &disputed, text)?,
            _ => Vec::new(),
        };
        let resolved = session.resolve(&node.id, &args.field, &value, &versions, &follows)?;
        if !resolved.resolved {
            return already(args, &node);
        }
    }
    let (id, field) = (short(&node.id), clean(&args.field));
    let what = match (field.as_str(), &value) {
        (DELETED, Value::Bool(true)) => "deleted".to_owned(),
        (DELETED, _) => "kept".to_owned(),
        (_, value) if said::long(value).is_some() => format!("{field} has one text"),
        (_, value) => format!("{field} is {}", said::value(value)),
    };
    let verb = if args.check { "would be settled" } else { "settled" };
    let data = json!({ "id": node.id, "field": args.field, "value": value });
    let line = format!("✓ {verb}: {id} {}: {what}", clean(&node.title));
    Ok(Report { check: args.check, ..Report::new("resolved", true, data).line(line) })
}

fn already(args: &Args, node: &Node) -> Result<Report> {
    let is_known = args.field == DELETED || node.fields.contains_key(&args.field);
    let id = short(&node.id);
    if !is_known {
        let names: Vec<&str> = node.fields.keys().map(String::as_str).collect();
        return Err(Error::usage(
            format!("{id} has no field {:?}", args.field),
            format!("one of: {}", clean(&names.join(", "))),
        ));
    }
    let data = json!({ "id": node.id, "field": args.field, "value": node.fields.get(&args.field) });
    let line = format!("✓ {} of {id} is in no conflict; nothing to do", clean(&args.field));
    let report = Report::new("already_resolved", false, data).line(line);
    Ok(Report { check: args.check, ..report })
}

/// The field, if it is in conflict.
fn disputed(session: &mut Session, node: &Node, field: &str) -> Result<Option<Disputed>> {
    let Some(Conflict { fields, .. }) = session.conflict_of(&node.id)? else { return Ok(None) };
    Ok(fields.into_iter().find(|disputed| disputed.field == field))
}

/// What follows for tags, tasks and links from the text that is to stand,
/// against all that stood.
fn follows(
    session: &mut Session,
    node: &Node,
    disputed: &Disputed,
    text: &str,
) -> Result<Vec<hephd::node::Change>> {
    let mut texts: Vec<&str> =
        disputed.versions.iter().filter_map(|told| told.value.as_str()).collect();
    texts.sort_by_key(|other| *other == text);
    doc::follows(session, node, &texts, text)
}

impl Args {
    fn answer(&self, disputed: &Disputed) -> Result<Value> {
        match (&self.take, &self.value, &self.value_file) {
            (Some(which), ..) => taken(disputed, which),
            (_, Some(text), _) => own(disputed, text),
            (_, _, Some(path)) => own(disputed, &doc::read_given(path, "--value \"\"")?),
            _ => both(disputed),
        }
    }
}

/// One of the values. A number is a number; else what begins so.
fn taken(disputed: &Disputed, which: &str) -> Result<Value> {
    let by_number = which.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    if let Some(told) = by_number.and_then(|n| disputed.versions.get(n)) {
        return Ok(answer(disputed, told));
    }
    if disputed.field == DELETED
        && let Some(deletes) = match which {
            "delete" => Some(true),
            "keep" => Some(false),
            _ => None,
        }
    {
        return Ok(json!(deletes));
    }
    let begins = |told: &&Told| {
        let text = said::value(&told.value);
        [told.device.as_str(), &text, &told.id.to_string()].iter().any(|t| t.starts_with(which))
    };
    let mut found: Vec<&Told> = disputed.versions.iter().filter(begins).collect();
    found.dedup_by_key(|told| answer(disputed, told));
    match found.as_slice() {
        [told] if !which.is_empty() => Ok(answer(disputed, told)),
        found => {
            let all = disputed.versions.len();
            let message = match found.len() {
                n if n > 1 && !which.is_empty() => format!("{which:?} fits {n} of the values"),
                _ => format!("{which:?} is not one of the {all} values"),
            };
            Err(Error::usage(message, "give the number that stands before it: heph conflicts"))
        }
    }
}

fn answer(disputed: &Disputed, told: &Told) -> Value {
    if disputed.field == DELETED { json!(told.deletes()) } else { told.value.clone() }
}

/// A value of the person's own, of the sort that the others are.
fn own(disputed: &Disputed, text: &str) -> Result<Value> {
    if disputed.field == DELETED {
        return Err(Error::usage("deleted is no text", "say --take delete, or --take keep"));
    }
    let is = |sort: fn(&Value) -> bool| disputed.versions.iter().all(|told| sort(&told.value));
    if is(Value::is_boolean) || is(Value::is_number) {
        let value: Option<Value> = serde_json::from_str(text).ok();
        let fits =
            |value: &Value| value.is_boolean() == is(Value::is_boolean) && !value.is_object();
        return value.filter(fits).ok_or_else(|| {
            let example = disputed.versions.first().map(|told| said::value(&told.value));
            let example = example.unwrap_or_default();
            Error::usage(format!("{text:?} is no value for it"), format!("one such as {example}"))
        });
    }
    if disputed.field == "title" && text.trim().is_empty() {
        let hint = "give it one: --value TEXT, or --take N";
        return Err(Error::usage("a title has at least one word", hint));
    }
    if disputed.field == "due" && !text.is_empty() {
        crate::meant::day(text).map_err(|why| Error::usage(format!("{text:?} is {why}"), why))?;
    }
    // A body is a text, also an empty one; what else is empty is away.
    let stays = !text.is_empty() || disputed.field == "body";
    Ok(if stays { json!(text) } else { Value::Null })
}

/// The fields that are texts of a person's own words. All others mean
/// something by their form, and two values side by side would mean nothing.
const WORDS: [&str; 2] = ["title", "body"];

/// All texts: lines below each other, words side by side.
fn both(disputed: &Disputed) -> Result<Value> {
    let texts: Option<Vec<&str>> =
        disputed.versions.iter().map(|told| told.value.as_str()).collect();
    let texts = texts.filter(|_| WORDS.contains(&&*disputed.field)).ok_or_else(|| {
        Error::usage(
            format!("{} cannot have several values side by side", clean(&disputed.field)),
            "choose one: --take N; their numbers: heph conflicts",
        )
    })?;
    let lines = texts.iter().any(|text| text.contains('\n'));
    let mut both = String::new();
    for text in texts {
        if !both.is_empty() {
            let gap = if both.ends_with('\n') { "\n" } else { "\n\n" };
            both.push_str(if lines { gap } else { " / " });
        }
        both.push_str(text);
    }
    Ok(json!(both))
}
