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
const HONEST: usize = 300;

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

/// How long honest requests take, half of them reads and half of them writes:
/// the 99th of 100, and the 50th.
fn times(port: u16, pusher: &mut Pusher, ledger: &Ledger) -> (Duration, Duration) {
    let mut times: Vec<Duration> = (0..HONEST)
        .map(|n| {
            let begun = Instant::now();
            if n % 2 == 0 {
                assert_eq!(ask(port, "GET", "/sync/heads", "").unwrap().0, 200);
            } else {
                let (body, ops) = pusher.next_batch();
                assert_eq!(ask(port, "POST", "/sync/push", &body).unwrap().0, 200);
                ops.into_iter().for_each(|(id, op)| ledger.acknowledged(id, op));
            }
            begun.elapsed()
        })
        .collect();
    times.sort();
    (times[HONEST * 99 / 100], times[HONEST / 2])
}

#[test]
fn five_hundred_idle_and_slow_sockets_cost_honest_requests_nothing() {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    hub.start();
    let owner = hub.status()["owner_id"].as_str().unwrap().to_owned();
    let (mut pusher, ledger) = (Pusher::new(port, &owner, 1), Ledger::default());
    times(port, &mut pusher, &ledger);
    let before = times(port, &mut pusher, &ledger);
    let during = beside_a_crowd(port, CROWD, || {
        // Some of them the hub has ended by now.
        let files = format!("/proc/{}/fd", hub.pid());
        wait_for("the hub to have most of them", || {
            std::fs::read_dir(&files).unwrap().count() > CROWD * 2 / 3
        });
        times(port, &mut pusher, &ledger)
    });
    eprintln!("p99 and p50 before {before:?}, beside {CROWD} sockets {during:?}");
    assert!(during.0 <= before.0 * 3 + Duration::from_millis(50), "{before:?} {during:?}");
    assert_eq!(ledger.missing_in(&wire::pull_all(port)), Vec::<String>::new());
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
