//! The last step: the copy gets its name, or nothing is left of it.

use std::path::Path;

use super::{
    Wish,
    receipt::{Kind, Receipt, receipt_path},
    replace::Outgoing,
};
use crate::{
    error::{Error, Result},
    store::{
        file::{Nursery, StoreLock, Unfinished, beside, identity},
        snapshot::{Reader, meta_values, reading},
    },
};

/// Gives the staged copy its name. Its receipt is there before it is.
pub(super) fn publish(
    nursery: Nursery,
    &Wish { to, run_as, .. }: &Wish<'_>,
    outgoing: Option<Outgoing>,
    receipt: &Receipt,
) -> Result<()> {
    let made = identity(nursery.staging());
    run_as.map_or(Ok(()), |user| user.give(nursery.staging()))?;
    let Some(outgoing) = outgoing else {
        let (own, store) = (receipt_path(to, receipt.kind), to.to_owned());
        let _unfinished = Unfinished::new(move || {
            if store.symlink_metadata().is_err() {
                let _ = std::fs::remove_file(&own);
            }
        });
        let written = receipt.write(to, nursery.staging(), run_as);
        let published = written.and_then(|()| nursery.publish());
        let verified = published.and_then(|()| verify(to, made, receipt));
        return verified
            .inspect(|()| forget_receipts(to, receipt.kind))
            .inspect_err(|_| put_back(to, made, receipt));
    };
    let _unfinished = outgoing.keep_aside(to)?;
    let written = receipt.write(to, nursery.staging(), run_as);
    let replaced = written.and_then(|()| nursery.replace()).and_then(|()| {
        verify(to, made, receipt)?;
        run_as.map_or(Ok(()), |user| user.give(&beside(to, ".lock")))
    });
    let replaced = replaced.inspect(|()| forget_receipts(to, receipt.kind));
    // Also where it has its name still: then it gives up the second one.
    replaced.inspect_err(|_| outgoing.put_back(to))
}

/// A receipt of another kind is of a store that is gone.
fn forget_receipts(to: &Path, kind: Kind) {
    for other in [Kind::Seed, Kind::Restore].into_iter().filter(|other| *other != kind) {
        let _ = std::fs::remove_file(receipt_path(to, other));
    }
}

/// A store whose name may not be on the medium must not be found there by the
/// next run, which would call it done. Nobody has it yet; a daemon that was
/// quicker keeps it.
fn put_back(to: &Path, made: Option<(u64, u64)>, receipt: &Receipt) {
    if made.is_some() && identity(to) == made {
        let Ok(_lock) = StoreLock::take(to) else { return };
        let _ = std::fs::remove_file(beside(to, ".lock"));
        if std::fs::remove_file(to).is_err() {
            return;
        }
    }
    let _ = std::fs::remove_file(receipt_path(to, receipt.kind));
}

/// The file that was proved is the one that has the name now, and says what
/// it should. Bytes are not compared: a hub may be writing to it already.
fn verify(to: &Path, made: Option<(u64, u64)>, receipt: &Receipt) -> Result<()> {
    let reader = Reader::open(to).map_err(reading(to))?;
    let conn = reader.conn().map_err(reading(to))?;
    let says = |key, value: &str| {
        let values = meta_values(conn, key).map_err(reading(to))?;
        Ok::<_, Error>(values == [value])
    };
    let link = to.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    let ours = identity(to) == made && made.is_some() && !link;
    let origin = receipt.new_origin.as_deref().unwrap_or_default();
    if ours && says("owner_id", receipt.owner_id.as_str())? && says("origin", origin)? {
        return Ok(());
    }
    Err(Error::internal(format!("{} is not the file that was just put there", to.display())))
}
