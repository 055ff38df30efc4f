//! The last step: the copy gets its name, or nothing is left of it.

use std::path::Path;

use super::{
    judge::meta_values,
    receipt::{Receipt, receipt_path},
    source::{Reader, reading},
};
use crate::{
    error::{Error, Result},
    store::file::{Nursery, StoreLock, beside, identity},
};

/// Gives the staged copy its name. Its receipt is there before it is.
pub(super) fn publish(nursery: Nursery, to: &Path, receipt: &Receipt) -> Result<()> {
    let made = identity(nursery.staging());
    let written = receipt.write(to, nursery.staging());
    let published = written.and_then(|()| nursery.publish());
    let verified = published.and_then(|()| verify(to, made, receipt));
    verified.inspect_err(|_| put_back(to, made))
}

/// A store whose name may not be on the medium must not be found there by the
/// next run, which would call it done. Nobody has it yet; a daemon that was
/// quicker keeps it.
fn put_back(to: &Path, made: Option<(u64, u64)>) {
    if made.is_some() && identity(to) == made {
        let Ok(_lock) = StoreLock::take(to) else { return };
        let _ = std::fs::remove_file(beside(to, ".lock"));
        if std::fs::remove_file(to).is_err() {
            return;
        }
    }
    let _ = std::fs::remove_file(receipt_path(to));
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
    let ours = identity(to) == made && made.is_some();
    if ours && says("owner_id", receipt.owner_id.as_str())? && says("origin", &receipt.new_origin)?
    {
        return Ok(());
    }
    Err(Error::internal(format!("{} is not the file that was just put there", to.display())))
}
