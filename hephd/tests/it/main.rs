//! The tests of hephd, in one binary.
//!
//! - [`world`]: replicas of one owner in one process, and the wire between
//!   them; [`model`]: what ops mean, by definition
//! - [`converge`], [`schedules`], [`put_back`], [`oplog`]: replicas end equal, lose nothing,
//!   and refuse what they must; [`faults`]: that these tests would see it
//! - [`running`]: the real program; [`cli_daemon`], [`bad_input`],
//!   [`bad_request`]: what it does, and what it answers to nonsense
//!
//! A test that draws at random prints its seed when it fails; `HEPH_SEED=n`
//! runs that one again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]
#![allow(clippy::print_stderr, reason = "a failing seed is printed")]
#![allow(clippy::disallowed_methods, reason = "tests run programs and write files as people do")]

mod bad_input;
mod bad_request;
mod cli_daemon;
mod converge;
mod ends;
mod faults;
mod model;
mod oplog;
mod put_back;
mod running;
mod schedules;
mod seed;
mod spares;
mod world;
