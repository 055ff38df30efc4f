//! Filling in a template. Nothing is escaped here: each format has rules of
//! its own, and whoever calls has quoted every value by them.

use hephd::error::{Error, Result};
use tera::{Context, Tera};

/// Words that stand at the top of every file that is ours.
pub const RENDERED_BY: &str = "rendered by heph-ops";

/// The text of a template.
///
/// # Errors
/// `internal` for a template that does not fit its values.
pub fn fill(name: &'static str, template: &'static str, values: &Context) -> Result<String> {
    let mut tera = Tera::new();
    tera.autoescape_on(Vec::<&'static str>::new());
    tera.add_raw_template(name, template)
        .and_then(|()| tera.render(name, values))
        .map_err(|error| Error::internal(format!("the template {name}: {error}")))
}
