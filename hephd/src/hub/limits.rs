//! How much one side of a conversation may take: time, bytes, connections.

use std::time::Duration;

/// The most that a request's body may have.
pub const MAX_BODY_BYTES: usize = 8 << 20;

/// The most that one field of a request's head may have.
pub const MAX_FIELD_BYTES: usize = 8 << 10;

/// The most that all fields of a head may have together.
pub const MAX_FIELDS_BYTES: usize = 16 << 10;

/// The most that a whole head may have: a cursor of thousands of origins
/// travels in its first line.
pub const MAX_HEAD_BYTES: usize = 64 << 10 | MAX_FIELDS_BYTES;

/// A body earns a second for each so many bytes: a slow line is let through,
/// a trickle is not.
pub const BODY_BYTES_PER_SECOND: usize = 16 << 10;

/// Everything here that takes time or connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Of these, from one address; a proxy on this machine may have all.
    pub per_address: usize,
    /// From a head's first byte, or from the connection's start, to its end.
    pub head: Duration,
    /// For a body, and what it earns by its bytes.
    pub body: Duration,
    /// Between an answer and the next head.
    pub idle: Duration,
    /// For a peer that takes nothing of its answer.
    pub stalled: Duration,
    /// For what a refused peer still sends, so that it hears the refusal.
    pub linger: Duration,
    /// For the store's answer to a request.
    pub patience: Duration,
    /// For the store's word that it may be used.
    pub ready: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            per_address: 32,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            stalled: Duration::from_secs(60),
            linger: Duration::from_secs(2),
            patience: Duration::from_secs(30),
            ready: Duration::from_secs(3),
        }
    }
}
