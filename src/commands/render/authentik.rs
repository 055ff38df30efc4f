//! `heph-ops render authentik`: the blueprint that makes Authentik let a hub's
//! devices and its web app in.

use hephd::{
    config::parse_hub_url,
    error::{Error, Result},
    record::Role,
};
use serde_json::json;
use url::Url;

use super::{Rendered, Target, only};
use crate::{blueprint::Blueprint, host::Host};

/// Print an Authentik blueprint: provider, application, device flow, group
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The hub's address in a browser; may be repeated
    /// [default: the hub of this machine's only spoke]
    #[arg(long, value_name = "URL")]
    hub_url: Vec<String>,
    /// The client id, which is the audience too
    /// [default: what the only hub here was given, else heph]
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The application's name in URLs; the issuer ends in it
    #[arg(long, value_name = "NAME", default_value = "heph")]
    slug: String,
    /// Only members of this group may log in; it is made where it is missing
    #[arg(long, value_name = "NAME", default_value = "heph")]
    group: String,
    /// The brand, by its domain, that gets the device flow
    #[arg(long, value_name = "DOMAIN", default_value = "authentik-default")]
    brand: String,
    /// The key pair that signs tokens: RSA, or EC with the curve P-256
    #[arg(long, value_name = "NAME", default_value = "authentik Self-signed Certificate")]
    signing_key: String,
    #[command(flatten)]
    pub(super) target: Target,
}

impl Args {
    pub(super) fn render(&self, host: &Host) -> Result<Rendered> {
        let blueprint = Blueprint {
            client_id: self.client_id(host)?,
            slug: self.slug.clone(),
            group: self.group.clone(),
            brand: self.brand.clone(),
            signing_key: self.signing_key.clone(),
            hub_urls: self.hub_urls(host)?,
        };
        let text = blueprint.to_text()?;
        let issuer = format!("https://AUTHENTIK/application/o/{}/", self.slug);
        let next = format!("  next      apply it in Authentik; the issuer is {issuer}");
        let (client_id, urls) = (&blueprint.client_id, &blueprint.hub_urls);
        let urls = urls.iter().map(Url::as_str).collect::<Vec<_>>();
        let data = json!({ "client_id": client_id, "slug": self.slug, "redirect_uris": urls });
        Ok(Rendered { text, data, next })
    }

    /// Authentik writes the client id into `aud`, so what the hub asks of
    /// tokens is what they must be made with.
    fn client_id(&self, host: &Host) -> Result<String> {
        if let Some(id) = &self.client_id {
            return Ok(id.clone());
        }
        let audience = only(host, Role::Hub)?.and_then(|hub| hub.flags.oidc_audience);
        Ok(audience.unwrap_or_else(|| "heph".to_owned()))
    }

    /// Never none: where Authentik knows no redirect URI, it takes the first
    /// one that anybody asks for.
    fn hub_urls(&self, host: &Host) -> Result<Vec<Url>> {
        let mut urls = self.hub_url.clone();
        if urls.is_empty() {
            urls.extend(only(host, Role::Spoke)?.and_then(|spoke| spoke.flags.hub_url));
        }
        if urls.is_empty() {
            return Err(Error::usage(
                "which address does the hub have in a browser?",
                "name it: --hub-url https://HOST",
            ));
        }
        urls.iter().map(|url| parse_hub_url(url)).collect()
    }
}
