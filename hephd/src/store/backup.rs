//! Backups: copies of a store as of one moment, each with its receipt, that
//! any `zstd` and any `sqlite3` can read.
//!
//! A backup is `NAME-TIME.db.zst`, a SQLite file and nothing else, and
//! `NAME-TIME.json`, its receipt. How one is made, in this order:
//!
//! 1. Lock the folder, clear what a killed predecessor left.
//! 2. Copy the store and prove the copy: see [`snapshot`](super::snapshot).
//!    Its daemon may run and write meanwhile.
//! 3. Compress it, and read back what the file holds: it must have the digest
//!    of the copy.
//! 4. Write the receipt, then give the file its name, by a rename that cannot
//!    overwrite.
//! 5. Only now remove those that are too many.
//!
//! So a backup under its own name is whole and has a receipt.

mod shelf;

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;

pub use self::shelf::{Backup, list, newest, prune};
use super::{
    seed::{Becoming, Kind, Receipt, SeededFrom, Wish, goes_on, seed},
    snapshot::{
        Listener, Opened, Progress, Reader, SOURCE_RUNNING, Source, create_private, digest_of,
        file_digest, judge, name_of, needs_recovery, reading, real_file,
        stream::{Header, Incoming, Trailer},
    },
};
use crate::{
    clock::{rfc3339, stamp},
    error::{Code, Error, Result, file},
    machine::Machine,
    report::Warning,
    store::{
        file::{
            Folders, Nursery, PACKED, Unfinished, beside, check_folder, check_space, folder, full,
            rename_to_nothing, sync_to_medium,
        },
        seed::Compressed,
    },
};

/// zstd's own default: three times as small as notes are, at the pace of a disk.
const LEVEL: i32 = 3;

/// How many bytes move at a time.
const PIECE: usize = 256 << 10;

/// What is to be backed up, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The store.
    pub db: &'a Path,
    /// The folder for backups; made, 0700, where it is missing.
    pub to: &'a Path,
    /// What their names begin with.
    pub name: &'a str,
}

/// Looks whether a store can be backed up there. Touches nothing.
///
/// # Errors
/// As [`back_up`], but for what only shows while everything is read.
pub fn look(task: &Task<'_>) -> Result<()> {
    check_shelf(task.to)?;
    let db = full(task.db);
    match Reader::open(&real_file(&db)?) {
        // Only a copy of its files tells more, and making one is not looking.
        Err(error) if needs_recovery(&error) => Ok(()),
        other => {
            let reader = other.map_err(reading(&db))?;
            judge(reader.conn().map_err(reading(&db))?, &db).map(drop)
        }
    }
}

fn check_shelf(to: &Path) -> Result<()> {
    if to.is_dir() {
        return check_folder(to);
    }
    if to.exists() {
        return Err(Error::usage(
            format!("{} is a file: backups need a folder", to.display()),
            "name a folder: --to DIR",
        ));
    }
    Ok(())
}

/// Makes a backup. See the steps above.
///
/// # Errors
/// As of a seed's source; `no_space`. Whatever it is, nothing is left of it. One
/// that is made in the same folder meanwhile is waited for.
pub fn back_up(task: &Task<'_>, machine: &Machine, progress: Listener<'_>) -> Result<Made> {
    check_shelf(task.to)?;
    let (db, to) = (full(task.db), full(&task.to.join(task.name)));
    let mut folders = Folders::make(folder(&to))?;
    // Several services may have one folder, and one timer.
    let nursery = Nursery::enter_in_turn(&to, &machine.entropy)?;
    shelf::clear_lonely_receipts(folder(&to), task.name);
    let started = machine.clock.now_ms();
    // A clock that was set back may have been here before.
    let named = |at| Backup::named(folder(&to), task.name, &stamp(at));
    let free = (started..).map(named).find(|backup| !backup.file.exists());
    let backup = free.ok_or_else(|| Error::internal("no name is free"))?;
    let (mut receipt, spared) = copy_and_prove(&db, &nursery, started, progress)?;
    receipt.target = name_of(&backup.file);
    let packed = Packed::of(&nursery, &receipt, progress)?;
    receipt.compressed = Some(packed.compressed.clone());
    let millis = machine.clock.now_ms().saturating_sub(started);
    receipt.seconds = Duration::from_millis(millis).as_secs_f64();
    folders.sync()?;
    let (own, packed_to) = (backup.receipt(), backup.file.clone());
    let _unfinished = Unfinished::new(move || {
        if !packed_to.exists() {
            let _ = std::fs::remove_file(&own);
        }
    });
    let named = receipt.write(&backup.stem(), nursery.staging(), None);
    let named = named.and_then(|()| packed.publish(&backup.file));
    named.inspect_err(|_| drop(std::fs::remove_file(backup.receipt())))?;
    folders.keep();
    Ok(Made { backup, receipt, spared })
}

