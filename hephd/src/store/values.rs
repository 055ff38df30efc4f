//! What a person may write into a field, whichever way it came in: the socket,
//! `POST /rpc`, an answer to a conflict.
//!
//! Pure, and only for what is written here. What comes by sync was taken by
//! another replica and is taken here as well, or the two would differ for ever.

use jiff::civil::Date;
use serde_json::{Map, Value};

use crate::{
    error::{Error, Result},
    merge::DELETED,
    node::KINDS,
};

/// How deep lists and objects in a value may lie in each other. A hub refuses
/// whole messages that are 64 levels deep, and an op that no hub takes would
/// stop its device's chain for ever.
pub const MAX_LEVELS: usize = 32;

/// Looks at all the fields of one change.
///
/// # Errors
/// `usage`, with the field's name and what is wanted there.
pub(super) fn check(set: &Map<String, Value>) -> Result<()> {
    set.iter().try_for_each(|(field, value)| check_one(field, value))
}

fn check_one(field: &str, value: &Value) -> Result<()> {
    let wanted = match field {
        DELETED => return Err(not_to_set()),
        "kind" => return check_kind(value),
        "title" if !is_title(value) => "a title is a text with at least one word",
        "done" if !(value.is_boolean() || value.is_null()) => "true, false or null",
        "due" if !(value.is_null() || is_day(value)) => "a day such as \"2027-01-31\", or null",
        "body" if !(value.is_string() || value.is_null()) => "a text, or null",
        _ if !fits(value, MAX_LEVELS) => {
            let message = format!("{field:?} lies more than {MAX_LEVELS} levels deep");
            return Err(Error::usage(message, "write it as a text, or as several fields"));
        }
        _ => return Ok(()),
    };
    Err(Error::usage(format!("{field:?} cannot be {}", shortened(value)), wanted))
}

fn not_to_set() -> Error {
    Error::usage(
        format!("{DELETED:?} is not a field to set"),
        "say \"deleted\": true beside \"set\" instead",
    )
}

fn check_kind(value: &Value) -> Result<()> {
    let kind = value.as_str().unwrap_or_default();
    if KINDS.contains(&kind) {
        return Ok(());
    }
    let hint = format!("one of: {}", KINDS.join(", "));
    Err(Error::usage(format!("{kind:?} is not a kind of node"), hint))
}

fn is_title(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

/// Only this way of writing a day sorts as the days do.
fn is_day(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.parse::<Date>().is_ok_and(|day| day.to_string() == text)
}

fn fits(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| fits(item, levels - 1)),
        Value::Object(items) => levels > 0 && items.values().all(|item| fits(item, levels - 1)),
        _ => true,
    }
}

/// As much of a value as fits in a message.
fn shortened(value: &Value) -> String {
    const MOST: usize = 40;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deep(levels: usize) -> Value {
        (0..levels).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn what_fits_is_taken_and_what_does_not_names_its_field() {
        let good = [
            ("title", json!("a")),
            ("done", json!(true)),
            ("done", Value::Null),
            ("due", json!("2028-02-29")),
            ("due", Value::Null),
            ("body", json!("")),
            ("body", Value::Null),
            ("note", json!({ "any": ["thing"] })),
            ("note", deep(MAX_LEVELS)),
        ];
        let bad = [
            ("title", json!(" \n\t")),
            ("title", Value::Null),
            ("title", json!(3)),
            ("done", json!("yes")),
            ("due", json!("2027-02-29")),
            ("due", json!("20270203")),
            ("due", json!("")),
            ("due", json!(20_270_203)),
            ("body", json!(["x"])),
            ("kind", json!("device")),
            ("deleted", json!(true)),
            ("note", deep(MAX_LEVELS + 1)),
            ("note", json!({ "in": deep(MAX_LEVELS) })),
        ];
        for (field, value) in good {
            assert_eq!(check_one(field, &value), Ok(()), "{field} {value}");
        }
        for (field, value) in bad {
            let error = check_one(field, &value).unwrap_err();
            assert_eq!(error.code.as_str(), "usage");
            assert!(field == "kind" || error.message.contains(field), "{}", error.message);
            assert!(error.message.len() < 120, "{}", error.message);
        }
    }
}
