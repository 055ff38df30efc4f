//! What differs between two texts, in a few lines for a person. Pure.

use std::time::Duration;

use hephd::report::thousands;
use similar::{ChangeTag, TextDiff};

use crate::table::clean;

/// A longer search for the smallest difference helps nobody who waits.
const PATIENCE: Duration = Duration::from_millis(200);

/// How many lines around a change are shown.
const AROUND: usize = 1;

/// Lines with `-` and `+`, at most `most` of them, and what was left out.
#[must_use]
pub fn lines(before: &str, after: &str, most: usize) -> Vec<String> {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
    let mut lines = Vec::new();
    for (n, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if n > 0 {
            lines.push("  ⋮".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let text = clean(change.value().trim_end_matches(['\n', '\r']));
            lines.push(format!("{sign} {text}").trim_end().to_owned());
        }
    }
    shortened(lines, most)
}

/// The first lines, and how many others there are.
#[must_use]
pub fn shortened(mut lines: Vec<String>, most: usize) -> Vec<String> {
    if lines.len() > most + 1 {
        let others = lines.split_off(most).len();
        lines.push(format!("  … {} more lines", thousands(others)));
    }
    lines
}

/// How many lines came and went: `+2 -1 lines`.
#[must_use]
pub fn count(before: &str, after: &str) -> String {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
    let of = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (come, gone) = (of(ChangeTag::Insert), of(ChangeTag::Delete));
    let (plus, minus) = (format!("+{}", thousands(come)), format!("-{}", thousands(gone)));
    match (come, gone) {
        (1, 0) | (0, 1) => format!("{} line", if come == 1 { plus } else { minus }),
        (_, 0) => format!("{plus} lines"),
        (0, _) => format!("{minus} lines"),
        _ => format!("{plus} {minus} lines"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_stands_between_what_stayed() {
        let before = "a\nb\nc\nd\ne\nf\n";
        assert_eq!(lines(before, "a\nb\nC\nd\ne\nf\n", 9), ["  b", "- c", "+ C", "  d"]);
        assert_eq!(lines(before, before, 9), [""; 0]);
        assert_eq!(lines("", "x\n\u{1b}[2Jy", 9), ["+ x", "+  [2Jy"]);
        assert_eq!(lines(before, "", 2), ["- a", "- b", "  … 4 more lines"]);
        assert_eq!(count(before, "a\nB\n"), "+1 -5 lines");
        assert_eq!((&*count("", "a"), &*count("a", "")), ("+1 line", "-1 line"));
        assert_eq!((&*count("", "a\nb"), &*count("a\nb", "")), ("+2 lines", "-2 lines"));
    }
}
