//! A spoke's one cycle, without any I/O but the store's.
//!
//! 1. Compare: the digest of my heads, or my lack of an owner, against the
//!    hub's heads. Equal: done, with one request.
//! 2. Owner: another one stops everything; a store without adopts the hub's.
//! 3. Pull page by page, each durable before the next is asked for. A cut
//!    keeps what has arrived.
//! 4. Push what the hub lacks, of *any* origin: this is what heals a hub that
//!    was put back to an older copy.
//!
//! [`Cycle::next`] says what to ask; the caller carries it to the hub and
//! hands the answer to [`Cycle::take`]. Requests and answers are the bodies
//! that travel.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    cursor::Cursor,
    error::{Code, Error, Result},
    id::{Origin, OwnerId},
    op::{Entry, Hash, Heads},
    store::{
        Store,
        oplog::{Appended, MAX_ENTRIES},
    },
};

/// Entries asked for, or sent, at a time.
pub const PAGE: usize = 1_000;

/// How often a cycle compares again because the hub moved meanwhile.
const MAX_ROUNDS: usize = 8;

const _: () = assert!(PAGE <= MAX_ENTRIES);

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

/// What the spoke asks next.
#[derive(Debug)]
pub enum Ask {
    /// `GET /sync/heads`, with the digest of the spoke's own.
    Heads(Option<Hash>),
    /// `GET /sync/pull`.
    Pull(Cursor),
    /// `POST /sync/push`.
    Push(PushBody),
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
}

/// Where a cycle stands.
#[derive(Debug)]
enum Stage {
    Compare,
    Pull,
    Push,
    Done,
}

/// One cycle.
#[derive(Debug)]
pub struct Cycle {
    stage: Stage,
    rounds: usize,
    hub: Option<Heads>,
    forked: BTreeSet<Origin>,
    /// Entries that came.
    pub pulled: usize,
    /// Entries that went.
    pub pushed: usize,
}

impl Default for Cycle {
    fn default() -> Self {
        Self {
            stage: Stage::Compare,
            rounds: 0,
            hub: None,
            forked: BTreeSet::new(),
            pulled: 0,
            pushed: 0,
        }
    }
}

impl Cycle {
    /// What to ask the hub now; nothing when the cycle is over.
    ///
    /// # Errors
    /// SQLite's; `same_origin` at the end when a chain went on differently on
    /// the two sides.
    pub fn next(&mut self, store: &Store) -> Result<Option<Ask>> {
        let owner = store.owner()?;
        match (&self.stage, owner) {
            (Stage::Compare, None) => Ok(Some(Ask::Heads(None))),
            (Stage::Compare, Some(owner)) => {
                Ok(Some(Ask::Heads(Some(store.heads(&owner)?.digest(&owner)))))
            }
            (Stage::Pull, Some(owner)) => self.pull(store, &owner).map(Some),
            (Stage::Push, Some(owner)) => self.push(store, &owner),
            _ => self.end().map(|()| None),
        }
    }

    fn pull(&self, store: &Store, owner: &OwnerId) -> Result<Ask> {
        let mut cursor = Cursor::from(&store.heads(owner)?);
        self.forked.iter().for_each(|origin| cursor.pass_over(origin));
        Ok(Ask::Pull(cursor))
    }

    fn push(&mut self, store: &Store, owner: &OwnerId) -> Result<Option<Ask>> {
        let hub = self.hub.clone().unwrap_or_default();
        for (origin, head) in &hub.0 {
            let mine = store.hash_at(owner, origin, head.seq)?;
            if mine.is_some_and(|hash| hash != head.hash) {
                self.forked.insert(origin.clone());
            }
        }
        let lacks = |origin: &Origin| match self.forked.contains(origin) {
            true => u64::MAX,
            false => hub.of(origin).seq,
        };
        let (entries, _) = store.entries_after(owner, &lacks, PAGE)?;
        if entries.is_empty() {
            self.stage = Stage::Done;
            return self.end().map(|()| None);
        }
        Ok(Some(Ask::Push(PushBody { entries })))
    }

    fn end(&self) -> Result<()> {
        match self.forked.first() {
            None => Ok(()),
            Some(origin) => Err(Error::new(
                Code::SameOrigin,
                format!("this device and the hub both went on writing under origin {origin}"),
                "one of the two is a copy of the other; see docs/reference/sync.md",
            )),
        }
    }

    /// Takes the hub's answer to what was asked.
    ///
    /// # Errors
    /// SQLite's; `owner_mismatch`; a page that cannot be what a hub sends.
    pub fn take(&mut self, store: &mut Store, answer: Answer) -> Result<()> {
        match answer {
            Answer::Same => {
                self.hub = store.owner()?.map(|owner| store.heads(&owner)).transpose()?;
                self.stage = Stage::Done;
            }
            Answer::Heads(body) => self.take_heads(store, body)?,
            Answer::Page(page) => self.take_page(store, &page)?,
            Answer::Pushed(body) => {
                self.pushed += body.received;
                self.hub = Some(body.heads);
            }
            Answer::NotNext => self.compare_again()?,
        }
        Ok(())
    }

    fn take_heads(&mut self, store: &Store, body: HeadsBody) -> Result<()> {
        store.adopt(&body.owner_id)?;
        let mine = store.heads(&body.owner_id)?;
        let ahead = body.heads.beyond(&mine) > 0;
        self.hub = Some(body.heads);
        self.stage = if ahead { Stage::Pull } else { Stage::Push };
        Ok(())
    }

    fn take_page(&mut self, store: &mut Store, page: &PageBody) -> Result<()> {
        let Some(owner) = store.owner()? else { return Ok(()) };
        match store.append(&owner, &page.entries)? {
            Appended::Done { received, .. } => {
                self.pulled += received;
                // A page that brings nothing new would come again for ever.
                if !page.more || received == 0 {
                    self.stage = Stage::Push;
                }
                Ok(())
            }
            Appended::NotNext { origin, .. } if self.forked.insert(origin.clone()) => Ok(()),
            refused => refused.done().map(drop),
        }
    }

    fn compare_again(&mut self) -> Result<()> {
        self.rounds += 1;
        self.stage = Stage::Compare;
        if self.rounds < MAX_ROUNDS {
            return Ok(());
        }
        Err(Error::new(
            Code::HubUnreachable,
            "the hub moved on during every attempt to push",
            "nothing is lost; the next cycle tries again",
        ))
    }

    /// The hub's heads as this cycle last saw them.
    #[must_use]
    pub const fn hub_heads(&self) -> Option<&Heads> {
        self.hub.as_ref()
    }
}
