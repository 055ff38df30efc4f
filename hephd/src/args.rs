//! hephd's flags: one list, for the daemon that obeys them, for heph-ops that
//! installs and records them, and for the reference.
//!
//! [`Flags`] is what was said, every one optional; `config` says what it means.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};

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
    /// End once standard input does: for a program that starts this for a while
    #[arg(long, hide = true)]
    pub until_eof: bool,
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

    /// The flags that are paths, as far as they were said.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let paths = [
            &mut self.db,
            &mut self.socket,
            &mut self.web_root,
            &mut self.hub_ca,
            &mut self.token_file,
        ];
        paths.into_iter().flatten()
    }

    /// The same flags, with paths that can be written down.
    pub(crate) fn with_plain_paths(&self) -> Self {
        let mut plain = self.clone();
        plain.paths_mut().for_each(|path| *path = path.to_string_lossy().into_owned().into());
        plain
    }

    /// Reads them back.
    ///
    /// # Errors
    /// `config_invalid` that names the key.
    pub fn from_table(table: toml::Table) -> Result<Self> {
        table.try_into().map_err(|error: toml::de::Error| {
            Error::new(
                Code::ConfigInvalid,
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
}
