//! heph against real daemons, each in a home of its own.

#![allow(clippy::disallowed_methods, reason = "tests run programs and make files as people do")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod auth;
mod conflicts;
mod documents;
mod export;
mod failures;
mod growth;
mod history;
mod home;
mod import;
mod importing_again;
mod journal;
#[path = "../../../tests/it/mock/mod.rs"]
mod mock;
mod pair;
mod passing_on;
mod tags_and_links;
mod tasks;