/// A new backup.
#[derive(Debug, Clone)]
pub struct Made {
    /// Where it is.
    pub backup: Backup,
    /// What it holds.
    pub receipt: Receipt,
    /// Older ones of the store that have something which is not in it.
    pub spared: Vec<Backup>,
}

/// The backups of a store whose chains do not all go on in a copy of it. What they
/// end with may be nowhere else.
fn not_contained(shelf: &Path, receipt: &Receipt, copy: &Connection) -> Result<Vec<Backup>> {
    let mut found = Vec::new();
    for kept in list(shelf)? {
        let Ok(then) = kept.load() else { continue };
        if then.is_of_the_store_of(receipt) && !goes_on(&then, copy).map_err(Error::from)? {
            found.push(kept);
        }
    }
    Ok(found)
}

fn copy_and_prove(
    db: &Path,
    nursery: &Nursery,
    started: u64,
    progress: Listener<'_>,
) -> Result<(Receipt, Vec<Backup>)> {
    let opened = Opened::at(db, &beside(nursery.staging(), "-source"))?;
    let judged = opened.judged.clone();
    // The copy, and what it is compressed to.
    check_space(nursery.staging(), judged.bytes + judged.bytes / 2)?;
    nursery.create()?;
    let mut taken = opened.copy(nursery.staging(), progress)?;
    let proved = taken.prove(|_| false, progress)?;
    let (owner, origin, at) = (judged.owner, judged.origin, rfc3339(started));
    // By whichever link it was named, it is one store.
    let mark = SeededFrom { source: name_of(&real_file(db)?), owner, origin, at, sha256: None };
    let mut receipt = Receipt::of(Kind::Backup, &proved, &mark, &taken.copy);
    receipt.epoch = judged.epoch;
    receipt.warnings = std::mem::take(&mut taken.warnings);
    // A daemon at work is what a backup expects.
    receipt.warnings.retain(|warning| warning.code != SOURCE_RUNNING);
    let spared = not_contained(folder(nursery.staging()), &receipt, &taken.copy)?;
    if let Some(newest) = spared.first() {
        let text = "{file} has changes that the store does not go on from: they may be lost. \
                    --keep spares it; see what the store lacks: heph-ops drill --from FILE";
        let text = text.replace("{file}", &name_of(&newest.file));
        receipt.warnings.push(Warning::new("store_shrunk", text));
    }
    taken.close()?;
    Ok((receipt, spared))
}

/// A compressed copy that was read back.
struct Packed {
    path: PathBuf,
    compressed: Compressed,
}

