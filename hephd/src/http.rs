//! Asking others over HTTP: a hub, an OpenID provider. What all such clients
//! have in common: deadlines, whom they trust, and answers that must end.

use std::{path::Path, time::Duration};

use reqwest::{Certificate, ClientBuilder, Response};
use url::Url;

use crate::{
    config::is_loopback,
    error::{Error, Result, file},
};

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A client for a server, with a certificate authority to trust beside the
/// platform's. It follows no redirect, which would take a token along.
///
/// # Errors
/// When the certificate cannot be read.
pub fn client(server: &Url, ca: Option<&Path>) -> Result<ClientBuilder> {
    // Only fails where one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut http = reqwest::Client::builder()
        .connect_timeout(CONNECT_DEADLINE)
        .tcp_nodelay(true)
        // On the machine itself compression only costs time.
        .gzip(!is_loopback(server))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("hephd/", env!("CARGO_PKG_VERSION")));
    if is_loopback(server) {
        // What HTTP_PROXY names could not reach this machine's loopback.
        http = http.no_proxy();
    }
    if let Some(path) = ca {
        http = http.add_root_certificate(authority(path)?);
    }
    Ok(http)
}

fn authority(path: &Path) -> Result<Certificate> {
    let pem = std::fs::read(path).map_err(file(path, "read"))?;
    Certificate::from_pem(&pem).map_err(|error| {
        let message = format!("--hub-ca {} is no certificate: {error}", path.display());
        Error::usage(message, "give a PEM file")
    })
}

/// Why an answer's body is not here.
#[derive(Debug)]
pub enum Broken {
    /// The line was cut.
    Cut(reqwest::Error),
    /// It has more bytes than it may.
    Endless,
}

/// An answer's body, which must end.
///
/// # Errors
/// When the line is cut, or after so many bytes.
pub async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, Broken> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Broken::Cut)? {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            return Err(Broken::Endless);
        }
    }
    Ok(body)
}

/// What somebody else's server said, on one line, short, and without signs that
/// a terminal would obey.
#[must_use]
pub fn one_line(text: &str) -> String {
    const TURNS: [char; 12] = [
        '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}',
        '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
    ];
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let kept = text.chars().filter(|c| !TURNS.contains(c)).take(300);
    kept.map(|c| if breaks(c) { ' ' } else { c }).collect()
}

/// The last of an error's reasons, which says most.
#[must_use]
pub fn root_cause(error: &reqwest::Error) -> String {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        why = cause.to_string();
        source = cause.source();
    }
    why
}
