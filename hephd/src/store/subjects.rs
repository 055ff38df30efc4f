//! Who may act for whom: subjects that are bound to owners. It is of this hub
//! alone, so it lies in `meta`, one key a subject, and a seed drops it.
//!
//! A subject has one owner at most. An owner that no subject is bound to is
//! *unclaimed*: the first that comes may have it.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::{Store, damaged, transaction::Work};
use crate::{error::Result, id::OwnerId, oidc::Subject};

/// The keys begin so; issuer and `sub` follow, as a JSON array.
const KEYS: &str = "hub_subject:";

/// A `sub` that the owner is bound to at each start, whatever the issuer is,
/// until its token has come in once: a mistyped issuer costs nothing.
const PROMISED: &str = "hub_owner_sub";

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The owner is theirs now.
    Won(OwnerId),
    /// The owner was theirs before.
    Theirs(OwnerId),
    /// It is somebody else's.
    Taken,
}

impl Store {
    /// For whom a subject acts.
    ///
    /// # Errors
    /// SQLite's.
    pub fn resolve_owner(&self, subject: &Subject) -> Result<Option<OwnerId>> {
        let owner = self.meta(&key_of(subject))?;
        owner.map(|text| text.parse().map_err(|e| damaged("a subject's owner", &e))).transpose()
    }

    /// Whether any subject is bound to an owner.
    ///
    /// # Errors
    /// SQLite's.
    pub fn is_claimed(&self, owner: &OwnerId) -> Result<bool> {
        let mut read = self.conn.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM meta
             WHERE key >= 'hub_subject:' AND key < 'hub_subject;' AND value = ?1)",
        )?;
        Ok(read.query_row([owner.as_str()], |row| row.get(0))?)
    }

    /// Binds a subject to an owner that is unclaimed. Of many at once exactly
    /// one has it: looking and binding are one transaction.
    ///
    /// # Errors
    /// SQLite's.
    pub fn claim(&mut self, owner: &OwnerId, subject: &Subject) -> Result<Claim> {
        let work = Work::begin(&self.conn)?;
        let claim = match self.resolve_owner(subject)? {
            Some(theirs) => Claim::Theirs(theirs),
            None if self.is_claimed(owner)? => Claim::Taken,
            None => {
                self.set_meta(&key_of(subject), owner.as_str())?;
                Claim::Won(owner.clone())
            }
        };
        work.commit()?;
        Ok(claim)
    }

    /// Binds a subject to an owner, in the place of all others: whoever runs
    /// the hub has said so. Gives those that were bound before.
    ///
    /// # Errors
    /// SQLite's.
    pub fn bind(&self, owner: &OwnerId, subject: &Subject) -> Result<Vec<Subject>> {
        let work = Work::begin(&self.conn)?;
        let mut others = self.subjects_of(owner)?;
        others.retain(|other| other != subject);
        for other in &others {
            self.conn.execute("DELETE FROM meta WHERE key = ?1", [key_of(other)])?;
        }
        self.set_meta(&key_of(subject), owner.as_str())?;
        work.commit()?;
        Ok(others)
    }

    /// Whoever the owner was promised to has come: from now on they are bound
    /// as anybody else is.
    ///
    /// # Errors
    /// SQLite's.
    pub fn keep_promise(&self) -> Result<()> {
        self.conn.execute("DELETE FROM meta WHERE key = ?1", [PROMISED])?;
        Ok(())
    }

    /// Whom an owner is bound to.
    ///
    /// # Errors
    /// SQLite's.
    pub fn subjects_of(&self, owner: &OwnerId) -> Result<Vec<Subject>> {
        let mut read = self.conn.prepare_cached(
            "SELECT key FROM meta
             WHERE key >= 'hub_subject:' AND key < 'hub_subject;' AND value = ?1 ORDER BY key",
        )?;
        let keys = read.query_map([owner.as_str()], |row| row.get::<_, String>(0))?;
        let keys = keys.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(keys.iter().filter_map(|key| subject_of(key)).collect())
    }

    /// Everybody whose data may be here: the store's owner, and whoever a
    /// subject is bound to.
    ///
    /// # Errors
    /// SQLite's.
    pub fn owners(&self) -> Result<BTreeSet<OwnerId>> {
        let mut read = self.conn.prepare_cached(
            "SELECT value FROM meta
             WHERE key = 'owner_id' OR key >= 'hub_subject:' AND key < 'hub_subject;'",
        )?;
        let owners = read.query_map([], |row| row.get::<_, String>(0))?;
        let owners = owners.collect::<rusqlite::Result<Vec<_>>>()?;
        owners.iter().map(|text| text.parse().map_err(|e| damaged("an owner", &e))).collect()
    }

    /// The `sub` that the owner was promised to before an issuer was known.
    ///
    /// # Errors
    /// SQLite's.
    pub fn promised(&self) -> Result<Option<String>> {
        let mut read = self.conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(read.query_row([PROMISED], |row| row.get(0)).optional()?)
    }
}

