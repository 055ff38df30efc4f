//! The tests of hephd, in one binary.
//!
//! - [`world`]: replicas of one owner in one process, and the wire between
//!   them; [`lent`]: their disks; [`model`]: what ops mean, by definition
//! - [`sim`]: random lives of a few replicas, a great many of them
//! - [`cycle`]: one cycle by hand; [`waking`]: when a device syncs;
//!   [`together`]: group commit
//! - [`converge`], [`long_lives`], [`put_back`], [`oplog`], [`owners`]: replicas
//!   end equal, lose nothing, and refuse what they must; [`past`]: what became
//!   of a node
//! - [`running`]: the real program; [`cli_daemon`], [`ends`], [`spares`]: what
//!   it does, how it ends, what it leaves alone; [`bad_input`],
//!   [`bad_request`]: what it answers to nonsense
//! - [`answer`]: what came back, byte by byte as it was announced
//! - [`own_network`]: a network that a test may do with as it likes
//! - [`login`]: a device logs in and stays so; [`mock`]: whom it asks
//! - [`devices`]: what a hub remembers of those who sync with it
//! - [`served`]: a hub in this process; [`connections`]: slow peers, crowds,
//!   and its end; [`held`]: a store that keeps everybody waiting
//! - [`mint`]: an issuer in this process; [`tokens`]: what it should not have
//!   signed; [`door`]: who comes in with what it has
//! - [`two_owners`]: each request acts for its own
//! - [`other_user`]: somebody else of this machine at the socket
//! - [`browser`]: the web app, as a person uses it
//! - [`half_configured`]: a hub whose flags say half of who may come in
//! - [`disturbed`]: real processes, killed, cut off and starved
//!
//! A test that draws at random prints its seed when it fails; `HEPH_SEED=n`
//! runs that one again, see [`asked`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]
#![allow(clippy::print_stderr, reason = "a failing seed is printed")]
#![allow(clippy::disallowed_methods, reason = "tests run programs and write files as people do")]

mod answer;
mod asked;
mod bad_framing;
mod bad_input;
mod bad_request;
mod bad_store;
mod bad_surroundings;
mod browser;
mod calls;
mod cli_daemon;
mod client_mode;
mod compressed;
mod connections;
mod converge;
mod cycle;
mod devices;
#[allow(dead_code, reason = "the tests of heph-ops throw these dice too")]
mod dice;
mod disturbed;
mod door;
mod ends;
mod first_line;
mod fuzz_corpus;
mod half_configured;
mod held;
mod lent;
mod login;
mod long_cursor;
mod long_lives;
mod memory;
mod mint;
mod mock;
mod model;
mod openapi;
mod oplog;
mod other_user;
mod own_network;
mod owners;
mod past;
mod put_back;
mod running;
mod seed;
mod served;
mod sim;
mod spares;
mod together;
mod tokens;
mod two_owners;
mod waking;
mod web_root;
mod wire;
mod world;
