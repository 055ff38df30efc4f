//! Hundreds of sockets that say nothing, or say it slowly, beside honest
//! requests: those must not notice.

use std::{
    io::Write,
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use super::{
    daemon::Daemon,
    ledger::Ledger,
    wire::{self, Pusher, ask},
};
use crate::running::{Home, wait_for};

const CROWD: usize = 500;

/// Of each kind, in one round.
const HONEST: usize = 100;
/// Of each kind; an odd number has a middle.
const ROUNDS: usize = 5;

/// What a middle p99 moves by itself where both cores are busy with something
/// else: 3 ms of 4 to 8 for reads, 3 of 9 to 16 for writes. A crowd that costs
/// 20 µs a socket moves it by 30 to 60.
const SLACK: Duration = Duration::from_millis(5);

/// What the `n`th of them says at first.
fn first_words(n: usize) -> &'static str {
    match n % 4 {
        0 => "",
        1 => "GET /sync/heads HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        2 => {
            "POST /sync/push HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: 1000000\r\n\r\n{\"entries\":["
        }
        _ => "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    }
}

/// Connects, and gives each a byte now and then, until told to stop. Whom the
/// hub has had enough of comes again.
fn be_a_crowd(port: u16, size: usize, there: &AtomicBool, goes_on: &AtomicBool) {
    let come = |n: usize| {
        let hub = (std::net::Ipv4Addr::LOCALHOST, port).into();
        let mut socket = TcpStream::connect_timeout(&hub, Duration::from_secs(1)).ok()?;
        socket.write_all(first_words(n).as_bytes()).ok()?;
        Some(socket)
    };
    let mut crowd: Vec<Option<TcpStream>> = (0..size).map(come).collect();
    there.store(true, Ordering::Release);
    while goes_on.load(Ordering::Relaxed) {
        for (n, socket) in crowd.iter_mut().enumerate() {
            let more = match n % 4 {
                1 => "x",
                2 => " ",
                _ => continue,
            };
            if socket.as_mut().is_none_or(|socket| socket.write_all(more.as_bytes()).is_err()) {
                *socket = come(n);
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The 99th of 100 honest requests, for reads and for writes.
#[derive(Debug, Clone, Copy)]
struct Times {
    reads: Duration,
    writes: Duration,
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100 - 1]
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times[times.len() / 2]
}

/// One round: reads and writes in turn, each kind as often.
fn round(port: u16, pusher: &mut Pusher, ledger: &Ledger) -> Times {
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for n in 0..HONEST {
        let path = if n % 2 == 0 { "/sync/heads" } else { "/healthz" };
        let begun = Instant::now();
        assert_eq!(ask(port, "GET", path, "").unwrap().0, 200);
        reads.push(begun.elapsed());
        let (body, ops) = pusher.next_batch();
        let begun = Instant::now();
        assert_eq!(ask(port, "POST", "/sync/push", &body).unwrap().0, 200);
        writes.push(begun.elapsed());
        ops.into_iter().for_each(|(id, op)| ledger.acknowledged(id, op));
    }
    Times { reads: p99(reads), writes: p99(writes) }
}

/// Whether a crowd costs the honest nothing. Rounds with and without it take
/// turns, so that what else the machine does falls on both alike; and of each
/// kind the middle one counts, so that a single hiccup decides nothing.
fn unaffected(quiet: &[Times], crowded: &[Times]) -> bool {
    let within = |kind: fn(&Times) -> Duration| {
        let (before, during) = (median(quiet.iter().map(kind)), median(crowded.iter().map(kind)));
        during <= before * 3 / 2 + SLACK
    };
    within(|times| times.reads) && within(|times| times.writes)
}

#[test]
fn five_hundred_idle_and_slow_sockets_cost_honest_requests_nothing() {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    hub.start();
    let owner = hub.status()["owner_id"].as_str().unwrap().to_owned();
    let (mut pusher, ledger) = (Pusher::new(port, &owner, 1), Ledger::default());
    let files = format!("/proc/{}/fd", hub.pid());
    let open = || std::fs::read_dir(&files).unwrap().count();
    round(port, &mut pusher, &ledger);
    let (mut quiet, mut crowded) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        wait_for("the last crowd to be gone", || open() < CROWD / 5);
        quiet.push(round(port, &mut pusher, &ledger));
        crowded.push(beside_a_crowd(port, CROWD, || {
            // Some of them the hub has ended by now.
            wait_for("the hub to have most of them", || open() > CROWD * 2 / 3);
            round(port, &mut pusher, &ledger)
        }));
    }
    eprintln!("p99 of each round without a crowd {quiet:?}, beside {CROWD} sockets {crowded:?}");
    assert!(unaffected(&quiet, &crowded), "{quiet:?} {crowded:?}");
    assert_eq!(ledger.missing_in(&wire::pull_all(port)), Vec::<String>::new());
}

/// Also where it is slow only to read, or only to write.
#[test]
fn a_planted_fault_a_hub_that_is_slower_beside_a_crowd_is_seen() {
    let ms = Duration::from_millis;
    let rounds = |reads, writes| [Times { reads: ms(reads), writes: ms(writes) }; ROUNDS];
    let quiet = rounds(2, 8);
    assert!(unaffected(&quiet, &rounds(3, 12)));
    assert!(!unaffected(&quiet, &rounds(20, 8)), "reads ten times as slow");
    assert!(!unaffected(&quiet, &rounds(2, 40)), "writes five times as slow");
    let mut once = quiet;
    once[0] = Times { reads: ms(900), writes: ms(900) };
    assert!(unaffected(&quiet, &once), "a single hiccup");
}

/// However the test ends, the crowd ends with it.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn beside_a_crowd<T>(port: u16, size: usize, honest: impl FnOnce() -> T) -> T {
    let (there, goes_on) = (AtomicBool::new(false), AtomicBool::new(true));
    std::thread::scope(|scope| {
        scope.spawn(|| be_a_crowd(port, size, &there, &goes_on));
        let _ends = Ends(&goes_on);
        wait_for("the crowd", || there.load(Ordering::Acquire));
        honest()
    })
}

/// The crowd is one: a hub that has no room for it keeps the honest waiting.
#[test]
fn a_planted_fault_a_hub_without_room_is_seen() {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    hub.wrapped_in = ["prlimit", "--nofile=100"].map(str::to_owned).to_vec();
    hub.start();
    let in_time = beside_a_crowd(port, 120, || {
        let (answer, answered) = std::sync::mpsc::channel();
        std::thread::spawn(move || answer.send(ask(port, "GET", "/sync/heads", "").map(|a| a.0)));
        matches!(answered.recv_timeout(Duration::from_secs(1)), Ok(Ok(200)))
    });
    assert!(!in_time);
}
