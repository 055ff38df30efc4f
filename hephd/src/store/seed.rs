//! A device's store becomes a store of its own, and nothing is lost.
//!
//! The steps, in their order:
//!
//! 1. Look at the target. If it was seeded from this source, all is done, and
//!    the source is not touched: it may be asleep.
//! 2. Make the target's missing folders, lock the last one, look again.
//! 3. Open the source read-only and begin a read transaction: from here on it
//!    stands still for us, and writers go on.
//! 4. Copy it in one step of SQLite's backup into a staging file beside the
//!    target. Files cannot be copied instead: what is committed may still be
//!    in the write-ahead log, and between two reads it moves.
//! 5. Make the copy its own: an origin, an epoch, the mark of where it came
//!    from; nothing of the other device. This touches `meta` alone.
//! 6. Prove it, after the last change: SQLite finds it sound, and every table
//!    but `meta` is equal to the source's in the same read transaction.
//! 7. Write the receipt, sync the copy, and give it its name, by a rename
//!    that cannot overwrite. Look at what has that name now. If the medium
//!    fails even here, put it back.
//!
//! Until that rename nothing has the target's name, so a seed that is killed
//! leaves nothing, or all. What it leaves beside, the next one clears away.
//! Whatever fails before it takes its staging and its folders with it.
//!
//! The source's bytes never change. Its schema is proved, not understood: any
//! store with a table `meta(key, value)` and one owner can be seeded from.

mod copy;
mod ground;
mod judge;
mod proved;
mod publish;
mod receipt;
mod rescue;
mod source;
mod target;

use std::{
    fs::File,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

pub use self::receipt::{HeadReceipt, Receipt, TableReceipt, receipt_path};
use self::{
    copy::{Fresh, Listener, copy, copying, make_own},
    ground::{Folders, check_ground, check_space, full},
    judge::{check_file, judge},
    proved::prove_both,
    publish::publish,
    receipt::op_ahead,
    source::{Reader, needs_recovery, reading},
    target::Standing,
};
use crate::{
    error::{Code, Error, Result, file},
    id::OwnerId,
    machine::Machine,
    report::Warning,
    store::file::{Nursery, StoreLock, beside, folder, identity},
};

/// The mark that a seed leaves in its store: JSON in `meta`, `seeded_from`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeededFrom {
    /// The source's full path.
    pub source: String,
    /// Whose data it is.
    pub owner: OwnerId,
    /// The source's origin then.
    pub origin: Option<String>,
    /// When.
    pub at: String,
}

/// What a look at both sides tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// There is nothing to do.
    AlreadySeeded(SeededFrom),
    /// Nothing stands in the way of a seed.
    Free,
}

/// How far a seed is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes of so many are copied.
    Copying {
        /// Done.
        bytes: u64,
        /// All.
        of: u64,
    },
    /// So many rows of this table are proved.
    Proving {
        /// The table.
        table: String,
        /// Done.
        rows: u64,
    },
}

/// Looks at the target and, only if it was not seeded from this source, at
/// the source. Touches nothing.
///
/// # Errors
/// Whatever stands in the way of a seed, except what only shows while
/// everything is read: damage, and a full disk.
pub fn look(from: &Path, to: &Path) -> Result<Look> {
    let (from, to) = (full(from), full(to));
    let target = match target::observe(&to, &name_of(&from))? {
        Standing::AlreadySeeded(seeded) => return Ok(Look::AlreadySeeded(seeded)),
        Standing::Store(reader) => Some(reader),
        Standing::Nothing => None,
    };
    if target.is_some() {
        refuse_same_file(&from, &to)?;
        target::refuse_in_use(&to)?;
    }
    let real = real_file(&from)?;
    let source = match Reader::open(&real) {
        // Only a copy of its files tells more, and making one is not looking.
        Err(error) if needs_recovery(&error) => {
            File::open(&real).map_err(file(&from, "read"))?;
            return target
                .map_or(Ok(Look::Free), |_| Err(target::occupied(&to, "a store stands there")));
        }
        other => other.map_err(reading(&from))?,
    };
    judge(source.conn().map_err(reading(&from))?, &from)?;
    match target {
        Some(target) => Err(target::why_not(&to, &target, &from, &source)),
        None => Ok(Look::Free),
    }
}

