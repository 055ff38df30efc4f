//! A person logs in: the hub says where, the provider gives a code, and once
//! the person has typed it there come tokens. Whoever drops this future ends
//! the login.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::sync::mpsc;
use url::Url;

use super::{entry::Entry, given::Given, renewal::tokens};
use crate::{
    clock::Clock,
    error::{Code, Error, Result},
    oidc::{
        device_flow::{DeviceFlow, Ended, GRANT_TYPE, Grant, Heard, Next, Tokens},
        provider::{Document, NoAnswer, Nothing, Provider, Refusal},
        secret::Secret,
    },
    rpc::auth::Event,
};

/// The person's name, a refresh token; a provider that knows only the first
/// word is asked for that alone.
const SCOPES: [&str; 2] = ["openid profile email offline_access", "openid"];

/// Names are for people: no novels.
const LONGEST_NAME: usize = 200;

/// Where events go; nobody has to listen.
pub type Events = mpsc::Sender<Event>;

/// A provider, and this device's name there.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) provider: Provider,
    pub(super) document: Document,
    pub(super) client_id: String,
    pub(super) clock: Clock,
}

impl Place {
    /// Waits until a person has agreed.
    ///
    /// # Errors
    /// `auth_failed` where they do not, or the provider does not play along.
    pub(super) async fn sign_in(&self, events: &Events) -> Result<Given> {
        let grant = self.begin().await?;
        let (uri, complete) = (&grant.verification_uri, &grant.verification_uri_complete);
        let event = Event::Code {
            verification_uri: uri.clone(),
            // A picture leads where the line beside it says, or there is none.
            verification_uri_complete: complete
                .clone()
                .filter(|complete| is_page(complete) && complete.origin() == uri.origin()),
            user_code: grant.user_code.clone(),
            expires_in: grant.expires_in,
        };
        let _ = events.send(event).await;
        self.poll(&grant, events).await
    }

    async fn begin(&self) -> Result<Grant> {
        let endpoint = self.document.login_by_code()?;
        let mut refused = None;
        for scope in SCOPES {
            let form = [("client_id", self.client_id.as_str()), ("scope", scope)];
            match self.provider.post::<Value>(endpoint, &form).await.map_err(|e| self.failed(&e))? {
                Ok(answer) => return grant(answer).map_err(|e| self.failed(&e)),
                Err(refusal) if refusal.error == "invalid_scope" => refused = Some(refusal),
                Err(refusal) => return Err(self.refused(&refusal)),
            }
        }
        Err(refused.map_or_else(|| Error::internal("no scope to ask for"), |r| self.refused(&r)))
    }

    async fn poll(&self, grant: &Grant, events: &Events) -> Result<Given> {
        let mut flow = DeviceFlow::begin(grant, self.clock.now_ms());
        let mut next = flow.first(self.clock.now_ms());
        let mut told = None;
        loop {
            let wait = match next {
                Next::Wait(wait) => wait,
                Next::Over(ended) => return Err(self.came_to_nothing(&ended, grant)),
            };
            if told.replace(wait) != Some(wait) {
                let interval = wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
                let _ = events.send(Event::Waiting { interval }).await;
            }
            tokio::time::sleep(wait).await;
            // Who hangs up now does not cut the answer off: there may be tokens
            // in it, and what is given and not fetched is taken back.
            let asked = tokio::spawn(self.clone().asked(grant.clone()));
            next = match asked.await.map_err(Error::internal)? {
                Ok(Ok(given)) => return Ok(given),
                Ok(Err(refusal)) => flow.heard(Heard::Refused(&refusal), self.clock.now_ms()),
                Err(nothing) => flow.heard(Heard::Nothing(&nothing), self.clock.now_ms()),
            };
        }
    }

