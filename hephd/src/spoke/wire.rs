//! Carries a cycle's questions to the hub over HTTP, and its answers back.
//!
//! - [`bearer`]: with the token that the hub wants to see

pub mod bearer;

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use reqwest::{RequestBuilder, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::watch;
use url::Url;

use crate::{
    clock::Clock,
    error::{Code, Error, Result},
    http::{self, Broken, one_line},
    id::Origin,
    login::{Login, wall},
    oidc::secret::Secret,
    rpc,
    sync::{Answer, Ask, Sender},
};

/// A connection on which nothing moves for this long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// No request takes longer, however slowly it moves.
const DEADLINE: Duration = Duration::from_secs(300);
/// No answer is larger: a page has at most 4 MiB of ops, or one op.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// Proxies take at least 8 KiB of a URL; a longer cursor travels as a body.
const MAX_CURSOR_IN_URL: usize = 4 << 10;

/// A hub, as HTTP reaches it.
#[derive(Debug, Clone)]
pub struct Wire {
    hub_url: Url,
    http: reqwest::Client,
    /// For requests with a token, where TLS does not hide it.
    private: Option<reqwest::Client>,
    device: Option<Device>,
    login: Option<Login>,
}

/// What a device says of itself with each request.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its origin, which changes when a fork is healed.
    pub origin: watch::Receiver<Origin>,
    /// Its clock.
    pub clock: Clock,
}

impl Device {
    fn sender(&self) -> Sender {
        Sender {
            origin: self.origin.borrow().clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time_ms: self.clock.now_ms(),
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Carried {
    /// What the hub says.
    pub answer: Answer,
    /// Its clock when it began to say so, in whole seconds.
    pub hub_time: Option<Timestamp>,
}

/// Why a question has no answer.
#[derive(Debug)]
pub struct Failed {
    /// For people.
    pub error: Error,
    /// The hub asked to be left alone for so long.
    pub retry_after: Option<Duration>,
    /// It was under way and did not get through: less may.
    pub too_slow: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None, too_slow: false }
    }
}

impl Wire {
    /// A client for a hub, with a certificate to trust beside the platform's.
    ///
    /// # Errors
    /// When the certificate cannot be read.
    pub fn new(hub_url: Url, hub_ca: Option<&Path>) -> Result<Self> {
        let build = |client: reqwest::ClientBuilder| {
            client.read_timeout(SILENCE).build().map_err(Error::internal)
        };
        let client = || http::client(&hub_url, hub_ca);
        // In the clear a proxy would be told the token as well, and could answer
        // in the hub's name.
        let (http, private) = match hub_url.scheme() {
            "http" => {
                let private = client()?.no_proxy().dns_resolver(wall::PrivateOnly);
                (build(client()?.no_proxy())?, Some(build(private)?))
            }
            _ => (build(client()?)?, None),
        };
        Ok(Self { hub_url, http, private, device: None, login: None })
    }

    /// The same with a login, which is shown to a hub that asks for one.
    #[must_use]
    pub fn with(self, login: Option<Login>) -> Self {
        Self { login, ..self }
    }

    /// The same; it may send a token in the clear to anywhere.
    #[must_use]
    pub fn in_the_clear(self, allowed: bool) -> Self {
        Self { private: self.private.filter(|_| !allowed), ..self }
    }

    /// The same for a device, which says with each request who it is.
    #[must_use]
    pub fn of(self, device: Device) -> Self {
        Self { device: Some(device), ..self }
    }

    /// The hub.
    #[must_use]
    pub const fn hub_url(&self) -> &Url {
        &self.hub_url
    }

    /// Carries a question to the hub and its answer back.
    ///
    /// # Errors
    /// `hub_unreachable`, `auth_failed`, `owner_mismatch`, `id_reused`.
    pub async fn carry(&self, ask: &Ask, page: usize) -> Result<Carried, Failed> {
        let request = self.request(ask, page)?.timeout(DEADLINE);
        let response = self.send(request).await?;
        let hub_time = date(&response);
        Ok(Carried { answer: self.answer(ask, response).await?, hub_time })
    }

