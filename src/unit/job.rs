//! Work that is done again and again beside a service: a backup, a look for an
//! update, a status file. Each is a run of heph-ops.

use std::path::{Path, PathBuf};

use hephd::{
    error::{Error, Result},
    record::Backups,
    store::file::folder,
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

    fn new(word: &'static str, description: String, ops: &Path, words: &[&str]) -> Result<Self> {
        let argv = std::iter::once(text(ops)?).chain(words.iter().map(|word| (*word).to_owned()));
        Ok(Self { word, description, argv: argv.collect(), every: 0, writes: vec![] })
    }

    /// A copy of the store, kept for later.
    ///
    /// # Errors
    /// `usage` for a path that is not UTF-8, or a time that is none.
    pub fn backup(label: &str, db: &Path, ops: &Path, backups: &Backups) -> Result<Self> {
        let (db, dir) = (text(db)?, text(&backups.dir)?);
        let words = ["backup", "--db", &db, "--to", &dir, "--keep", KEEP, "--quiet"];
        let every = seconds(&backups.every).map_err(|why| {
            Error::usage(format!("--backup-every {}: {why}", backups.every), "write 12h or 1d")
        })?;
        let job = Self::new("backup", format!("Backup of {label}"), ops, &words)?;
        Ok(Self { every, writes: vec![backups.dir.clone()], ..job })
    }

    /// A look for a newer release, which takes the place of `bin`.
    ///
    /// # Errors
    /// `usage` for a path that is not UTF-8.
    pub fn update(label: &str, bin: &Path, ops: &Path, every: u64) -> Result<Self> {
        let job = Self::new("update", format!("Update of {label}"), ops, &["self-update"])?;
        Ok(Self { every, writes: vec![folder(bin).to_owned()], ..job })
    }

    /// A file that Prometheus reads: how the service stands.
    ///
    /// # Errors
    /// `usage` for a path that is not UTF-8.
    pub fn status_file(label: &str, output: &Path, ops: &Path, every: u64) -> Result<Self> {
        let (file, written) = (text(output)?, folder(output).to_owned());
        let words = ["status", label, "--format", "prometheus", "--output", &file];
        let job = Self::new("status", format!("Status of {label}"), ops, &words)?;
        Ok(Self { every, writes: vec![written], ..job })
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
