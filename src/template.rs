//! Filling in a template. Nothing is escaped here: each format has rules of
//! its own, and whoever calls has quoted every value by them.

use hephd::error::{Error, Result};
use tera::{Context, Tera};

/// Words that stand at the top of every file that is ours.
pub const RENDERED_BY: &str = "rendered by heph-ops";

/// The text of a template. A line that is one value and nothing else goes
/// where that value is empty.
///
/// # Errors
/// `internal` for a template that does not fit its values.
pub fn fill(name: &'static str, template: &'static str, values: &Context) -> Result<String> {
    fill_text(name, template, values)
}

/// As [`fill`], of a text that was put together before.
///
/// # Errors
/// `internal` for a template that does not fit its values.
pub fn fill_text(name: &'static str, template: &str, values: &Context) -> Result<String> {
    let kept: Vec<&str> = template.lines().filter(|line| !is_empty_value(line, values)).collect();
    let template = kept.join("\n") + "\n";
    let mut tera = Tera::new();
    tera.autoescape_on(Vec::<&'static str>::new());
    tera.add_raw_template(name, &template)
        .and_then(|()| tera.render(name, values))
        .map_err(|error| Error::internal(format!("the template {name}: {error}")))
}

fn is_empty_value(line: &str, values: &Context) -> bool {
    let name = line.strip_prefix("{{ ").and_then(|line| line.strip_suffix(" }}"));
    let value = name.and_then(|name| values.get(name));
    value.is_some_and(|value| value.as_str() == Some(""))
}
