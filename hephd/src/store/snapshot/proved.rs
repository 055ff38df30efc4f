//! The proof of a copy: source and copy are read at the same time, in full,
//! and hold the same but for a few keys of `meta`.

use std::{collections::BTreeMap, fs::File, path::Path, thread};

use rusqlite::{Connection, Error as Sqlite};
use sha2::{Digest, Sha256};

use super::{
    Listener, Progress,
    copy::{copying, is_our_failure},
    source::reading,
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

/// Reads source and copy, both at the same time, or takes what was `told` of
/// the source; and asks SQLite whether the copy is sound. A damaged copy stops
/// the reading of the source: a damaged tree may lead a reader about for ever.
pub(super) fn prove_both(
    source: Original<'_>,
    from: &Path,
    copy: &mut Connection,
    staging: &Path,
    progress: Listener<'_>,
) -> Result<Proved> {
    let stop = source.conn().map(Connection::get_interrupt_handle);
    let (there, here) = thread::scope(|scope| {
        let here = scope.spawn(|| {
            let proof = prove_sound(copy, from, staging, progress);
            if let (Err(_), Some(stop)) = (&proof, &stop) {
                stop.interrupt();
            }
            proof
        });
        let there = source.prove().map_err(reading(from));
        let there = there.and_then(|proof| Ok((proof, file_digest(staging)?)));
        (there, here.join().unwrap_or_else(|_| Err(Error::internal("the proof broke off"))))
    });
    let (copy, (source, (sha256, bytes))) = (here?, there?);
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

    fn prove(self) -> rusqlite::Result<Proof> {
        match self {
            Self::Open(conn) => prove(conn, &mut |_, _| ()),
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

fn prove_sound(
    copy: &mut Connection,
    from: &Path,
    staging: &Path,
    progress: Listener<'_>,
) -> Result<Proof> {
    // What SQLite stumbles over in the copy came from the source.
    let stumbles = |error: Sqlite| match is_our_failure(&error) {
        true => copying(staging)(error),
        false => reading(from)(error),
    };
    if let Some(flaw) = flaws(copy).map_err(stumbles)? {
        return Err(damaged(from, &flaw));
    }
    let mut tell =
        |table: &str, rows| progress(Progress::Proving { table: table.to_owned(), rows });
    prove(copy, &mut tell).map_err(stumbles)
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