/// What is to be made of what.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The device's store.
    pub from: &'a Path,
    /// The hub's.
    pub to: &'a Path,
    /// Whom its owner is bound to, at the issuer that its hub will be told.
    pub owner_sub: Option<&'a str>,
}

/// Makes a store of a device's store. See the steps above.
///
/// # Errors
/// As [`look`]; `store_corrupt`, `no_space`. Whatever it is, the target is as
/// it was, and so is the source.
pub fn seed(
    wish: &Wish<'_>,
    machine: &Machine,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Receipt> {
    let (from, to) = (full(wish.from), full(wish.to));
    let entropy = &machine.entropy;
    check_ground(&to)?;
    let mut folders = Folders::make(folder(&to))?;
    let nursery = Nursery::enter(&to, entropy).inspect_err(|error| {
        if error.code == Code::StoreInUse {
            folders.keep(); // Another one is at work in them.
        }
    })?;
    if let Look::AlreadySeeded(_) = look(&from, &to)? {
        return Err(target::occupied(&to, "it was seeded from there a moment ago"));
    }
    let full = Wish { from: &from, to: &to, ..*wish };
    let receipt = stage(&full, &nursery, machine, progress)?;
    folders.sync()?;
    publish(nursery, &to, &receipt)?;
    folders.keep();
    Ok(receipt)
}

/// Steps 3 to 6: a proved copy under its staging name, and nothing open.
fn stage(
    &Wish { from, to, owner_sub }: &Wish<'_>,
    nursery: &Nursery,
    machine: &Machine,
    progress: Listener<'_>,
) -> Result<Receipt> {
    let clock = &machine.clock;
    let (started, staging) = (clock.now_ms(), nursery.staging());
    let real = real_file(from)?;
    let source = Reader::open_source(&real, &beside(staging, "-source"))?;
    let conn = source.conn().map_err(reading(from))?;
    let judged = judge(conn, from)?;
    check_space(to, judged.bytes)?;
    nursery.create()?;
    let mut copied = copy(conn, staging, judged.bytes, progress)?;
    let fresh = Fresh::draw(name_of(from), &judged, owner_sub, machine);
    make_own(&mut copied, &fresh, from)?;
    let proved = prove_both(conn, from, &mut copied, staging, progress)?;
    let mut receipt = Receipt::of(&proved, &fresh, &copied, to);
    receipt.warnings = warnings(&source, &real, &copied, started);
    copied.close().map_err(|(_, error)| copying(staging)(error))?;
    if beside(staging, "-wal").exists() {
        return Err(Error::internal(format!("{} is not all in one file", staging.display())));
    }
    receipt.seconds = Duration::from_millis(clock.now_ms().saturating_sub(started)).as_secs_f64();
    Ok(receipt)
}

fn warnings(source: &Reader, real: &Path, copied: &Connection, now: u64) -> Vec<Warning> {
    let running = StoreLock::holder(real).map(|pid| {
        let text =
            "process {pid} is at work on the source: what it writes from now on comes by sync";
        Warning::new("source_running", text.replace("{pid}", &pid.to_string()))
    });
    let recovered = source.was_copied().then(|| {
        let text =
            "the source could not be read where it lies: its files were copied and recovered";
        Warning::new("source_recovered", text)
    });
    [running, recovered, op_ahead(copied, now)].into_iter().flatten().collect()
}

/// The name of a source in `seeded_from`: its path, resolved even while the
/// file itself is away.
fn name_of(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    path.to_str().map_or_else(|| bytes.escape_ascii().to_string(), str::to_owned)
}

/// The file that a source's path leads to. SQLite keeps its files beside that
/// one, not beside a symbolic link.
fn real_file(from: &Path) -> Result<PathBuf> {
    check_file(from)?;
    from.canonicalize().map_err(file(from, "find"))
}

fn refuse_same_file(from: &Path, to: &Path) -> Result<()> {
    if identity(from).is_none_or(|source| identity(to) != Some(source)) {
        return Ok(());
    }
    Err(Error::new(
        Code::SameFile,
        format!("{} and {} are the same file", from.display(), to.display()),
        "give another --to: the device keeps its store, the hub gets one of its own",
    ))
}
