//! Whole stores on disks in memory, copied page by page. Not the copy that a
//! seed or a backup takes of a file: see `seed`.
//!
//! A simulation crashes processes and puts disks back a great many times, and
//! what the next process finds must be what a disk would hold, no more and no
//! less: every committed byte, and nothing that the last process only knew. So
//! a disk is SQLite's file in memory, apart from the connection that reads it.
//! That connection, with all the statements that it has compiled, serves the
//! next process as well: of what it knew of the disk it keeps nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{
    Connection, Error as Sqlite, OpenFlags,
    backup::{Backup, StepResult},
    ffi,
};

use super::Store;
use crate::{error::Result, machine::Machine};

/// A disk in memory, for tests and simulations: what lies on it can be
/// replaced. It ends with the last store on it.
#[derive(Debug)]
pub struct Disk(Connection);

impl Disk {
    /// Another program, as it were, writes all pages anew. Compiled statements
    /// hold for as long as the layout has the number that they know; every store
    /// in memory is laid out alike.
    fn write(&mut self, from: &Connection) -> Result<()> {
        if Backup::new(from, &mut self.0)?.step(-1)? != StepResult::Done {
            return Err(Sqlite::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None).into());
        }
        let mut layout = from.prepare_cached("PRAGMA schema_version")?;
        let layout: i64 = layout.query_row([], |row| row.get(0))?;
        Ok(self.0.execute_batch(&format!("PRAGMA schema_version = {layout}"))?)
    }
}

impl Store {
    /// All that is committed here, on a disk in memory, as a process that
    /// starts on that machine finds it: with an actor of its own. A `spare`
    /// store, which nobody needs any more, lends its disk and its connection.
    ///
    /// # Errors
    /// SQLite's; `store_in_use` within a transaction.
    pub fn copy_in_memory(
        &self,
        spare: Option<(Self, Disk)>,
        machine: &Machine,
    ) -> Result<(Self, Disk)> {
        let (copy, disk) = match spare {
            Some((Self { conn, .. }, mut disk)) => {
                disk.write(&self.conn)?;
                // Every page is read anew, also where SQLite's count of changes
                // stands by chance where it stood.
                conn.release_memory()?;
                (Self::started(conn, machine.clone())?, disk)
            }
            None => {
                let name = unused_name();
                let mut disk = Disk(open(&name)?);
                disk.0.execute_batch("PRAGMA journal_mode = OFF")?;
                disk.write(&self.conn)?;
                (Self::over(open(&name)?, machine.clone(), &name)?, disk)
            }
        };
        copy.ensure_origin()?;
        Ok((copy, disk))
    }
}

fn unused_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("/disk-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Connections that give the same name share a disk.
fn open(name: &str) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags_and_vfs(name, flags, "memdb")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Clock, Entropy},
        error::Code,
        store::Birth,
    };

    fn machine() -> Machine {
        Machine { clock: Clock::System, entropy: Entropy::System, name: "test".to_owned() }
    }

    fn note(store: &Store, what: &str, times: usize) {
        for n in 0..times {
            store.set_meta("note", &format!("{what} {n}")).unwrap();
        }
    }

    /// However often both disks changed before: a connection that went on by
    /// what it had read would be wrong here.
    #[test]
    fn on_a_spare_disk_lies_what_was_put_there() {
        let (here, machine) = (Store::in_memory(&Birth::Minting, &machine()).unwrap(), machine());
        let mut spare = None;
        for (times_here, times_there) in (0..6).flat_map(|n| (0..6).map(move |m| (n, m))) {
            note(&here, "here", times_here);
            let (copy, disk) = here.copy_in_memory(spare.take(), &machine).unwrap();
            assert_eq!(copy.meta("note").unwrap(), here.meta("note").unwrap());
            assert_eq!(copy.owner().unwrap(), here.owner().unwrap());
            note(&copy, "there", times_there);
            copy.check_integrity().unwrap();
            spare = Some((copy, disk));
        }
    }

    #[test]
    fn what_is_not_committed_is_not_copied() {
        let (store, machine) = (Store::in_memory(&Birth::Minting, &machine()).unwrap(), machine());
        let (copy, disk) = store.copy_in_memory(None, &machine).unwrap();
        copy.begin_group().unwrap();
        note(&copy, "perhaps", 1);
        assert_eq!(copy.copy_in_memory(None, &machine).unwrap_err().code, Code::StoreInUse);
        copy.undo_group();
        let (next, _) = store.copy_in_memory(Some((copy, disk)), &machine).unwrap();
        assert_eq!(next.meta("note").unwrap(), None);
    }
}