impl Packed {
    fn of(nursery: &Nursery, receipt: &Receipt, progress: Listener<'_>) -> Result<Self> {
        let path = beside(nursery.staging(), PACKED);
        let packed = create_private(&path)?;
        compress(nursery.staging(), &packed, receipt.bytes, progress)
            .map_err(file(&path, "write"))?;
        sync_to_medium(&packed).map_err(file(&path, "sync"))?;
        let there = digest_of(unpacked(&path)?).map_err(file(&path, "read back"))?;
        if there != (receipt.sha256.clone(), receipt.bytes) {
            return Err(Error::new(
                Code::DiskFailed,
                format!("{} does not hold what was written to it", path.display()),
                "look at that disk before anything else; choose another folder: --to DIR",
            ));
        }
        let (sha256, bytes) = file_digest(&path)?;
        Ok(Self { path, compressed: Compressed { sha256, bytes } })
    }

    fn publish(&self, to: &Path) -> Result<()> {
        rename_to_nothing(&self.path, to).map_err(file(to, "write"))?;
        let synced = File::open(folder(to)).and_then(|around| sync_to_medium(&around));
        // One whose name may not last is none, and must not be counted on.
        synced.inspect_err(|_| drop(std::fs::remove_file(to))).map_err(file(to, "write"))
    }
}

fn compress(from: &Path, to: &File, of: u64, progress: Listener<'_>) -> io::Result<()> {
    let mut packer = zstd::Encoder::new(to, LEVEL)?;
    packer.include_checksum(true)?;
    packer.set_pledged_src_size(Some(of))?;
    let (mut source, mut piece, mut bytes) = (File::open(from)?, vec![0; PIECE], 0);
    loop {
        let read = source.read(&mut piece)?;
        if read == 0 {
            return packer.finish().map(drop);
        }
        packer.write_all(&piece[..read])?;
        bytes += read as u64;
        progress(Progress::Packing { bytes, of });
    }
}

fn unpacked(path: &Path) -> Result<impl Read + Send> {
    let packed = File::open(path).map_err(file(path, "read"))?;
    zstd::Decoder::new(packed).map_err(file(path, "read"))
}

/// Makes a store of a backup: [`Becoming::Restored`], by the steps of
/// [`seed`], and with its guards.
///
/// # Errors
/// As [`seed`]; `checksum_mismatch` for a backup that is damaged.
pub fn restore(
    backup: &Backup,
    receipt: &Receipt,
    wish: &Wish<'_>,
    machine: &Machine,
    progress: Listener<'_>,
) -> Result<Receipt> {
    let header = Header {
        bytes: receipt.bytes,
        owner: Some(receipt.owner_id.to_string()),
        origin: receipt.old_origin.clone(),
        warnings: Vec::new(),
    };
    let trailer = Trailer { sha256: receipt.sha256.clone(), proof: Some(receipt.proof()) };
    let bytes = unpacked(&backup.file)?;
    let from = Incoming::described(&name_of(&full(&backup.file)), header, trailer, bytes);
    let wish = Wish { becoming: Becoming::Restored { sha256: &receipt.sha256 }, ..*wish };
    seed(Source::Stream(from), &wish, machine, progress).map_err(|error| match error.code {
        Code::ChecksumMismatch => damaged(&backup.file, "what it unpacks to is not what was kept"),
        _ => error,
    })
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::new(
        Code::ChecksumMismatch,
        format!("{} is damaged: {what}", path.display()),
        "restore an older one, and make a new one: heph-ops backup --to DIR",
    )
}

/// Whether a backup's file still holds what it held: its own bytes first, then
/// what they unpack to.
///
/// # Errors
/// `checksum_mismatch`.
pub fn verify(backup: &Backup, receipt: &Receipt) -> Result<()> {
    let path = &backup.file;
    let damaged = |what: &str| damaged(path, what);
    let (sha256, bytes) = file_digest(path)?;
    if receipt.compressed.as_ref().is_some_and(|then| *then != Compressed { sha256, bytes }) {
        return Err(damaged("its digest is not the one in its receipt"));
    }
    let there = digest_of(unpacked(path)?).map_err(|error| damaged(&error.to_string()))?;
    match there == (receipt.sha256.clone(), receipt.bytes) {
        true => Ok(()),
        false => Err(damaged("what it unpacks to is not what was kept")),
    }
}
