//! A spoke's one cycle, without any I/O but the store's.
//!
//! 1. Compare: the digest of my heads, or my lack of an owner, against the
//!    hub's heads. Equal: done, with one request.
//! 2. Owner: another one stops everything; a store without adopts the hub's.
//! 3. Pull page by page, each durable before the next is asked for. A cut
//!    keeps what has arrived.
//! 4. Push what the hub lacks, of *any* origin: this is what heals a hub that
//!    was put back to an older copy.
//! 5. Fork: where a chain went on in two ways, find the last common place, cut
//!    mine there, and compare again.
//!
//! A device that listens to its hub knows more when it begins. Told that the
//! hub's heads have a digest that is not its own, it pulls at once, and is done
//! where the digests are equal then ([`Cycle::told`]). Where the digest is that
//! of the heads it last saw, they are still the hub's, and it pushes at once
//! ([`Cycle::knowing`]). Whatever does not come out equal compares after all.
//!
//! [`Cycle::next`] says what to ask; the caller carries it to the hub and
//! hands the answer to [`Cycle::take`]. Requests and answers are the bodies
//! that travel.

mod messages;
mod sender;

pub use self::{
    messages::{Answer, Ask, ChainBody, HeadsBody, PageBody, PushBody, PushedBody},
    sender::Sender,
};
use crate::{
    error::{Code, Error, Result},
    id::{Origin, OwnerId},
    op::{Entry, Hash, Head, Heads},
    store::{
        Store,
        fork::{Healed, Search},
        oplog::{Appended, MAX_ENTRIES},
    },
};

/// Entries asked for, or sent, at a time.
pub const PAGE: usize = 1_000;

/// How often a cycle compares again because the hub moved meanwhile.
const MAX_ROUNDS: usize = 8;

const _: () = assert!(PAGE <= MAX_ENTRIES);

/// Where a cycle stands.
#[derive(Debug)]
enum Stage {
    Compare,
    Pull,
    Push,
    Fork(Search),
    Done,
}

/// One cycle.
#[derive(Debug)]
pub struct Cycle {
    stage: Stage,
    rounds: usize,
    page: usize,
    /// Entries at a time that the hub takes.
    most: usize,
    /// Entries of the last push.
    batch: usize,
    owner: Option<OwnerId>,
    hub: Option<Heads>,
    /// The digest of the hub's heads, where only that is known.
    told: Option<Hash>,
    /// The heads whose digest was asked with: local writes may follow.
    sent: Heads,
    equal: bool,
    /// Entries that came.
    pub pulled: usize,
    /// Entries that went.
    pub pushed: usize,
    /// Forks that were healed.
    pub healed: Vec<Healed>,
}

impl Default for Cycle {
    fn default() -> Self {
        Self {
            stage: Stage::Compare,
            rounds: 0,
            page: PAGE,
            most: PAGE,
            batch: 0,
            told: None,
            owner: None,
            hub: None,
            sent: Heads::default(),
            equal: false,
            pulled: 0,
            pushed: 0,
            healed: Vec::new(),
        }
    }
}

impl Cycle {
    /// A cycle of a device that has an owner, and whose hub's heads have this
    /// digest now.
    #[must_use]
    pub fn told(digest: Hash) -> Self {
        Self { stage: Stage::Pull, told: Some(digest), ..Self::default() }
    }

    /// A cycle of a device that has an owner, and whose hub has these heads.
    #[must_use]
    pub fn knowing(hub: Heads) -> Self {
        Self { stage: Stage::Push, hub: Some(hub), ..Self::default() }
    }

    /// Begins with so many entries at a time, because more did not get through
    /// lately. It grows with what does.
    #[must_use]
    pub fn with_page(self, page: usize) -> Self {
        Self { page: page.clamp(1, PAGE), ..self }
    }

    /// Entries at a time.
    #[must_use]
    pub const fn page(&self) -> usize {
        self.page
    }

