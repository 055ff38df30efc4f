//! An Authentik blueprint: the provider, the application and the device flow
//! that a hub and its devices log in with, and the quoting that keeps a value
//! a value whatever stands in it.
//!
//! What the fields mean and why they have these values stands in the template,
//! which is what people read. tests/it/corpus has Authentik's own schema of
//! them.

use hephd::error::{Error, Result};
use tera::Context;
use url::Url;

use crate::template;

/// What differs from one hub to the next.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// The client id, which is the audience of its tokens.
    pub client_id: String,
    /// The application's name in URLs; the issuer ends in it.
    pub slug: String,
    /// The group whose members may log in.
    pub group: String,
    /// The brand, by its domain, that gets the device flow.
    pub brand: String,
    /// The name of the key pair that signs tokens.
    pub signing_key: String,
    /// The hub's addresses in a browser, with a slash at the end.
    pub hub_urls: Vec<Url>,
}

impl Blueprint {
    /// The blueprint's text.
    ///
    /// # Errors
    /// `usage` for a value that no blueprint can hold.
    pub fn to_text(&self) -> Result<String> {
        const NAME: &str = "authentik-blueprint.yaml";
        const TEMPLATE: &str = include_str!("../templates/authentik-blueprint.yaml");
        let urls = self.hub_urls.iter().map(|url| quote("--hub-url", url.as_str()));
        let urls = urls.collect::<Result<Vec<_>>>()?;
        let mut context = Context::new();
        context.insert("title", &quote("--slug", &format!("Hephaestus ({})", self.slug))?);
        context.insert("client_id", &quote("--client-id", &self.client_id)?);
        context.insert("slug", &quote("--slug", check_slug(&self.slug)?)?);
        context.insert("group", &quote("--group", &self.group)?);
        context.insert("brand", &quote("--brand", &self.brand)?);
        context.insert("signing_key", &quote("--signing-key", &self.signing_key)?);
        context.insert("launch_url", urls.first().map_or("\"\"", String::as_str));
        context.insert("redirect_urls", &urls);
        template::fill(NAME, TEMPLATE, &context)
    }
}

/// Authentik's own rule; a slug stands in the issuer's URL.
fn check_slug(slug: &str) -> Result<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !slug.is_empty() && slug.chars().all(fits) {
        return Ok(slug);
    }
    Err(Error::usage(
        format!("--slug {slug:?} is not a slug"),
        "use letters, digits, - and _, for example heph",
    ))
}

/// A double-quoted scalar: the one form of YAML in which nothing but `\` and
/// `"` means anything. What PyYAML takes for a line break, or not at all, is
/// spelled by its number.
fn quote(flag: &str, value: &str) -> Result<String> {
    if value.is_empty() || value.contains(['\n', '\r', '\0']) {
        return Err(Error::usage(
            format!("{flag} {value:?} is empty, or holds a line break or NUL"),
            "choose a value without one",
        ));
    }
    let mut quoted = String::from('"');
    for c in value.chars() {
        match c {
            '\\' | '"' => quoted.extend(['\\', c]),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(quoted)
}
