//! The power goes. What the command had done by then is on the disk as far as
//! it was synced; of the rest anything may be missing. A store that has the
//! target's name is whole all the same, and one that was promised is there.

use super::{
    Place, Stand, Subject,
    asked::{for_seeds, full},
    dice::Dice,
    disk::{Disk, Tree, lay, read},
    place::Stock,
    record::{Op, record},
};

/// After how many changes, and the seed of what is missing then.
struct Point(usize, u64);

struct Recorded {
    before: Tree,
    ops: Vec<Op>,
}

pub fn sweep(subject: &'static Subject) {
    let stock = Stock::of(subject);
    let recorded = Recorded::run(&stock.place());
    for_seeds(1, |seed| {
        let points = recorded.points(&Dice::new(seed), full(200, 2_000));
        eprintln!("{} states of {} ops: HEPH_SEED={seed}", points.len(), recorded.ops.len());
        let name = |Point(after, _): &Point| {
            let last = after.checked_sub(1).map(|n| format!("{:.120?}", &recorded.ops[n]));
            format!("power cut after {after} changes, {}", last.unwrap_or_default())
        };
        stock.try_each(&points, name, |place| {
            // A store knows the path that it came from, so each place has its own.
            let recorded = Recorded::run(place);
            move |place: &Place<'_>, point: &Point| recorded.cut(place, point)
        });
    });
}

impl Recorded {
    /// What is replayed must come to what the command made.
    fn run(place: &Place<'_>) -> Self {
        let before = read(&place.path(), &place.target());
        let recorded = Self { ops: record(place), before };
        let (replayed, made) =
            (recorded.disk(recorded.ops.len()).seen(), read(&place.path(), &place.target()));
        assert!(replayed.keys().eq(made.keys()), "{:?}, not {:?}", replayed.keys(), made.keys());
        assert!(replayed == made, "the bytes are others");
        recorded
    }

    fn disk(&self, ops: usize) -> Disk {
        let mut disk = Disk::holding(&self.before);
        self.ops[..ops].iter().for_each(|op| disk.apply(op));
        disk
    }

    /// Half of them where something else than data is about to change or just
    /// has: such places are few, and the promise hangs on them.
    fn points(&self, dice: &Dice, count: u64) -> Vec<Point> {
        let is_turn = |n: &usize| {
            self.ops[n.saturating_sub(1)..].iter().take(2).any(|op| !matches!(op, Op::Write(..)))
        };
        let turns: Vec<usize> = (0..=self.ops.len()).filter(is_turn).collect();
        let draw = |n| match n % 2 {
            0 => turns[dice.below(turns.len())],
            _ => dice.below(self.ops.len() + 1),
        };
        (0..count).map(|n| Point(draw(n), dice.roll())).collect()
    }

    fn cut(&self, place: &Place<'_>, Point(after, seed): &Point) -> Result<(), String> {
        let left = self.disk(*after).after_power_cut(&Dice::new(*seed));
        if place.target().exists() {
            std::fs::remove_dir_all(place.target()).unwrap();
        }
        lay(&place.path(), &left);
        let stand = place.look()?;
        let promised = self.ops[..*after].iter().any(|op| matches!(op, Op::Answer));
        if promised && stand == Stand::Old {
            return Err("what was promised is not there".to_owned());
        }
        place.heals(stand)
    }
}
