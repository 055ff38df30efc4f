//! What will happen in one life: options and steps, all drawn from one seed.
//! Pure data, that can be printed, shortened and played again.
//!
//! Each step has a chance of its own, so that leaving one out changes nothing
//! in what the others do.

use crate::world::{Dice, TODAY, YEAR_2099};

/// A year, in ms.
pub const YEAR: u64 = 365 * 86_400_000;

/// How many replicas there may be.
pub const MOST_REPLICAS: usize = 6;

/// What holds for the whole of a life.
#[derive(Debug, Clone)]
pub struct Options {
    /// Spokes at the start.
    pub spokes: usize,
    /// Nodes that are written about; the fewer, the more conflicts.
    pub nodes: usize,
    /// Cycles of one spoke at once.
    pub at_once: usize,
    /// Messages that never arrive, in percent; the same for the others.
    pub lost: usize,
    /// Answers that never arrive.
    pub unanswered: usize,
    /// Requests that arrive twice.
    pub repeated: usize,
    /// The most entries on a page, or in a batch.
    pub page: usize,
    /// The most bytes of ops there; 0 for no such limit.
    pub bytes: usize,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub what: What,
    /// The seed of its own chance.
    pub salt: u64,
}

/// Replicas are named by any number: there are as many as there are, and 0
/// is the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Some edits: fields, deletions, links.
    Write { who: usize, edits: usize },
    /// A conflict that is shown is settled.
    Resolve { who: usize },
    /// An op of a kind that nobody here knows.
    UnknownKind { who: usize },
    /// A cycle begins.
    Open { spoke: usize },
    /// Messages of the cycles under way move, one at a time, any of them.
    Go { messages: usize },
    /// A process dies, and another starts on its disk.
    Crash { who: usize },
    /// The same, by a clock that was put somewhere else.
    Restart { who: usize, clock: u64 },
    /// A clock is put somewhere else under a process that goes on.
    Step { who: usize, clock: u64 },
    /// Time passes for everybody, in ms.
    Pass { ms: u64 },
    /// A year passes, and a spoke stays away for some steps.
    Away { spoke: usize, steps: usize },
    /// Nobody reaches the hub for some steps.
    HubDown { steps: usize },
    /// A snapshot is taken.
    Copy { who: usize },
    /// A disk is replaced by a copy of what it held.
    PutBack { who: usize },
    /// A disk is replaced by a copy of any other's, by hand: with an origin of
    /// its own, or without.
    Transplant { who: usize, fresh: bool },
    /// A second device goes on from a replica's disk.
    Clone { who: usize, fresh: bool },
    /// A device with an empty store.
    Join,
    /// A batch that was sent before arrives again, or at last.
    OldPush,
}

/// A whole life.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub options: Options,
    pub steps: Vec<Step>,
}

impl Plan {
    /// The life of a seed.
    pub fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let options = Options::new(&dice);
        // Short lives are played more often, and some are long.
        let count = 8 + dice.below(48).min(dice.below(48));
        let weights = weights(&dice);
        let steps =
            (0..count).map(|_| Step { what: What::new(&dice, &weights), salt: dice.roll() });
        Self { seed, options, steps: steps.collect() }
    }
}

impl Options {
    fn new(dice: &Dice) -> Self {
        let foul = dice.percent(70);
        let percent = |most: usize| if foul { dice.below(most + 1) } else { 0 };
        Self {
            spokes: 1 + dice.below(3).max(dice.below(4)),
            nodes: 1 + dice.below(5),
            at_once: *dice.pick(&[1, 1, 2, 3]),
            lost: percent(12),
            unanswered: percent(12),
            repeated: percent(20),
            page: *dice.pick(&[1, 2, 3, 5, 8, 20, 1_000]),
            bytes: *dice.pick(&[0, 0, 300, 1_000]),
        }
    }
}

/// How often each sort of step comes, in the order of [`What::new`]. A life
/// knows some of them only, and is the nastier for it: what happens often
/// happens together.
const USUAL: [usize; 17] = [20, 16, 20, 3, 1, 3, 2, 2, 2, 1, 1, 8, 8, 3, 2, 1, 2];

fn weights(dice: &Dice) -> [usize; 17] {
    let mut weights = USUAL;
    for weight in weights.iter_mut().skip(3) {
        *weight *= *dice.pick(&[0, 0, 1, 2, 3]);
    }
    weights
}

impl What {
    fn new(dice: &Dice, weights: &[usize; 17]) -> Self {
        let (who, fresh) = (dice.below(60), dice.percent(50));
        let mut n = dice.below(weights.iter().sum());
        let sort = weights.iter().position(|weight| {
            let here = n < *weight;
            n = n.wrapping_sub(*weight);
            here
        });
        match sort.unwrap_or_default() {
            0 => Self::Write { who, edits: 1 + dice.below(3) },
            1 => Self::Open { spoke: who },
            2 => Self::Go { messages: 1 + dice.below(30) },
            3 => Self::Resolve { who },
            4 => Self::UnknownKind { who },
            5 => Self::Crash { who },
            6 => Self::Restart { who, clock: clock(dice) },
            7 => Self::Step { who, clock: clock(dice) },
            8 => Self::Pass { ms: dice.roll() % 100_000_000 },
            9 => Self::Away { spoke: who, steps: 5 + dice.below(15) },
            10 => Self::HubDown { steps: 2 + dice.below(8) },
            11 => Self::Copy { who: hub_often(who, dice) },
            12 => Self::PutBack { who: hub_often(who, dice) },
            13 => Self::Transplant { who: hub_often(who, dice), fresh },
            14 => Self::Clone { who, fresh },
            15 => Self::Join,
            _ => Self::OldPush,
        }
    }
}

/// What happens to the hub's disk concerns everybody.
fn hub_often(who: usize, dice: &Dice) -> usize {
    if dice.percent(25) { 0 } else { who }
}

fn clock(dice: &Dice) -> u64 {
    *dice.pick(&[0, 1_000, TODAY - YEAR, TODAY, TODAY + 240_000, TODAY + 900_000, YEAR_2099])
}
