//! A store that is read, and whose bytes stay as they are.
//!
//! SQLite itself reads the write-ahead log that an unclean stop has left.
//! What it cannot read without writing (a hot journal, read-only media) is
//! copied with everything beside it, recovered there, and read from there.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Error as Sqlite, ErrorCode, OpenFlags, config::DbConfig, ffi};

use super::rescue::PrivateCopy;
use crate::{
    error::{Code, Error, Result},
    store::file::beside,
};

/// A store open for reading, inside one read transaction.
pub(in crate::store) struct Reader {
    conn: Option<Connection>,
    path: PathBuf,
    stood_before: [bool; 2],
    _copied: Option<PrivateCopy>,
}

/// What SQLite makes beside a store even when it only reads.
const MADE_BY_READING: [&str; 2] = ["-wal", "-shm"];

impl Reader {
    /// Opens a store read-only. The path is absolute, and so never taken for
    /// a URI, and has no symbolic link in it: SQLite would follow it.
    pub(in crate::store) fn open(path: &Path) -> rusqlite::Result<Self> {
        let stood_before = MADE_BY_READING.map(|suffix| beside(path, suffix).exists());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        let reader = Self { conn: None, path: path.to_owned(), stood_before, _copied: None };
        reader.holding(conn)
    }

    /// Opens a source; where reading needs writing, a copy of its files
    /// `spare`, which goes when this goes.
    pub(in crate::store) fn open_source(path: &Path, spare: &Path) -> Result<Self> {
        match Self::open(path) {
            Err(error) if needs_recovery(&error) => {
                let copied = PrivateCopy::take(path, spare)?;
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let conn = Connection::open_with_flags(spare, flags).map_err(reading(path))?;
                let stood_before = [true; 2];
                let path = path.to_owned();
                let reader = Self { conn: None, path, stood_before, _copied: Some(copied) };
                let name = reader.path.clone();
                reader.holding(conn).map_err(reading(&name))
            }
            other => other.map_err(reading(path)),
        }
    }

    /// Begins the read transaction. The reader owns the connection already,
    /// so that a failure here leaves nothing behind either.
    fn holding(mut self, conn: Connection) -> rusqlite::Result<Self> {
        let conn = self.conn.insert(conn);
        calm(conn)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.execute_batch("PRAGMA query_only = ON; BEGIN")?;
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(self)
    }

    /// A second connection that reads the very same moment, so that two threads
    /// can; none where that cannot be had. It must be closed before this goes.
    ///
    /// Between the twin's two looks at the store's version lies the beginning of
    /// this transaction: where nobody else wrote meanwhile, both see the same.
    pub(super) fn twin(&mut self) -> Option<Connection> {
        const TRIES: usize = 8;
        if self.was_copied() {
            return None;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let twin = Connection::open_with_flags(&self.path, flags).ok()?;
        let version = || twin.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
        calm(&twin).ok()?;
        twin.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).ok()?;
        twin.execute_batch("PRAGMA query_only = ON").ok()?;
        for _ in 0..TRIES {
            let before = version().ok()?;
            self.begin_again().ok()?;
            twin.execute_batch("BEGIN").ok()?;
            if version().ok()? == before {
                return Some(twin);
            }
            twin.execute_batch("COMMIT").ok()?;
        }
        None
    }

    fn begin_again(&self) -> rusqlite::Result<()> {
        let conn = self.conn()?;
        conn.execute_batch("COMMIT; BEGIN")?;
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    }

    pub(in crate::store) fn conn(&self) -> rusqlite::Result<&Connection> {
        self.conn.as_ref().ok_or(Sqlite::InvalidQuery)
    }

    /// The connection, to be closed before this goes.
    pub(super) fn take(&mut self) -> rusqlite::Result<Connection> {
        self.conn.take().ok_or(Sqlite::InvalidQuery)
    }

    /// Whether what is read is a copy of the files.
    pub(in crate::store) fn was_copied(&self) -> bool {
        self._copied.is_some()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.conn = None;
        let [wal, shm] = [0, 1]
            .map(|i| !self.stood_before[i] && beside(&self.path, MADE_BY_READING[i]).exists());
        if wal || shm {
            // Where it cannot be done they stay: they are empty and harmless.
            let _ = remove_what_reading_made(&self.path, wal, shm);
        }
    }
}

/// Removes them by SQLite's own rule, under its exclusive lock, which shows
/// that nobody else has the store open, in this process or another. An index
/// in memory leaves `-shm` unused meanwhile; an empty log that is closed last
/// is removed by SQLite. One that is not empty is not ours to check in.
fn remove_what_reading_made(db: &Path, wal: bool, shm: bool) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(db, flags)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
    conn.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
    if shm {
        let _ = std::fs::remove_file(beside(db, "-shm"));
    }
    let is_empty = beside(db, "-wal").metadata().is_ok_and(|meta| meta.len() == 0);
    if wal && is_empty {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    }
    Ok(())
}

/// Nothing that a store's schema says is run on its behalf.
pub(super) fn calm(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    conn.execute_batch(
        "PRAGMA cell_size_check = ON; PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 5000",
    )
}

/// Whether SQLite could read this store only by writing to it, or beside it:
/// where the disk is full there is no room for the index of the log.
pub(in crate::store) fn needs_recovery(error: &Sqlite) -> bool {
    const NO_INDEX: [i32; 3] =
        [ffi::SQLITE_IOERR_SHMOPEN, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_SHMMAP];
    matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen))
        || error.sqlite_error().is_some_and(|failure| NO_INDEX.contains(&failure.extended_code))
}

/// Names the store in what SQLite says while it is read.
pub(in crate::store) fn reading(path: &Path) -> impl Fn(Sqlite) -> Error + '_ {
    move |error| {
        let says =
            |code, hint| Error::new(code, format!("cannot read {}: {error}", path.display()), hint);
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => stranger(path, "it is not a SQLite database"),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => says(
                Code::StoreInUse,
                "another program holds it: close that one, then run it again",
            ),
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                says(
                    Code::InsecurePermissions,
                    "look at the owner and the mode of it and its folder",
                )
            }
            Some(ErrorCode::DiskFull) => says(Code::NoSpace, "free some space for temporary files"),
            Some(ErrorCode::OutOfMemory) => Error::internal(format!("{}: {error}", path.display())),
            _ => says(
                Code::StoreCorrupt,
                "its file is damaged: seed from another device, or from a backup",
            ),
        }
    }
}

/// What is no store of anybody's.
pub(in crate::store) fn stranger(path: &Path, why: &str) -> Error {
    Error::new(
        Code::NotAHephStore,
        format!("{} is not a heph store: {why}", path.display()),
        "give the path of a device's heph.db",
    )
}