    async fn answer(&self, ask: &Ask, response: Response) -> Result<Answer, Failed> {
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && is_the_hubs(ask, &response) {
            return Ok(Answer::Same);
        }
        if status != StatusCode::OK {
            return self.refusal(status, response).await;
        }
        let body = self.body(response).await?;
        match ask {
            Ask::Heads(_) => self.read(&body).map(Answer::Heads),
            Ask::Pull(_) => self.read(&body).map(Answer::Page),
            Ask::Push(_) => self.read(&body).map(Answer::Pushed),
            Ask::Chain(..) => self.read(&body).map(Answer::Chain),
        }
    }

    /// Carries a call to the hub's `POST /rpc`, and what became of it back.
    ///
    /// # Errors
    /// `hub_unreachable`, `auth_failed`.
    pub async fn call(&self, call: &serde_json::Value) -> Result<rpc::Response> {
        let request = self.http.post(self.url("rpc")?).json(call).timeout(DEADLINE);
        let response = self.send(request).await.map_err(|failed| failed.error)?;
        match response.status() {
            StatusCode::OK => {
                let body = self.body(response).await.map_err(|failed| failed.error)?;
                self.read(&body).map_err(|failed| failed.error)
            }
            status => match self.refusal(status, response).await {
                Err(failed) => Err(failed.error),
                Ok(Answer::TooLarge) => Err(Error::new(
                    Code::ValueTooLarge,
                    format!("the call is too large for the hub {}", self.hub_url),
                    "nothing was written; send fewer changes at a time",
                )),
                Ok(_) => Err(self.no_hub(&format!("did not take the call: {status}"))),
            },
        }
    }

    /// Opens the stream of the hub's hints, which has no end.
    ///
    /// # Errors
    /// `hub_unreachable`.
    pub async fn events(&self) -> Result<Response> {
        let response = self.send(self.http.get(self.url("sync/events")?)).await;
        let response = response.map_err(|failed| failed.error)?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(self.no_hub(&format!("has no hints to give: {status}"))),
        }
    }

    fn request(&self, ask: &Ask, page: usize) -> Result<RequestBuilder> {
        Ok(match ask {
            Ask::Heads(None) => self.http.get(self.url("sync/heads")?),
            Ask::Heads(Some(digest)) => self
                .http
                .get(self.url("sync/heads")?)
                .header(header::IF_NONE_MATCH, format!("\"{digest}\"")),
            Ask::Pull(after) => self.pull(&after.encode(), page)?,
            Ask::Push(body) => self.http.post(self.url("sync/push")?).json(body),
            Ask::Chain(origin, places) => {
                let at = places.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
                let asked = [("origin", origin.as_str()), ("at", &at)];
                self.http.get(self.url("sync/chain")?).query(&asked)
            }
        })
    }

