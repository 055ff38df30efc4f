//! OpenID Connect, as far as a hub and a device need it. No store, no server.
//!
//! - [`provider`]: the provider's document, and questions to it
//! - [`keys`]: its keys, kept while they are good
//! - [`token`]: what a token says, once its signature holds
//! - [`crypto`]: that signature
//! - [`device_flow`]: how a device gets a token (RFC 8628)
//! - [`secret`]: a text that shows itself to nobody

mod crypto;
pub mod device_flow;
pub mod keys;
pub mod provider;
pub mod secret;
pub mod token;

use serde::{Deserialize, Serialize};

/// What a stranger wrote, short and on one line.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(100).collect();
    format!("{short:?}")
}

/// Who somebody is: `sub` names one person at one issuer, and another one at
/// the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The issuer, as its document spells it.
    pub issuer: String,
    /// The issuer's name for them.
    pub sub: String,
}
