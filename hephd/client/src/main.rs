//! heph: the person's command line.
//!
//! ```text
//!   cli ─┬─ task  doc  sync                 one verb, one function
//!        ├─ import ── folder  document      files → changes
//!        ├─ export ── place                 documents → files
//!        └─ daemon                          runs heph-ops
//!   all of them: session (the daemon's socket), table, progress
//!   import and doc: weave (what a text means), tags
//!   pure: markdown  front_matter  wiki  place
//! ```
//!
//! It speaks to the daemon's socket only, and links nothing of the store.

mod cli;
mod daemon;
mod doc;
mod document;
mod everywhere;
mod export;
mod folder;
mod front_matter;
mod import;
mod listing;
mod markdown;
mod place;
mod progress;
mod session;
mod shown;
mod sync;
mod table;
mod tags;
mod task;
mod weave;
mod wiki;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main().into()
}
