//! What happened in the lives that were lived, counted: a schedule in which
//! nothing goes wrong proves nothing.

use std::{collections::BTreeMap, fmt};

/// What must have happened in every run of many lives.
const EVENTS: [&str; 39] = [
    "ops at the hub",
    "ops at spokes",
    "conflicts",
    "conflicts resolved",
    "deleted",
    "links",
    "unknown kinds",
    "messages lost",
    "pages with more to come",
    "pushes refused as not next",
    "two cycles at once",
    "cycles begun by a hint",
    "cycles begun by an old hint",
    "batches that were too large",
    "batches that came late",
    "ops that came late and were new",
    "ops acknowledged",
    "crashes of the hub",
    "crashes of a spoke",
    "crashes amid a cycle",
    "clocks in 1970",
    "clocks in 2099",
    "years away",
    "hub out of reach",
    "joins",
    "joins that found no hub",
    "copies of the hub",
    "copies of a spoke",
    "hub put back",
    "hub put back more than once",
    "spoke put back",
    "put back by hand from another",
    "put back, wrote, met the hub",
    "put back, met the hub, wrote nothing",
    "clones",
    "clones that share an origin",
    "forks healed",
    "ops cut off and moved",
    "two forks in one life",
];

/// How often each thing happened.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    counts: BTreeMap<&'static str, usize>,
}

impl Coverage {
    pub fn count(&mut self, event: &'static str, times: usize) {
        assert!(EVENTS.contains(&event), "{event:?} is not listed");
        if times > 0 {
            *self.counts.entry(event).or_default() += times;
        }
    }

    pub fn of(&self, event: &str) -> usize {
        self.counts.get(event).copied().unwrap_or(0)
    }

    pub fn put_back(&mut self, who: usize) {
        self.count(if who == 0 { "hub put back" } else { "spoke put back" }, 1);
        self.count(
            "hub put back more than once",
            usize::from(who == 0 && self.of("hub put back") == 2),
        );
    }

    pub fn add(&mut self, other: &Self) {
        other.counts.iter().for_each(|(event, times)| self.count(event, *times));
    }

    /// What never happened.
    pub fn missing(&self) -> Vec<&'static str> {
        EVENTS.into_iter().filter(|event| self.of(event) == 0).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = EVENTS.iter().map(|event| format!("{} {event}", self.of(event)));
        f.write_str(&events.collect::<Vec<_>>().join(", "))
    }
}
