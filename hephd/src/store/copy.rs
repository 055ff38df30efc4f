//! A whole store in memory, copied page by page. Not the copy that a seed or
//! a backup takes of a file: see `seed`.
//!
//! A simulation crashes processes and puts disks back a great many times, and
//! what the next process finds must be what a disk would hold, no more and no
//! less: every committed byte, and nothing that the last process only knew.

use rusqlite::{
    Connection, Error as Sqlite,
    backup::{Backup, StepResult},
    ffi,
};

use super::Store;
use crate::{error::Result, machine::Machine};

impl Store {
    /// All that is committed here, in memory, as a process that starts on
    /// that machine finds it: with an actor of its own.
    ///
    /// # Errors
    /// SQLite's; `store_in_use` within a transaction.
    pub fn copy_in_memory(&self, machine: &Machine) -> Result<Self> {
        let mut copy = Connection::open_in_memory()?;
        if Backup::new(&self.conn, &mut copy)?.step(-1)? != StepResult::Done {
            return Err(Sqlite::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None).into());
        }
        let copy = Self::over(copy, machine.clone(), ":memory:")?;
        copy.ensure_origin()?;
        Ok(copy)
    }
}
