//! A service as it is wanted: the record, and what follows from it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use hephd::{
    args::Flags,
    config::Config,
    error::{Code, Error, Result},
    record::{Record, Role, token_file_beside},
};

use crate::host::Host;

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
}

impl Service {
    /// Works out a service from its record.
    ///
    /// # Errors
    /// What hephd itself would refuse of the flags.
    pub fn new(host: &Host, record: Record) -> Result<Self> {
        let config = record.flags.check(record.role.mode())?;
        let spelled_out = Flags {
            db: Some(config.db.clone()),
            socket: Some(config.socket.clone()),
            existing_store: true,
            token_file: token_file(&record, &config),
            ..record.flags.clone()
        };
        let mut argv = vec![
            text(&record.bin, "--bin")?,
            "--mode".to_owned(),
            record.role.mode().as_str().to_owned(),
        ];
        argv.extend(spelled_out.to_argv()?);
        let record_path = Record::path(&host.record_folder(), &record.label);
        Ok(Self { record, record_path, config, argv })
    }

    /// The recorded service of a label, or the only one there is.
    ///
    /// # Errors
    /// `usage` with the list where no label is given and there are several;
    /// `service_not_found` where there is none.
    pub fn find(host: &Host, label: Option<&str>) -> Result<Self> {
        let folder = host.record_folder();
        let records: Vec<Record> = match label {
            Some(label) => Record::load(&folder, label)?.into_iter().collect(),
            None => Record::load_installed(&folder).into_iter().collect::<Result<_>>()?,
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
                "install one: heph-ops install-service --role hub|spoke",
            )),
        }
    }

    /// All installed services, and the error of each that cannot be read.
    #[must_use]
    pub fn all(host: &Host) -> Vec<Result<Self>> {
        let records = Record::load_installed(&host.record_folder());
        records.into_iter().map(|record| Self::new(host, record?)).collect()
    }

    /// The service's name.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.record.label
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
