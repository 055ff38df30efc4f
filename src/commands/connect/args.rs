//! What `connect` may be told.

use std::path::PathBuf;

use clap::Arg;
use hephd::{
    args::Flags,
    error::{Error, Result},
    record::{Role, Scope},
};

use crate::commands::{
    Patience,
    install_service::{self, ManagerChoice},
};

/// Flags of hephd that a device does not have, or that are said otherwise here.
const NOT_HERE: [&str; 8] = [
    "existing-store",
    "hub-url",
    "http-addr",
    "web-root",
    "oidc-audience",
    "owner-id",
    "owner-sub",
    "insecure-no-auth",
];

/// A service is ready sooner than a person types a code.
const READY_WITHIN: u64 = 60;

/// Join a hub with this device: install its service, log in, wait until equal
#[derive(Debug, Clone, clap::Args)]
#[command(mut_args(only_a_devices))]
pub struct Args {
    /// The hub, for example http://HOST:8787
    #[arg(value_name = "HUB_URL")]
    pub hub: String,
    /// The service's name [default: heph-spoke]
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
    /// Keep the login in the system's keyring rather than in a file
    #[arg(long, conflicts_with = "token_file")]
    pub keyring: bool,
    /// Give it all this long; a person has to type a code meanwhile
    #[arg(long, default_value_t = 600, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// The service must stay ready for this long
    #[arg(long, default_value_t = 1000, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub settle_ms: u64,
    /// Root turned lingering on for this person, a moment ago
    #[arg(long, hide = true)]
    pub enabled_linger: bool,
    /// hephd's own flags
    #[command(flatten, next_help_heading = "Flags of hephd")]
    pub flags: Flags,
}

fn only_a_devices(arg: Arg) -> Arg {
    let hide = arg.get_long().is_some_and(|name| NOT_HERE.contains(&name));
    if hide { arg.hide(true) } else { arg }
}

impl Args {
    /// What installs the service.
    ///
    /// # Errors
    /// `usage` where two hubs are named.
    pub(super) fn install(&self) -> Result<install_service::Args> {
        if self.flags.hub_url.is_some() {
            return Err(Error::usage(
                "--hub-url is the word behind connect",
                format!("name the hub once: heph-ops connect {}", self.hub),
            ));
        }
        let mut install = install_service::Args::new(Role::Spoke);
        install.label.clone_from(&self.label);
        install.manager = self.manager;
        install.scope = self.scope;
        install.run_as.clone_from(&self.run_as);
        install.create_user = self.create_user;
        install.bin.clone_from(&self.bin);
        install.keyring = self.keyring;
        install.enabled_linger = self.enabled_linger;
        install.patience =
            Patience { timeout: self.timeout.min(READY_WITHIN), settle_ms: self.settle_ms };
        install.flags = Flags { hub_url: Some(self.hub.clone()), ..self.flags.clone() };
        Ok(install)
    }

    /// The command that goes on where this one ended. Everything else is
    /// recorded by then.
    pub(super) fn again(&self) -> String {
        let label = self.label.iter().map(|label| format!(" --label {label}"));
        format!("heph-ops connect {}{}", self.hub, label.collect::<String>())
    }
}
