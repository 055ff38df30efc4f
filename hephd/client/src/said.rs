//! Values of fields as people read them. Pure.

use hephd::{
    history::{Event, LINKED},
    merge::DELETED,
    node::{ENTRY_OF, LINE_OF, TAGGED, WIKI},
};
use serde_json::Value;

use crate::table::clean;

/// A longer text, or one of several lines, is told by what differs.
const ONE_LINE: usize = 60;

/// A value in one line.
#[must_use]
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => clean(text),
        other => clean(&other.to_string()),
    }
}

/// The text, where a value is one that does not fit in a line.
#[must_use]
pub fn long(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    (text.contains('\n') || text.chars().nth(ONE_LINE).is_some()).then_some(text)
}

/// What an op did, in one line; a long text's difference stands elsewhere.
#[must_use]
pub fn event(event: &Event) -> String {
    match (event.field.as_str(), &event.value) {
        (LINKED, made) => link(event, *made == Value::Bool(true)),
        (DELETED, Value::Bool(true)) => "deleted".to_owned(),
        (DELETED, _) => "not deleted".to_owned(),
        (_, now) if event.before.is_empty() => value(now),
        (_, now) => {
            let before: Vec<String> = event.before.iter().map(value).collect();
            format!("{} → {}", before.join(" | "), value(now))
        }
    }
}

fn link(event: &Event, made: bool) -> String {
    let title = clean(event.to_title.as_deref().unwrap_or_default());
    let kind = event.link.as_ref().map_or("", |link| link.kind.as_str());
    let what = match kind {
        TAGGED => format!("#{title}"),
        WIKI => format!("[[{title}]]"),
        LINE_OF => format!("a line of {title}"),
        ENTRY_OF => format!("in the journal of {title}"),
        other => format!("{} → {title}", clean(other)),
    };
    if made { what } else { format!("no longer {what}") }
}
