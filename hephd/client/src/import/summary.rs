//! How an import ended, for people and for scripts.

use std::path::Path;

use hephd::report::{Report, Style, Warning, thousands};
use serde::Serialize;
use serde_json::json;

use crate::{
    folder::Skipped,
    table::{clean, count},
};

/// How many skipped files are named to a person.
const NAMED: usize = 20;

/// What stands in `data`.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Documents in the folder.
    pub documents: usize,
    /// Boxes in them.
    pub tasks: usize,
    /// Wiki links in them that lead to a document.
    pub links: usize,
    /// Documents that were not there before.
    pub new: usize,
    /// Documents that were, and are not as they were.
    pub changed: usize,
    /// The others.
    pub unchanged: usize,
    /// What it took.
    pub written_ops: u64,
    /// What was not imported.
    pub skipped: Vec<Skipped>,
    /// Wiki links that lead to nothing.
    pub unresolved: Vec<Unresolved>,
}

/// A wiki link that leads to nothing.
#[derive(Debug, Serialize)]
pub struct Unresolved {
    /// The document that it stands in.
    pub path: String,
    /// What it says.
    pub link: String,
}

impl Summary {
    /// The report.
    #[must_use]
    pub fn report(&self, dir: &Path, style: Style, mut warnings: Vec<Warning>) -> Report {
        warnings.extend(self.skip_warnings(style));
        let changed = self.written_ops > 0;
        let status = if changed { "imported" } else { "already_imported" };
        let mut report = Report::new(status, changed, json!(self)).line(self.headline(dir));
        report.lines.extend(self.counts());
        report.warnings = warnings;
        report
    }

    fn headline(&self, dir: &Path) -> String {
        let dir = dir.display();
        let what = [
            count(self.documents, "document"),
            count(self.tasks, "task"),
            count(self.links, "link"),
        ]
        .join(", ");
        match (self.documents, self.written_ops) {
            (0, 0) => format!("✓ nothing to import in {dir}"),
            (_, 0) => format!("✓ already imported: {what} from {dir}"),
            _ => format!("✓ imported {what} from {dir}"),
        }
    }

    /// Only what is more than none.
    fn counts(&self) -> Option<String> {
        let counts = [
            (self.new, "new"),
            (self.changed, "changed"),
            (self.unchanged, "unchanged"),
            (self.skipped.len(), "skipped"),
            (self.unresolved.len(), "links to nothing"),
        ];
        let counts = counts.iter().filter(|(n, _)| *n > 0);
        let counts: Vec<String> = counts.map(|(n, of)| format!("{of} {}", thousands(*n))).collect();
        (!counts.is_empty()).then(|| format!("  {}", counts.join(" · ")))
    }

    /// A person is told of the first ones; a script of all.
    fn skip_warnings(&self, style: Style) -> Vec<Warning> {
        let all = self.skipped.len();
        let named = if style.json { all } else { NAMED };
        let warning = |s: &Skipped| {
            Warning::new("skipped", format!("skipped {}: {}", clean(&s.path), clean(&s.reason)))
        };
        let mut warnings: Vec<Warning> = self.skipped.iter().take(named).map(warning).collect();
        if all > named {
            let more = format!("skipped {} more: --json lists all", thousands(all - named));
            warnings.push(Warning::new("skipped", more));
        }
        warnings
    }
}