    async fn asked(self, grant: Grant) -> Result<Result<Given, Refusal>, NoAnswer> {
        let form = [
            ("grant_type", GRANT_TYPE),
            ("device_code", grant.device_code.expose()),
            ("client_id", &self.client_id),
        ];
        let answer = self.provider.post::<Value>(&self.document.token_endpoint, &form).await?;
        let entry = match answer {
            Ok(answer) => self.entry(tokens(answer)?),
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(Ok(Given::by(self, entry)))
    }

    /// The ID token came straight from the provider, over TLS: that is as good
    /// as its signature (OpenID Connect Core, 3.1.3.7). And it only gives names.
    fn entry(&self, tokens: Tokens) -> Entry {
        let now = self.clock.now_ms() / 1000;
        let from = |token: Option<&Secret>| token.and_then(claims).unwrap_or_default();
        let (id, access) = (from(tokens.id_token.as_ref()), from(Some(&tokens.access_token)));
        let claim = |name: &str| [&id, &access].into_iter().find_map(|claims| text(&claims[name]));
        let subject = claim("sub");
        let name = ["email", "preferred_username", "name"].into_iter().find_map(claim);
        Entry {
            issuer: self.provider.issuer().to_owned(),
            client_id: self.client_id.clone(),
            name: name.or_else(|| subject.clone()),
            subject,
            issued_at: now,
            expires_at: tokens.expires_in.map(|life| now.saturating_add(life)),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            scope: tokens.scope,
        }
    }

    fn came_to_nothing(&self, ended: &Ended, grant: &Grant) -> Error {
        let again = "heph auth login";
        let failed = |message: String| Error::new(Code::AuthFailed, message, again);
        match ended {
            Ended::Denied => failed("the login was refused on the other screen".to_owned()),
            Ended::Expired => failed("nobody typed the code in time".to_owned()),
            Ended::Refused(refusal) => {
                let mut error = self.refused(refusal);
                error.message = grant.device_code.hide_in(&error.message);
                error
            }
            Ended::Wrong(no_answer) => self.failed(no_answer),
        }
    }

    fn failed(&self, no_answer: &NoAnswer) -> Error {
        no_answer.error(self.provider.issuer())
    }

    fn refused(&self, refusal: &Refusal) -> Error {
        Error::new(
            Code::AuthFailed,
            format!(
                "the OpenID provider {} does not let {:?} log in by code: {refusal}",
                self.provider.issuer(),
                self.client_id
            ),
            "allow the device flow for this client at the provider, or name another: --client-id ID",
        )
    }

    /// Has tokens taken back, as far as the provider can. Whether it has.
    pub(super) async fn revoke(&self, entry: &Entry) -> bool {
        let Some(endpoint) = &self.document.revocation_endpoint else { return false };
        let mut all = true;
        let refresh = entry.refresh_token.as_ref().map(|token| (token, "refresh_token"));
        for (token, kind) in refresh.into_iter().chain([(&entry.access_token, "access_token")]) {
            let form = [
                ("token", token.expose()),
                ("token_type_hint", kind),
                ("client_id", &self.client_id),
            ];
            let answer = self.provider.post::<Nothing>(endpoint, &form).await;
            // An access token that is a JWT cannot be called back everywhere.
            all &= matches!(answer, Ok(Ok(_))) || (kind == "access_token" && refresh.is_some());
        }
        all
    }
}

fn grant(answer: Value) -> Result<Grant, NoAnswer> {
    let grant: Option<Grant> = serde_json::from_value(answer).ok();
    grant
        .filter(|grant| is_page(&grant.verification_uri) && grant.user_code.len() <= 100)
        .ok_or_else(|| NoAnswer::Wrong("it gave no code to type".to_owned()))
}

/// What a browser opens as a page.
fn is_page(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// What a JWT says; its signature is not looked at.
fn claims(token: &Secret) -> Option<Value> {
    let payload = token.expose().split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    (!text.is_empty()).then(|| text.chars().take(LONGEST_NAME).collect())
}
