//! The hub and its provider, looked at before anything is touched. What they
//! say is a stranger's: it has a deadline and a size, and a token's rules hold
//! for whoever would be sent one.

use std::{
    future::Future,
    path::PathBuf,
    time::{Duration, Instant},
};

use hephd::{
    config::Config,
    error::{Code, Error, Result},
    http::{self, Broken, one_line},
    hub::{ConfigBody, PROTOCOL},
    id::OwnerId,
    login::{desk, wall},
    oidc::provider::Provider,
    sync::HeadsBody,
};
use reqwest::{Client, Response, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use url::Url;

use crate::host::Host;

/// A question and its answer take no longer.
const DEADLINE: Duration = Duration::from_secs(10);

/// What is asked here has short answers; heads are the longest of them.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// A hub that may be used.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) url: Url,
    pub(super) version: String,
    /// Who says who people are; none where nobody is asked.
    pub(super) issuer: Option<String>,
    /// Whose data it holds, where it tells that to anybody.
    pub(super) owner: Option<OwnerId>,
    pub(super) latency: Duration,
    ca: Option<PathBuf>,
}

impl Hub {
    /// Asks the hub of a device that is configured so.
    ///
    /// # Errors
    /// `hub_unreachable`, also where it is no hub; `not_ready`; `not_supported`
    /// for a protocol of a later version; `config_invalid` where a token would
    /// travel in the clear; `auth_failed` for a provider that nobody can trust.
    pub(super) fn look(host: &Host, config: &Config) -> Result<Self> {
        waiting(host, Self::ask(config))
    }

    async fn ask(config: &Config) -> Result<Self> {
        let questions = Questions::to(config)?;
        let (asked, alive) = (Instant::now(), questions.get("healthz").await?);
        let latency = asked.elapsed();
        let Alive { .. } = questions.read("healthz", alive).await?;
        let about: ConfigBody = questions.read("config", questions.get("config").await?).await?;
        if about.protocol > PROTOCOL {
            return Err(questions.is_newer(&about));
        }
        questions.is_ready().await?;
        let issuer = match (&config.oidc_issuer, &about.issuer) {
            (_, None) => None,
            (Some(named), _) => Some(named.clone()),
            (None, Some(told)) => Some(desk::trusted(told, &questions.hub)?),
        };
        if issuer.is_some() && !config.allow_plaintext {
            wall::check_name(&questions.hub).await?;
        }
        let owner = match issuer {
            Some(_) => None,
            None => {
                let heads = questions.get("sync/heads").await?;
                Some(questions.read::<HeadsBody>("sync/heads", heads).await?.owner_id)
            }
        };
        let version = one_line(&about.version);
        Ok(Self { url: questions.hub, version, issuer, owner, latency, ca: config.hub_ca.clone() })
    }

    /// The provider answers, and lets people log in by a code.
    ///
    /// # Errors
    /// `auth_failed`, `issuer_mismatch`.
    pub(super) fn check_provider(&self, host: &Host) -> Result<()> {
        let Some(issuer) = &self.issuer else { return Ok(()) };
        let provider = Provider::new(issuer, self.ca.as_deref())?;
        waiting(host, async {
            let document = provider.discover().await.map_err(|why| why.error(issuer))?;
            document.login_by_code().map(drop)
        })
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        let ms = self.latency.as_millis().max(1);
        format!("✓ hub       {}   heph {}, {ms} ms", self.url, self.version)
    }

    /// For scripts.
    pub(super) fn data(&self) -> Value {
        json!({
            "url": self.url,
            "version": self.version,
            "issuer": self.issuer,
            "latency_secs": self.latency.as_secs_f64(),
        })
    }
}

/// What says that a hub answers, and which one.
#[derive(Deserialize)]
struct Alive {
    #[allow(dead_code, reason = "that it is there is what is asked")]
    instance: String,
}

/// What is asked of a hub.
struct Questions {
    hub: Url,
    ca: Option<PathBuf>,
    http: Client,
}

impl Questions {
    fn to(config: &Config) -> Result<Self> {
        let hub = config.hub_url.clone().ok_or_else(|| Error::internal("no hub is named"))?;
        let ca = config.hub_ca.clone();
        let mut http = http::client(&hub, ca.as_deref())?.timeout(DEADLINE);
        if hub.scheme() == "http" {
            // As the daemon does: no proxy reads what TLS does not hide.
            http = http.no_proxy();
        }
        let http = http.build().map_err(Error::internal)?;
        Ok(Self { hub, ca, http })
    }

