//! What a token says, and whether it counts. Pure: the key and the time are
//! arguments.
//!
//! A token that does not count is refused with a reason for the hub's log.
//! Whoever sent it is told no more than its kind.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, errors::ErrorKind};
use serde_json::{Map, Value};

use super::{Subject, quoted};
use crate::{config::Rules, id::check_sub};

/// What may sign a token, and nothing else: no secret that both sides share,
/// and never none.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::RS256, Algorithm::ES256];

/// Clocks of provider and hub may differ by so many seconds.
pub const LEEWAY_SECS: u64 = 10;

/// A token that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whom it names.
    pub subject: Subject,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
    /// Its header says that it is an access token (RFC 9068).
    pub typed: bool,
}

/// Why a token does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is not one.
    NotAToken(String),
    /// Its algorithm is not on the list, or not that of the key.
    Algorithm(String),
    /// No key is known by its id.
    UnknownKey,
    /// It names no key, and there are several.
    NoKeyId,
    /// It is signed by somebody else, or was changed.
    Signature,
    /// A claim that must be there is not, or is not what it should be.
    Claim(String),
    /// Somebody else issued it.
    Issuer,
    /// It is for somebody else.
    Audience(String),
    /// It is over since so many seconds.
    Expired(u64),
    /// It begins in so many seconds.
    NotYet(u64),
    /// It is for a browser, not for a hub.
    NotAnAccessToken(&'static str),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAToken(why) => write!(f, "it is no token: {why}"),
            Self::Algorithm(which) => write!(f, "{which} is no algorithm that is taken here"),
            Self::UnknownKey => write!(f, "the provider has no key of that id"),
            Self::NoKeyId => write!(f, "it does not say which key signed it"),
            Self::Signature => write!(f, "its signature does not hold"),
            Self::Claim(why) => write!(f, "{why}"),
            Self::Issuer => write!(f, "another issuer made it"),
            Self::Audience(whom) => write!(f, "it is meant for {whom}"),
            Self::Expired(secs) => write!(f, "it ended {secs} s ago"),
            Self::NotYet(secs) => write!(f, "it begins in {secs} s"),
            Self::NotAnAccessToken(why) => write!(f, "it is no access token: {why}"),
        }
    }
}

/// A token's header, when it is one that may count: its algorithm is on the
/// list. Keys and addresses of keys that it brings along are not looked at.
///
/// # Errors
/// [`Refused`].
pub fn header(token: &str) -> Result<Header, Refused> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| {
        Refused::NotAToken(match error.kind() {
            ErrorKind::Json(error) if error.to_string().contains("unknown variant") => {
                "its algorithm is unknown".to_owned()
            }
            ErrorKind::Json(_) => "its header is no good".to_owned(),
            ErrorKind::Base64(_) | ErrorKind::Utf8(_) => "its header cannot be read".to_owned(),
            _ => "it does not have three parts".to_owned(),
        })
    })?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Refused::Algorithm(format!("{:?}", header.alg)));
    }
    // Whoever does not understand these must not go on (RFC 7515, 4.1.11).
    if header.crit.is_some() {
        return Err(Refused::NotAToken("it has extensions".to_owned()));
    }
    Ok(header)
}

/// Checks a token whose header has been read, with the key that it names.
///
/// # Errors
/// [`Refused`].
pub fn verify(
    token: &str,
    header: &Header,
    key: &DecodingKey,
    rules: &Rules,
    now_secs: u64,
) -> Result<Verified, Refused> {
    super::crypto::install();
    let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation(header.alg));
    judge(header, &decoded.map_err(|error| refused(error.kind()))?.claims, rules, now_secs)
}

/// Judges what a token says, once its signature holds.
///
/// # Errors
/// [`Refused`].
pub fn judge(
    header: &Header,
    claims: &Map<String, Value>,
    rules: &Rules,
    now_secs: u64,
) -> Result<Verified, Refused> {
    let expires = check_time(claims, now_secs)?;
    let typed = is_typed(header)?;
    if !typed {
        check_access_token(claims)?;
    }
    check_audience(claims, rules)?;
    let subject = Subject { issuer: one_issuer(claims, rules)?, sub: sub(claims)? };
    Ok(Verified { subject, expires, typed })
}

