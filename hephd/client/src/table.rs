//! Columns for people. What comes from documents may hold anything, so no
//! control character of it ever reaches a terminal.

use std::io::IsTerminal;

use hephd::report::thousands;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const GAP: &str = "  ";

/// What a terminal has that does not say how wide it is.
const COLUMNS: usize = 80;

/// A heading, and rows below it.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// The column that is cut where a terminal is too narrow.
    flexible: usize,
    /// How wide the columns were that are printed already.
    printed: Vec<usize>,
}

impl Table {
    /// A table without rows. The column `flexible` gives way first.
    pub fn new(heading: &[&str], flexible: usize) -> Self {
        let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
        Self { rows: vec![heading], flexible, printed: Vec::new() }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.iter().map(|cell| clean(cell)).collect());
    }

    /// The lines that were not taken yet, cut to the terminal's width where
    /// there is a terminal. Columns in which nothing stands are left out. A
    /// long table is printed part by part: its columns only ever grow wider.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.take_lines_in(terminal_width())
    }

    fn take_lines_in(&mut self, room: Option<usize>) -> Vec<String> {
        let is_first = self.printed.is_empty();
        let mut widths = self.widths(room);
        for (width, printed) in widths.iter_mut().zip(&self.printed) {
            *width = (*width).max(*printed);
        }
        let rows = self.rows.iter().skip(usize::from(!is_first));
        let lines = rows.map(|row| line(row, &widths)).collect();
        self.rows.truncate(1);
        self.printed = widths;
        lines
    }

    fn widths(&self, room: Option<usize>) -> Vec<usize> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let mut widths: Vec<usize> = (0..columns).map(|n| self.width(n)).collect();
        let used = widths.iter().filter(|width| **width > 0);
        let whole: usize =
            used.map(|width| width + GAP.len()).sum::<usize>().saturating_sub(GAP.len());
        if let (Some(room), Some(width)) = (room, widths.get_mut(self.flexible)) {
            let least = (*width).min(self.rows[0][self.flexible].width().max(8));
            *width = width.saturating_sub(whole.saturating_sub(room)).max(least);
        }
        widths
    }

    /// 0 for a column in which nothing stands but its heading.
    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let widest = cells.clone().skip(1).map(|cell| cell.width()).max().unwrap_or(0);
        let heading = cells.map(|cell| cell.width()).next().unwrap_or(0);
        if widest == 0 { 0 } else { widest.max(heading) }
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).filter(|(_, width)| **width > 0);
    let cells = cells.map(|(cell, width)| {
        let cell = cut(cell, *width);
        format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width())))
    });
    cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

/// As much of a text as fits, with an ellipsis where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// A text in one line, without anything that a terminal would obey. What would
/// turn the direction of other columns is left out; letters that run from the
/// right do so without it.
#[must_use]
pub fn clean(text: &str) -> String {
    let kept = text.chars().filter(|c| !turns(*c));
    kept.map(|c| if c.is_control() || breaks(c) { ' ' } else { c }).collect()
}

/// Unicode's bidirectional controls.
const fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Ends a line, and is no control character.
const fn breaks(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// A text of several lines, without anything else that a terminal would obey.
#[must_use]
pub fn clean_lines(text: &str) -> Vec<String> {
    text.lines().map(clean).collect()
}

fn terminal_width() -> Option<usize> {
    let out = std::io::stdout();
    let size = || rustix::termios::tcgetwinsize(&out).ok().filter(|size| size.ws_col > 0);
    out.is_terminal().then(|| size().map_or(COLUMNS, |size| usize::from(size.ws_col)))
}

/// `3 tasks`, `1 task`.
#[must_use]
pub fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {one}s", thousands(n)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_gives_way_where_the_terminal_is_narrow() {
        let mut table = Table::new(&["ID", "DUE", "TITLE"], 2);
        table.row(["1a2b3c4d", "", "カタカナ and a rather long title"]);
        assert_eq!(table.take_lines_in(Some(24)), ["ID        TITLE", "1a2b3c4d  カタカナ and …"]);
        table.row(["1a2b3c4d", "", "and a rather long title"]);
        assert!(table.take_lines_in(None)[0].ends_with("long title"));
    }

    #[test]
    fn a_long_table_is_printed_in_parts() {
        let mut table = Table::new(&["ID", "TITLE"], 1);
        table.row(["1", "a longer one"]);
        assert_eq!(table.take_lines_in(None), ["ID  TITLE", "1   a longer one"]);
        table.row(["2", "b"]);
        table.row(["3333", "c"]);
        assert_eq!(table.take_lines_in(None), ["2     b", "3333  c"]);
        assert!(table.take_lines_in(None).is_empty());
    }

    #[test]
    fn nothing_that_a_terminal_obeys_comes_through() {
        assert_eq!(clean("a\x1b[2Jb\nc\u{9b}"), "a [2Jb c ");
        assert_eq!(clean("invoice\u{202e}fdp.exe\u{2066}\u{200f}\u{61c}"), "invoicefdp.exe");
        assert_eq!(clean("עברית a\u{2028}b"), "עברית a b");
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
