//! Which store a command is about: the one that is named, or a service's.

use std::path::PathBuf;

use hephd::{error::Result, paths::quoted};

use crate::{host::Host, service::Service};

/// Names a store.
#[derive(Debug, clap::Args)]
pub struct WhichStore {
    /// The service whose store it is [default: the only one]
    #[arg(value_name = "LABEL", conflicts_with = "db")]
    pub label: Option<String>,
    /// A store's file, in place of a service
    #[arg(long, value_name = "PATH")]
    pub db: Option<PathBuf>,
}

/// A store, and what its copies are called.
#[derive(Debug, Clone)]
pub struct Named {
    /// The file.
    pub db: PathBuf,
    /// The service's label, or the file's name without its ending.
    pub name: String,
}

impl WhichStore {
    /// The words that name it, with a blank behind them; none for the only one.
    #[must_use]
    pub fn words(&self) -> String {
        match (&self.label, &self.db) {
            (Some(label), _) => format!("{label} "),
            (None, Some(db)) => format!("--db {} ", quoted(db)),
            (None, None) => String::new(),
        }
    }

    /// Finds it.
    ///
    /// # Errors
    /// As [`Service::find`].
    pub fn find(&self, host: &Host) -> Result<Named> {
        if let Some(db) = &self.db {
            let name = db.file_stem().unwrap_or_default().to_string_lossy();
            let name = name.trim_start_matches('.').replace(char::is_whitespace, "-");
            return Ok(Named { db: db.clone(), name });
        }
        let service = Service::find(host, self.label.as_deref())?;
        Ok(Named { db: service.config.db.clone(), name: service.label().to_owned() })
    }
}
