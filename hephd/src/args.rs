//! hephd's flags: one list, for the daemon that obeys them, for heph-ops that
//! installs and records them, and for the reference.
//!
//! [`Flags`] is what was said, every one optional. [`Flags::check`] is what
//! it means for a mode, or the one line that says why it cannot mean
//! anything. Nothing is touched here but `--web-root`, which is looked at.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    error::{Error, Result},
    id::OwnerId,
    paths,
};

/// The longest path that a unix socket may have on every system we know.
pub const MAX_SOCKET_PATH: usize = 104;

/// The command line of hephd.
#[derive(Debug, Parser)]
#[command(name = "hephd", version, about = "The Hephaestus daemon", max_term_width = 80)]
pub struct HephdArgs {
    /// What this replica is: the hub, a device, or a proxy without a store
    #[arg(long, value_enum, required_unless_present = "check_store")]
    pub mode: Option<Mode>,

    /// Everything else that it may be told
    #[command(flatten)]
    pub flags: Flags,

    /// Open and check the store at PATH, then exit
    #[arg(long, value_name = "PATH", conflicts_with = "mode")]
    pub check_store: Option<PathBuf>,
}

/// What a daemon is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The hub: a replica that serves spokes over HTTP
    Server,
    /// A device: a replica that works offline, and syncs where it has a hub
    Local,
    /// No replica: passes calls on to the hub
    Client,
}

impl Mode {
    /// The word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Local => "local",
            Self::Client => "client",
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Every flag but `--mode`. What is `None` or `false` was not said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag on the command line")]
pub struct Flags {
    /// The store's file [default: ~/.local/share/heph/heph.db]
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db: Option<PathBuf>,
    /// Never create the store: an unmounted disk must not become an empty hub
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    pub existing_store: bool,
    /// The local socket [default: hephd.sock beside the store]
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// server: where to listen [default: 127.0.0.1:8787]
    #[arg(long, value_name = "IP:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_addr: Option<String>,
    /// server: the folder of the web app
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_root: Option<PathBuf>,
    /// The OpenID provider; a hub wants --oidc-audience too
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc_issuer: Option<String>,
    /// server: whom its tokens must be for
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc_audience: Option<String>,
    /// local, client: this device's client id at the provider
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc_client_id: Option<String>,
    /// The owner of a store that has none yet
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    /// server: the subject that the owner is bound to
    #[arg(long, value_name = "SUB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_sub: Option<String>,
    /// server: serve without OIDC on more than loopback
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    pub insecure_no_auth: bool,
    /// local, client: the hub to sync with
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub_url: Option<String>,
    /// local, client: trust this certificate authority for the hub
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub_ca: Option<PathBuf>,
    /// local, client: send a token over plain http to any address
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    pub allow_plaintext: bool,
    /// local, client: keep the token in this file rather than the keyring
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// local: sync at least this often, in seconds [default: 30]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_interval_secs: Option<String>,
    /// Update hephd when a newer release appears
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    pub self_update: bool,
    /// Look for one this often, in seconds [default: 600]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_update_interval_secs: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Flags that only some modes have.
const SERVER_ONLY: [&str; 5] =
    ["http-addr", "web-root", "oidc-audience", "owner-sub", "insecure-no-auth"];
const SPOKE_ONLY: [&str; 5] =
    ["hub-url", "hub-ca", "allow-plaintext", "oidc-client-id", "token-file"];
const LOCAL_ONLY: [&str; 1] = ["sync-interval-secs"];
const STORE_ONLY: [&str; 3] = ["db", "existing-store", "owner-id"];

/// What a daemon does, once its flags make sense.
#[derive(Debug, Clone)]
pub struct Config {
    /// What it is.
    pub mode: Mode,
    /// The store's file.
    pub db: PathBuf,
    /// The path is ours to prepare, not the person's.
    pub db_is_default: bool,
    /// A missing store is refused, never created.
    pub existing_store: bool,
    /// The local socket.
    pub socket: PathBuf,
    /// Where a hub listens.
    pub http_addr: SocketAddr,
    /// The web app's folder.
    pub web_root: Option<PathBuf>,
    /// A hub that was told to verify tokens.
    pub oidc: bool,
    /// The owner that was named.
    pub owner_id: Option<OwnerId>,
    /// The hub to sync with, normalised.
    pub hub_url: Option<Url>,
    /// A certificate authority for it.
    pub hub_ca: Option<PathBuf>,
    /// The longest time between two syncs.
    pub sync_interval: Duration,
    /// `--self-update` was said.
    pub self_update: bool,
}

impl Flags {
    /// The names of all flags there are, without their dashes.
    pub fn names() -> impl Iterator<Item = String> {
        let command = Self::augment_args(clap::Command::new("hephd"));
        let names: Vec<String> =
            command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect();
        names.into_iter()
    }