/// The library looks at the signature, and that nothing is missing. It would
/// take the time from the machine's clock, a list of issuers, and not say whom
/// a token is meant for; all of that is looked at here.
fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn refused(error: &ErrorKind) -> Refused {
    match error {
        ErrorKind::InvalidSignature => Refused::Signature,
        ErrorKind::InvalidAlgorithm => Refused::Algorithm("the key's".to_owned()),
        ErrorKind::MissingRequiredClaim(which) if which == "aud" => Refused::Claim(
            "it has no audience: the provider's login by code may leave it out".to_owned(),
        ),
        ErrorKind::MissingRequiredClaim(which) => Refused::Claim(format!("it has no good {which}")),
        ErrorKind::Json(_) => Refused::NotAToken("its claims are no good".to_owned()),
        ErrorKind::Base64(_) | ErrorKind::Utf8(_) => {
            Refused::NotAToken("a part of it cannot be read".to_owned())
        }
        other => Refused::NotAToken(format!("{other:?}")),
    }
}

fn check_time(claims: &Map<String, Value>, now: u64) -> Result<u64, Refused> {
    // Without one it was refused above: none counts as one that is over.
    let expires = seconds(claims, "exp")?.unwrap_or(0);
    if expires.saturating_add(LEEWAY_SECS) <= now {
        return Err(Refused::Expired(now - expires));
    }
    match seconds(claims, "nbf")? {
        Some(begins) if begins > now.saturating_add(LEEWAY_SECS) => {
            Err(Refused::NotYet(begins - now))
        }
        _ => Ok(expires),
    }
}

/// A time in a claim: a number, which may have a fraction (RFC 7519, 2).
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_u64();
    let most = 9.0e15;
    let fraction = value.as_f64().filter(|n| (0.0..most).contains(n)).map(|n| n as u64);
    let wrong = || Refused::Claim(format!("its {name} is no time"));
    whole.or(fraction).map(Some).ok_or_else(wrong)
}

/// Whether the header says that it is an access token: `at+jwt`, also with the
/// prefix that may be left out (RFC 7515, 4.1.9). A token of any other kind that
/// has a name is none (RFC 8725, 3.11).
fn is_typed(header: &Header) -> Result<bool, Refused> {
    let typ = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    match typ.strip_prefix("application/").unwrap_or(&typ) {
        "at+jwt" => Ok(true),
        "jwt" => Ok(false),
        _ => Err(Refused::NotAnAccessToken("its type is another")),
    }
}

/// An ID token has the same issuer and, with many providers, the same
/// audience. It says whose browser is logged in, and what it may do nowhere.
fn check_access_token(claims: &Map<String, Value>) -> Result<(), Refused> {
    let has = |name: &str| claims.get(name).is_some_and(|value| !value.is_null());
    if has("at_hash") || has("c_hash") {
        return Err(Refused::NotAnAccessToken("it belongs to another token"));
    }
    if claims.get("typ").and_then(Value::as_str).is_some_and(|typ| typ.eq_ignore_ascii_case("ID")) {
        return Err(Refused::NotAnAccessToken("it calls itself an ID token"));
    }
    if !has("scope") && !has("scp") {
        return Err(Refused::NotAnAccessToken("it has no scope"));
    }
    Ok(())
}

fn check_audience(claims: &Map<String, Value>, rules: &Rules) -> Result<(), Refused> {
    let mut named = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    named.retain(|name| !name.is_empty());
    match named.as_slice() {
        names if names.contains(&rules.audience.as_str()) => Ok(()),
        [] => Err(Refused::Claim("its audience is empty".to_owned())),
        names => Err(Refused::Audience(quoted(&names.join(", ")))),
    }
}

fn one_issuer(claims: &Map<String, Value>, rules: &Rules) -> Result<String, Refused> {
    let issuer = claims.get("iss").and_then(Value::as_str);
    issuer.filter(|name| *name == rules.issuer).map(str::to_owned).ok_or(Refused::Issuer)
}

fn sub(claims: &Map<String, Value>) -> Result<String, Refused> {
    let sub = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    check_sub(sub).map_err(|why| Refused::Claim(format!("its sub is no name: {why}")))?;
    Ok(sub.to_owned())
}
