//! Every path that is touched, from scope, manager and home. Pure: nothing is
//! looked at.

use std::path::{Path, PathBuf};

use hephd::record::{ManagerKind, Record, Scope};

/// Where the machine's own hub has its store.
pub const SYSTEM_DB: &str = "/var/lib/heph/heph.db";

/// Where the things of one scope lie.
#[derive(Debug, Clone, Copy)]
pub struct Paths<'a> {
    home: &'a Path,
    scope: Scope,
}

impl<'a> Paths<'a> {
    /// Those of a person's services, or of the machine's.
    #[must_use]
    pub const fn of(home: &'a Path, scope: Scope) -> Self {
        Self { home, scope }
    }

    fn choose(self, user: &str, system: &str) -> PathBuf {
        match self.scope {
            Scope::User => self.home.join(user),
            Scope::System => PathBuf::from(system),
        }
    }

    /// The records of what services were given.
    #[must_use]
    pub fn records(self) -> PathBuf {
        self.choose(".config/heph", "/etc/heph")
    }

    /// The record of one service.
    #[must_use]
    pub fn record(self, label: &str) -> PathBuf {
        Record::path(&self.records(), label)
    }

    /// What the record said before an install that is not done yet.
    #[must_use]
    pub fn record_before(self, label: &str) -> PathBuf {
        self.records().join(format!(".{label}.before"))
    }

    /// What heph-ops keeps for itself: locks, and the state of detached
    /// processes. That of the machine need not outlast a boot.
    #[must_use]
    pub fn state(self) -> PathBuf {
        self.choose(".local/state/heph", "/run/heph-ops")
    }

    /// The units of a manager; none where it has none.
    #[must_use]
    pub fn units(self, manager: ManagerKind) -> Option<PathBuf> {
        Some(match manager {
            ManagerKind::Systemd => self.choose(".config/systemd/user", "/etc/systemd/system"),
            ManagerKind::Launchd => self.choose("Library/LaunchAgents", "/Library/LaunchDaemons"),
            ManagerKind::Process => return None,
        })
    }

    /// The files that a service logs to, where its manager writes files: standard
    /// output, then errors.
    #[must_use]
    pub fn log_files(self, label: &str, chosen: Option<&Path>) -> [PathBuf; 2] {
        let usual = self.choose("Library/Logs", "/Library/Logs");
        let folder = chosen.unwrap_or(&usual);
        [folder.join(format!("{label}.out.log")), folder.join(format!("{label}.err.log"))]
    }

    /// What a service finds its programs in: cargo's own folder first, because
    /// an update may build, then where people install by hand.
    #[must_use]
    pub fn program_path(self, manager: ManagerKind, bin: &Path) -> String {
        let cargo = self.home.join(".cargo/bin");
        let own = match self.scope {
            Scope::User => Some(cargo.as_path()),
            Scope::System => bin.parent(),
        };
        let mut folders: Vec<String> = own.iter().map(|path| path.display().to_string()).collect();
        let usual = match manager {
            ManagerKind::Launchd => {
                "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
            }
            _ => "/usr/local/bin:/usr/bin:/bin",
        };
        folders.extend(usual.split(':').map(str::to_owned));
        let mut seen = Vec::new();
        for folder in folders.into_iter().filter(|folder| !folder.contains(':')) {
            if !seen.contains(&folder) {
                seen.push(folder);
            }
        }
        seen.join(":")
    }
}
