//! What `install-service` may be told.

use std::path::PathBuf;

use hephd::{
    args::Flags,
    record::{Hardening, Role, Scope},
};

use crate::{
    commands::Patience,
    unit::{EDITION, job},
};

/// Install a service, start it, wait until it is ready
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What it is for
    #[arg(long, value_enum)]
    pub role: Role,
    /// Its name [default: heph-hub, heph-spoke]
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// What runs it [default: as recorded, else auto]
    #[arg(long, value_enum, value_name = "MANAGER")]
    pub manager: Option<ManagerChoice>,
    /// Whose service it is [default: system for root, else user]
    #[arg(long, value_enum, value_name = "SCOPE")]
    pub scope: Option<Scope>,
    /// The user that it runs as [default: the store's, else heph]
    #[arg(long, value_name = "USER")]
    pub run_as: Option<String>,
    /// Make that user, without a login, where there is none
    #[arg(long)]
    pub create_user: bool,
    /// The hephd to run [default: as recorded, else the one beside heph-ops]
    #[arg(long, value_name = "PATH")]
    pub bin: Option<PathBuf>,
    /// What it is kept from [default: strict in system scope, else basic]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub hardening: Option<Hardening>,
    /// Write its log here [default: the journal; on a Mac ~/Library/Logs]
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Back its store up into this folder, again and again
    #[arg(long, value_name = "DIR")]
    pub backup_dir: Option<PathBuf>,
    /// How often to do that [default: 1d]
    #[arg(long, value_name = "T", value_parser = parse_every)]
    pub backup_every: Option<String>,
    /// Keep a device's login in the system's keyring rather than in a file
    #[arg(long, conflicts_with = "token_file")]
    pub keyring: bool,
    /// Set a variable of its environment
    #[arg(long, value_name = "K=V", value_parser = parse_env)]
    pub env: Vec<(String, String)>,
    /// What is not named goes back to its default
    #[arg(long)]
    pub exact: bool,
    /// Take a recorded flag away, for example --unset web-root
    #[arg(long, value_name = "FLAG")]
    pub unset: Vec<String>,
    /// Install, but do not start
    #[arg(long)]
    pub no_start: bool,
    /// Print the unit and do nothing
    #[arg(long)]
    pub print: bool,
    /// Also wait for the first sync that goes through
    #[arg(long, conflicts_with = "no_start")]
    pub wait_synced: bool,
    /// Root turned lingering on for this person, a moment ago
    #[arg(long, hide = true)]
    pub enabled_linger: bool,
    /// How long to wait for it.
    #[command(flatten)]
    pub patience: Patience,
    /// hephd's own flags
    #[command(flatten, next_help_heading = "Flags of hephd")]
    pub flags: Flags,
}

/// What may run a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ManagerChoice {
    /// systemd or launchd where it answers, else process
    Auto,
    /// systemd
    Systemd,
    /// launchd, on a Mac
    Launchd,
    /// Processes that heph-ops looks after; they do not come back at boot
    Process,
}

impl Args {
    /// A role and nothing else said.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            label: None,
            manager: None,
            scope: None,
            run_as: None,
            create_user: false,
            bin: None,
            hardening: None,
            log_dir: None,
            backup_dir: None,
            backup_every: None,
            keyring: false,
            env: Vec::new(),
            exact: false,
            unset: Vec::new(),
            no_start: false,
            print: false,
            wait_synced: false,
            enabled_linger: false,
            patience: Patience::default(),
            flags: Flags::default(),
        }
    }
}

fn parse_env(text: &str) -> Result<(String, String), String> {
    let is_name = |key: &str| {
        key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match text.split_once('=') {
        Some((EDITION, _)) => Err("that one is heph-ops' own".to_owned()),
        Some((key, value)) if is_name(key) => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give it as NAME=VALUE, the name of letters, digits and _".to_owned()),
    }
}

fn parse_every(text: &str) -> Result<String, String> {
    job::seconds(text).map(|_| text.to_owned()).map_err(|why| format!("{why}; write 12h or 1d"))
}
