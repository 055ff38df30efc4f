//! The proof of a copy: source and copy are read at the same time, in full,
//! and hold the same but for a few keys of `meta`.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path, thread};

use rusqlite::{Connection, Error as Sqlite, OpenFlags};
use sha2::{Digest, Sha256};

use super::{
    Listener, Progress,
    copy::{copying, is_our_failure},
    original::Original,
    source::{calm, reading},
};
use crate::{
    error::{Code, Error, Result, file},
    id::hex,
    store::proof::{Proof, compare, orphan, prove, unsound},
};

/// What both sides hold, and what is known of the copy's file.
pub(in crate::store) struct Proved {
    pub(in crate::store) source: Proof,
    pub(in crate::store) copy: Proof,
    pub(in crate::store) meta_changed: Vec<String>,
    pub(in crate::store) sha256: String,
    pub(in crate::store) bytes: u64,
}

/// How many bytes are read at a time.
const PIECE: usize = 256 << 10;

/// The keys of `meta`, and the digests of their values.
type Meta = BTreeMap<String, Vec<String>>;

/// Reads the copy, while SQLite looks whether it is sound: that takes as long as
/// all the rest. One that is not stops the reading, of the source as well: a
/// damaged tree may lead a reader about for ever.
pub(super) fn prove_both(
    source: Original,
    from: &Path,
    copy: &mut Connection,
    staging: &Path,
    progress: Listener<'_>,
) -> Result<Proved> {
    let reader = share(copy, staging).map_err(copying(staging))?;
    let stop = reader.get_interrupt_handle();
    let (sound, written, read) = thread::scope(|scope| {
        let written = scope.spawn(|| write_back(staging));
        let sound = scope.spawn(move || {
            let sound = look_whether_sound(copy, from, staging);
            if sound.is_err() {
                stop.interrupt();
            }
            sound
        });
        let read = read_all(from, &reader, staging, progress);
        let broken = |_| Err(Error::internal("the proof broke off"));
        (sound.join().unwrap_or_else(broken), written.join().unwrap_or_else(broken), read)
    });
    sound?;
    written?;
    let (copy, sha256, bytes) = read?;
    Ok(Proved { source: source.known()?, copy, meta_changed: Vec::new(), sha256, bytes })
}

/// Most of what was copied is on the disk before the sync at the end, which then
/// has less to do. What fails here is not tried again: a second sync may say that
/// all is well where the first one has lost something.
fn write_back(staging: &Path) -> Result<()> {
    File::open(staging).and_then(|copy| copy.sync_data()).map_err(file(staging, "sync"))
}

/// A second connection to the copy, which was its maker's alone until now. Both
/// begin to read at once: else each statement would look for a journal.
fn share(copy: &Connection, staging: &Path) -> rusqlite::Result<Connection> {
    let first = |conn: &Connection| {
        conn.execute_batch("BEGIN")?;
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    };
    copy.execute_batch("PRAGMA locking_mode = NORMAL")?;
    copy.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    first(copy)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let reader = Connection::open_with_flags(staging, flags)?;
    calm(&reader)?;
    first(&reader)?;
    Ok(reader)
}

fn read_all(
    from: &Path,
    copy: &Connection,
    staging: &Path,
    progress: Listener<'_>,
) -> Result<(Proof, String, u64)> {
    let mut tell =
        |table: &str, rows| progress(Progress::Proving { table: table.to_owned(), rows });
    let proof = prove(copy, &mut tell).map_err(stumbling(from, staging))?;
    if let Some(flaw) = orphan(copy).map_err(stumbling(from, staging))? {
        return Err(damaged(from, &flaw));
    }
    let (sha256, bytes) = file_digest(staging)?;
    Ok((proof, sha256, bytes))
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
    match unsound(copy).map_err(stumbling(from, staging))? {
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
    let source = File::open(path).map_err(file(path, "read"))?;
    digest_of(source).map_err(file(path, "read"))
}

/// SHA-256 over all that comes, and how many bytes that were.
pub(in crate::store) fn digest_of(mut from: impl Read) -> std::io::Result<(String, u64)> {
    let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok((hex(&hash.finalize()), bytes)),
            Ok(read) => {
                hash.update(&piece[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(in crate::store) fn damaged(from: &Path, how: &str) -> Error {
    Error::new(
        Code::StoreCorrupt,
        format!("{} is damaged: {how}", from.display()),
        "nothing was made of it; seed from another device, or from a backup",
    )
}
