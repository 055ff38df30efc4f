//! The daemon of Hephaestus, and its library.
//!
//! ```text
//!   people            heph ──┐                    ┌── heph-ops          services
//!                            │ rpc (unix socket)  │ args, record
//!                            ▼                    ▼
//!   one process             daemon ─── replica ─── store ─── SQLite
//!                            │                      │
//!                   hub ◄────┴────► spoke           ├─ oplog   ops, chains, heads
//!                (serves HTTP)  (one cycle: sync)   ├─ state   what they mean
//!                                                   └─ seed    a copy, proved
//!   pure: id  hlc  op  merge  cursor  sync          no clock, no I/O
//! ```
//!
//! - Names: [`id`] (owners, origins, nodes), [`hlc`] (an op's id).
//! - Outside: [`json`] (what counts as JSON).
//! - Data: [`op`] (ops, chains, heads), [`merge`] (what they mean together),
//!   [`history`] (what they meant at any time), [`node`] (what people see and change).
//! - Around it: [`args`] (every flag), [`config`] (what they mean), [`record`] (what a service was given),
//!   [`paths`], [`error`] (codes and exit codes), [`report`] (the printer),
//!   [`rpc`] (the local socket).
//! - The daemon, behind the feature `daemon`: `store`, `replica`, `proxy`, `sync`,
//!   `spoke`, `login`, `devices`, `hub`, `vigil`, `daemon`. Without it the crate is what a client needs.

pub mod args;
pub mod clock;
pub mod config;
pub mod error;
pub mod history;
pub mod hlc;
pub mod id;
pub mod json;
pub mod machine;
pub mod merge;
pub mod node;
pub mod op;
pub mod paths;
pub mod record;
pub mod report;
pub mod rpc;

#[cfg(feature = "daemon")]
pub mod cursor;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "daemon")]
pub mod devices;
#[cfg(feature = "daemon")]
pub mod http;
#[cfg(feature = "daemon")]
pub mod hub;
#[cfg(feature = "daemon")]
pub mod login;
#[cfg(feature = "daemon")]
pub mod oidc;
#[cfg(feature = "daemon")]
pub mod port;
#[cfg(feature = "daemon")]
pub mod proxy;
#[cfg(feature = "daemon")]
pub mod replica;
#[cfg(feature = "daemon")]
pub mod spoke;
#[cfg(feature = "daemon")]
pub mod stopping;
#[cfg(feature = "daemon")]
pub mod store;
#[cfg(feature = "daemon")]
pub mod sync;
#[cfg(feature = "daemon")]
pub mod vigil;
