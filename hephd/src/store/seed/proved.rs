//! The proof of a seed: source and copy are read at the same time, in full,
//! and hold the same but for a few keys of `meta`.

use std::{collections::BTreeMap, fs::File, path::Path, thread};

use rusqlite::{Connection, Error as Sqlite};
use sha2::{Digest, Sha256};

use super::{
    Progress,
    copy::{Listener, copying, digests_of_meta, is_of_one_device, is_our_failure},
    source::reading,
};
use crate::{
    error::{Code, Error, Result, file},
    id::hex,
    store::proof::{Proof, compare, flaws, prove},
};

/// What both sides of a seed hold, and what is known of the file.
pub(super) struct Proved {
    pub(super) source: Proof,
    pub(super) copy: Proof,
    pub(super) meta_changed: Vec<String>,
    pub(super) sha256: String,
    pub(super) bytes: u64,
}

/// Proves the copy against the source, both at the same time, and asks SQLite
/// whether the copy is sound. A damaged copy stops the reading of the source:
/// a damaged tree may lead a reader about for ever.
pub(super) fn prove_both(
    source: &Connection,
    from: &Path,
    copy: &mut Connection,
    staging: &Path,
    progress: Listener<'_>,
) -> Result<Proved> {
    let stop = source.get_interrupt_handle();
    let of_source = digests_of_meta(source).map_err(reading(from))?;
    let of_copy = digests_of_meta(copy).map_err(copying(staging))?;
    let (there, here) = thread::scope(|scope| {
        let here = scope.spawn(|| {
            let proof = prove_sound(copy, from, staging, progress);
            if proof.is_err() {
                stop.interrupt();
            }
            proof
        });
        let there = prove(source, &mut |_, _| ()).map_err(reading(from));
        let there = there.and_then(|proof| Ok((proof, file_digest(staging)?)));
        (there, here.join().unwrap_or_else(|_| Err(Error::internal("the proof broke off"))))
    });
    let (copy, (source, (sha256, bytes))) = (here?, there?);
    let meta_changed = changes(&of_source, &of_copy);
    let stray = meta_changed.iter().find(|key| !is_of_one_device(key));
    let stray = stray.map(|key| format!("table meta: its row {key} differs"));
    match compare(&source, &copy).or(stray) {
        None => Ok(Proved { source, copy, meta_changed, sha256, bytes }),
        Some(difference) => Err(damaged(from, &format!("its copy differs: {difference}"))),
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

fn changes(
    before: &BTreeMap<String, Vec<String>>,
    after: &BTreeMap<String, Vec<String>>,
) -> Vec<String> {
    let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
}

/// SHA-256 over a file, and its length.
fn file_digest(path: &Path) -> Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut source = File::open(path).map_err(file(path, "read"))?;
    let bytes = std::io::copy(&mut source, &mut hash).map_err(file(path, "read"))?;
    Ok((hex(&hash.finalize()), bytes))
}

fn damaged(from: &Path, how: &str) -> Error {
    Error::new(
        Code::StoreCorrupt,
        format!("{} is damaged: {how}", from.display()),
        "nothing was made of it; seed from another device, or from a backup",
    )
}
