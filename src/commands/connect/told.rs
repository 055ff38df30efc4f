//! What is said while it goes on: each step when it is done, as a line, or with
//! `--json` as an event on standard error.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use hephd::report::{Style, stream::Stream};
use serde_json::{Value, json};

use hephd::report::thousands;

use crate::bars::Count;

/// Between two events of the same kind.
const EVENTS_EVERY: Duration = Duration::from_secs(1);

/// How far a sync is.
#[derive(Debug)]
pub(super) struct Progress {
    /// Ops here.
    pub(super) here: u64,
    /// Ops that the hub has and this device has not; none while nobody knows.
    pub(super) to_come: Option<u64>,
    /// Ops that the hub was not yet seen to have.
    pub(super) to_go: u64,
}

impl Progress {
    fn words(&self) -> String {
        let mut words = format!("{} ops here", thousands(self.here));
        if let Some(to_come) = self.to_come {
            words.push_str(&format!(", {} to come", thousands(to_come)));
        }
        if self.to_go > 0 {
            words.push_str(&format!(", {} to go", thousands(self.to_go)));
        }
        words
    }
}

/// Says it.
pub(super) struct Teller {
    lines: Stream,
    style: Style,
    count: Option<Count>,
    /// When progress was last an event.
    told: Option<Instant>,
}

impl Teller {
    /// Nothing is said yet.
    pub(super) fn new(style: Style) -> Self {
        Self { lines: Stream::new("connect", style), style, count: None, told: None }
    }

    /// A step is done. That nobody reads on is no reason to stop half-way.
    pub(super) fn done(&mut self, line: &str, event: &Value) {
        self.count = None;
        let _ = match self.style.json {
            true => writeln!(std::io::stderr(), "{event}").is_ok(),
            false => self.lines.lines(&[line.to_owned()]).is_ok(),
        };
    }

    /// Somebody wants to know how far it is.
    pub(super) fn wants_progress(&self) -> bool {
        let lately = self.told.is_some_and(|at| at.elapsed() < EVENTS_EVERY);
        self.style.live() || (self.style.json && !lately)
    }

    /// How far the sync is.
    pub(super) fn progress(&mut self, progress: &Progress) {
        let (style, Progress { here, to_come, to_go }) = (self.style, progress);
        if style.json {
            self.told = Some(Instant::now());
            let event =
                json!({ "event": "syncing", "here": here, "to_come": to_come, "to_go": to_go });
            self.done("", &event);
        } else {
            let count = self.count.get_or_insert_with(|| Count::new(style, "syncing"));
            count.show(&progress.words());
        }
    }

    /// Takes away what moves.
    pub(super) fn still(&mut self) {
        self.count = None;
    }
}
