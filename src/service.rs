//! A service as it is wanted: the record, and what follows from it.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use hephd::{
    args::Flags,
    config::Config,
    error::{Code, Error, Result},
    record::{Hardening, ManagerKind, Record, Role, Scope, token_file_beside},
    store::file::folder,
};

use crate::{
    host::Host,
    paths::{Paths, SYSTEM_DB},
    unit::{job::Job, refuse_breaks},
};

/// A record, and everything that is worked out from it.
#[derive(Debug, Clone)]
pub struct Service {
    /// What it was given.
    pub record: Record,
    /// Where that lies.
    pub record_path: PathBuf,
    /// What its flags mean.
    pub config: Config,
    /// The command line, every flag spelled out.
    pub argv: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// What is done again and again beside it.
    pub jobs: Vec<Job>,
    home: PathBuf,
}

impl Service {
    /// Works out a service from its record.
    ///
    /// # Errors
    /// What hephd itself would refuse of the flags.
    pub fn new(host: &Host, record: Record) -> Result<Self> {
        let paths = host.paths(record.scope);
        let mut flags = record.flags.clone();
        if record.scope == Scope::System {
            flags.db.get_or_insert_with(|| PathBuf::from(SYSTEM_DB));
        }
        let config = flags.check(record.role.mode())?;
        let spelled_out = Flags {
            db: Some(config.db.clone()),
            socket: Some(config.socket.clone()),
            existing_store: true,
            token_file: token_file(&record, &config),
            ..flags
        };
        let mut argv = vec![
            text(&record.bin, "--bin")?,
            "--mode".to_owned(),
            record.role.mode().as_str().to_owned(),
        ];
        argv.extend(spelled_out.to_argv()?);
        let (words, values) = (argv.iter(), record.env.values());
        words.chain(values).try_for_each(|word| refuse_breaks(word))?;
        let record_path = paths.record(&record.label);
        let env = environment(paths, &record, &config);
        let home = host.home.clone();
        let backup = record.backups.as_ref().map(|backups| {
            Job::backup(&record.label, &config.db, &ops_beside(host, &record)?, backups)
        });
        let jobs = backup.transpose()?.into_iter().collect();
        Ok(Self { record, record_path, config, argv, env, jobs, home })
    }

    /// The recorded service of a label, or the only one there is.
    ///
    /// # Errors
    /// `usage` with the list where no label is given and there are several;
    /// `service_not_found` where there is none.
    pub fn find(host: &Host, label: Option<&str>) -> Result<Self> {
        let folders = host.scopes().iter().map(|scope| host.paths(*scope).records());
        let records: Vec<Record> = match label {
            Some(label) => folders
                .filter_map(|folder| Record::load(&folder, label).transpose())
                .collect::<Result<_>>()?,
            None => {
                folders.flat_map(|folder| Record::load_installed(&folder)).collect::<Result<_>>()?
            }
        };
        let labels = records.iter().map(|r| r.label.as_str()).collect::<Vec<_>>().join(", ");
        let mut found = records.iter().filter(|record| record.installed);
        match (found.next(), found.next()) {
            (Some(record), None) => Self::new(host, record.clone()),
            (Some(_), Some(_)) => Err(Error::usage(
                format!("there are several services: {labels}"),
                "name one of them",
            )),
            (None, _) => Err(Error::new(
                Code::ServiceNotFound,
                match label {
                    Some(label) => format!("no service {label} is installed"),
                    None => "no service is installed".to_owned(),
                },
                match host.hides_services() {
                    true => "those of the machine are root's to see: run it with sudo",
                    false => "install one: heph-ops install-service --role hub|spoke",
                },
            )),
        }
    }

    /// All installed services, and the error of each that cannot be read.
    #[must_use]
    pub fn all(host: &Host) -> Vec<Result<Self>> {
        let folders = host.scopes().iter().map(|scope| host.paths(*scope).records());
        let records = folders.flat_map(|folder| Record::load_installed(&folder));
        records.into_iter().map(|record| Self::new(host, record?)).collect()
    }

    /// The service's name.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.record.label
    }

    /// Where its things lie.
    #[must_use]
    pub fn paths(&self) -> Paths<'_> {
        Paths::of(&self.home, self.record.scope)
    }

    /// The home of the person whose service it is.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        (self.record.scope == Scope::User).then(|| self.home.clone())
    }

    /// Settings that somebody laid beside its unit.
    #[must_use]
    pub fn drop_ins(&self) -> Option<PathBuf> {
        let folder = self.paths().units(self.record.manager)?;
        Some(folder.join(format!("{}.service.d", self.label())))
    }

    /// How much it is kept from.
    #[must_use]
    pub fn hardening(&self) -> Hardening {
        self.record.hardening.unwrap_or(match self.record.scope {
            Scope::User => Hardening::Basic,
            Scope::System => Hardening::Strict,
        })
    }

    /// The files that it logs to, where its manager writes files.
    #[must_use]
    pub fn log_files(&self) -> [PathBuf; 2] {
        self.paths().log_files(self.label(), self.record.log_dir.as_deref())
    }

    /// Where a device's login lies, unless it is in the keyring.
    #[must_use]
    pub fn token_file(&self) -> Option<PathBuf> {
        token_file(&self.record, &self.config)
    }

    /// A hub's address as this machine reaches it.
    #[must_use]
    pub fn probe_address(&self) -> Option<SocketAddr> {
        (self.record.role == Role::Hub).then(|| reached_here(self.config.http_addr))
    }
}

/// The heph-ops beside hephd: whoever runs an install from elsewhere changes nothing.
fn ops_beside(host: &Host, record: &Record) -> Result<PathBuf> {
    let beside = record.bin.with_file_name("heph-ops");
    if beside.is_file() { Ok(beside) } else { host.this_program() }
}

/// What it finds in its environment: its programs, cargo's toolchain where it
/// came from cargo, and what it was given.
fn environment(paths: Paths<'_>, record: &Record, config: &Config) -> BTreeMap<String, String> {
    let path = paths.program_path(record.manager, &record.bin);
    let mut env = BTreeMap::from([("PATH".to_owned(), path)]);
    if record.bin.parent().is_some_and(|folder| folder.ends_with(".cargo/bin")) {
        env.insert("RUSTUP_TOOLCHAIN".to_owned(), "stable".to_owned());
    }
    // launchd promises no home to a daemon of the machine.
    if record.manager == ManagerKind::Launchd && record.scope == Scope::System {
        env.insert("HOME".to_owned(), folder(&config.db).display().to_string());
    }
    env.extend(record.env.clone());
    env
}

/// An address to listen on, as this machine reaches it.
#[must_use]
pub fn reached_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn token_file(record: &Record, config: &Config) -> Option<PathBuf> {
    let usual =
        (!record.keyring && record.role == Role::Spoke).then(|| token_file_beside(&config.db));
    record.flags.token_file.clone().or(usual)
}

/// The label that a role has where none is given.
#[must_use]
pub const fn default_label(role: Role) -> &'static str {
    match role {
        Role::Hub => "heph-hub",
        Role::Spoke => "heph-spoke",
    }
}

/// A path that is to stand in a unit or record.
fn text(path: &Path, flag: &str) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::usage(format!("{flag} {} is not UTF-8", path.display()), "give paths as UTF-8 text")
    })
}