    /// The flags that were said, as they stand in a record: names without
    /// their dashes.
    ///
    /// # Errors
    /// `usage` for a path that is not UTF-8.
    pub fn to_table(&self) -> Result<toml::Table> {
        toml::Table::try_from(self).map_err(|error| {
            Error::usage(format!("a flag cannot be recorded: {error}"), "give paths as UTF-8 text")
        })
    }

    /// Reads them back.
    ///
    /// # Errors
    /// `config_invalid` that names the key.
    pub fn from_table(table: toml::Table) -> Result<Self> {
        table.try_into().map_err(|error: toml::de::Error| {
            Error::new(
                crate::error::Code::ConfigInvalid,
                format!("a recorded flag is not right: {}", error.message()),
                "see hephd --help for the flags there are",
            )
        })
    }

    /// These as words on a command line.
    ///
    /// # Errors
    /// As [`Flags::to_table`].
    pub fn to_argv(&self) -> Result<Vec<String>> {
        let mut argv = Vec::new();
        for (name, value) in self.to_table()? {
            argv.push(format!("--{name}"));
            if let toml::Value::String(text) = value {
                argv.push(text);
            }
        }
        Ok(argv)
    }

    /// What the flags mean for a mode.
    ///
    /// # Errors
    /// `usage` or `config_invalid` (exit 2), each naming the flag.
    pub fn check(&self, mode: Mode) -> Result<Config> {
        self.check_mode(mode)?;
        let db_is_default = self.db.is_none();
        let db = self.db.clone().map_or_else(paths::default_db, Ok)?;
        let socket = self.socket.clone().unwrap_or_else(|| paths::socket_beside(&db));
        check_socket(&socket)?;
        let http_addr = parse_address(self.http_addr.as_deref().unwrap_or("127.0.0.1:8787"))?;
        let oidc = self.check_oidc(mode)?;
        if mode == Mode::Server && !oidc {
            check_exposure(http_addr, self.insecure_no_auth)?;
        }
        self.web_root.as_deref().map(check_web_root).transpose()?;
        interval("self-update-interval-secs", self.self_update_interval_secs.as_deref(), 600)?;
        let hub_url = self.hub_url.as_deref().map(|url| parse_hub_url(url)).transpose()?;
        if mode == Mode::Client && hub_url.is_none() {
            return Err(Error::usage(
                "--mode client needs --hub-url",
                "name the hub: --hub-url http://HOST:8787",
            ));
        }
        Ok(Config {
            mode,
            db,
            db_is_default,
            existing_store: self.existing_store,
            socket,
            http_addr,
            web_root: self.web_root.clone(),
            oidc,
            owner_id: self.owner_id.as_deref().map(parse_owner).transpose()?,
            hub_url,
            hub_ca: self.hub_ca.clone(),
            sync_interval: interval("sync-interval-secs", self.sync_interval_secs.as_deref(), 30)?,
            self_update: self.self_update,
        })
    }

    fn check_mode(&self, mode: Mode) -> Result<()> {
        let said = self.to_table().unwrap_or_default();
        let wrong: &[&[&str]] = match mode {
            Mode::Server => &[&SPOKE_ONLY, &LOCAL_ONLY],
            Mode::Local => &[&SERVER_ONLY],
            Mode::Client => &[&SERVER_ONLY, &LOCAL_ONLY, &STORE_ONLY],
        };
        match wrong.iter().copied().flatten().find(|name| said.contains_key(**name)) {
            Some(name) => Err(Error::usage(
                format!("--{name} is not a flag of --mode {}", mode.as_str()),
                format!("leave --{name} out, or choose the mode that has it: hephd --help"),
            )),
            None => Ok(()),
        }
    }

