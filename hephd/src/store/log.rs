//! The write-ahead log, kept short.
//!
//! SQLite moves the log into the file after a commit, but begins it anew only
//! at a moment in which nobody reads from it. Where readers follow each other
//! without a gap there is none, and the log grows until the disk is full. So
//! once it is long, the writer waits for those who read from it now. Whoever
//! begins meanwhile reads from the file alone, so the wait comes to an end.

use std::time::Duration;

use super::{BUSY, Store, file::beside};
use crate::error::Result;

/// So many bytes are long.
const LONG_BYTES: u64 = 16 << 20;

/// Writers wait no longer for readers than that, and try again once the log
/// has grown as much again.
const PATIENCE: Duration = Duration::from_secs(1);

/// When the log is next looked after.
#[derive(Debug)]
pub(super) struct LogDue(u64);

impl Default for LogDue {
    fn default() -> Self {
        Self(LONG_BYTES)
    }
}

impl Store {
    /// Moves the log into the file and begins it anew, once it is long.
    ///
    /// # Errors
    /// SQLite's.
    pub fn shorten_log(&mut self) -> Result<()> {
        if self.log_bytes() < self.log_due.0 {
            return Ok(());
        }
        self.conn.busy_timeout(PATIENCE)?;
        let moved = self.checkpoint();
        self.conn.busy_timeout(BUSY)?;
        self.log_due.0 = self.log_bytes() + LONG_BYTES;
        moved
    }

    /// Moves the write-ahead log into the file, as far as readers allow.
    ///
    /// # Errors
    /// SQLite's.
    pub fn checkpoint(&self) -> Result<()> {
        Ok(self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }

    fn log_bytes(&self) -> u64 {
        let path = self.conn.path().filter(|path| !path.is_empty());
        path.and_then(|path| std::fs::metadata(beside(path.as_ref(), "-wal")).ok())
            .map_or(0, |log| log.len())
    }
}
