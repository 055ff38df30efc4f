//! Where a token may travel in the clear: to this machine, and within a
//! tailnet, which is encrypted below. A name counts for the addresses that it
//! leads to, at the moment when it is used.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::error::{Code, Error, Result};

/// Loopback, 100.64.0.0/10 and fd7a:115c:a1e0::/48.
#[must_use]
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_loopback() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.segments()[..3] == [0xfd7a, 0x115c, 0xa1e0],
    }
}

/// A url without TLS may not name an address elsewhere. Names are for
/// [`PrivateOnly`].
///
/// # Errors
/// `config_invalid`.
pub fn check(url: &Url) -> Result<()> {
    let ip = match (url.scheme(), url.host()) {
        ("https", _) => return Ok(()),
        (_, Some(Host::Ipv4(ip))) => ip.into(),
        (_, Some(Host::Ipv6(ip))) => ip.into(),
        _ => return Ok(()),
    };
    if is_private(ip) { Ok(()) } else { Err(in_the_clear(url, ip)) }
}

/// The same, and asks where a name leads. One that leads nowhere is for
/// whoever connects.
///
/// # Errors
/// `config_invalid`.
pub async fn check_name(url: &Url) -> Result<()> {
    check(url)?;
    match (url.scheme(), url.host()) {
        ("http", Some(Host::Domain(name))) => match look_up(name).await {
            Err(NotThere::NotPrivate(elsewhere)) => Err(in_the_clear(url, elsewhere.ip)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// What to say of a token that would travel in the clear.
pub fn in_the_clear(url: &Url, ip: IpAddr) -> Error {
    Error::new(
        Code::ConfigInvalid,
        format!(
            "{url} leads to {ip}, outside this machine and any tailnet: a token would travel in the clear"
        ),
        "use https, or say --allow-plaintext if you trust the network on the way",
    )
}

/// A name leads elsewhere.
#[derive(Debug)]
pub struct NotPrivate {
    /// The first of the addresses.
    pub ip: IpAddr,
}

impl std::fmt::Display for NotPrivate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it leads to {}", self.ip)
    }
}

impl std::error::Error for NotPrivate {}

/// The refusal among an error's causes.
#[must_use]
pub fn refused(error: &reqwest::Error) -> Option<&NotPrivate> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}

/// Finds only addresses that are private.
#[derive(Debug, Clone, Copy)]
pub struct PrivateOnly;

impl Resolve for PrivateOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            match look_up(name.as_str()).await {
                Ok(found) => Ok(Box::new(found.into_iter()) as Addrs),
                Err(NotThere::NotPrivate(elsewhere)) => Err(elsewhere.into()),
                Err(NotThere::Unknown(error)) => Err(error.into()),
            }
        })
    }
}

enum NotThere {
    NotPrivate(NotPrivate),
    Unknown(std::io::Error),
}

async fn look_up(name: &str) -> Result<Vec<SocketAddr>, NotThere> {
    let found = tokio::net::lookup_host((name, 0)).await.map_err(NotThere::Unknown)?;
    let (private, elsewhere): (Vec<_>, Vec<_>) = found.partition(|found| is_private(found.ip()));
    match elsewhere.first() {
        Some(other) if private.is_empty() => {
            Err(NotThere::NotPrivate(NotPrivate { ip: other.ip() }))
        }
        _ => Ok(private),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_urls() {
        for (url, good) in [
            ("http://127.0.0.1:8787", true),
            ("http://127.1:8787", true),
            ("http://127.255.255.254", true),
            ("http://2130706433:8787", true), // 127.0.0.1, as a number
            ("http://[::1]:8787", true),
            ("http://[::ffff:127.0.0.1]:8787", true),
            ("http://100.64.0.0", true),
            ("http://100.100.100.100", true),
            ("http://100.127.255.255", true),
            ("http://[fd7a:115c:a1e0::1]:8787", true),
            ("http://[fd7a:115c:a1e0:ffff::1]", true),
            ("https://203.0.113.7", true),
            ("https://hub.example", true),
            ("http://100.63.255.255", false),
            ("http://100.128.0.0", false),
            ("http://10.0.0.1", false),
            ("http://192.168.1.5:8787", false),
            ("http://172.16.0.1", false),
            ("http://169.254.1.1", false),
            ("http://0.0.0.0:8787", false),
            ("http://203.0.113.7", false),
            ("http://[fd7a:115c:a1e1::1]", false),
            ("http://[fd00::1]", false),
            ("http://[fe80::1]", false),
            ("http://[::]:8787", false),
            ("http://[2001:db8::1]", false),
            ("http://[::ffff:203.0.113.7]", false),
            ("http://[::ffff:100.64.0.1]", true),
        ] {
            let checked = check(&crate::config::parse_hub_url(url).unwrap());
            assert_eq!(checked.is_ok(), good, "{url}");
            if let Err(refused) = checked {
                assert_eq!(refused.code, Code::ConfigInvalid);
                assert!(refused.hint.contains("--allow-plaintext"), "{}", refused.hint);
            }
        }
    }
}
