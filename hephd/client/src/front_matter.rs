//! The YAML between the two `---` lines at a file's beginning: what it says
//! of title, tags and dates. Pure. What cannot be read is no error here: the
//! text is then all Markdown, and the reason is kept for a warning.

use serde::Deserialize;
use serde_json::Value;

/// What a front matter says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontMatter {
    /// `title`.
    pub title: Option<String>,
    /// `tags`: a list, or a text with commas or blanks between them.
    pub tags: Vec<String>,
    /// `created`, else `date`.
    pub created: Option<String>,
    /// `modified`, else `updated`.
    pub modified: Option<String>,
}

/// These are read as the text that stands there: `1.10` stays `1.10`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Texts {
    title: Option<String>,
    created: Option<String>,
    date: Option<String>,
    modified: Option<String>,
    updated: Option<String>,
}

/// The YAML, and where the Markdown after it begins; none where the text
/// does not begin with a front matter.
///
/// A `---` before an empty line is a thematic break.
#[must_use]
pub fn split(text: &str) -> Option<(&str, usize)> {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().filter(|line| line.trim_end() == "---")?;
    let mut end = first.len();
    for line in lines {
        match line.trim_end() {
            "---" | "..." => return Some((&text[first.len()..end], end + line.len())),
            "" if end == first.len() => return None,
            _ => end += line.len(),
        }
    }
    None
}

/// Reads the YAML.
///
/// # Errors
/// In one line, why it is no front matter.
pub fn read(yaml: &str) -> Result<FrontMatter, String> {
    let first_line = |error: serde_saphyr::Error| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    };
    let fields = match serde_saphyr::from_str(yaml).map_err(first_line)? {
        Value::Object(fields) => fields,
        Value::Null => return Ok(FrontMatter::default()),
        _ => return Err("it is no list of fields".to_owned()),
    };
    let texts: Texts = serde_saphyr::from_str(yaml).unwrap_or_default();
    let text = |exact: Option<String>, key: &str| {
        let loose = || fields.get(key).and_then(Value::as_str).map(str::to_owned);
        exact.or_else(loose).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    Ok(FrontMatter {
        title: text(texts.title, "title"),
        tags: fields.get("tags").map(tags).unwrap_or_default(),
        created: text(texts.created, "created").or_else(|| text(texts.date, "date")),
        modified: text(texts.modified, "modified").or_else(|| text(texts.updated, "updated")),
    })
}

fn tags(value: &Value) -> Vec<String> {
    let names: Vec<String> = match value {
        Value::Array(items) => items.iter().filter_map(scalar).collect(),
        Value::String(text) => {
            text.split(|c: char| c == ',' || c.is_whitespace()).map(str::to_owned).collect()
        }
        other => scalar(other).into_iter().collect(),
    };
    let names = names.iter().map(|name| name.trim().trim_start_matches('#').trim().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_at_the_second_line_of_dashes() {
        assert_eq!(split("---\r\na: 1\r\n---\r\nrest"), Some(("a: 1\r\n", 16)));
        assert_eq!(split("---\n---\n"), Some(("", 8)));
        assert_eq!(split("---\na: 1\n...\n"), Some(("a: 1\n", 13)));
    }

    #[test]
    fn a_thematic_break_is_no_front_matter() {
        for text in ["---\n\na: 1\n---\n", "---\na: 1\n", "----\n----\n", "", "---"] {
            assert_eq!(split(text), None, "{text:?}");
        }
    }

    #[test]
    fn tags_come_in_three_forms() {
        for yaml in ["tags: [a, '#b c']", "tags:\n  - a\n  - b c\n"] {
            assert_eq!(read(yaml).unwrap().tags, ["a", "b c"], "{yaml:?}");
        }
        assert_eq!(read("tags: 'a, b  #c'").unwrap().tags, ["a", "b", "c"]);
        assert_eq!(read("tags: 2024").unwrap().tags, ["2024"]);
    }

    #[test]
    fn texts_stay_as_they_are_written() {
        let read = read("title: 1.10\ndate: 2024-01-02\nupdated: 2024-01-03\ntags:").unwrap();
        assert_eq!(read.title.as_deref(), Some("1.10"));
        assert_eq!(read.created.as_deref(), Some("2024-01-02"));
        assert_eq!(read.modified.as_deref(), Some("2024-01-03"));
        assert_eq!(read.tags, Vec::<String>::new());
    }

    #[test]
    fn an_odd_field_does_not_hide_the_others() {
        let read = read("title: [a]\ncreated: today").unwrap();
        assert_eq!((read.title, read.created.as_deref()), (None, Some("today")));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for yaml in ["title: x: y", "- a", "just text", "a: 1\na: 2"] {
            let why = read(yaml).unwrap_err();
            assert!(!why.is_empty() && !why.contains('\n'), "{yaml:?}: {why:?}");
        }
    }
}