    async fn get(&self, path: &str) -> Result<Response> {
        let url = self.hub.join(path).map_err(Error::internal)?;
        self.http.get(url).send().await.map_err(|error| self.out_of_reach(&error))
    }

    async fn is_ready(&self) -> Result<()> {
        let ready = self.get("readyz").await?;
        if ready.status() == StatusCode::OK {
            return Ok(());
        }
        let why = self.said(ready).await?;
        Err(Error::new(
            Code::NotReady,
            format!("the hub {} cannot be used now: {why}", self.hub),
            "heph-ops status on its machine says more",
        ))
    }

    async fn read<T: DeserializeOwned>(&self, path: &str, answer: Response) -> Result<T> {
        let status = answer.status();
        if let Some(there) = moved(&answer) {
            let message = format!("the hub {} is elsewhere: it says {there}", self.hub);
            return Err(Error::new(Code::HubUnreachable, message, "give the address of the hub"));
        }
        if status == StatusCode::FORBIDDEN {
            let message =
                format!("the hub {} said {status}: {}", self.hub, self.said(answer).await?);
            let hint = "give a name that the hub knows itself by";
            return Err(Error::new(Code::HubUnreachable, message, hint));
        }
        if status != StatusCode::OK {
            return Err(self.is_none(&format!("/{path} said {status}")));
        }
        let body = self.body(answer).await?;
        serde_json::from_slice(&body)
            .map_err(|_| self.is_none(&format!("/{path} is no answer of a hub's")))
    }

    /// Why it refuses, in its own words.
    async fn said(&self, answer: Response) -> Result<String> {
        let status = answer.status();
        let body: Value = serde_json::from_slice(&self.body(answer).await?).unwrap_or_default();
        Ok(body["error"]["message"].as_str().map_or_else(|| status.to_string(), one_line))
    }

    async fn body(&self, answer: Response) -> Result<Vec<u8>> {
        http::body(answer, MAX_ANSWER_BYTES).await.map_err(|broken| match broken {
            Broken::Cut(error) => self.out_of_reach(&error),
            Broken::Endless => self.is_none("it answers without end"),
        })
    }

    fn out_of_reach(&self, error: &reqwest::Error) -> Error {
        let why = http::root_cause(error);
        let hint = match &self.ca {
            Some(ca) if why.contains("certificate") => {
                format!("{} is not the authority that signed it", ca.display())
            }
            None if why.contains("certificate") => {
                "name the authority that signed it: --hub-ca FILE".to_owned()
            }
            _ => "see that it runs, and that the network is there: heph-ops status on its machine"
                .to_owned(),
        };
        let why = if error.is_timeout() { "it does not answer in time".to_owned() } else { why };
        let message = format!("the hub {} cannot be reached: {why}", self.hub);
        Error::new(Code::HubUnreachable, message, hint)
    }

    fn is_none(&self, why: &str) -> Error {
        Error::new(
            Code::HubUnreachable,
            format!("{} is no hub: {why}", self.hub),
            "give the address that a hub listens at, for example http://HOST:8787",
        )
    }

    fn is_newer(&self, about: &ConfigBody) -> Error {
        let (hub, version) = (&self.hub, one_line(&about.version));
        let theirs = about.protocol;
        Error::new(
            Code::NotSupported,
            format!("the hub {hub} speaks protocol {theirs}, and this heph-ops {PROTOCOL}"),
            format!("update hephd, heph and heph-ops here; the hub's version is {version}"),
        )
    }
}

/// Where a redirect leads.
fn moved(answer: &Response) -> Option<String> {
    let there = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    answer.status().is_redirection().then(|| one_line(there))
}

/// Does something that waits for others; a signal ends it.
fn waiting<T>(host: &Host, work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::internal)?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = work => done,
            signal = interruption(host) => Err(signal),
        }
    });
    // A name that is still being looked up is nobody's business any more.
    runtime.shutdown_background();
    done
}

async fn interruption(host: &Host) -> Error {
    loop {
        if let Some(signal) = host.interrupted() {
            return signal;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
