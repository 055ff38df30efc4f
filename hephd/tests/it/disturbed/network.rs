//! A device and its hub over a bad connection, while people write at both
//! ends. Once the line is good again two cycles make them equal.

use super::{
    daemon::{Daemon, equal_in_two_cycles},
    ledger::Ledger,
    proxy::{Harm, Proxy},
};
use crate::{
    running::Home,
    world::{Dice, full},
};

struct Pair {
    hub: Daemon,
    device: Daemon,
    proxy: Proxy,
    ledger: Ledger,
    dice: Dice,
    _home: Home,
}

fn pair(seed: u64) -> Pair {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    hub.start();
    let proxy = Proxy::before(port);
    let mut device = Daemon::device(&home, "device", proxy.port);
    device.start();
    device.sync().unwrap();
    Pair { hub, device, proxy, ledger: Ledger::default(), dice: Dice::new(seed), _home: home }
}

impl Pair {
    /// Both write while the device runs a cycle, however that ends.
    fn write_and_sync(&self, round: u64) {
        let (mine, theirs) = (self.dice.below(4), self.dice.below(4));
        let long = "x".repeat(self.dice.below(600));
        let write = |daemon: &Daemon, edits: usize, where_: &str| {
            for n in 0..edits {
                assert!(self.ledger.add_task(daemon, &format!("{where_} {round}.{n} {long}")));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| write(&self.hub, theirs, "hub"));
            scope.spawn(|| write(&self.device, mine, "device"));
            let _ = self.device.sync();
        });
    }

    /// Harm until so much of it was done.
    fn suffer(&self, wanted: u64) {
        let done = || self.proxy.done().values().sum::<u64>();
        let mut round = 0;
        while done() < wanted {
            round += 1;
            assert!(
                round < wanted * 20,
                "{wanted} faults do not come about: {:?}",
                self.proxy.done()
            );
            self.proxy.set(Harm::any(&self.dice));
            self.write_and_sync(round);
        }
        self.proxy.set(Harm::None);
    }
}

#[test]
fn whatever_a_connection_does_both_ends_become_equal() {
    let pair = pair(3);
    let wanted = full(200, 2_000);
    pair.suffer(wanted);
    let done = pair.proxy.done();
    eprintln!("{done:?}, {} tasks acknowledged", pair.ledger.len());
    assert_eq!(done.len(), Harm::KINDS, "every kind of harm was done: {done:?}");
    assert!(done.values().all(|times| *times >= wanted / 100), "{done:?}");
    equal_in_two_cycles(&pair.device, &pair.hub);
    assert_eq!(pair.ledger.missing_in(&pair.hub.tasks()), Vec::<String>::new());
    assert_eq!(pair.ledger.missing_in(&pair.device.tasks()), Vec::<String>::new());
}

/// Row 37 from the other end: a device that is told 413 sends less, until all
/// of it is there.
#[test]
fn row_37_a_device_splits_what_is_too_much_for_its_hub() {
    let pair = pair(5);
    pair.proxy.set(Harm::Refuse);
    for n in 0..40 {
        assert!(pair.ledger.add_task(&pair.device, &format!("task {n}")));
    }
    pair.proxy.set(Harm::Narrow(7));
    pair.device.sync().unwrap();
    assert_eq!(pair.proxy.done().get("narrow"), Some(&1));
    assert_eq!(pair.device.status()["equal"], true);
    assert_eq!(pair.ledger.missing_in(&pair.hub.tasks()), Vec::<String>::new());
}

/// The check above would see a connection that never gets well.
#[test]
fn a_planted_fault_a_line_that_stays_cut_is_seen() {
    let pair = pair(4);
    pair.proxy.set(Harm::CutAnswer(90));
    pair.write_and_sync(1);
    assert!(pair.ledger.add_task(&pair.device, "one more"));
    let equal = || equal_in_two_cycles(&pair.device, &pair.hub);
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(equal));
    assert!(seen.is_err());
}
