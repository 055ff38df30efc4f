//! What a daemon's flags mean: [`Flags::check`] gives a [`Config`], or the one
//! line that says why they cannot mean anything. That is pure: what the flags
//! name on a disk is looked at by [`Config::check_files`].

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use url::Url;

use crate::{
    args::{Flags, Mode},
    error::{Code, Error, Result},
    id::{self, OwnerId},
    paths,
};

/// The longest path that a unix socket may have on every system we know.
pub const MAX_SOCKET_PATH: usize = 104;

/// Flags that only some modes have.
const SERVER_ONLY: [&str; 5] =
    ["http-addr", "web-root", "oidc-audience", "owner-sub", "insecure-no-auth"];
const SPOKE_ONLY: [&str; 5] =
    ["hub-url", "hub-ca", "allow-plaintext", "oidc-client-id", "token-file"];
const LOCAL_ONLY: [&str; 1] = ["sync-interval-secs"];
const STORE_ONLY: [&str; 3] = ["db", "existing-store", "owner-id"];

/// What a token must say to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Who must have issued it.
    pub issuer: String,
    /// Whom it must be for.
    pub audience: String,
}

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
    /// Where the token lies.
    pub token_file: Option<PathBuf>,
    /// Whose tokens a hub takes; none where it asks for none.
    pub tokens: Option<Rules>,
    /// A hub that may serve without tokens where that is a danger.
    pub insecure_no_auth: bool,
    /// Whom a hub's owner is bound to.
    pub owner_sub: Option<String>,
    /// The owner that was named.
    pub owner_id: Option<OwnerId>,
    /// The hub to sync with, normalised.
    pub hub_url: Option<Url>,
    /// A certificate authority for it.
    pub hub_ca: Option<PathBuf>,
    /// A device's OpenID provider; else the hub names it.
    pub oidc_issuer: Option<String>,
    /// A device's client id there; else the hub names it.
    pub oidc_client_id: Option<String>,
    /// A token may travel in the clear to anywhere.
    pub allow_plaintext: bool,
    /// The longest time between two syncs.
    pub sync_interval: Duration,
    /// Flags that were said whose work is still to come, and what that is.
    pub not_yet: Vec<(&'static str, &'static str)>,
}

impl Config {
    /// Looks at what the flags name on this machine.
    ///
    /// # Errors
    /// `usage` for a `--web-root` without the web app;
    /// `insecure_permissions` for a `--token-file` that others may read.
    pub fn check_files(&self) -> Result<()> {
        self.token_file.as_deref().map_or(Ok(()), check_token_file)?;
        self.web_root.as_deref().map_or(Ok(()), check_web_root)
    }
}

