//! While a hub serves without authentication, any web page that a person of
//! this machine looks at could talk to it. So a request must name this
//! machine as its host (a name that leads here by an attacker's DNS does
//! not), and must not come from another site's page.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, Uri, header},
};

use super::reply::{self, Failure};

/// Who may be asked for.
#[derive(Debug, Clone)]
pub struct Guard {
    /// This machine's name.
    pub machine: String,
    /// It listens on more than loopback.
    pub exposed: bool,
}

impl Guard {
    /// # Errors
    /// 403 for whoever is not from here.
    pub(super) fn check(&self, request: &Request) -> Result<(), Failure> {
        let refused = self.refuses(request.uri(), request.headers());
        refused.map_or(Ok(()), |why| Err(reply::forbidden(why)))
    }

    fn refuses(&self, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        let named = uri.authority().map_or(host, |authority| authority.as_str());
        if !self.is_here(name_of(host)) || !self.is_here(name_of(named)) {
            return Some("the Host of the request is not this machine");
        }
        let origin =
            text(header::ORIGIN).map(|origin| origin.split_once("://").map_or("", |o| o.1));
        match origin {
            Some(origin) if origin != host => Some(OF_ANOTHER_SITE),
            _ if is_part_of_another_page(headers) => Some(OF_ANOTHER_SITE),
            _ => None,
        }
    }

    /// Addresses are what they are. Names could be anybody's, except
    /// `localhost`, this machine's own, and its first part where only those
    /// who know this machine can give it such a name.
    fn is_here(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        match name.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || self.exposed,
            Err(_) if name == "localhost" => true,
            Err(_) => self.exposed && self.is_mine(&name),
        }
    }

    fn is_mine(&self, name: &str) -> bool {
        let machine = self.machine.to_ascii_lowercase();
        let first = machine.split('.').next().unwrap_or_default();
        match name.split_once('.') {
            _ if machine.is_empty() => false,
            _ if name == machine => true,
            None => name == first,
            Some((short, domain)) => {
                let ends = |end: &&str| domain == *end || domain.ends_with(&format!(".{end}"));
                short == first && NOBODY_REGISTERS.iter().any(ends)
            }
        }
    }
}

/// Ends of names that no stranger can register and lead here: those of home
/// networks (RFC 6762, RFC 8375), and a tailnet's.
const NOBODY_REGISTERS: [&str; 5] = ["local", "lan", "internal", "home.arpa", "ts.net"];

const OF_ANOTHER_SITE: &str = "a page of another site may not ask this hub";

/// An image or a script that a page elsewhere names comes without an Origin;
/// somebody who follows a link comes to look.
fn is_part_of_another_page(headers: &HeaderMap) -> bool {
    let says = |name: &str, word: &str| headers.get(name).is_some_and(|value| value == word);
    says("sec-fetch-site", "cross-site") && !says("sec-fetch-mode", "navigate")
}

/// A host without its port, an IPv6 address without its brackets.
fn name_of(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn refuses(exposed: bool, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        let uri = Uri::from_static("/sync/heads");
        Guard { machine: "indri".to_owned(), exposed }.refuses(&uri, &headers).is_some()
    }

    #[test]
    fn a_link_may_be_followed_and_nothing_be_built_in() {
        let guard = Guard { machine: "indri".to_owned(), exposed: false };
        let refuses = |mode| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:8787"));
            headers.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
            headers.insert("sec-fetch-mode", HeaderValue::from_static(mode));
            guard.refuses(&Uri::from_static("/readyz"), &headers).is_some()
        };
        assert!(refuses("no-cors") && refuses("cors") && !refuses("navigate"));
    }

    #[test]
    fn this_machine_and_nobody_else() {
        for host in ["localhost:8787", "127.0.0.1:8787", "[::1]:8787", "LOCALHOST"] {
            assert!(!refuses(false, host, None), "{host}");
        }
        for host in ["evil.example", "evil.example:8787", "192.168.1.7:8787", "indri:8787", ""] {
            assert!(refuses(false, host, None), "{host}");
        }
        for host in ["192.168.1.7:8787", "indri:8787", "indri.tail1.ts.net:8787", "[fd00::7]:8787"]
        {
            assert!(!refuses(true, host, None), "{host}");
        }
        for host in ["evil.example:8787", "indri.evil.example", "indri.ts.net.evil.example"] {
            assert!(refuses(true, host, None), "{host}");
        }
        assert!(refuses(false, "localhost:8787", Some("https://evil.example")));
        assert!(refuses(false, "localhost:8787", Some("null")));
        assert!(!refuses(false, "localhost:8787", Some("http://localhost:8787")));
    }
}
