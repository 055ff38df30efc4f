//! `LABEL.toml`: what a service was given. heph-ops writes it, and nothing
//! that stands in it is ever dropped by a later install, a restart or an
//! update. `heph` reads it to find the daemon.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

mod text;

pub use self::text::nearest;
use crate::{
    args::{Flags, Mode},
    error::{Code, Error, Result, file},
    paths,
};

/// What a service is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The replica that the others sync with
    Hub,
    /// A device's replica
    Spoke,
}

impl Role {
    /// The word in flags, records and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Spoke => "spoke",
        }
    }

    /// The mode that a service of this role runs in.
    #[must_use]
    pub const fn mode(self) -> Mode {
        match self {
            Self::Hub => Mode::Server,
            Self::Spoke => Mode::Local,
        }
    }
}

/// What runs a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ManagerKind {
    /// systemd
    Systemd,
    /// launchd, on a Mac
    Launchd,
    /// A detached process that heph-ops keeps by pid and start time
    Process,
}

impl ManagerKind {
    /// The word in flags, records and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Launchd => "launchd",
            Self::Process => "process",
        }
    }
}

/// How much of the machine a service is kept from. See
/// docs/reference/hardening.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Hardening {
    /// Nothing but its own manners
    Off,
    /// What works everywhere: no new privileges, only the calls it needs
    Basic,
    /// Also a view of the machine with little in it
    Strict,
}

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// This person's
    User,
    /// The machine's
    System,
}

impl Scope {
    /// The word in flags, records and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
        }
    }
}

/// Backups that are made by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Backups {
    /// The folder that they go to.
    pub dir: PathBuf,
    /// How often, as a person wrote it: `12h`, `1d`.
    pub every: String,
}

/// One service's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Record {
    /// The service's name.
    pub label: String,
    /// What it is for.
    pub role: Role,
    /// What runs it.
    pub manager: ManagerKind,
    /// Whose it is.
    pub scope: Scope,
    /// It is installed; false where it was, and only its settings stay.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub installed: bool,
    /// The daemon's binary.
    pub bin: PathBuf,
    /// The user that it runs as, in system scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
    /// How much it is kept from; none: as its scope has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardening: Option<Hardening>,
    /// Where its log files go; none: as its manager has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_dir: Option<PathBuf>,
    /// It was us who let this person's services run without a login.
    #[serde(default, skip_serializing_if = "is_false")]
    pub enabled_linger: bool,
    /// Its login lies in the system's keyring rather than in a file.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keyring: bool,
    /// Backups by themselves; none where nobody asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<Backups>,
    /// Its environment, `K = "V"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Its flags, by name, as hephd has them.
    #[serde(default)]
    pub flags: Flags,
}

const fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_true(flag: &bool) -> bool {
    *flag
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Record {
    /// Where the record of a label lies.
    #[must_use]
    pub fn path(folder: &Path, label: &str) -> PathBuf {
        folder.join(format!("{label}.toml"))
    }

    /// Reads one; none where there is none.
    ///
    /// # Errors
    /// `config_invalid` that names file and line; `insecure_permissions` for an
    /// environment that others may read.
    pub fn load(folder: &Path, label: &str) -> Result<Option<Self>> {
        let path = Self::path(folder, label);
        let record = match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path).and_then(|record| record.named(label, &path))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file(&path, "read")(error)),
        };
        record.check_access(&path)?;
        Ok(Some(record))
    }

    /// What a service is given in its environment is what it is not to be given
    /// on its command line, where everybody sees it.
    fn check_access(&self, path: &Path) -> Result<()> {
        let mode = std::fs::metadata(path).map_err(file(path, "read"))?.mode() & 0o777;
        if self.env.is_empty() || mode & 0o044 == 0 {
            return Ok(());
        }
        Err(Error::new(
            Code::InsecurePermissions,
            format!("{} has mode {mode:04o}, and others may read its [env]", path.display()),
            format!("chmod 600 {}", path.display()),
        ))
    }

    /// A record whose label is another's than its file's would act on that one.
    fn named(self, label: &str, path: &Path) -> Result<Self> {
        match self.label == label {
            true => Ok(self),
            false => Err(Error::new(
                Code::ConfigInvalid,
                format!("{}: its label is {}, not {label}", path.display(), self.label),
                "a file has the name of its label; move it, or mend that line",
            )),
        }
    }

    /// Reads a record's text; errors name its path.
    ///
    /// # Errors
    /// `config_invalid` that names file and line.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        text::parse(text, path)
    }

    /// Those of all installed services, by label. One that cannot be read is
    /// an error of its own: it says nothing of the others.
    #[must_use]
    pub fn load_installed(folder: &Path) -> Vec<Result<Self>> {
        let mut labels: Vec<String> = std::fs::read_dir(folder)
            .map(|entries| entries.flatten().filter_map(|e| label_of(&e.path())).collect())
            .unwrap_or_default();
        labels.sort();
        let all = labels.iter().filter_map(|label| Self::load(folder, label).transpose());
        all.filter(|record| record.as_ref().map_or(true, |record| record.installed)).collect()
    }

    /// The record as it shall stand in its file, where `standing` is what
    /// stands there: its comments, its order and its blank lines stay.
    ///
    /// # Errors
    /// `usage` for a path that is not UTF-8.
    pub fn to_text(&self, standing: Option<&str>) -> Result<String> {
        text::written(self, standing)
    }

    /// Where the service's daemon listens for people.
    ///
    /// # Errors
    /// `config_invalid` where no path says so and `HOME` is unset.
    pub fn socket(&self) -> Result<PathBuf> {
        if let Some(socket) = &self.flags.socket {
            return Ok(socket.clone());
        }
        let db = self.flags.db.clone().map_or_else(paths::default_db, Ok)?;
        Ok(paths::socket_beside(&db))
    }
}

/// Where a service's login lies, unless it is told otherwise: a keyring is
/// locked after a reboot, and forgets a binary that was replaced.
#[must_use]
pub fn token_file_beside(db: &Path) -> PathBuf {
    db.with_file_name("tokens.json")
}

fn label_of(path: &Path) -> Option<String> {
    let is_record = path.extension().is_some_and(|extension| extension == "toml");
    is_record.then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
}
