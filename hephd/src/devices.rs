//! Which devices asked, when last, and how their clocks stand to the hub's.
//!
//! For people to see; correctness needs none of it. So it is noted in memory,
//! as a durable write for each request would cost a flush of the disk, and put
//! into the store once a minute and when the hub stops. A hub that is killed
//! forgets the last minute.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{id::Origin, replica::Replica, stopping::Stopping, store::devices::Seen, sync::Sender};

/// At most so many. The one that was not seen for longest goes first.
pub const MOST: usize = 4096;

/// Between two looks whether there is something to put into the store.
pub const EVERY: Duration = Duration::from_secs(60);

/// The devices of a hub; a device itself has none.
#[derive(Debug, Default)]
pub struct Devices(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    seen: BTreeMap<Origin, Seen>,
    /// The store does not know all of it yet.
    changed: bool,
}

impl Devices {
    /// Those that the last process knew.
    #[must_use]
    pub fn knowing(seen: BTreeMap<Origin, Seen>) -> Self {
        let mut known = Known { seen, changed: false };
        known.forget_beyond(MOST);
        Self(Mutex::new(known))
    }

    /// One of them asked now, by the hub's clock.
    pub fn note(&self, sender: Sender, now_ms: u64) {
        let Sender { origin, version, time_ms } = sender;
        let clock_offset_ms = signed(time_ms).saturating_sub(signed(now_ms));
        let mut known = self.lock();
        known.seen.insert(origin, Seen { last_seen_ms: now_ms, version, clock_offset_ms });
        known.changed = true;
        known.forget_beyond(MOST);
    }

    /// All of them.
    #[must_use]
    pub fn seen(&self) -> BTreeMap<Origin, Seen> {
        self.lock().seen.clone()
    }

    /// All of them, if the store does not know them so yet. It is taken to know
    /// them from now on.
    fn news(&self) -> Option<BTreeMap<Origin, Seen>> {
        let mut known = self.lock();
        std::mem::take(&mut known.changed).then(|| known.seen.clone())
    }

    /// Puts what is new into the store. Where that fails, the next request makes
    /// it new again.
    pub async fn save(&self, replica: &Replica) {
        let Some(news) = self.news() else { return };
        if let Err(error) = replica.write(move |store| store.keep_devices(&news)).await {
            tracing::debug!("when the devices were seen is not kept: {}", error.message);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_beyond(&mut self, most: usize) {
        while self.seen.len() > most {
            let longest = self.seen.iter().min_by_key(|(_, seen)| seen.last_seen_ms);
            let Some(origin) = longest.map(|(origin, _)| origin.clone()) else { return };
            self.seen.remove(&origin);
        }
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Saves every so often, until told to stop.
pub async fn keep(
    devices: Arc<Devices>,
    replica: Arc<Replica>,
    every: Duration,
    mut stopping: Stopping,
) {
    loop {
        tokio::select! {
            () = stopping.heard() => return,
            () = tokio::time::sleep(every) => devices.save(&replica).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn sender(n: usize, time_ms: u64) -> Sender {
        let origin = format!("{n:016x}").parse().unwrap();
        Sender { origin, version: "0.1.0".to_owned(), time_ms }
    }

    #[test]
    fn the_last_word_of_a_device_counts() {
        let devices = Devices::default();
        devices.note(sender(1, NOW + 90_000), NOW);
        devices.note(sender(2, 0), NOW);
        devices.note(Sender { version: "0.2.0".to_owned(), ..sender(1, NOW) }, NOW + 7);
        let seen = devices.seen();
        let offsets: Vec<i64> = seen.values().map(|seen| seen.clock_offset_ms).collect();
        assert_eq!(offsets, [-7, -1_800_000_000_000]);
        let first = &seen[&sender(1, 0).origin];
        assert_eq!((first.last_seen_ms, &first.version[..]), (NOW + 7, "0.2.0"));
    }

    #[test]
    fn a_crowd_pushes_out_who_was_not_seen_for_longest() {
        let devices = Devices::default();
        for n in 0..=MOST {
            devices.note(sender(n, NOW), NOW + n as u64);
        }
        devices.note(sender(1, NOW), NOW + 2 * MOST as u64);
        devices.note(sender(MOST + 1, NOW), NOW + 3 * MOST as u64);
        let seen = devices.seen();
        assert_eq!(seen.len(), MOST);
        let known = |n| seen.contains_key(&sender(n, 0).origin);
        assert_eq!([0, 1, 2, 3, MOST + 1].map(known), [false, true, false, true, true]);

        let mut more = seen.clone();
        more.insert(sender(0, 0).origin, seen[&sender(1, 0).origin].clone());
        assert_eq!(Devices::knowing(more).seen().len(), MOST);
    }

    #[test]
    fn what_is_new_is_told_once() {
        let devices = Devices::default();
        assert_eq!(devices.news(), None);
        devices.note(sender(1, NOW), NOW);
        let news = devices.news().unwrap();
        assert_eq!(news, devices.seen());
        assert_eq!(devices.news(), None);
        assert_eq!(Devices::knowing(news).news(), None, "it came from there");
    }
}
