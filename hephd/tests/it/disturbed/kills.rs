//! SIGKILL at any moment. What was acknowledged is kept in a ledger outside,
//! and in the end nothing of it is missing.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use super::{
    daemon::{Daemon, equal_in_two_cycles, is_sound},
    ledger::Ledger,
    wire::{self, Pusher},
};
use crate::{
    running::{Home, free_port, wait_for},
    world::{Dice, full},
};

const PUSHERS: u64 = 3;

/// Kills a daemon again and again, each time after some more was acknowledged,
/// and leaves it running.
fn kill_again_and_again(
    daemon: &mut Daemon,
    cycles: u64,
    seed: u64,
    ledger: &Ledger,
    enough: &dyn Fn() -> bool,
) {
    let dice = Dice::new(seed);
    for _ in 0..cycles {
        let wanted = ledger.len() + 1 + dice.below(60);
        wait_for("something to be acknowledged", || ledger.len() >= wanted || enough());
        let moment = Instant::now() + Duration::from_micros(dice.roll() % 4_000);
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        daemon.kill();
        daemon.start();
        if enough() {
            return;
        }
    }
}

/// However the kills end, the pushers end with them.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Pushes through a port while the hub is killed; what was acknowledged.
fn pushed_under_kills(
    hub: &mut Daemon,
    port: u16,
    cycles: u64,
    enough: &dyn Fn(&Ledger) -> bool,
) -> Ledger {
    let owner = hub.status()["owner_id"].as_str().unwrap().to_owned();
    let (ledger, stop) = (Ledger::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for n in 0..PUSHERS {
            let pusher = Pusher::new(port, &owner, n);
            let (ledger, stop) = (&ledger, &stop);
            scope.spawn(move || pusher.run(ledger, &|| !stop.load(Ordering::Relaxed)));
        }
        let _stops = Stops(&stop);
        kill_again_and_again(hub, cycles, 7, &ledger, &|| enough(&ledger));
    });
    ledger
}

#[test]
fn what_a_hub_acknowledged_outlives_its_being_killed() {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    hub.start();
    let cycles = full(50, 1_000);
    let ledger = pushed_under_kills(&mut hub, port, cycles, &|_| false);
    let there = wire::pull_all(port);
    assert_eq!(ledger.missing_in(&there), Vec::<String>::new());
    eprintln!("{cycles} kills, {} ops acknowledged, {} there", ledger.len(), there.len());
    assert_eq!(hub.stop(), Some(0));
    is_sound(&hub.path("heph.db"));
}

#[test]
fn what_a_device_acknowledged_outlives_its_and_its_hubs_being_killed() {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    hub.start();
    let mut device = Daemon::device(&home, "device", port);
    device.start();
    device.sync().unwrap();
    let (ledger, dice) = (Ledger::default(), Dice::new(11));
    let cycles = full(50, 1_000);
    for cycle in 0..cycles {
        for n in 0..=dice.below(8) {
            ledger.add_task(&device, &format!("{cycle}.{n}"));
        }
        // A cycle is under way: each write asks for one.
        let moment = Instant::now() + Duration::from_micros(dice.roll() % 6_000);
        let write = || {
            for n in 0..5 {
                ledger.add_task(&device, &format!("{cycle}+{n}"));
            }
        };
        let pid = rustix::process::Pid::from_raw(device.pid().cast_signed()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(write);
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        device.kill();
        if dice.percent(30) {
            hub.kill();
            hub.start();
        }
        device.start();
    }
    equal_in_two_cycles(&device, &hub);
    assert_eq!(ledger.missing_in(&device.tasks()), Vec::<String>::new());
    assert_eq!(ledger.missing_in(&hub.tasks()), Vec::<String>::new());
    eprintln!("{cycles} kills, {} tasks acknowledged", ledger.len());
    for daemon in [&mut device, &mut hub] {
        assert_eq!(daemon.stop(), Some(0));
        is_sound(&daemon.path("heph.db"));
    }
}

/// The ledger must see a hub that says yes before it has written: here
/// somebody in front of it does.
#[test]
fn a_planted_fault_an_acknowledgement_before_the_commit_is_seen() {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    hub.start();
    let hasty = says_yes_at_once(port);
    let lost = |ledger: &Ledger| !ledger.missing_in(&wire::pull_all(port)).is_empty();
    let ledger = pushed_under_kills(&mut hub, hasty, 50, &lost);
    assert!(lost(&ledger), "50 kills, and the ledger saw nothing");
}

/// Listens in front of a hub, and acknowledges what it has not passed on yet.
fn says_yes_at_once(hub: u16) -> u16 {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for visitor in listener.incoming().flatten() {
            std::thread::spawn(move || acknowledge_then_pass_on(visitor, hub));
        }
    });
    port
}

fn acknowledge_then_pass_on(mut visitor: TcpStream, hub: u16) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !whole(&request) {
        let mut some = [0; 4096];
        match visitor.read(&mut some)? {
            0 => return Ok(()),
            len => request.extend(&some[..len]),
        }
    }
    visitor.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
    drop(visitor);
    let mut hub = TcpStream::connect(("127.0.0.1", hub))?;
    hub.write_all(&request)?;
    std::io::copy(&mut hub, &mut std::io::sink()).map(drop)
}

/// A request with its whole body.
pub fn whole(request: &[u8]) -> bool {
    let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..at]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    request.len() >= at + 4 + length
}