/// The key and value in `meta` that promise the owner to a `sub`.
#[must_use]
pub const fn promise(sub: &str) -> (&'static str, &str) {
    (PROMISED, sub)
}

/// The rows of `meta` that say who may act for whom.
///
/// # Errors
/// SQLite's.
pub(super) fn claims_of(conn: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut read = conn.prepare(
        "SELECT CAST(key AS TEXT), CAST(value AS TEXT) FROM meta
         WHERE key = ?1 OR key >= 'hub_subject:' AND key < 'hub_subject;'",
    )?;
    read.query_map([PROMISED], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Whether one of these rows lets a `sub` act for the owner.
pub(super) fn is_claimed_by(claims: &[(String, String)], sub: &str) -> bool {
    claims.iter().any(|(key, value)| match key.as_str() {
        PROMISED => value == sub,
        key => subject_of(key).is_some_and(|subject| subject.sub == sub),
    })
}

fn key_of(Subject { issuer, sub }: &Subject) -> String {
    format!("{KEYS}{}", serde_json::json!([issuer, sub]))
}

fn subject_of(key: &str) -> Option<Subject> {
    let (issuer, sub) = serde_json::from_str(key.strip_prefix(KEYS)?).ok()?;
    Some(Subject { issuer, sub })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{machine::Machine, store::Birth};

    fn store() -> (Store, OwnerId) {
        let store = Store::in_memory(&Birth::Minting, &Machine::this()).unwrap();
        let owner = store.owner().unwrap().unwrap();
        (store, owner)
    }

    fn subject(issuer: &str, sub: &str) -> Subject {
        Subject { issuer: issuer.to_owned(), sub: sub.to_owned() }
    }

    #[test]
    fn a_sub_at_another_issuer_is_somebody_else() {
        let (mut store, owner) = store();
        let (mine, other) = (subject("https://a", "ann"), subject("https://b", "ann"));
        assert_eq!(store.claim(&owner, &mine).unwrap(), Claim::Won(owner.clone()));
        assert_eq!(store.claim(&owner, &mine).unwrap(), Claim::Theirs(owner.clone()));
        assert_eq!(store.claim(&owner, &other).unwrap(), Claim::Taken);
        assert_eq!(store.resolve_owner(&mine).unwrap(), Some(owner));
        assert_eq!(store.resolve_owner(&other).unwrap(), None);
    }

    #[test]
    fn issuer_and_sub_cannot_be_cut_elsewhere() {
        let (mut store, owner) = store();
        store.claim(&owner, &subject("https://a", "b\",\"c")).unwrap();
        assert_eq!(store.resolve_owner(&subject("https://a\",\"b", "c")).unwrap(), None);
    }

    #[test]
    fn one_store_holds_the_subjects_of_several_owners() {
        let (mut store, first) = store();
        let second = OwnerId::draw(&Machine::this().entropy);
        let (ann, bob) = (subject("https://a", "ann"), subject("https://a", "bob"));
        store.claim(&first, &ann).unwrap();
        assert!(!store.is_claimed(&second).unwrap());
        assert_eq!(store.claim(&second, &bob).unwrap(), Claim::Won(second.clone()));
        assert_eq!(store.claim(&second, &ann).unwrap(), Claim::Theirs(first.clone()));
        assert_eq!(store.resolve_owner(&ann).unwrap(), Some(first));
        assert_eq!(store.resolve_owner(&bob).unwrap(), Some(second));
    }

    #[test]
    fn whoever_runs_the_hub_decides() {
        let (mut store, owner) = store();
        let (thief, mine) = (subject("https://a", "thief"), subject("https://a", "mine"));
        let (key, sub) = promise("mine");
        store.set_meta(key, sub).unwrap();
        store.claim(&owner, &thief).unwrap();
        assert_eq!(store.promised().unwrap().as_deref(), Some("mine"));
        assert_eq!(store.bind(&owner, &mine).unwrap(), std::slice::from_ref(&thief));
        assert_eq!(store.bind(&owner, &mine).unwrap(), []);
        assert_eq!(store.resolve_owner(&thief).unwrap(), None);
        assert_eq!(store.subjects_of(&owner).unwrap(), [mine]);
        assert_eq!(store.promised().unwrap().as_deref(), Some("mine"), "they have not come yet");
        store.keep_promise().unwrap();
        assert_eq!(store.promised().unwrap(), None);
    }
}
