//! A copy of a store as it stood at one moment, and the proof that it is equal.
//!
//! The steps, in their order:
//!
//! 1. Open the source read-only and begin a read transaction: from here on it
//!    stands still for us, and writers go on.
//! 2. Copy it in one step of SQLite's backup into a file of ours. Files cannot
//!    be copied instead: what is committed may still be in the write-ahead
//!    log, and between two reads it moves.
//! 3. Whoever wants the copy changed changes it: `meta` alone.
//! 4. Prove it, after the last change: SQLite finds it sound, and every table
//!    is equal to the source's in the same read transaction, but for the keys
//!    of `meta` that were to change.
//!
//! A source on another machine, or behind a daemon, does steps 1, 2 and 4
//! there and sends its copy as a [`stream`], which ends with the digest of its
//! bytes and the proof of its tables. What arrives is proved against those.
//!
//! A source's bytes never change. Its schema is proved, not understood: any
//! store with a table `meta(key, value)` and one owner will do.

mod copy;
mod judge;
mod original;
mod proved;
mod rescue;
mod source;
pub mod stream;

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use self::{
    copy::{copy, open_copy},
    judge::check_file,
    original::{Original, Reading},
    stream::Incoming,
};
pub(super) use self::{
    copy::{copying, digests_of_meta, is_our_failure},
    judge::{Judged, judge, meta_values},
    proved::{Proved, damaged, digest_of, file_digest},
    source::{Reader, needs_recovery, reading, stranger},
};
use crate::{
    error::{Error, Result, file},
    report::Warning,
    store::{
        file::{Nursery, Spool, StoreLock, beside, check_space, full},
        proof::prove,
    },
};

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes of so many are copied.
    Copying {
        /// Done.
        bytes: u64,
        /// All.
        of: u64,
    },
    /// So many bytes of so many are compressed.
    Packing {
        /// Done.
        bytes: u64,
        /// All.
        of: u64,
    },
    /// So many rows of this table are proved.
    Proving {
        /// The table.
        table: String,
        /// Done.
        rows: u64,
    },
}

/// Who wants to hear how far it is.
pub type Listener<'a> = &'a (dyn Fn(Progress) + Sync);

