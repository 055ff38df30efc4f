//! What travels between a spoke and its hub: the questions, the answers, and
//! their bodies.

use serde::{Deserialize, Serialize};

use crate::{
    cursor::Cursor,
    id::{Origin, OwnerId},
    op::{Entry, Hash, Heads},
};

/// What `GET /sync/heads` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeadsBody {
    /// This incarnation of the hub's file.
    pub epoch: String,
    /// Whose data it holds.
    pub owner_id: OwnerId,
    /// The ends of its chains.
    pub heads: Heads,
    /// Its clock, RFC 3339.
    pub server_time: String,
}

/// What `GET /sync/pull` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct PageBody {
    /// Entries that the cursor lacks, per origin in order.
    pub entries: Vec<Entry>,
    /// The cursor after them.
    pub cursor: String,
    /// There are more.
    pub more: bool,
}

/// What `POST /sync/push` takes.
#[derive(Debug, Serialize, Deserialize)]
pub struct PushBody {
    /// Entries that extend chains.
    pub entries: Vec<Entry>,
}

/// What `POST /sync/push` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PushedBody {
    /// Entries that were new there.
    pub received: usize,
    /// Ops that were new there.
    pub applied: usize,
    /// The ends of the hub's chains now.
    pub heads: Heads,
}

/// What `GET /sync/chain` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChainBody {
    /// Whose chain.
    pub origin: Origin,
    /// Its hashes at those of the places asked for that it has.
    pub hashes: Vec<(u64, Hash)>,
}

/// What the spoke asks next.
#[derive(Debug)]
pub enum Ask {
    /// `GET /sync/heads`, with the digest of the spoke's own.
    Heads(Option<Hash>),
    /// `GET /sync/pull`.
    Pull(Cursor),
    /// `POST /sync/push`.
    Push(PushBody),
    /// `GET /sync/chain`: an origin, and places in its chain.
    Chain(Origin, Vec<u64>),
}

/// What the hub said. Failures of the transport never get here.
#[derive(Debug)]
pub enum Answer {
    /// 304: the digest is the hub's too.
    Same,
    /// The hub's heads.
    Heads(HeadsBody),
    /// A page.
    Page(PageBody),
    /// The batch is durable.
    Pushed(PushedBody),
    /// 409 `not_next`: the hub moved; compare again.
    NotNext,
    /// 413: send fewer entries.
    TooLarge,
    /// Hashes of a chain.
    Chain(ChainBody),
}
