//! One piece of work on the store: all of it, or none.
//!
//! By itself a piece is a transaction of its own, durable when it is
//! committed. Within [`Group`], several pieces share one transaction and
//! become durable together; each can still be undone alone.

use std::ops::Deref;

use rusqlite::Connection;

use super::Store;
use crate::error::{Code, Error, Result};

/// Work under way; undone unless it is committed.
#[derive(Debug)]
pub(super) struct Work<'a> {
    conn: &'a Connection,
    /// Within a group's transaction.
    grouped: bool,
    open: bool,
}

impl<'a> Work<'a> {
    pub(super) fn begin(conn: &'a Connection) -> Result<Self> {
        let grouped = !conn.is_autocommit();
        run(conn, if grouped { "SAVEPOINT work" } else { "BEGIN IMMEDIATE" })?;
        Ok(Self { conn, grouped, open: true })
    }

    /// Keeps the work: durably, or until its group is durable.
    pub(super) fn commit(mut self) -> Result<()> {
        run(self.conn, if self.grouped { "RELEASE work" } else { "COMMIT" })?;
        self.open = false;
        Ok(())
    }
}

/// Compiled once: this stands around every piece of work.
fn run(conn: &Connection, sql: &str) -> Result<()> {
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}

impl Deref for Work<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        // SQLite may have undone the whole transaction already, as when the
        // disk is full.
        if self.open && !self.conn.is_autocommit() {
            let undo = if self.grouped { "ROLLBACK TO work; RELEASE work" } else { "ROLLBACK" };
            let _ = self.conn.execute_batch(undo);
        }
    }
}

/// Several pieces of work that become durable in one go. Nothing within it
/// may be acknowledged before [`Store::end_group`] has returned.
impl Store {
    /// From here on, pieces of work share one transaction.
    ///
    /// # Errors
    /// SQLite's.
    pub fn begin_group(&self) -> Result<()> {
        Ok(self.conn.execute_batch("BEGIN IMMEDIATE")?)
    }

    /// Whether the group is still whole: a failure of the disk undoes all of
    /// it at once.
    #[must_use]
    pub fn in_group(&self) -> bool {
        !self.conn.is_autocommit()
    }

    /// From here on, pieces of work are a part of the group that can be undone
    /// alone.
    ///
    /// # Errors
    /// SQLite's.
    pub fn begin_part(&self) -> Result<()> {
        Ok(self.conn.execute_batch("SAVEPOINT part")?)
    }

    /// Keeps the part for the group, or undoes it.
    ///
    /// # Errors
    /// SQLite's; when the whole group was undone, there is nothing to say here.
    pub fn end_part(&self, keep: bool) -> Result<()> {
        if !self.in_group() {
            return Ok(());
        }
        let end = if keep { "RELEASE part" } else { "ROLLBACK TO part; RELEASE part" };
        Ok(self.conn.execute_batch(end)?)
    }

    /// Undoes all of the group.
    pub fn undo_group(&self) {
        if self.in_group() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
    }

    /// From here on, reading sees one state of the store.
    ///
    /// # Errors
    /// SQLite's.
    pub fn begin_reading(&self) -> Result<()> {
        Ok(self.conn.execute_batch("BEGIN")?)
    }

    /// Lets go of that state, so that the log can be moved into the file.
    pub fn end_reading(&self) {
        self.undo_group();
    }

    /// Makes the whole group durable, or undoes it.
    ///
    /// # Errors
    /// SQLite's; `disk_failed` when the group was undone before.
    pub fn end_group(&self) -> Result<()> {
        if !self.in_group() {
            return Err(Error::new(
                Code::DiskFailed,
                "the disk failed while this was being written; it is undone",
                "nothing was acknowledged; try again once the disk is well",
            ));
        }
        self.conn.execute_batch("COMMIT").map_err(|error| {
            let _ = self.conn.execute_batch("ROLLBACK");
            error.into()
        })
    }
}
