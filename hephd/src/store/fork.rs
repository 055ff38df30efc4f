//! A chain that went on in two ways: on the hub, and here. The hub's stands.
//!
//! Here it is cut at the last place that both have. The ops that were cut off
//! and stand in no other chain are appended, unchanged and under their own
//! ids, to a chain of a fresh origin, which becomes this replica's. So nothing
//! is lost and nothing happens twice: what the ops mean does not depend on
//! the chain that delivers them.

use rusqlite::{Connection, params};

use super::{Store, transaction::Work, write::Pen};
use crate::{
    error::Result,
    id::{Origin, OwnerId},
    op::Hash,
};

/// The key of `meta` that counts healed forks. It is of one device alone.
pub const FORKS_HEALED: &str = "device_forks_healed";

/// What healing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    /// Entries that were cut off.
    pub cut: u64,
    /// Ops that were appended to the fresh origin.
    pub moved: u64,
    /// The fresh origin; none where nothing was cut off.
    pub origin: Option<Origin>,
}

impl Store {
    /// Cuts a chain after its last common place, in one durable transaction.
    ///
    /// # Errors
    /// SQLite's; `store_corrupt`.
    pub fn heal_fork(&mut self, owner: &OwnerId, origin: &Origin, common: u64) -> Result<Healed> {
        let healed_before = self.forks_healed()?;
        let fresh = Origin::draw(&self.machine.entropy);
        let Some(chain) = self.chain(owner, origin)? else { return Ok(nothing()) };
        let work = Work::begin(&self.conn)?;
        let orphans = only_beyond(&work, chain, common)?;
        let cut = cut(&work, chain, common)?;
        if cut == 0 {
            return Ok(nothing());
        }
        let mut pen = Pen::new(&work, owner, fresh.clone(), &mut self.ticker, &self.machine)?;
        pen.introduce_device()?;
        let mut read = work.prepare("SELECT bytes FROM ops WHERE n = ?1")?;
        for op in &orphans {
            let bytes: String = read.query_row([op], |row| row.get(0))?;
            pen.deliver(*op, &bytes)?;
        }
        drop(read);
        pen.finish()?;
        put_meta(&work, "origin", fresh.as_str())?;
        put_meta(&work, FORKS_HEALED, &(healed_before + 1).to_string())?;
        work.commit()?;
        Ok(Healed { cut, moved: orphans.len() as u64, origin: Some(fresh) })
    }

    /// Forks that this replica has healed.
    ///
    /// # Errors
    /// SQLite's.
    pub fn forks_healed(&self) -> Result<u64> {
        Ok(self.meta(FORKS_HEALED)?.and_then(|text| text.parse().ok()).unwrap_or(0))
    }
}

const fn nothing() -> Healed {
    Healed { cut: 0, moved: 0, origin: None }
}

/// The ops beyond a place of a chain that no other chain delivers, in order.
fn only_beyond(conn: &Connection, chain: i64, common: u64) -> Result<Vec<i64>> {
    let mut read = conn.prepare(
        "SELECT op FROM chains c WHERE chain = ?1 AND seq > ?2 AND NOT EXISTS (
             SELECT 1 FROM chains o WHERE o.op = c.op AND NOT (o.chain = ?1 AND o.seq > ?2))
         ORDER BY seq",
    )?;
    let rows = read.query_map(params![chain, common], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Shortens a chain to a place; gives how many entries that took.
fn cut(conn: &Connection, chain: i64, common: u64) -> Result<u64> {
    let cut =
        conn.execute("DELETE FROM chains WHERE chain = ?1 AND seq > ?2", params![chain, common])?;
    conn.execute("DELETE FROM heads WHERE n = ?1 AND ?2 = 0", params![chain, common])?;
    conn.execute(
        "UPDATE heads SET seq = ?2, hash =
             (SELECT hash FROM chains WHERE chain = ?1 AND seq = ?2)
         WHERE n = ?1",
        params![chain, common],
    )?;
    Ok(cut as u64)
}

fn put_meta(conn: &Connection, key: &str, value: &str) -> Result<()> {
    conn.execute(super::PUT_META, [key, value])?;
    Ok(())
}

/// Looks for the last place that two chains have in common, by asking for the
/// other's hashes at a few places at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Whose chain.
    pub origin: Origin,
    common: u64,
    last: u64,
}

/// Places asked for at a time.
const PLACES: u64 = 64;

impl Search {
    /// A search in a chain that both have up to `last` places of.
    #[must_use]
    pub const fn new(origin: Origin, last: u64) -> Self {
        Self { origin, common: 0, last }
    }

    /// The last common place, once it is known.
    #[must_use]
    pub fn found(&self) -> Option<u64> {
        (self.common == self.last).then_some(self.common)
    }

    /// The places to ask for now, rising, the last one always among them.
    #[must_use]
    pub fn places(&self) -> Vec<u64> {
        let step = (self.last - self.common).div_ceil(PLACES).max(1);
        let mut places: Vec<u64> = (0..PLACES)
            .map_while(|n| self.last.checked_sub(n * step).filter(|place| *place > self.common))
            .collect();
        places.reverse();
        places
    }

    /// Takes a place's two hashes; places come rising.
    pub fn compare(&mut self, place: u64, mine: Option<Hash>, theirs: Option<Hash>) {
        if mine.is_some() && mine == theirs {
            self.common = self.common.max(place.min(self.last));
        } else {
            self.last = self.last.min(place - 1).max(self.common);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn a_search_ends_at_the_last_common_place(last in 0_u64..2_000_000, at in any::<u64>()) {
            let common = if last == 0 { 0 } else { at % (last + 1) };
            let mut search = Search::new("00000000000000aa".parse().unwrap(), last);
            let mut rounds = 0;
            while search.found().is_none() {
                let places = search.places();
                prop_assert!(!places.is_empty() && places.len() <= PLACES as usize);
                for place in places {
                    let theirs = if place <= common { Hash::NONE } else { Hash([1; 32]) };
                    search.compare(place, Some(Hash::NONE), Some(theirs));
                }
                rounds += 1;
                prop_assert!(rounds < 6, "{search:?}");
            }
            prop_assert_eq!(search.found(), Some(common));
        }
    }
}