    /// Whether the hub is to verify tokens. Half of the two flags that turn
    /// it on would be an open hub, so it is refused.
    fn check_oidc(&self, mode: Mode) -> Result<bool> {
        let (issuer, audience) = (self.oidc_issuer.as_deref(), self.oidc_audience.as_deref());
        issuer.map(check_issuer).transpose()?;
        match (issuer, audience) {
            (_, Some("")) => Err(Error::usage("--oidc-audience is empty", "give the client id")),
            (Some(_), None) if mode == Mode::Server => {
                Err(half("--oidc-issuer", "--oidc-audience"))
            }
            (None, Some(_)) => Err(half("--oidc-audience", "--oidc-issuer")),
            (Some(_), Some(_)) => Ok(true),
            _ => Ok(false),
        }
    }
}

fn half(given: &str, missing: &str) -> Error {
    Error::usage(
        format!("{given} is given without {missing}"),
        format!("add {missing}: both together turn authentication on"),
    )
}

fn check_socket(socket: &Path) -> Result<()> {
    let len = socket.as_os_str().len();
    if len <= MAX_SOCKET_PATH {
        return Ok(());
    }
    Err(Error::new(
        crate::error::Code::NotSupported,
        format!(
            "the socket's path has {len} bytes, {MAX_SOCKET_PATH} are the most: {}",
            socket.display()
        ),
        "give a shorter one: --socket PATH",
    ))
}

/// An address to listen on.
///
/// # Errors
/// `usage` with an example, or with the range of ports.
pub fn parse_address(text: &str) -> Result<SocketAddr> {
    let wrong = |hint: &str| Error::usage(format!("--http-addr {text:?} is not IP:PORT"), hint);
    let port = text.rsplit_once(':').map(|(_, port)| port);
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Ok(address),
        _ if text.parse::<IpAddr>().is_ok() || port.is_none() => {
            Err(wrong("add the port, for example 127.0.0.1:8787"))
        }
        _ if port.and_then(|p| p.parse::<u16>().ok()).is_none_or(|p| p == 0) => {
            Err(wrong("the port is a number from 1 to 65535"))
        }
        _ => Err(wrong("give an address of this machine, for example 0.0.0.0:8787")),
    }
}

fn check_exposure(address: SocketAddr, insecure: bool) -> Result<()> {
    if insecure || address.ip().is_loopback() {
        return Ok(());
    }
    Err(Error::new(
        crate::error::Code::ConfigInvalid,
        format!("--http-addr {address} would let everybody in: there is no authentication"),
        "give --oidc-issuer and --oidc-audience, or listen on 127.0.0.1, or say --insecure-no-auth",
    ))
}

fn check_web_root(dir: &Path) -> Result<()> {
    if dir.join("index.html").is_file() {
        return Ok(());
    }
    Err(Error::usage(
        format!("--web-root {} has no index.html", dir.display()),
        "give the folder that the web app was unpacked to",
    ))
}

fn check_issuer(text: &str) -> Result<()> {
    let url = Url::parse(text).ok().filter(|url| url.has_host());
    let fine = url.is_some_and(|url| url.scheme() == "https" || is_loopback(&url));
    if fine {
        return Ok(());
    }
    Err(Error::usage(
        format!("--oidc-issuer {text:?} is not an https URL"),
        "give the provider's issuer as its discovery document spells it",
    ))
}

fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
}

/// A hub's URL in its one spelling: no trailing slash is told from one.
///
/// # Errors
/// `usage` for anything but plain http or https.
pub fn parse_hub_url(text: &str) -> Result<Url> {
    let wrong = |why: &str| {
        Error::usage(format!("--hub-url {text:?} {why}"), "give it like http://HOST:8787")
    };
    let mut url = Url::parse(text).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a name or password"));
    }
    if url.fragment().is_some() || url.query().is_some() {
        return Err(wrong("holds a query or fragment"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn parse_owner(text: &str) -> Result<OwnerId> {
    text.parse()
        .map_err(|error| Error::usage(format!("--owner-id: {error}"), "give the owner's id"))
}

fn interval(flag: &str, text: Option<&str>, default: u64) -> Result<Duration> {
    const MOST: u64 = 7 * 24 * 3600;
    match text.map_or(Ok(default), str::parse) {
        Ok(seconds) if (1..=MOST).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::usage(
            format!(
                "--{flag} {:?} is not a number of seconds from 1 to {MOST}",
                text.unwrap_or("")
            ),
            format!("for example --{flag} {default}"),
        )),
    }
}