impl Flags {
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
        if socket == db {
            return Err(Error::usage(
                format!("--socket and --db are both {}", db.display()),
                "leave --socket out, or give another path",
            ));
        }
        let http_addr = parse_address(self.http_addr.as_deref().unwrap_or("127.0.0.1:8787"))?;
        let tokens = self.check_oidc(mode)?;
        if mode == Mode::Server && tokens.is_none() {
            check_exposure(http_addr, self.insecure_no_auth)?;
        }
        self.check_owner_sub(tokens.as_ref())?;
        interval("self-update-interval-secs", self.self_update_interval_secs.as_deref(), 600)?;
        let hub_url = self.hub_url.as_deref().map(parse_hub_url).transpose()?;
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
            token_file: self.token_file.clone(),
            tokens,
            insecure_no_auth: self.insecure_no_auth,
            owner_sub: self.owner_sub.clone(),
            owner_id: self.owner_id.as_deref().map(parse_owner).transpose()?,
            hub_url,
            hub_ca: self.hub_ca.clone(),
            oidc_issuer: self.oidc_issuer.clone(),
            oidc_client_id: self.oidc_client_id.clone(),
            allow_plaintext: self.allow_plaintext,
            sync_interval: interval("sync-interval-secs", self.sync_interval_secs.as_deref(), 30)?,
            not_yet: self.not_yet(),
        })
    }

    /// Ignoring these harms nobody, but it is said. Those that would harm are
    /// refused.
    fn not_yet(&self) -> Vec<(&'static str, &'static str)> {
        let work = [("self-update", self.self_update, "update itself")];
        work.into_iter().filter(|(_, said, _)| *said).map(|(flag, _, what)| (flag, what)).collect()
    }

    fn check_mode(&self, mode: Mode) -> Result<()> {
        let said = self.with_plain_paths().to_table()?;
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

    /// Whose tokens a hub takes. Half of the two flags that turn it on would be
    /// an open hub, so it is refused.
    fn check_oidc(&self, mode: Mode) -> Result<Option<Rules>> {
        let (issuer, audience) = (self.oidc_issuer.as_deref(), self.oidc_audience.as_deref());
        issuer.map(check_issuer).transpose()?;
        match (issuer, audience) {
            (_, Some(audience)) if audience.trim().is_empty() => {
                Err(Error::usage("--oidc-audience is empty", "give the client id"))
            }
            (Some(_), None) if mode == Mode::Server => {
                Err(half("--oidc-issuer", "--oidc-audience"))
            }
            (None, Some(_)) => Err(half("--oidc-audience", "--oidc-issuer")),
            (Some(issuer), Some(audience)) => {
                Ok(Some(Rules { issuer: issuer.to_owned(), audience: audience.to_owned() }))
            }
            _ => Ok(None),
        }
    }

    /// A subject is one at an issuer: without tokens there is none.
    fn check_owner_sub(&self, tokens: Option<&Rules>) -> Result<()> {
        self.owner_sub.as_deref().map_or(Ok(()), check_sub)?;
        match (&self.owner_sub, tokens) {
            (Some(_), None) => Err(Error::usage(
                "--owner-sub is given without an OpenID provider",
                "add --oidc-issuer and --oidc-audience",
            )),
            _ => Ok(()),
        }
    }
}

/// A `sub` as it stands in the owner's tokens.
///
/// # Errors
/// `usage` for what no token can name anybody by.
pub fn check_sub(sub: &str) -> Result<()> {
    id::check_sub(sub).map_err(|why| {
        Error::usage(format!("--owner-sub: {why}"), "give the owner's sub at the provider")
    })
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
        Code::NotSupported,
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
    let bare = text.trim_matches(['[', ']']);
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Ok(address),
        _ if bare.parse::<IpAddr>().is_ok() || port.is_none() => {
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
        Code::ConfigInvalid,
        format!("--http-addr {address} would let everybody in: there is no authentication"),
        "listen on 127.0.0.1, or say --insecure-no-auth on a network that you trust",
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

fn check_token_file(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let Ok(meta) = path.metadata() else { return Ok(()) };
    if !meta.is_file() {
        return Err(Error::new(
            Code::FileFailed,
            format!("--token-file {} is no file", path.display()),
            "give the path of a file; it is made at the first login",
        ));
    }
    let mode = meta.permissions().mode() & 0o777;
    if mode == 0o600 { Ok(()) } else { Err(loose_token_file(path, mode)) }
}

/// For a token file that others may read.
pub(crate) fn loose_token_file(path: &Path, mode: u32) -> Error {
    Error::new(
        Code::InsecurePermissions,
        format!("--token-file {} has mode {mode:04o}", path.display()),
        format!("chmod 600 {}", path.display()),
    )
}

/// An issuer's name, which is a URL.
///
/// # Errors
/// `usage` for anything but https; http leads to this machine alone.
pub fn check_issuer(text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(Url::has_host).filter(|url| {
        let plain = url.query().is_none() && url.fragment().is_none();
        let private = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
        plain && private && url.username().is_empty() && url.password().is_none()
    });
    // A name or password is not repeated: this line may end up in a log.
    let shown = if text.contains('@') { "…" } else { text };
    url.ok_or_else(|| {
        Error::usage(
            format!("the issuer {shown:?} is not an https URL"),
            "give the provider's issuer as its discovery document spells it",
        )
    })
}

/// Whether a URL leads to this very machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
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
    // A name or password is not repeated: this line may end up in a log.
    let shown = if text.contains('@') { "…" } else { text };
    let wrong = |why: &str| {
        Error::usage(format!("--hub-url {shown:?} {why}"), "give it like http://HOST:8787")
    };
    let mut url = Url::parse(text).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Neither is repeated: this line may end up in a log.
        return Err(Error::usage(
            "--hub-url holds a name or password",
            "give it like http://HOST:8787",
        ));
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
