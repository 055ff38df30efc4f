//! How long a request waits for the store.
//!
//! A disk that hangs must not take the hub's connections with it, one request
//! after the other, until it cannot even say that it lives. What was asked of
//! the store may still be done after its request has given up: a push that
//! was taken is harmless when it comes again.

use std::{future::Future, time::Duration};

use crate::error::{Code, Error, Result};

/// Work on the store, or 503 once it takes too long.
pub(super) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(hangs(patience)))
}

fn hangs(patience: Duration) -> Error {
    Error::new(
        Code::NotReady,
        format!("the store did not answer within {} s", patience.as_secs()),
        "look at the disk that it lies on; what was sent may be there, and may be sent again",
    )
}
