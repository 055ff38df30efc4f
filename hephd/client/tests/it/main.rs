//! heph against real daemons, each in a home of its own.

#![allow(clippy::disallowed_methods, reason = "tests run programs and make files as people do")]

mod documents;
mod export;
mod failures;
mod home;
mod import;
mod passing_on;
mod tasks;