    fn pull(&self, after: &str, limit: usize) -> Result<RequestBuilder> {
        let url = self.url("sync/pull")?;
        Ok(if after.len() > MAX_CURSOR_IN_URL {
            self.http.post(url).json(&json!({ "after": after, "limit": limit }))
        } else {
            self.http.get(url).query(&[("after", after), ("limit", &limit.to_string())])
        })
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Failed> {
        serde_json::from_slice(body)
            .map_err(|error| self.no_hub(&format!("does not answer like a hub: {error}")).into())
    }

    async fn body(&self, response: Response) -> Result<Vec<u8>, Failed> {
        http::body(response, MAX_ANSWER_BYTES).await.map_err(|broken| match broken {
            Broken::Cut(error) => self.cut(&error),
            Broken::Endless => self.no_hub("answers without end").into(),
        })
    }

    async fn refusal(&self, status: StatusCode, response: Response) -> Result<Answer, Failed> {
        let shown = self.login.as_ref().and_then(Login::token);
        self.refusal_to(shown.as_ref(), status, response).await
    }

    /// What a hub says to whoever showed it a token is told without that.
    async fn refusal_to(
        &self,
        shown: Option<&Secret>,
        status: StatusCode,
        response: Response,
    ) -> Result<Answer, Failed> {
        let (retry_after, moved) = (retry_after(&response), location(&response));
        let body = self.body(response).await.unwrap_or_default();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |key: &str| body["error"][key].as_str().unwrap_or_default();
        let (code, hint) = match (status, text("code")) {
            (StatusCode::CONFLICT, "not_next") => return Ok(Answer::NotNext),
            (StatusCode::PAYLOAD_TOO_LARGE, _) => return Ok(Answer::TooLarge),
            (StatusCode::CONFLICT, "owner_mismatch") => {
                (Code::OwnerMismatch, "sync with the hub of the same owner")
            }
            (StatusCode::CONFLICT, "id_reused") => {
                (Code::IdReused, "one of the two stores is damaged; see docs/reference/sync.md")
            }
            (StatusCode::UNAUTHORIZED, _) => (Code::AuthFailed, "log in: heph auth login"),
            (StatusCode::FORBIDDEN, "forbidden") => {
                (Code::HubUnreachable, "give --hub-url a name that the hub knows itself by")
            }
            (StatusCode::FORBIDDEN, _) => (
                Code::AuthFailed,
                "this hub belongs to somebody else: log in as its owner: heph auth login",
            ),
            (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY, _) => {
                (Code::NotSupported, "nothing is lost; update hephd here and on the hub")
            }
            _ if moved.is_some() => (Code::HubUnreachable, "give --hub-url that address"),
            _ => (Code::HubUnreachable, "nothing is lost; the next cycle tries again"),
        };
        let said = moved.map_or(text("message").to_owned(), |to| format!("it is at {to}"));
        let said = one_line(&shown.map_or(said.clone(), |token| token.hide_in(&said)));
        let message = format!("the hub {} said {status}: {said}", self.hub_url);
        let too_slow = status == StatusCode::REQUEST_TIMEOUT;
        Err(Failed { error: Error::new(code, message, hint), retry_after, too_slow })
    }

    fn url(&self, path: &str) -> Result<Url> {
        self.hub_url.join(path).map_err(Error::internal)
    }

    fn cut(&self, error: &reqwest::Error) -> Failed {
        if let Some(elsewhere) = wall::refused(error) {
            return wall::in_the_clear(&self.hub_url, elsewhere.ip).into();
        }
        let why = http::root_cause(error);
        let error_for_people = self.no_hub(&format!("cannot be reached: {why}"));
        Failed { error: error_for_people, retry_after: None, too_slow: !error.is_connect() }
    }

    /// The error for a hub that does not answer, or not like one.
    pub(crate) fn no_hub(&self, why: &str) -> Error {
        Error::new(
            Code::HubUnreachable,
            format!("the hub {} {why}", self.hub_url),
            "nothing is lost; look whether the hub runs and the network is there",
        )
    }
}

/// Anybody can say "not modified". The hub says of what: of the digest that it
/// was asked with. A proxy may have marked its tag as weak.
fn is_the_hubs(ask: &Ask, response: &Response) -> bool {
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let tag = tag.unwrap_or_default().trim_start_matches("W/").trim_matches('"');
    matches!(ask, Ask::Heads(Some(digest)) if digest.to_string() == tag)
}

/// Where a redirect leads; none is followed, as it would take a token along.
fn location(response: &Response) -> Option<String> {
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    response.status().is_redirection().then(|| location.to_owned())
}

/// Every answer of a hub has its date.
fn date(response: &Response) -> Option<Timestamp> {
    let value = response.headers().get(header::DATE)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(value).ok()?.timestamp())
}

/// Only seconds are understood; the hub sends nothing else.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(value.parse().ok()?))
}
