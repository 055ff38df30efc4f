//! `heph-ops render caddy`: a site that puts TLS in front of a hub.

use std::net::SocketAddr;

use hephd::{config::parse_address, error::Result, record::Role};
use serde_json::json;

use super::{Rendered, Target, only};
use crate::{
    caddyfile::{self, Tls},
    host::Host,
    service::reached_here,
};

/// Print a Caddyfile: TLS in front of the hub
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The hub's name in the world
    #[arg(long, value_name = "NAME")]
    domain: String,
    /// Where the hub listens
    /// [default: what the only hub here was given, else 127.0.0.1:8787]
    #[arg(long, value_name = "IP:PORT")]
    http_addr: Option<String>,
    /// Where the certificate comes from
    #[arg(long, value_enum, default_value = "auto", value_name = "FROM")]
    tls: Tls,
    #[command(flatten)]
    pub(super) target: Target,
}

impl Args {
    pub(super) fn render(&self, host: &Host) -> Result<Rendered> {
        let hub = self.hub(host)?;
        let text = caddyfile::site(&self.domain, hub, self.tls)?;
        let file = self.target.output.as_deref().unwrap_or_else(|| "Caddyfile".as_ref());
        let next =
            format!("  next      caddy validate --adapter caddyfile --config {}", file.display());
        let data = json!({ "domain": self.domain, "http_addr": hub });
        Ok(Rendered { text, data, next })
    }

    /// The hub's address as Caddy reaches it, on the same machine.
    fn hub(&self, host: &Host) -> Result<SocketAddr> {
        let http_addr = match &self.http_addr {
            Some(address) => Some(address.clone()),
            None => only(host, Role::Hub)?.and_then(|hub| hub.flags.http_addr),
        };
        let http_addr = http_addr.unwrap_or_else(|| "127.0.0.1:8787".to_owned());
        Ok(reached_here(parse_address(&http_addr)?))
    }
}
