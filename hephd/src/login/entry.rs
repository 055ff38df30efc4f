//! One login: the tokens, whose they are, and when they end.

use serde::{Deserialize, Serialize};

use crate::oidc::{device_flow::Tokens, secret::Secret};

/// A token is renewed when it has less than this left, or a fifth of its life.
const AHEAD_SECS: u64 = 60;

/// What is kept of a login at one hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who gave the tokens.
    pub issuer: String,
    /// To which client.
    pub client_id: String,
    /// The issuer's name for the person.
    #[serde(default)]
    pub subject: Option<String>,
    /// The person's name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// For the hub.
    pub access_token: Secret,
    /// When it was given, in seconds since 1970.
    pub issued_at: u64,
    /// Its end; none where the issuer does not say.
    #[serde(default)]
    pub expires_at: Option<u64>,
    /// For the next one.
    #[serde(default)]
    pub refresh_token: Option<Secret>,
    /// What they allow.
    #[serde(default)]
    pub scope: Option<String>,
}

impl Entry {
    /// The same login with tokens that came later. What is not said again
    /// stays as it was.
    #[must_use]
    pub fn renewed(&self, tokens: Tokens, now_ms: u64) -> Self {
        let now = now_ms / 1000;
        Self {
            access_token: tokens.access_token,
            issued_at: now,
            expires_at: tokens.expires_in.map(|life| now.saturating_add(life)),
            refresh_token: tokens.refresh_token.or_else(|| self.refresh_token.clone()),
            scope: tokens.scope.or_else(|| self.scope.clone()),
            ..self.clone()
        }
    }

    /// Its time is over.
    #[must_use]
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.expires_at.is_some_and(|end| end <= now_ms / 1000)
    }

    /// Its time is nearly over.
    #[must_use]
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.expires_at.is_some_and(|end| {
            let ahead = (end.saturating_sub(self.issued_at) / 5).min(AHEAD_SECS);
            end.saturating_sub(now_ms / 1000) < ahead || self.is_over(now_ms)
        })
    }
}

#[cfg(test)]
pub(super) fn entry_for_tests(token: &str, issued_at: u64, life: u64) -> Entry {
    Entry {
        issuer: "https://id.example".to_owned(),
        client_id: "heph".to_owned(),
        subject: Some("sub".to_owned()),
        name: Some("ada".to_owned()),
        access_token: Secret::new(token),
        issued_at,
        expires_at: Some(issued_at + life),
        refresh_token: Some(Secret::new(format!("{token}-refresh"))),
        scope: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_due_a_minute_or_a_fifth_of_its_life_ahead() {
        let hour = entry_for_tests("a", 1000, 3600);
        assert!(!hour.is_due(4_540_000) && hour.is_due(4_541_000) && !hour.is_over(4_599_000));
        let short = entry_for_tests("a", 1000, 10);
        assert!(!short.is_due(1_008_000) && short.is_due(1_009_000) && short.is_over(1_010_000));
        let endless = Entry { expires_at: None, ..hour };
        assert!(!endless.is_due(u64::MAX) && !endless.is_over(u64::MAX));
    }

    #[test]
    fn what_a_renewal_does_not_say_stays() {
        let old = entry_for_tests("old", 1000, 10);
        let tokens = serde_json::json!({ "access_token": "new", "token_type": "Bearer" });
        let new = old.renewed(serde_json::from_value(tokens).unwrap(), 5_000_000);
        assert_eq!((new.access_token.expose(), new.expires_at), ("new", None));
        assert_eq!((&new.refresh_token, &new.name), (&old.refresh_token, &old.name));
    }
}
