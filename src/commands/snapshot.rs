//! `heph-ops snapshot`: a consistent copy of a store as a stream, for a
//! machine that cannot be reached: `heph-ops snapshot --stdout | ssh HUB
//! heph-ops seed --from - --to DB`.

use std::io::{self, IsTerminal, Write};

use hephd::{
    error::{Error, Result},
    report::{Report, Style},
    store::{
        file,
        snapshot::{
            name_of,
            stream::{self, Sending},
        },
    },
};
use serde_json::json;

use super::{How, which_store::WhichStore};
use crate::{bars::Bars, host::Host, signals::giving_way};

/// Send a consistent, proved copy of a store to standard output
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    store: WhichStore,
    /// Send it to standard output, for heph-ops seed --from -
    #[arg(long)]
    stdout: bool,
}

/// Sends.
///
/// # Errors
/// As of a seed's source; `usage` where a person would get it on the screen.
pub fn run(args: &Args, how: How, style: Style, host: &Host) -> Result<Report> {
    let next = "heph-ops snapshot --stdout | ssh HUB heph-ops seed --from - --to DB";
    if !args.stdout {
        return Err(Error::usage("snapshot sends a store to standard output: say --stdout", next));
    }
    if style.json {
        return Err(Error::usage("--json and --stdout want the same standard output", next));
    }
    let store = args.store.find(host)?;
    if how.check {
        let mut report = Report::new("sent", false, json!({ "db": name_of(&store.db) }));
        report.check = true;
        return Ok(report.line(format!("  would send {}", store.db.display())));
    }
    let mut out = io::stdout();
    if out.is_terminal() {
        return Err(Error::usage("a snapshot is no text: standard output is a terminal", next));
    }
    let bars = Bars::new(style);
    let sent = giving_way(host, style, "snapshot", || {
        stream::send(&store.db, &host.machine, &mut out, &|progress| bars.show(&progress))
    });
    bars.clear();
    sent.map(|_: Sending| {
        let _ = out.flush();
        Report::new("sent", false, json!({ "db": name_of(&file::full(&store.db)) }))
    })
}
