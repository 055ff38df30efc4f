//! A record as text. People read it, and write comments into it: what heph-ops
//! changes is changed in place, and everything else stays as it stands.

use std::path::Path;

use toml_edit::{DocumentMut, Item, TableLike};

use super::Record;
use crate::error::{Code, Error, Result};

/// How alike two names must be for one to be meant by the other: 0 to 1.
const ALIKE: f64 = 0.7;

pub(super) fn parse(text: &str, path: &Path) -> Result<Record> {
    // Some editors put such a mark first; places are counted behind it.
    let text = text.trim_start_matches('\u{feff}');
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        Error::new(
            Code::ConfigInvalid,
            format!("{}:{line}: {}", path.display(), in_words(error.message())),
            "mend that line, or install the service again",
        )
    })
}

/// A reader of a name that it does not know lists all that it knows. Whoever
/// mistyped one wants that one.
fn in_words(message: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    let Some(unknown) = words.next().filter(|_| message.starts_with("unknown ")) else {
        return message.lines().next().unwrap_or_default().to_owned();
    };
    match nearest(unknown, words) {
        Some(name) => format!("there is no `{unknown}`; did you mean `{name}`?"),
        None => format!("there is no `{unknown}`"),
    }
}

/// The name that somebody meant.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let alike = names.map(|name| (strsim::jaro_winkler(word, name), name));
    let best = alike.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(alike, _)| *alike >= ALIKE).map(|(_, name)| name)
}

/// The record's text, with the comments and the order of what stands there.
pub(super) fn written(record: &Record, standing: Option<&str>) -> Result<String> {
    let not_text = |error: toml_edit::ser::Error| {
        Error::usage(format!("a flag cannot be recorded: {error}"), "give paths as UTF-8 text")
    };
    let mut wanted = toml_edit::ser::to_document(record).map_err(not_text)?;
    for (_, item) in wanted.iter_mut() {
        open_up(item);
    }
    let standing = standing.map(|text| text.trim_start_matches('\u{feff}'));
    match standing.and_then(|text| text.parse::<DocumentMut>().ok()) {
        Some(mut document) => {
            lay_over(document.as_table_mut(), wanted.as_table());
            Ok(document.to_string())
        }
        None => Ok(format!(
            "# What the service {} was given. heph-ops keeps this file; comments stay.\n{wanted}",
            record.label
        )),
    }
}

/// A table gets lines of its own rather than one long one.
fn open_up(item: &mut Item) {
    if let Some(table) = item.as_inline_table() {
        *item = Item::Table(table.clone().into_table());
    }
}

/// Makes one table mean what another does.
fn lay_over(standing: &mut dyn TableLike, wanted: &dyn TableLike) {
    let gone: Vec<String> = standing
        .iter()
        .filter(|(key, _)| wanted.get(key).is_none())
        .map(|(key, _)| key.to_owned())
        .collect();
    for key in gone {
        standing.remove(&key);
    }
    for (key, item) in wanted.iter() {
        match (standing.get_mut(key), item.as_table_like()) {
            (Some(old), Some(new)) if old.is_table_like() => {
                if let Some(old) = old.as_table_like_mut() {
                    lay_over(old, new);
                }
            }
            (Some(Item::Value(old)), _) => {
                if let Item::Value(new) = item
                    && old.to_string().trim() != new.to_string().trim()
                {
                    let decor = old.decor().clone();
                    *old = new.clone();
                    *old.decor_mut() = decor;
                }
            }
            _ => {
                standing.insert(key, item.clone());
            }
        }
    }
}
