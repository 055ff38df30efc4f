//! The proof of a copy: source and copy are read at the same time, in full,
//! and hold the same but for a few keys of `meta`.

use std::{collections::BTreeMap, fs::File, path::Path, thread};

use rusqlite::{Connection, Error as Sqlite, InterruptHandle, OpenFlags};
use sha2::{Digest, Sha256};

use super::{
    Listener, Progress,
    copy::{copying, is_our_failure},
    source::{calm, reading},
};
use crate::{
    error::{Code, Error, Result, file},
    id::hex,
    store::proof::{Proof, compare, flaws, prove},
};

/// What both sides hold, and what is known of the copy's file.
pub(in crate::store) struct Proved {
    pub(in crate::store) source: Proof,
    pub(in crate::store) copy: Proof,
    pub(in crate::store) meta_changed: Vec<String>,
    pub(in crate::store) sha256: String,
    pub(in crate::store) bytes: u64,
}

/// The keys of `meta`, and the digests of their values.
type Meta = BTreeMap<String, Vec<String>>;

/// Reads source and copy, or takes what was `told` of the source, while SQLite
/// looks whether the copy is sound: that takes as long as all the rest. A
/// damaged copy stops the reading: a damaged tree may lead a reader about for
/// ever.
pub(super) fn prove_both(
    source: Original<'_>,
    from: &Path,
    copy: &mut Connection,
    staging: &Path,
    progress: Listener<'_>,
) -> Result<Proved> {
    let reader = share(copy, staging).map_err(copying(staging))?;
    let stop =
        [source.conn(), Some(&reader)].map(|conn| conn.map(Connection::get_interrupt_handle));
    let (sound, read) = thread::scope(|scope| {
        let stop = &stop;
        let sound = scope.spawn(move || {
            let sound = look_whether_sound(copy, from, staging);
            if sound.is_err() {
                stop.iter().flatten().for_each(InterruptHandle::interrupt);
            }
            sound
        });
        let read = read_all(source, from, &reader, staging, progress);
        (sound.join().unwrap_or_else(|_| Err(Error::internal("the proof broke off"))), read)
    });
    sound?;
    read
}

/// A second connection to the copy, which was its maker's alone until now.
fn share(copy: &Connection, staging: &Path) -> rusqlite::Result<Connection> {
    copy.execute_batch("PRAGMA locking_mode = NORMAL")?;
    copy.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(staging, flags)?;
    calm(&reader)?;
    reader.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(reader)
}

fn read_all(
    source: Original<'_>,
    from: &Path,
    copy: &Connection,
    staging: &Path,
    progress: Listener<'_>,
) -> Result<Proved> {
    let mut tell =
        |table: &str, rows| progress(Progress::Proving { table: table.to_owned(), rows });
    let source = source.prove(&mut tell).map_err(reading(from))?;
    let copy = prove(copy, &mut tell).map_err(stumbling(from, staging))?;
    let (sha256, bytes) = file_digest(staging)?;
    Ok(Proved { source, copy, meta_changed: Vec::new(), sha256, bytes })
}

/// What a copy is proved against.
#[derive(Clone, Copy)]
pub(super) enum Original<'a> {
    /// The source itself, within its read transaction.
    Open(&'a Connection),
    /// What it said of itself.
    Told(&'a Proof),
}

impl<'a> Original<'a> {
    const fn conn(self) -> Option<&'a Connection> {
        match self {
            Self::Open(conn) => Some(conn),
            Self::Told(_) => None,
        }
    }

    fn prove(self, tell: &mut dyn FnMut(&str, u64)) -> rusqlite::Result<Proof> {
        match self {
            Self::Open(conn) => prove(conn, tell),
            Self::Told(proof) => Ok(proof.clone()),
        }
    }
}

impl Proved {
    /// Refuses a copy that differs elsewhere than in the keys of `meta` that
    /// may.
    pub(super) fn compare(
        mut self,
        before: &Meta,
        after: &Meta,
        may_differ: impl Fn(&str) -> bool,
        from: &Path,
    ) -> Result<Self> {
        self.meta_changed = changes(before, after);
        let stray = self.meta_changed.iter().find(|key| !may_differ(key));
        let stray = stray.map(|key| format!("table meta: its row {key} differs"));
        match compare(&self.source, &self.copy).or(stray) {
            None => Ok(self),
            Some(difference) => Err(damaged(from, &format!("its copy differs: {difference}"))),
        }
    }
}

/// What SQLite stumbles over in the copy came from the source.
fn stumbling<'a>(from: &'a Path, staging: &'a Path) -> impl Fn(Sqlite) -> Error + 'a {
    move |error| match is_our_failure(&error) {
        true => copying(staging)(error),
        false => reading(from)(error),
    }
}

fn look_whether_sound(copy: &Connection, from: &Path, staging: &Path) -> Result<()> {
    match flaws(copy).map_err(stumbling(from, staging))? {
        None => Ok(()),
        Some(flaw) => Err(damaged(from, &flaw)),
    }
}

fn changes(before: &Meta, after: &Meta) -> Vec<String> {
    let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
}

/// SHA-256 over a file, and its length in bytes.
pub(in crate::store) fn file_digest(path: &Path) -> Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut source = File::open(path).map_err(file(path, "read"))?;
    let bytes = std::io::copy(&mut source, &mut hash).map_err(file(path, "read"))?;
    Ok((hex(&hash.finalize()), bytes))
}

pub(in crate::store) fn damaged(from: &Path, how: &str) -> Error {
    Error::new(
        Code::StoreCorrupt,
        format!("{} is damaged: {how}", from.display()),
        "nothing was made of it; seed from another device, or from a backup",
    )
}