    /// What to ask the hub now; nothing when the cycle is over.
    ///
    /// # Errors
    /// SQLite's.
    pub fn next(&mut self, store: &Store) -> Result<Option<Ask>> {
        let owner = store.owner()?;
        self.owner.clone_from(&owner);
        match (&self.stage, owner) {
            (Stage::Compare, None) => Ok(Some(Ask::Heads(None))),
            (Stage::Compare, Some(owner)) => {
                self.sent = store.heads(&owner)?;
                Ok(Some(Ask::Heads(Some(self.sent.digest(&owner)))))
            }
            (Stage::Pull, Some(owner)) => Ok(Some(Ask::Pull((&store.heads(&owner)?).into()))),
            (Stage::Push, Some(owner)) => self.push(store, &owner),
            (Stage::Fork(search), Some(_)) => {
                Ok(Some(Ask::Chain(search.origin.clone(), search.places())))
            }
            _ => Ok(None),
        }
    }

    fn push(&mut self, store: &Store, owner: &OwnerId) -> Result<Option<Ask>> {
        let hub = self.hub.clone().unwrap_or_default();
        if let Some(search) = fork(store, owner, &hub)? {
            let ask = Ask::Chain(search.origin.clone(), search.places());
            self.stage = Stage::Fork(search);
            return Ok(Some(ask));
        }
        let (entries, _) = store.entries_after(owner, &|origin| hub.of(origin).seq, self.page)?;
        if entries.is_empty() {
            return self.nothing_to_push(store, owner, &hub);
        }
        self.batch = entries.len();
        Ok(Some(Ask::Push(PushBody { entries })))
    }

    /// Done, unless somebody else wrote while this one pushed.
    fn nothing_to_push(
        &mut self,
        store: &Store,
        owner: &OwnerId,
        hub: &Heads,
    ) -> Result<Option<Ask>> {
        let mine = store.heads(owner)?;
        self.equal = mine == *hub;
        if hub.beyond(&mine) == 0 {
            self.stage = Stage::Done;
            return Ok(None);
        }
        self.stage = Stage::Pull;
        Ok(Some(Ask::Pull((&mine).into())))
    }

