//! A store is made of another one's copy, and nothing is lost: a device's
//! becomes a hub's, or what a backup kept becomes a store again.
//!
//! The steps, in their order:
//!
//! 1. Look at the target. If it was made of this source, all is done, and the
//!    source is not touched: it may be asleep.
//! 2. Make the target's missing folders, lock the last one, look again.
//! 3. Copy the source into a staging file beside the target: see [`snapshot`],
//!    which proves it after step 4.
//! 4. Make the copy its own: an origin, an epoch, the mark of where it came
//!    from; nothing of the other device. This touches `meta` alone.
//! 5. Write the receipt, sync the copy, and give it its name, by a rename
//!    that cannot overwrite. Look at what has that name now. If the medium
//!    fails even here, put it back.
//!
//! Until that rename nothing has the target's name, so a seed that is killed
//! leaves nothing, or all. What it leaves beside, the next one clears away.
//! Whatever fails before it takes its staging and its folders with it.
//!
//! A store that stands there already is replaced only where that is asked for,
//! and where each of its ops is in the copy too. It keeps its bytes under
//! another name, which it has before the rename.
//!
//! [`snapshot`]: super::snapshot

mod own;
mod publish;
mod receipt;
mod replace;
mod target;

use std::{fs::File, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

pub(super) use self::receipt::goes_on;
use self::{
    own::{Fresh, make_own},
    publish::publish,
    receipt::{op_ahead, origin_missing, refuse_shrunk},
    replace::{Outgoing, refuse_other_subject},
    target::Standing,
};
pub use self::{
    receipt::{Compressed, HeadReceipt, Kind, Receipt, TableReceipt, receipt_path},
    target::Sought,
};
use super::snapshot::{
    Judged, Listener, Reader, Source, Taken, judge, name_of, needs_recovery, reading, real_file,
};
use crate::{
    error::{Code, Error, Result, file},
    id::OwnerId,
    machine::Machine,
    store::{
        file::{Folders, Nursery, User, check_ground, folder, full, identity},
        subjects::claims_of,
    },
};

/// The mark that this leaves in a store: JSON in `meta`, `seeded_from` or
/// `restored_from`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeededFrom {
    /// The source: its full path, its address, or `-`.
    pub source: String,
    /// Whose data it is.
    pub owner: OwnerId,
    /// The source's origin then.
    pub origin: Option<String>,
    /// When.
    pub at: String,
    /// The digest of what a backup kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What a look at both sides tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// There is nothing to do.
    AlreadySeeded(SeededFrom),
    /// Nothing stands in the way of a seed.
    Free,
}

/// What a copy becomes.
#[derive(Debug, Clone, Copy)]
pub enum Becoming<'a> {
    /// A device's store becomes a hub's.
    Hub {
        /// Whom its owner is bound to, at the issuer that its hub will be told.
        owner_sub: Option<&'a str>,
    },
    /// Any store becomes a device's of its own, to try something with.
    Device,
    /// What a backup kept becomes the store that it was, as a replica of its
    /// own: others may have what its origin wrote after that backup.
    Restored {
        /// The digest of what the backup kept.
        sha256: &'a str,
    },
}

impl<'a> Becoming<'a> {
    const fn backup(self) -> Option<&'a str> {
        match self {
            Self::Hub { .. } | Self::Device => None,
            Self::Restored { sha256 } => Some(sha256),
        }
    }

    /// The key of its mark.
    const fn mark(self) -> &'static str {
        match self {
            Self::Hub { .. } | Self::Device => "seeded_from",
            Self::Restored { .. } => "restored_from",
        }
    }

    /// The keys of `meta` that the copy may not have from its source. What is
    /// not known here is data like any other, and stays.
    fn replaces(self, key: &str) -> bool {
        const OWN: [&str; 2] = ["origin", "epoch"];
        const OF_ONE_DEVICE: [&str; 3] = ["role", "seeded_from", "restored_from"];
        const SORTS: [&str; 3] = ["device_", "sync_", "hub_"];
        match self {
            Self::Hub { .. } | Self::Device => {
                OWN.contains(&key)
                    || OF_ONE_DEVICE.contains(&key)
                    || SORTS.iter().any(|sort| key.starts_with(sort))
            }
            Self::Restored { .. } => OWN.contains(&key) || key == self.mark(),
        }
    }

    fn check(self, judged: &Judged, from: &Path) -> Result<()> {
        match self {
            Self::Hub { .. } if judged.is_hub => Err(Error::new(
                Code::SourceIsHub,
                format!("{} is a hub's store; a seed is made from a device's", from.display()),
                "to move a hub: heph-ops backup, then heph-ops restore; to make another, seed \
                 from a device",
            )),
            _ => Ok(()),
        }
    }
}

/// What is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The new store.
    pub to: &'a Path,
    /// What the copy becomes.
    pub becoming: Becoming<'a>,
    /// A store that stands there may go, if the copy has all of its ops.
    pub replace: bool,
    /// Whose all its files shall be; none: whoever runs this.
    pub run_as: Option<User>,
}

