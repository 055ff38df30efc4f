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
//! - [`plan`]: steps, as data; [`detached`]: processes of our own
//! - [`host`]: the one door outside; applies plans
//! - [`supervisor`]: keeps one such process running, as a process itself
//! - [`service`]: a service as wanted: its record, its files, its words
//! - [`template`]: filling one in; [`unit`]: that service in systemd's language
//! - [`blueprint`], [`caddyfile`]: the systems around a hub, each in its own
//! - [`service_manager`]: systemd, or a process of our own
//! - [`health`]: what "ready" means, and waiting for it
//! - [`ssh`]: a store on another machine; [`bars`], [`signals`]: long steps
//! - [`commands`]: one verb, one file; [`cli`]: every command and flag

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
