//! What a replica's disk has been given to keep, written down outside of it.
//!
//! A disk that is put back owes only what its copy held; every other disk owes
//! for ever what it wrote, what it took, and, on the hub, what it
//! acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    rc::Rc,
};

use hephd::{
    cursor::Cursor,
    hlc::Hlc,
    op::{Entry, Heads},
};
use serde::Deserialize;

use super::Outcome;
use crate::world::{Peer, entries_beyond};

/// An op's id and bytes.
pub type Told = (Hlc, Rc<str>);

/// An op's id, and nothing else of it.
pub fn id_of(entry: &Entry) -> Outcome<Hlc> {
    #[derive(Deserialize)]
    struct Named {
        id: Hlc,
    }
    Ok(serde_json::from_str::<Named>(entry.op.get())?.id)
}

/// Every op there ever was, on any disk, also on one that is gone: one id
/// stands for the same bytes for ever.
#[derive(Debug, Default)]
pub struct Minted(BTreeMap<Hlc, Rc<str>>);

impl Minted {
    /// Takes note of an op.
    fn note(&mut self, entry: &Entry) -> Outcome<Told> {
        let (id, bytes) = (id_of(entry)?, entry.op.get());
        let known = self.0.entry(id).or_insert_with(|| bytes.into());
        if **known != *bytes {
            Err(format!("{id} was {known} and is {bytes}"))?;
        }
        Ok((id, Rc::clone(known)))
    }
}

/// The ops that one disk owes, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub arrived: Vec<Told>,
    ids: BTreeSet<Hlc>,
    /// Where a fault loses what ops mean: those ops.
    pub without_meaning: BTreeSet<Hlc>,
}

impl Ledger {
    /// Owes these from now on; gives those that it had not.
    pub fn note(&mut self, entries: &[Entry], minted: &mut Minted) -> Outcome<Vec<Hlc>> {
        let mut new = Vec::new();
        for entry in entries {
            let (id, bytes) = minted.note(entry)?;
            if self.ids.insert(id) {
                self.arrived.push((id, bytes));
                new.push(id);
            }
        }
        Ok(new)
    }

    pub fn ids(&self) -> &BTreeSet<Hlc> {
        &self.ids
    }
}

/// A replica: its process, its disk, and what that disk owes.
#[derive(Debug)]
pub struct Replica {
    pub peer: Peer,
    pub ledger: Ledger,
    /// What its process drew its chance from.
    pub seed: u64,
    /// It stays away until this step.
    pub away_until: usize,
    /// Its disk was put back, and it has not met the hub since; whether it
    /// has written meanwhile.
    pub put_back: Option<bool>,
    /// Where a fault keeps what a pull was told before its ops are durable.
    pub told: Option<Cursor>,
    /// Where a fault reads by time: how far.
    pub read_to: Option<Hlc>,
}

impl Replica {
    pub fn new(peer: Peer, seed: u64) -> Self {
        Self {
            peer,
            ledger: Ledger::default(),
            seed,
            away_until: 0,
            put_back: None,
            told: None,
            read_to: None,
        }
    }

    /// Owes what is on its disk beyond these heads; gives what is new.
    pub fn note_beyond(&mut self, heads: &Heads, minted: &mut Minted) -> Outcome<Vec<Hlc>> {
        let Some(owner) = self.peer.store.owner()? else { return Ok(Vec::new()) };
        self.ledger.note(&entries_beyond(&self.peer.store, &owner, heads), minted)
    }

    /// The ids of all ops on its disk.
    pub fn ids(&self) -> Outcome<BTreeSet<Hlc>> {
        let entries = self.peer.entries();
        entries.iter().map(id_of).collect()
    }

    /// Whether the disk holds all that it owes, to the byte.
    pub fn keeps_its_word(&self) -> Outcome<()> {
        let held = self.peer.entries();
        let held: HashSet<&str> = held.iter().map(|entry| entry.op.get()).collect();
        match self.ledger.arrived.iter().find(|(_, bytes)| !held.contains(&**bytes)) {
            Some((id, _)) => Err(format!("a disk lost {id}, which it had taken"))?,
            None => Ok(()),
        }
    }
}
