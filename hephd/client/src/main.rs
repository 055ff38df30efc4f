//! heph: the person's command line.
//!
//! ```text
//!   cli ─┬─ task  doc  tag  link  journal    what there is: one verb, one function
//!        ├─ history  past  conflicts  resolve what there was, and two at once
//!        ├─ sync                             how this device stands
//!        ├─ auth                             this device's login
//!        ├─ import ── folder  document       files → changes
//!        ├─ export ── place                  documents → files
//!        └─ daemon                           runs heph-ops
//!   all of them: session (the daemon's socket), meant, listing, table, progress
//!   import and doc: weave (what a text means), tags
//!   pure: markdown  front_matter  wiki  place  moment  diff  said
//! ```
//!
//! It speaks to the daemon's socket only, and links nothing of the store.

mod auth;
mod cli;
mod conflicts;
mod daemon;
mod diff;
mod doc;
mod document;
mod everywhere;
mod export;
mod folder;
mod front_matter;
mod history;
mod import;
mod journal;
mod link;
mod listing;
mod markdown;
mod meant;
mod moment;
mod past;
mod place;
mod progress;
mod qr;
mod resolve;
mod said;
mod session;
mod shown;
mod sync;
mod table;
mod tag;
mod tags;
mod task;
mod weave;
mod wiki;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main().into()
}
