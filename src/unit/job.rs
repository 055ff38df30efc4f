//! Work that is done again and again beside a service: a backup, a look for an
//! update, a status file. Each is a run of heph-ops.

use std::path::{Path, PathBuf};

use hephd::{
    error::{Error, Result},
    record::Backups,
};

/// How many backups a timer keeps.
const KEEP: &str = "30";

/// One such work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Behind the service's label: `backup`.
    pub word: &'static str,
    /// For people.
    pub description: String,
    /// The command line.
    pub argv: Vec<String>,
    /// Seconds from one run to the next.
    pub every: u64,
    /// What it writes beside the store's folder.
    pub writes: Vec<PathBuf>,
}

/// Every word that a job may have: what an earlier install left is found by it.
pub const WORDS: [&str; 3] = ["backup", "update", "status"];

impl Job {
    /// Its name beside its service.
    #[must_use]
    pub fn name(&self, label: &str) -> String {
        format!("{label}-{}", self.word)
    }

    /// A copy of the store, kept for later.
    ///
    /// # Errors
    /// `usage` for a path that is not UTF-8, or a time that is none.
    pub fn backup(label: &str, db: &Path, ops: &Path, backups: &Backups) -> Result<Self> {
        let (db, dir) = (text(db)?, text(&backups.dir)?);
        let argv = [&text(ops)?, "backup", "--db", &db, "--to", &dir, "--keep", KEEP, "--quiet"];
        Ok(Self {
            word: "backup",
            description: format!("Backup of {label}"),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            every: seconds(&backups.every).map_err(|why| {
                Error::usage(format!("--backup-every {}: {why}", backups.every), "write 12h or 1d")
            })?,
            writes: vec![backups.dir.clone()],
        })
    }
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::usage(format!("{} is not UTF-8", path.display()), "give paths as UTF-8 text")
    })
}

/// A time as people write it, in seconds: `30m`, `12h`, `1d`.
///
/// # Errors
/// What is wrong with it.
pub fn seconds(text: &str) -> Result<u64, String> {
    let secs = hephd::clock::parse_span(text).ok_or("this is no time")?;
    match secs {
        60..=31_622_400 => Ok(secs),
        _ => Err("that is not between a minute and a year".to_owned()),
    }
}