    /// Takes the hub's answer to what was asked.
    ///
    /// # Errors
    /// SQLite's; `owner_mismatch`; what cannot be what a hub sends.
    pub fn take(&mut self, store: &mut Store, answer: Answer) -> Result<()> {
        match answer {
            Answer::Same => {
                self.hub = Some(self.sent.clone());
                self.equal = true;
                self.stage = Stage::Done;
            }
            Answer::Heads(body) => self.take_heads(store, body)?,
            Answer::Page(page) => self.take_page(store, &page)?,
            Answer::Pushed(body) => {
                self.grow();
                self.pushed += body.received;
                // A hub that gets no further would be sent the same for ever.
                if self.hub.as_ref() == Some(&body.heads) {
                    self.compare_again(hub_moved)?;
                }
                self.hub = Some(body.heads);
            }
            Answer::NotNext => self.compare_again(hub_moved)?,
            Answer::TooLarge if self.batch <= 1 || !matches!(self.stage, Stage::Push) => {
                return Err(takes_nothing());
            }
            Answer::TooLarge => {
                self.most = self.batch / 2;
                self.page = self.most;
            }
            Answer::Chain(body) => self.take_chain(store, &body)?,
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
                self.grow();
                self.hub_has(&page.entries);
                self.pulled += received;
                // A page that brings nothing new would come again for ever.
                if !page.more || received == 0 {
                    return self.pulled_all(store.heads(&owner)?, &owner);
                }
                Ok(())
            }
            Appended::NotNext { origin, head } => {
                // A chain that the hub did not have when it was compared is there now.
                let theirs = self.hub.as_ref().map_or(0, |hub| hub.of(&origin).seq);
                let theirs = if theirs == 0 { head.seq } else { theirs };
                self.stage = Stage::Fork(Search::new(origin, head.seq.min(theirs)));
                self.heal_if_found(store, &owner)
            }
            refused => refused.done().map(drop),
        }
    }

    /// What came from the hub need not go back there.
    fn hub_has(&mut self, entries: &[Entry]) {
        let Some(hub) = &mut self.hub else { return };
        for Entry { origin, seq, hash, .. } in entries {
            if *seq > hub.of(origin).seq {
                hub.0.insert(origin.clone(), Head { seq: *seq, hash: *hash });
            }
        }
    }

    /// The hub has no more. Where it was said to have, what was said is wrong by
    /// now: it was put back.
    fn pulled_all(&mut self, mine: Heads, owner: &OwnerId) -> Result<()> {
        let behind = self.hub.as_ref().is_some_and(|hub| hub.beyond(&mine) > 0);
        match self.told.take() {
            Some(digest) if digest == mine.digest(owner) => {
                self.hub = Some(mine);
                self.equal = true;
                self.stage = Stage::Done;
            }
            Some(_) => self.stage = Stage::Compare,
            None if behind => return self.compare_again(hub_moved),
            None => self.stage = Stage::Push,
        }
        Ok(())
    }

    /// Once the last common place is known, the fork is healed there.
    fn take_chain(&mut self, store: &mut Store, body: &ChainBody) -> Result<()> {
        let (Some(owner), Stage::Fork(search)) = (store.owner()?, &mut self.stage) else {
            return Ok(());
        };
        for place in search.places() {
            let theirs = body.hashes.iter().find(|(at, _)| *at == place).map(|(_, hash)| *hash);
            search.compare(place, store.hash_at(&owner, &search.origin, place)?, theirs);
        }
        self.heal_if_found(store, &owner)
    }

    fn heal_if_found(&mut self, store: &mut Store, owner: &OwnerId) -> Result<()> {
        let Stage::Fork(search) = &self.stage else { return Ok(()) };
        let Some(common) = search.found() else { return Ok(()) };
        let healed = store.heal_fork(owner, &search.origin, common)?;
        if healed.cut == 0 {
            // Another cycle healed it meanwhile; or the hub's chain does not
            // hold, and then the next round ends here too.
            let origin = search.origin.clone();
            return self.compare_again(|| not_a_chain(&origin));
        }
        self.healed.push(healed);
        // Each fork cuts something off, so this comes to an end by itself.
        self.stage = Stage::Compare;
        Ok(())
    }

    fn compare_again(&mut self, too_often: impl FnOnce() -> Error) -> Result<()> {
        self.rounds += 1;
        self.stage = Stage::Compare;
        if self.rounds < MAX_ROUNDS { Ok(()) } else { Err(too_often()) }
    }

    fn grow(&mut self) {
        self.page = (self.page * 2).min(self.most);
    }

    /// The digest of the heads of both sides, where they ended equal.
    #[must_use]
    pub fn equal_digest(&self) -> Option<Hash> {
        let hub = self.hub.as_ref().filter(|_| self.equal)?;
        Some(hub.digest(self.owner.as_ref()?))
    }

    /// The hub's heads as this cycle last saw them.
    #[must_use]
    pub const fn hub_heads(&self) -> Option<&Heads> {
        self.hub.as_ref()
    }
}

/// The first chain that went on in two ways, as far as heads tell.
fn fork(store: &Store, owner: &OwnerId, hub: &Heads) -> Result<Option<Search>> {
    for (origin, head) in &hub.0 {
        let mine = store.hash_at(owner, origin, head.seq)?;
        if mine.is_some_and(|hash| hash != head.hash) {
            return Ok(Some(Search::new(origin.clone(), head.seq)));
        }
    }
    Ok(None)
}

/// The hub's entries do not follow from what both sides have.
fn not_a_chain(origin: &Origin) -> Error {
    Error::new(
        Code::SameOrigin,
        format!("the hub's chain of origin {origin} does not hold: its hashes are wrong"),
        "the hub's store is damaged; restore it, and its spokes give back what it lacks",
    )
}

fn takes_nothing() -> Error {
    Error::new(
        Code::ValueTooLarge,
        "the hub says that a single op is too large for it",
        "look at what stands between: a proxy may limit bodies to less than 2 MB",
    )
}

fn hub_moved() -> Error {
    Error::new(
        Code::HubUnreachable,
        "the hub moved on during every attempt to push",
        "nothing is lost; the next cycle tries again",
    )
}