/// Where a copy is taken from.
pub enum Source<'a> {
    /// A store's file on this machine.
    Store(&'a Path),
    /// A snapshot that comes from elsewhere.
    Stream(Incoming<'a>),
}

/// A copy, not proved yet.
pub(super) struct Taken {
    /// The source, as errors name it.
    pub(super) from: PathBuf,
    pub(super) judged: Judged,
    pub(super) copy: Connection,
    pub(super) warnings: Vec<Warning>,
    pub(super) staging: PathBuf,
    original: Option<Original>,
    /// The digests of the source's `meta`.
    meta: BTreeMap<String, Vec<String>>,
}

impl Taken {
    /// Takes a copy of a store into a nursery's staging file.
    pub(super) fn in_nursery(
        source: Source<'_>,
        nursery: &Nursery,
        progress: Listener<'_>,
    ) -> Result<Self> {
        let staging = nursery.staging();
        match source {
            Source::Store(from) => {
                let opened = Opened::at(&full(from), &beside(staging, "-source"))?;
                check_space(staging, opened.judged.bytes)?;
                nursery.create()?;
                opened.copy(staging, progress)
            }
            Source::Stream(incoming) => {
                check_space(staging, incoming.header().bytes)?;
                nursery.create()?;
                Self::received(incoming, staging, progress)
            }
        }
    }

    fn received(incoming: Incoming<'_>, staging: &Path, progress: Listener<'_>) -> Result<Self> {
        let from = PathBuf::from(incoming.name());
        let warnings = incoming.header().warnings.clone();
        let proof = incoming.receive(staging, progress)?;
        let copy = open_copy(staging).map_err(reading(&from))?;
        let judged = judge(&copy, &from)?;
        // Whoever could not prove its tables has digested its file all the same.
        let proof = match proof {
            Some(proof) => proof,
            None => prove(&copy, &mut |_, _| ()).map_err(reading(&from))?,
        };
        let meta = digests_of_meta(&copy).map_err(reading(&from))?;
        let (original, staging) = (Some(Original::Told(proof)), staging.to_owned());
        Ok(Self { from, judged, copy, warnings, staging, original, meta })
    }

    /// Proves the copy as it is now, once. Keys of `meta` may differ where
    /// `may_differ` says so.
    pub(super) fn prove(
        &mut self,
        may_differ: impl Fn(&str) -> bool,
        progress: Listener<'_>,
    ) -> Result<Proved> {
        let (from, staging) = (&self.from, &self.staging);
        let original = self.original.take();
        let original = original.ok_or_else(|| Error::internal("it is proved already"))?;
        let meta = digests_of_meta(&self.copy).map_err(copying(staging))?;
        let proved = proved::prove_both(original, from, &mut self.copy, staging, progress)?;
        proved.compare(&self.meta, &meta, may_differ, from)
    }

    /// Closes the copy: it is one whole file now.
    pub(super) fn close(self) -> Result<()> {
        let staging = self.staging;
        self.copy.close().map_err(|(_, error)| copying(&staging)(error))?;
        // An empty one that could not be removed holds nothing.
        if beside(&staging, "-wal").metadata().is_ok_and(|log| log.len() > 0) {
            return Err(Error::internal(format!("{} is not all in one file", staging.display())));
        }
        Ok(())
    }
}

/// A store that stands still and has been looked at.
pub(super) struct Opened {
    from: PathBuf,
    /// Goes before the reader.
    twin: Option<Connection>,
    reader: Reader,
    pub(super) judged: Judged,
    warnings: Vec<Warning>,
}

impl Opened {
    /// Opens one; where reading needs writing, a copy of its files, `spare`.
    pub(super) fn at(from: &Path, spare: &Path) -> Result<Self> {
        let real = real_file(from)?;
        // Before it is opened, which may make a log.
        let log_lost = StoreLock::was_killed(&real) && !beside(&real, "-wal").exists();
        let mut reader = Reader::open_source(&real, spare)?;
        let twin = reader.twin();
        let judged = judge(reader.conn().map_err(reading(from))?, from)?;
        let warnings = warnings(&reader, &real, log_lost);
        Ok(Self { from: from.to_owned(), twin, reader, judged, warnings })
    }

    /// Opens one that this process works on.
    pub(super) fn live(from: &Path) -> Result<Self> {
        let mut reader = Reader::open(from).map_err(reading(from))?;
        let twin = reader.twin();
        let judged = judge(reader.conn().map_err(reading(from))?, from)?;
        Ok(Self { from: from.to_owned(), twin, reader, judged, warnings: Vec::new() })
    }

    /// What is read.
    pub(super) fn conn(&self) -> Result<&Connection> {
        self.reader.conn().map_err(reading(&self.from))
    }

    /// Copies it into an empty file.
    pub(super) fn copy(self, staging: &Path, progress: Listener<'_>) -> Result<Taken> {
        let Self { from, twin, reader, judged, warnings } = self;
        let twin = twin.map(|twin| Reading::begin(twin, from.clone()));
        let source = reader.conn().map_err(reading(&from))?;
        let copy = copy(source, staging, judged.bytes, progress)?;
        let meta = digests_of_meta(source).map_err(reading(&from))?;
        let read = match twin {
            Some(twin) => twin.keep(reader),
            None => Reading::of(reader, from.clone())?,
        };
        let (original, staging) = (Some(Original::Read(read)), staging.to_owned());
        Ok(Taken { from, judged, copy, warnings, staging, original, meta })
    }

    /// Copies it into a spool, and proves the copy.
    pub(super) fn copy_proved(self, spool: &Spool, progress: Listener<'_>) -> Result<ProvedCopy> {
        let path = spool.path("copy.db");
        check_space(&path, self.judged.bytes)?;
        create_private(&path)?;
        let mut taken = self.copy(&path, progress)?;
        let proved = taken.prove(|_| false, progress)?;
        taken.close()?;
        Ok(ProvedCopy { path, proved })
    }
}

/// Copies whatever is open, an owner or none, into a file that is not there.
pub(super) fn copy_to(conn: &Connection, from: &Path, to: &Path) -> Result<Connection> {
    let bytes = judge::size(conn).map_err(reading(from))?;
    check_space(to, bytes)?;
    create_private(to)?;
    copy(conn, to, bytes, &|_| ())
}

/// A copy that is equal to its source, and closed.
pub(super) struct ProvedCopy {
    pub(super) path: PathBuf,
    pub(super) proved: Proved,
}

/// An empty file, 0600, that was not there.
pub(super) fn create_private(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path).map_err(file(path, "create"))
}

/// The warning that a daemon writes to the source meanwhile.
pub(super) const SOURCE_RUNNING: &str = "source_running";

fn warnings(source: &Reader, real: &Path, log_lost: bool) -> Vec<Warning> {
    let running = StoreLock::holder(real).map(|pid| {
        let text = "process {pid} writes to the source: what comes later comes by sync";
        Warning::new(SOURCE_RUNNING, text.replace("{pid}", &pid.to_string()))
    });
    let recovered = source.was_copied().then(|| {
        let text =
            "the source could not be read where it lies: its files were copied and recovered";
        Warning::new("source_recovered", text)
    });
    let lost = log_lost.then(|| {
        let text = "the source's daemon was killed, and its log is gone: {log}. What was in it is \
                    lost, unless you find it";
        let log = beside(real, "-wal").display().to_string();
        Warning::new("source_log_missing", text.replace("{log}", &log))
    });
    [running, recovered, lost].into_iter().flatten().collect()
}

/// A path as it stands in documents, whatever its bytes are.
#[must_use]
pub fn name_of(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    path.to_str().map_or_else(|| bytes.escape_ascii().to_string(), str::to_owned)
}

/// The file that a source's path leads to. SQLite keeps its files beside that
/// one, not beside a symbolic link.
pub(super) fn real_file(from: &Path) -> Result<PathBuf> {
    check_file(from)?;
    from.canonicalize().map_err(file(from, "find"))
}
