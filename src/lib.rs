//! heph-ops: everything that is done to a machine that runs hephd.
//!
//! ```text
//!   argv ─► cli ─► commands/VERB ──observe──► host, service_manager, health
//!                        │ plan (pure)              ▲
//!                        ▼                          │
//!                      plan ────────apply───────────┘
//!                        │
//!                        ▼
//!                      report (hephd's: the only printer) ─► exit code
//! ```
//!
//! Every verb that changes something is three calls: *observe* reads the
//! machine, *plan* decides without touching anything, *apply* writes. So
//! `--check` prints the plan, `--diff` its before and after, `changed` is
//! "the plan was not empty", and doing it twice does nothing the second time.
//!
//! From the ground up, each on those above it:
//!
//! - [`plan`]: steps, as data; [`paths`]: every path that is touched
//! - [`host`]: the one door outside; applies plans; [`guard`] watches it in tests
//! - [`detached`], [`supervisor`]: processes of our own, and who keeps them
//! - [`service`]: a service as wanted: its record, its words, its jobs
//! - [`template`]: filling one in; [`mod@unit`]: that service in the language of
//!   systemd or launchd, and what it is kept from
//! - [`blueprint`], [`caddyfile`]: the systems around a hub, each in its own
//! - [`service_manager`]: systemd, launchd, or processes of our own: how to ask,
//!   what to tell; [`log`]: what a service said
//! - [`health`]: what "ready" means, and waiting for it
//! - [`ssh`]: a store on another machine; [`bars`], [`signals`]: long steps
//! - [`commands`]: one verb, one file or folder; [`cli`]: every command and flag

pub mod bars;
pub mod blueprint;
pub mod caddyfile;
pub mod cli;
pub mod commands;
pub mod detached;
pub mod guard;
pub mod health;
pub mod host;
pub mod log;
pub mod paths;
pub mod plan;
pub mod service;
pub mod service_manager;
pub mod signals;
pub mod ssh;
pub mod supervisor;
pub mod table;
pub mod template;
pub mod unit;
