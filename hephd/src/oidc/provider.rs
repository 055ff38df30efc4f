//! An OpenID provider, as HTTP reaches it: its discovery document (OpenID
//! Connect Discovery 1.0), and what that points to.
//!
//! It is somebody else's server. So every answer has a deadline and a size,
//! and nothing it says sends us to an address without TLS beyond this machine.

use std::{path::Path, time::Duration};

use reqwest::{Client, RequestBuilder, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use crate::{
    config::is_loopback,
    error::{Code, Error, Result},
    http::{self, Broken, one_line},
};

/// A whole question and answer take no longer.
const DEADLINE: Duration = Duration::from_secs(5);

/// No answer of a provider's is larger.
pub const MAX_ANSWER_BYTES: usize = 256 << 10;

/// A provider.
#[derive(Debug, Clone)]
pub struct Provider {
    issuer: String,
    http: Client,
}

/// What its document says, as far as it is of use here. Every URL in it has
/// been looked at: https, or this machine where the issuer is on it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Document {
    /// Itself, in its own spelling.
    pub issuer: String,
    /// Its keys.
    pub jwks_uri: Url,
    /// Gives tokens.
    pub token_endpoint: Url,
    /// Begins a login by code (RFC 8628); none where it has no such login.
    #[serde(default)]
    pub device_authorization_endpoint: Option<Url>,
    /// Takes tokens back (RFC 7009).
    #[serde(default)]
    pub revocation_endpoint: Option<Url>,
}

impl Document {
    /// Where a login by code begins.
    ///
    /// # Errors
    /// `auth_failed` where the provider has no such login.
    pub fn login_by_code(&self) -> Result<&Url> {
        self.device_authorization_endpoint.as_ref().ok_or_else(|| {
            Error::new(
                Code::AuthFailed,
                format!("the OpenID provider {} has no login by code", one_line(&self.issuer)),
                "turn its device flow on (RFC 8628), for this client too",
            )
        })
    }
}

/// Why a provider gave no answer that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// It cannot be reached, or is too slow or ill: it may be better later.
    Down(String),
    /// It answers, but not as a provider does.
    Wrong(String),
    /// It is another one than the one that was named.
    OtherIssuer(String),
}

impl NoAnswer {
    /// For people, with the provider's name.
    #[must_use]
    pub fn error(&self, issuer: &str) -> Error {
        match self {
            Self::Down(why) => Error::new(
                Code::AuthFailed,
                format!("the OpenID provider {issuer} cannot be reached: {why}"),
                "look whether it runs and the network is there, then try again",
            ),
            Self::Wrong(why) => Error::new(
                Code::AuthFailed,
                format!("{issuer} does not answer like an OpenID provider: {}", one_line(why)),
                "look at the issuer's spelling",
            ),
            Self::OtherIssuer(said) => Error::new(
                Code::IssuerMismatch,
                format!("the OpenID provider at {issuer} calls itself {}", one_line(said)),
                format!("give the issuer in its own spelling: {}", one_line(said)),
            ),
        }
    }
}

impl Provider {
    /// A provider by its issuer's name, with a certificate authority to trust
    /// beside the platform's.
    ///
    /// # Errors
    /// `usage` for an issuer that is no https URL (http is for this machine),
    /// or a certificate that cannot be read.
    pub fn new(issuer: &str, ca: Option<&Path>) -> Result<Self> {
        let url = crate::config::check_issuer(issuer)?;
        let http = http::client(&url, ca)?.timeout(DEADLINE).build().map_err(Error::internal)?;
        Ok(Self { issuer: issuer.to_owned(), http })
    }

    /// Its name, as it was given.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Reads its document.
    ///
    /// # Errors
    /// [`NoAnswer`]; `OtherIssuer` where it spells itself otherwise.
    pub async fn discover(&self) -> Result<Document, NoAnswer> {
        let address = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.strip_suffix('/').unwrap_or(&self.issuer)
        );
        let address = address.parse().map_err(|e| NoAnswer::Wrong(format!("{address}: {e}")))?;
        let document: Document = self.get(&address).await?;
        if document.issuer != self.issuer {
            return Err(NoAnswer::OtherIssuer(document.issuer));
        }
        let optional = [&document.device_authorization_endpoint, &document.revocation_endpoint];
        let needed = [&document.jwks_uri, &document.token_endpoint];
        // Only who is on this machine itself may send us to a port of it.
        let here = self.issuer.starts_with("http:");
        for url in needed.into_iter().chain(optional.into_iter().flatten()) {
            if url.scheme() != "https" && !(here && url.scheme() == "http" && is_loopback(url)) {
                return Err(NoAnswer::Wrong(format!("it names {url}, which is without TLS")));
            }
        }
        Ok(document)
    }

    /// Reads JSON from it.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn get<T: DeserializeOwned>(&self, url: &Url) -> Result<T, NoAnswer> {
        let (status, body) = self.ask(self.http.get(url.clone())).await?;
        if status != StatusCode::OK {
            return Err(refused(url, status));
        }
        serde_json::from_slice(&body).map_err(|error| NoAnswer::Wrong(format!("{url}: {error}")))
    }

    /// Sends a form to it. `Ok(Err(…))` is a refusal in OAuth's own words
    /// (RFC 6749, 5.2), which is an outcome.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        url: &Url,
        form: &[(&str, &str)],
    ) -> Result<Result<T, Refusal>, NoAnswer> {
        let (status, body) = self.ask(self.http.post(url.clone()).form(form)).await?;
        let wrong = |error: serde_json::Error| NoAnswer::Wrong(format!("{url}: {error}"));
        if status.is_success() {
            let body = if body.is_empty() { b"null".as_slice() } else { &body };
            return serde_json::from_slice(body).map(Ok).map_err(wrong);
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) if status.is_client_error() => Ok(Err(refusal)),
            _ => Err(refused(url, status)),
        }
    }

    async fn ask(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), NoAnswer> {
        let down = |error: &reqwest::Error| NoAnswer::Down(http::root_cause(error));
        let response = request.send().await.map_err(|error| down(&error))?;
        let status = response.status();
        match http::body(response, MAX_ANSWER_BYTES).await {
            Ok(body) => Ok((status, body)),
            Err(Broken::Cut(error)) => Err(down(&error)),
            Err(Broken::Endless) => {
                Err(NoAnswer::Wrong(format!("more than {MAX_ANSWER_BYTES} bytes")))
            }
        }
    }
}

fn refused(url: &Url, status: StatusCode) -> NoAnswer {
    let said = format!("{url} said {status}");
    if status.is_server_error() { NoAnswer::Down(said) } else { NoAnswer::Wrong(said) }
}

/// A refusal in OAuth's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// `invalid_grant`, `authorization_pending`, …
    pub error: String,
    /// For people.
    #[serde(default)]
    pub error_description: Option<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = one_line(&self.error);
        match &self.error_description {
            Some(description) => write!(f, "{error}: {}", one_line(description)),
            None => write!(f, "{error}"),
        }
    }
}

/// For answers whose body does not matter.
pub type Nothing = Value;
