//! The device authorisation grant (RFC 8628): a person types a code on any
//! other screen, and meanwhile the device asks whether they have.
//!
//! It is pure: the time and what the provider said come in, the next wait or
//! the outcome goes out. Who asks is `login`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};
use url::Url;

use super::{
    provider::{NoAnswer, Refusal},
    secret::Secret,
};

/// How this grant is called at the token endpoint.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Between two questions, where the provider does not say.
const USUAL_INTERVAL: Duration = Duration::from_secs(5);

/// What `slow_down` adds, for good.
const SLOWER: Duration = Duration::from_secs(5);

/// A provider that cannot be reached is tried again after this at the latest,
/// unless its own interval is longer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// The last question is asked so much before the code's end, or a tenth of its
/// life: asked at the end, it would come too late.
const MOST_ASKING_MS: u64 = 1000;

/// No code is good longer, whatever the provider says.
const LONGEST_LIFE_SECS: u64 = 24 * 3600;

/// What a provider gives a device that wants to log in.
#[derive(Debug, Clone, Deserialize)]
pub struct Grant {
    /// What the device asks with.
    pub device_code: Secret,
    /// What the person types.
    pub user_code: String,
    /// Where they type it.
    #[serde(alias = "verification_url")]
    pub verification_uri: Url,
    /// The same with the code in it, for a picture of it.
    #[serde(default)]
    pub verification_uri_complete: Option<Url>,
    /// How long the code is good, in seconds.
    #[serde(deserialize_with = "life")]
    pub expires_in: u64,
    /// Between two questions, in seconds.
    #[serde(default, deserialize_with = "some_seconds")]
    pub interval: Option<u64>,
}

/// What the token endpoint gives.
#[derive(Debug, Clone, Deserialize)]
pub struct Tokens {
    /// For the hub.
    pub access_token: Secret,
    /// How it is sent; only `Bearer` is known here.
    pub token_type: String,
    /// How long it is good, in seconds.
    #[serde(default, deserialize_with = "some_seconds")]
    pub expires_in: Option<u64>,
    /// For the next one; none where the old one stays good.
    #[serde(default)]
    pub refresh_token: Option<Secret>,
    /// Who the person is.
    #[serde(default)]
    pub id_token: Option<Secret>,
    /// What it allows.
    #[serde(default)]
    pub scope: Option<String>,
}

/// Cut here, so that what is told and what is waited for are the same.
fn life<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let seconds = some_seconds(from)?.ok_or_else(|| D::Error::custom("no number of seconds"))?;
    Ok(seconds.min(LONGEST_LIFE_SECS))
}

/// Some providers write numbers as text. One that is too large is the largest.
fn some_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Whole(u64),
        Float(f64),
        Text(String),
    }
    match Option::<Number>::deserialize(from)? {
        None => Ok(None),
        Some(Number::Whole(seconds)) => Ok(Some(seconds)),
        Some(Number::Float(seconds)) if seconds >= 0.0 => Ok(Some(seconds as u64)),
        Some(Number::Text(text)) => match (text.parse::<u64>(), text.parse::<f64>()) {
            (Ok(seconds), _) => Ok(Some(seconds)),
            (_, Ok(seconds)) if seconds >= 0.0 => Ok(Some(seconds as u64)),
            _ => Err(D::Error::custom("no number of seconds")),
        },
        Some(Number::Float(_)) => Err(D::Error::custom("no number of seconds")),
    }
}

/// What the provider said to "has the person agreed?", where it was not yes.
#[derive(Debug, Clone, Copy)]
pub enum Heard<'a> {
    /// No, in OAuth's words.
    Refused(&'a Refusal),
    /// Nothing that counts.
    Nothing(&'a NoAnswer),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask again after this time.
    Wait(Duration),
    /// It came to nothing.
    Over(Ended),
}

/// Why a login came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The person said no.
    Denied,
    /// The code was not typed in time.
    Expired,
    /// Something else is wrong, in OAuth's words.
    Refused(Refusal),
    /// What answers there is no provider, or nothing answered up to the end.
    Wrong(NoAnswer),
}

/// A login that is under way.
#[derive(Debug)]
pub struct DeviceFlow {
    interval: Duration,
    /// Failures to reach the provider, in a row.
    unreached: u32,
    /// The last question: the code is good still when the provider hears it.
    last_ms: u64,
}

