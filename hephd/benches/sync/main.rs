//! How fast sync is, each figure beside a reference of the same run.
//!
//! ```text
//! cargo bench -p hephd --bench sync -- first 100000   a first sync of so many ops
//! cargo bench -p hephd --bench sync -- one 10000      one op, on a log of so many
//! cargo bench -p hephd --bench sync -- many           50 spokes that push at once
//! cargo bench -p hephd --bench sync -- idle           a hub with 50 spokes at rest
//! cargo bench -p hephd --bench sync -- door           a token, and 500 requests a second
//! ```
//!
//! Real processes, real HTTP on loopback, real files below the folder for
//! temporary files. `tests/bench sync` runs all of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that fails ends"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]
#![allow(clippy::disallowed_methods, reason = "a bench runs programs")]

mod door;
mod first;
mod idle;
mod lab;
mod many;
#[path = "../../tests/it/mint.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod mint;
mod one;
mod reference;

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |default| words.get(1).map_or(default, |word| word.parse().expect("a number"));
    match words.first().map(String::as_str) {
        Some("first") => first::run(number(100_000)),
        Some("one") => one::run(number(10_000)),
        Some("many") => many::run(50, 20, 10),
        Some("idle") => idle::run(50, number(30) as u64),
        Some("door") => {
            door::verify(number(20_000));
            door::requests(500, 30);
        }
        _ => eprintln!("one of: first [OPS], one [OPS], many, idle [SECS], door [TOKENS]"),
    }
}
