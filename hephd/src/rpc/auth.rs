//! What the methods `auth.*` take and answer. No token is ever among it.

use serde::{Deserialize, Serialize};
use url::Url;

/// The method of the notifications that `auth.login` sends before its result.
pub const EVENT: &str = "auth.event";

/// What to log in to. What is not said comes from the daemon's flags, then
/// from the hub.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// The hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub_url: Option<String>,
    /// The OpenID provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The client to log in as there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// What happens while somebody logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// All is known that is needed.
    Started {
        /// The hub.
        hub_url: String,
        /// Who will say who it is.
        issuer: String,
        /// As which client.
        client_id: String,
        /// Where the token will lie: `keyring`, or a path.
        token_place: String,
    },
    /// The person's turn.
    Code {
        /// Where to type the code.
        verification_uri: Url,
        /// The same with the code in it.
        verification_uri_complete: Option<Url>,
        /// The code.
        user_code: String,
        /// How long it is good, in seconds.
        expires_in: u64,
    },
    /// The provider is asked this often from now on.
    Waiting {
        /// In seconds.
        interval: u64,
    },
    /// The person agreed, and the hub was asked.
    SignedIn {
        /// Who.
        name: Option<String>,
        /// Where the token lies.
        token_place: String,
    },
}

/// How the hub took the new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtHub {
    /// It lets its bearer in.
    Accepted,
    /// It could not be asked.
    Unreachable,
}

/// Somebody logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedIn {
    /// How it stands now.
    #[serde(flatten)]
    pub status: AuthStatus,
    /// How the hub took it.
    pub hub: AtHub,
}

/// How the login at a hub stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthStatus {
    /// There is one that has not ended.
    pub logged_in: bool,
    /// The hub.
    pub hub_url: String,
    /// Where the token lies: `keyring`, or a path.
    pub token_place: String,
    /// Who, for people.
    pub name: Option<String>,
    /// Who, for the issuer.
    pub subject: Option<String>,
    /// Who said so.
    pub issuer: Option<String>,
    /// To which client.
    pub client_id: Option<String>,
    /// The end of the present token, RFC 3339.
    pub expires_at: Option<String>,
    /// Another one comes by itself.
    pub refreshable: bool,
    /// Why it ended, or is not renewed.
    pub last_error: Option<AuthError>,
}

/// What is wrong with a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthError {
    /// The stable slug.
    pub code: String,
    /// One line.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// A login was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedOut {
    /// The hub.
    pub hub_url: String,
    /// There was one.
    pub was_logged_in: bool,
    /// The provider has taken its tokens back as well.
    pub revoked: bool,
}