impl DeviceFlow {
    /// Begins when the code was given.
    #[must_use]
    pub fn begin(grant: &Grant, now_ms: u64) -> Self {
        let life = grant.expires_in.saturating_mul(1000);
        let asking = (life / 10).min(MOST_ASKING_MS);
        let interval = grant.interval.filter(|secs| *secs > 0).map(Duration::from_secs);
        Self {
            interval: interval.unwrap_or(USUAL_INTERVAL),
            unreached: 0,
            last_ms: now_ms.saturating_add(life - asking),
        }
    }

    /// What to do before the first question.
    #[must_use]
    pub fn first(&self, now_ms: u64) -> Next {
        self.wait(self.interval, now_ms, Ended::Expired)
    }

    /// What to do after an answer that was not yes.
    pub fn heard(&mut self, heard: Heard<'_>, now_ms: u64) -> Next {
        let refusal = match heard {
            Heard::Nothing(down @ NoAnswer::Down(_)) => {
                self.unreached = self.unreached.saturating_add(1);
                let doubled = self.interval.saturating_mul(1 << self.unreached.min(8));
                let wait = doubled.min(LONGEST_BACKOFF.max(self.interval));
                // The person may well have typed the code.
                return self.wait(wait, now_ms, Ended::Wrong(down.clone()));
            }
            Heard::Nothing(wrong) => return Next::Over(Ended::Wrong(wrong.clone())),
            Heard::Refused(refusal) => refusal,
        };
        self.unreached = 0;
        match refusal.error.as_str() {
            "authorization_pending" => self.wait(self.interval, now_ms, Ended::Expired),
            "slow_down" => {
                self.interval = self.interval.saturating_add(SLOWER);
                self.wait(self.interval, now_ms, Ended::Expired)
            }
            "access_denied" => Next::Over(Ended::Denied),
            "expired_token" => Next::Over(Ended::Expired),
            _ => Next::Over(Ended::Refused(refusal.clone())),
        }
    }

