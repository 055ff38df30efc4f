//! heph-ops as people and scripts use it: the real programs, a home of their
//! own, real processes. Nothing is faked.

#![allow(clippy::disallowed_methods, reason = "tests run programs and write files as people do")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod answers;
mod catalogue;
mod connect;
mod copies;
mod cut_off;
#[path = "../../hephd/tests/it/dice.rs"]
#[allow(dead_code, reason = "hephd's tests use all of it")]
mod dice;
mod disasters;
#[path = "../../hephd/tests/it/first_line.rs"]
mod first_line;
mod given;
mod identity;
mod interrupts;
mod keeper;
mod on_a_host;
mod quoting;
mod random_lives;
mod rendered_blueprint;
mod rendered_files;
mod rendered_site;
mod sandbox;
mod seeding;
mod services;
mod ssh;
mod supervised;
mod sweeps;
mod transcripts;
mod twin;
mod under_launchd;
mod under_systemd;
mod units;
