//! The wire between two peers, in one process: it may lose, repeat or cut.
//!
//! No HTTP, and no thread: `sync::Cycle` asks, `hub::answer_*` answer, and
//! every body goes through JSON as it would on its way.

use hephd::{
    cursor::Cursor,
    error::Result,
    hub,
    op::Entry,
    store::oplog::{Appended, MAX_ENTRIES},
    sync::{Answer, Ask, Cycle},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::world::{Dice, Peer};

/// What happens to messages, in percent of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// The request never arrives, and the cycle ends there.
    pub lost: usize,
    /// The hub acts and its answer never arrives: the cycle ends there.
    pub unanswered: usize,
    /// The request arrives twice.
    pub repeated: usize,
    /// The hub takes less than this batch, if it is more than one entry.
    pub too_large: usize,
    /// Entries on a page, both ways; 0 for as many as there are.
    pub page: usize,
    /// Bytes of ops there; 0 for as many as there are.
    pub bytes: usize,
}

impl Weather {
    pub const FAIR: Self =
        Self { lost: 0, unanswered: 0, repeated: 0, too_large: 0, page: 0, bytes: 0 };

    pub fn foul(dice: &Dice) -> Self {
        let page = 1 + dice.below(40);
        Self { lost: 8, unanswered: 8, repeated: 10, too_large: 5, page, bytes: 0 }
    }

    fn page(&self) -> usize {
        if self.page == 0 { MAX_ENTRIES } else { self.page }
    }

    /// How many of these fit on a page: one at least, so that it gets on.
    fn fitting(&self, entries: &[Entry]) -> usize {
        let limit = if self.bytes == 0 { usize::MAX } else { self.bytes };
        let sizes = entries.iter().scan(0, |sum, entry| {
            *sum += entry.op.get().len();
            Some(*sum)
        });
        sizes.take(self.page()).take_while(|sum| *sum <= limit).count().max(1)
    }
}

/// How a cycle ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Whole,
    Cut,
}

/// A cycle under way. Each step is one thing that happens: a question is
/// asked, or reaches the hub, or its answer arrives. Anything may happen
/// elsewhere in between.
#[derive(Debug, Default)]
pub struct Trip {
    pub cycle: Cycle,
    pub way: Way,
}

/// Where a trip's message is.
#[derive(Debug, Default)]
pub enum Way {
    #[default]
    Home,
    Asked(Ask),
    Answered(Answer),
}

impl Trip {
    /// The next thing that happens; the end when there is nothing left.
    pub fn step(
        &mut self,
        spoke: &mut Peer,
        hub: &mut Peer,
        weather: Weather,
        dice: &Dice,
    ) -> Result<Option<Ended>> {
        self.way = match std::mem::take(&mut self.way) {
            Way::Home => match self.cycle.next(&spoke.store)? {
                None => return Ok(Some(Ended::Whole)),
                Some(ask) => Way::Asked(shortened(ask, weather)),
            },
            Way::Asked(_) if dice.percent(weather.lost) => return Ok(Some(Ended::Cut)),
            Way::Asked(Ask::Push(body))
                if body.entries.len() > 1 && dice.percent(weather.too_large) =>
            {
                Way::Answered(Answer::TooLarge)
            }
            Way::Asked(ask) => {
                if dice.percent(weather.repeated) {
                    answer(hub, &ask, weather.page())?;
                }
                Way::Answered(answer_within(hub, &ask, weather)?)
            }
            Way::Answered(_) if dice.percent(weather.unanswered) => return Ok(Some(Ended::Cut)),
            Way::Answered(answer) => {
                self.cycle.take(&mut spoke.store, answer)?;
                Way::Home
            }
        };
        Ok(None)
    }
}

/// One cycle of a spoke with its hub, while nothing else happens.
pub fn cycle(spoke: &mut Peer, hub: &mut Peer, weather: Weather, dice: &Dice) -> Result<Ended> {
    let mut trip = Trip::default();
    // A few steps an entry are more than any cycle needs.
    let patience = 300 + 6 * (spoke.heads().entries() + hub.heads().entries());
    for _ in 0..patience {
        if let Some(ended) = trip.step(spoke, hub, weather, dice)? {
            return Ok(ended);
        }
    }
    panic!("the cycle does not end: {trip:?}");
}

/// A batch may be cut short anywhere: its beginning is a batch as well.
fn shortened(ask: Ask, weather: Weather) -> Ask {
    match ask {
        Ask::Push(mut body) => {
            body.entries.truncate(weather.fitting(&body.entries));
            Ask::Push(body)
        }
        other => other,
    }
}

/// A page that is too long is asked for again, shorter: it changes nothing.
fn answer_within(hub: &mut Peer, ask: &Ask, weather: Weather) -> Result<Answer> {
    let told = answer(hub, ask, weather.page())?;
    match &told {
        Answer::Page(page) if weather.fitting(&page.entries) < page.entries.len() => {
            answer(hub, ask, weather.fitting(&page.entries))
        }
        _ => Ok(told),
    }
}

/// What the hub does and says.
pub fn answer(hub: &mut Peer, ask: &Ask, page: usize) -> Result<Answer> {
    let (owner, now) = (hub.owner(), hub.now());
    Ok(match ask {
        Ask::Heads(digest) => match hub::answer_heads(&hub.store, &owner, *digest, now)? {
            (_, None) => Answer::Same,
            (_, Some(body)) => Answer::Heads(sent(&body)),
        },
        Ask::Pull(after) => {
            let after = Cursor::decode(&after.encode()).unwrap();
            Answer::Page(sent(&hub::answer_pull(&hub.store, &owner, &after, page)?))
        }
        Ask::Push(body) => match hub::answer_push(&mut hub.store, &owner, &sent(body))? {
            Ok(pushed) => Answer::Pushed(sent(&pushed)),
            Err(Appended::NotNext { .. }) => Answer::NotNext,
            Err(refused) => return Err(refused.done().unwrap_err()),
        },
        Ask::Chain(origin, places) => {
            Answer::Chain(sent(&hub::answer_chain(&hub.store, &owner, origin, places)?))
        }
    })
}

/// As it comes out at the other end of the wire.
fn sent<T: Serialize + DeserializeOwned>(body: &T) -> T {
    serde_json::from_str(&serde_json::to_string(body).unwrap()).unwrap()
}
