//! A site for Caddy: TLS in front of a hub. Both of its values are checked to
//! be what they are, a name and an address, so nothing has to be quoted.

use std::net::SocketAddr;

use hephd::error::{Error, Result};
use tera::Context;

use crate::template;

/// Where a site's certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tls {
    /// From a public authority, as Caddy does by itself
    Auto,
    /// From an authority of Caddy's own, which devices must be told to trust
    Internal,
}

/// The site's text.
///
/// # Errors
/// `usage` for a domain that is no host name.
pub fn site(domain: &str, hub: SocketAddr, tls: Tls) -> Result<String> {
    const TEMPLATE: &str = include_str!("../templates/Caddyfile");
    let mut context = Context::new();
    context.insert("domain", &host_name(domain)?);
    context.insert("hub", &hub.to_string());
    context.insert("tls_internal", &(tls == Tls::Internal));
    template::fill("Caddyfile", TEMPLATE, &context)
}

/// A host name in its one spelling: small letters, and those beyond ASCII as
/// a certificate has them. The rest of a URL, an address, a wildcard and
/// whatever would be more than a name to Caddy are refused.
fn host_name(text: &str) -> Result<String> {
    let name = match url::Host::parse(text) {
        Ok(url::Host::Domain(name)) if name.len() <= 253 && name.split('.').all(is_label) => name,
        _ => {
            return Err(Error::usage(
                format!("--domain {text:?} is not a host name"),
                "give the name alone, without scheme, port or path: --domain heph.example.org",
            ));
        }
    };
    Ok(name)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}
