//! Looks whether the store is still where it was opened.
//!
//! Somebody who deletes or replaces the file of a running daemon leaves it
//! with one that nobody else will ever find. It must not go on as if nothing
//! were wrong, nor make a new store in its place: it ends.

use std::{sync::Arc, time::Duration};

use crate::{error::Result, replica::Replica, stopping::Stopping};

/// How often it looks. A store that is missed twice in a row is gone: a mount
/// may hang for a moment.
const EVERY: Duration = Duration::from_secs(1);
const MISSED: u32 = 2;

/// Watches until told to stop.
///
/// # Errors
/// `store_missing` once the file at the store's path is another one, or none.
pub async fn keep(replica: Arc<Replica>, mut stopping: Stopping) -> Result<()> {
    let mut missed = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stopping.heard() => return Ok(()),
        }
        match replica.check_in_place() {
            Ok(()) => missed = 0,
            Err(gone) if missed + 1 == MISSED => return Err(gone),
            Err(_) => missed += 1,
        }
    }
}
