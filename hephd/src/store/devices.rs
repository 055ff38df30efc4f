//! What a hub remembers of the devices that ask it. It is of this file alone,
//! so it lies in `meta`, one key a device, and a seed drops it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{PUT_META, Store};
use crate::{
    error::{Error, Result},
    id::{EntityId, Origin, OwnerId},
};

/// The keys begin so; the origin follows.
const KEYS: &str = "device_seen:";

/// A device, as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When, by the hub's clock, ms since 1970.
    pub last_seen_ms: u64,
    /// The version of its daemon.
    pub version: String,
    /// Its clock minus the hub's, ms.
    pub clock_offset_ms: i64,
}

impl Store {
    /// The devices that are remembered. What cannot be read is passed over:
    /// nothing depends on it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn devices(&self) -> Result<BTreeMap<Origin, Seen>> {
        let mut read = self.conn.prepare_cached(
            "SELECT key, CAST(value AS TEXT) FROM meta
             WHERE key >= 'device_seen:' AND key < 'device_seen;'",
        )?;
        let mut rows = read.query([])?;
        let mut devices = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (key, value): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            let origin = key.strip_prefix(KEYS).and_then(|origin| origin.parse().ok());
            let seen = value.and_then(|value| serde_json::from_str(&value).ok());
            devices.extend(origin.zip(seen));
        }
        Ok(devices)
    }

    /// Remembers these devices and no others. Only what differs is written.
    ///
    /// # Errors
    /// SQLite's.
    pub fn keep_devices(&self, devices: &BTreeMap<Origin, Seen>) -> Result<()> {
        let known = self.devices()?;
        for origin in known.keys().filter(|origin| !devices.contains_key(origin)) {
            self.conn.execute("DELETE FROM meta WHERE key = ?1", [format!("{KEYS}{origin}")])?;
        }
        let mut put = self.conn.prepare_cached(PUT_META)?;
        for (origin, seen) in
            devices.iter().filter(|(origin, seen)| known.get(origin) != Some(seen))
        {
            let value = serde_json::to_string(seen).map_err(Error::internal)?;
            put.execute([format!("{KEYS}{origin}"), value])?;
        }
        Ok(())
    }

    /// How people call a device; none before it has written anything.
    ///
    /// # Errors
    /// SQLite's.
    pub fn device_name(&self, owner: &OwnerId, origin: &Origin) -> Result<Option<String>> {
        let title = self.title(owner, &EntityId::of_device(origin))?;
        Ok(Some(title).filter(|title| !title.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{machine::Machine, store::Birth};

    fn store() -> Store {
        Store::in_memory(&Birth::Minting, &Machine::this()).unwrap()
    }

    fn some(origins: &[&str], last_seen_ms: u64) -> BTreeMap<Origin, Seen> {
        let seen = Seen { last_seen_ms, version: "0.1.0".to_owned(), clock_offset_ms: -3 };
        origins.iter().map(|origin| (origin.parse().unwrap(), seen.clone())).collect()
    }

    const A: &str = "00000000000000aa";
    const B: &str = "00000000000000bb";

    #[test]
    fn what_is_kept_is_known_and_nothing_else() {
        let store = store();
        assert_eq!(store.devices().unwrap(), BTreeMap::new());
        for devices in [some(&[A, B], 1), some(&[B], 2), some(&[A], 3), some(&[], 0)] {
            store.keep_devices(&devices).unwrap();
            assert_eq!(store.devices().unwrap(), devices);
        }
        assert!(store.meta("origin").unwrap().is_some(), "what is not of a device stays");
    }

    #[test]
    fn what_has_not_changed_is_not_written() {
        let store = store();
        store.keep_devices(&some(&[A, B], 1)).unwrap();
        let before = store.conn.total_changes();
        store.keep_devices(&some(&[A, B], 1)).unwrap();
        assert_eq!(store.conn.total_changes(), before);
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let store = store();
        store.set_meta("device_seen:nobody", "{}").unwrap();
        store.set_meta(&format!("device_seen:{A}"), "what?").unwrap();
        store.conn.execute(PUT_META, [&format!("device_seen:{B}")[..], ""]).unwrap();
        assert_eq!(store.devices().unwrap(), BTreeMap::new());
        store.keep_devices(&some(&[A, B], 1)).unwrap();
        assert_eq!(store.devices().unwrap(), some(&[A, B], 1));
    }
}