    /// There is no use in asking after the code's end. But it is good until
    /// then, so there is a last question, however soon after the one before.
    fn wait(&self, wait: Duration, now_ms: u64, otherwise: Ended) -> Next {
        let left = Duration::from_millis(self.last_ms.saturating_sub(now_ms));
        if left.is_zero() { Next::Over(otherwise) } else { Next::Wait(wait.min(left)) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn grant(more: &serde_json::Value) -> Grant {
        let mut grant = json!({
            "device_code": "canary", "user_code": "WDJB-MJHT",
            "verification_uri": "https://id.example/device", "expires_in": 600,
        });
        let more = more.as_object().unwrap().clone();
        grant.as_object_mut().unwrap().extend(more);
        serde_json::from_value(grant).unwrap()
    }

    fn refused(flow: &mut DeviceFlow, error: &str, now_ms: u64) -> Next {
        let refusal = Refusal { error: error.to_owned(), error_description: None };
        flow.heard(Heard::Refused(&refusal), now_ms)
    }

    fn wait(seconds: u64) -> Next {
        Next::Wait(Duration::from_secs(seconds))
    }

    #[test]
    fn it_asks_every_five_seconds_unless_told_otherwise() {
        let mut flow = DeviceFlow::begin(&grant(&json!({})), 0);
        assert_eq!(flow.first(0), wait(5));
        assert_eq!(refused(&mut flow, "authorization_pending", 5_000), wait(5));
        let mut flow = DeviceFlow::begin(&grant(&json!({ "interval": 2 })), 0);
        assert_eq!(refused(&mut flow, "authorization_pending", 2_000), wait(2));
        assert_eq!(DeviceFlow::begin(&grant(&json!({ "interval": 0 })), 0).first(0), wait(5));
    }

    #[test]
    fn slow_down_is_for_good_and_adds_up() {
        let mut flow = DeviceFlow::begin(&grant(&json!({})), 0);
        assert_eq!(refused(&mut flow, "slow_down", 0), wait(10));
        assert_eq!(refused(&mut flow, "authorization_pending", 0), wait(10));
        assert_eq!(refused(&mut flow, "slow_down", 0), wait(15));
        assert_eq!(refused(&mut flow, "authorization_pending", 0), wait(15));
    }

    #[test]
    fn every_other_word_ends_it() {
        for (word, ended) in [("access_denied", Ended::Denied), ("expired_token", Ended::Expired)] {
            let mut flow = DeviceFlow::begin(&grant(&json!({})), 0);
            assert_eq!(refused(&mut flow, word, 0), Next::Over(ended));
        }
        for word in ["invalid_grant", "invalid_client", "unauthorized_client", "", "new_word"] {
            let mut flow = DeviceFlow::begin(&grant(&json!({})), 0);
            let Next::Over(Ended::Refused(refusal)) = refused(&mut flow, word, 0) else {
                panic!("{word} did not end it");
            };
            assert_eq!(refusal.error, word);
        }
    }

    #[test]
    fn a_provider_that_is_away_is_asked_more_and_more_seldom() {
        let mut flow = DeviceFlow::begin(&grant(&json!({})), 0);
        let down = NoAnswer::Down("connection refused".to_owned());
        for seconds in [10, 20, 40, 60, 60] {
            assert_eq!(flow.heard(Heard::Nothing(&down), 0), wait(seconds));
        }
        assert_eq!(refused(&mut flow, "authorization_pending", 0), wait(5));
        assert_eq!(flow.heard(Heard::Nothing(&down), 0), wait(10));
        let wrong = NoAnswer::Wrong("404".to_owned());
        let ended = flow.heard(Heard::Nothing(&wrong), 0);
        assert_eq!(ended, Next::Over(Ended::Wrong(wrong)));
    }

    #[test]
    fn a_code_is_asked_about_until_its_end() {
        let mut flow = DeviceFlow::begin(&grant(&json!({ "expires_in": 8 })), 1_000);
        assert_eq!(flow.first(1_000), wait(5));
        let last = refused(&mut flow, "authorization_pending", 6_000);
        assert_eq!(last, Next::Wait(Duration::from_millis(2_200)));
        let late = refused(&mut flow, "authorization_pending", 8_200);
        assert_eq!(late, Next::Over(Ended::Expired));
        let mut flow = DeviceFlow::begin(&grant(&json!({ "expires_in": 100 })), 0);
        assert_eq!(refused(&mut flow, "slow_down", 94_000), wait(5));
        assert_eq!(refused(&mut flow, "slow_down", 99_100), Next::Over(Ended::Expired));
        let short = DeviceFlow::begin(&grant(&json!({ "expires_in": 10, "interval": 300 })), 0);
        assert_eq!(short.first(0), wait(9));
    }

    #[test]
    fn who_was_away_at_the_end_is_named() {
        let mut flow = DeviceFlow::begin(&grant(&json!({ "expires_in": 10 })), 0);
        let down = NoAnswer::Down("connection refused".to_owned());
        assert_eq!(flow.heard(Heard::Nothing(&down), 5_000), wait(4));
        let ended = flow.heard(Heard::Nothing(&down), 9_000);
        assert_eq!(ended, Next::Over(Ended::Wrong(down)));
    }

    #[test]
    fn an_interval_is_kept_and_a_life_is_cut() {
        let slow = grant(&json!({ "interval": 120 }));
        assert_eq!(DeviceFlow::begin(&slow, 0).first(0), wait(120));
        let down = NoAnswer::Down("connection refused".to_owned());
        assert_eq!(DeviceFlow::begin(&slow, 0).heard(Heard::Nothing(&down), 0), wait(120));
        for life in [json!(u64::MAX), json!(1e30), json!("1e30"), json!("99999999999999999999")] {
            let grant = grant(&json!({ "expires_in": life, "interval": life }));
            assert_eq!(grant.expires_in, 86_400, "{life}");
            let mut flow = DeviceFlow::begin(&grant, 0);
            assert_eq!((flow.last_ms, flow.first(0)), (86_399_000, wait(86_399)));
            assert_eq!(refused(&mut flow, "slow_down", 0), wait(86_399));
            let _ = DeviceFlow::begin(&grant, u64::MAX);
        }
        for wrong in [json!(-1), json!("-1"), json!("nan"), json!("soon"), json!([])] {
            let grant = json!({
                "device_code": "d", "user_code": "u", "verification_uri": "https://id.example",
                "expires_in": wrong,
            });
            serde_json::from_value::<Grant>(grant).unwrap_err();
        }
    }

    #[test]
    fn numbers_may_be_texts_and_secrets_stay_hidden() {
        let grant = grant(&json!({ "expires_in": "600", "interval": 1.5 }));
        assert_eq!((grant.expires_in, grant.interval), (600, Some(1)));
        assert!(!format!("{grant:?}").contains("canary"));
        let tokens =
            json!({ "access_token": "canary", "token_type": "Bearer", "expires_in": null });
        let tokens: Tokens = serde_json::from_value(tokens).unwrap();
        assert_eq!(tokens.expires_in, None);
        assert!(!format!("{tokens:?}").contains("canary"));
    }
}