/// Looks at the target and, only if it was not seeded from this store, at that
/// one. Touches nothing.
///
/// # Errors
/// Whatever stands in the way of a seed, except what only shows while
/// everything is read: damage, and a full disk.
pub fn look(from: &Path, wish: &Wish<'_>) -> Result<Look> {
    let (from, to) = (full(from), full(wish.to));
    let target = match target::observe(&to, &Sought::Source(&name_of(&from)))? {
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
            return match target {
                Some(_) if !wish.replace => Err(target::occupied(&to, "a store stands there")),
                _ => Ok(Look::Free),
            };
        }
        other => other.map_err(reading(&from))?,
    };
    let conn = source.conn().map_err(reading(&from))?;
    let judged = judge(conn, &from)?;
    wish.becoming.check(&judged, &from)?;
    match target {
        Some(target) => {
            target::why_not(&to, &target, &from, conn, wish.replace)?;
            let claims = target.conn().and_then(claims_of).map_err(reading(&to))?;
            refuse_other_subject(&to, &claims, wish)
        }
        None => Ok(()),
    }
    .map(|()| Look::Free)
}

/// Looks at the target alone, for a source that cannot be looked at before it
/// is read. Touches nothing.
///
/// # Errors
/// As [`look`], as far as the target tells.
pub fn look_for(sought: &Sought<'_>, wish: &Wish<'_>) -> Result<Look> {
    let to = full(wish.to);
    match target::observe(&to, sought)? {
        Standing::AlreadySeeded(seeded) => Ok(Look::AlreadySeeded(seeded)),
        Standing::Nothing => Ok(Look::Free),
        Standing::Store(_) => {
            target::refuse_in_use(&to)?;
            match wish.replace {
                true => Ok(Look::Free),
                false => Err(target::occupied(&to, "a store stands there")),
            }
        }
    }
}

/// Makes a store of a copy. See the steps above.
///
/// # Errors
/// As [`look`]; `store_corrupt`, `checksum_mismatch`, `no_space`. Whatever it
/// is, the target is as it was, and so is the source.
pub fn seed(
    source: Source<'_>,
    wish: &Wish<'_>,
    machine: &Machine,
    progress: Listener<'_>,
) -> Result<Receipt> {
    let to = full(wish.to);
    let wish = Wish { to: &to, ..*wish };
    check_ground(&to)?;
    let mut folders = Folders::make(folder(&to))?;
    let nursery = Nursery::enter(&to, &machine.entropy).inspect_err(|error| {
        if error.code == Code::StoreInUse {
            folders.keep(); // Another one is at work in them.
        }
    })?;
    let looked = match &source {
        Source::Store(from) => look(from, &wish)?,
        Source::Stream(incoming) => look_for(&Sought::of(incoming, wish.becoming), &wish)?,
    };
    if let Look::AlreadySeeded(_) = looked {
        return Err(target::occupied(&to, "it was seeded from there a moment ago"));
    }
    let outgoing = wish.replace.then(|| Outgoing::hold(&to, &wish, machine)).transpose()?.flatten();
    let receipt = stage(source, &wish, outgoing.as_ref(), &nursery, machine, progress)?;
    wish.run_as.map_or(Ok(()), |user| folders.give_to(user))?;
    folders.sync()?;
    publish(nursery, &wish, outgoing, &receipt)?;
    folders.keep();
    Ok(receipt)
}

/// A proved copy under its staging name, and nothing open.
fn stage(
    source: Source<'_>,
    wish: &Wish<'_>,
    outgoing: Option<&Outgoing>,
    nursery: &Nursery,
    machine: &Machine,
    progress: Listener<'_>,
) -> Result<Receipt> {
    let (started, becoming) = (machine.clock.now_ms(), wish.becoming);
    let here = match &source {
        Source::Store(from) => Some(full(from)),
        Source::Stream(_) => None,
    };
    let mut taken = Taken::in_nursery(source, nursery, progress)?;
    here.map_or(Ok(()), |from| refuse_shrunk(&from, &taken.copy))?;
    becoming.check(&taken.judged, &taken.from)?;
    if let Some(outgoing) = outgoing {
        outgoing.allow(wish.to, &taken)?;
    }
    let kept = outgoing.map_or(&[][..], Outgoing::claims);
    let fresh = Fresh::draw(&taken, becoming, kept, machine);
    make_own(&mut taken, &fresh)?;
    let proved = taken.prove(|key| fresh.may_change(key), progress)?;
    let mut receipt = Receipt::of_seed(&proved, &fresh, &taken.copy, wish.to);
    receipt.warnings = std::mem::take(&mut taken.warnings);
    receipt.warnings.extend(origin_missing(&taken.judged));
    receipt.warnings.extend(op_ahead(&taken.copy, started));
    receipt.replaced = outgoing.map(|outgoing| name_of(outgoing.keep()));
    taken.close()?;
    let taken_ms = machine.clock.now_ms().saturating_sub(started);
    receipt.seconds = Duration::from_millis(taken_ms).as_secs_f64();
    Ok(receipt)
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
