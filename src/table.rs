//! Columns and sizes for people.

use unicode_width::UnicodeWidthStr;

/// What every terminal has.
const COLUMNS: usize = 80;

/// Rows below a heading, each column as wide as its widest cell, with as much
/// between them as there is room for.
#[must_use]
pub fn render(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let all = || std::iter::once(&heading).chain(rows);
    let widths: Vec<usize> = (0..heading.len())
        .map(|n| all().filter_map(|row| row.get(n)).map(|cell| cell.width()).max().unwrap_or(0))
        .collect();
    let roomy = widths.iter().sum::<usize>() + 2 * heading.len() <= COLUMNS;
    let gap = if roomy { "  " } else { " " };
    all().map(|row| line(row, &widths, gap)).collect()
}

fn line(row: &[String], widths: &[usize], gap: &str) -> String {
    let cells = row.iter().zip(widths);
    let padded = cells.map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())));
    padded.collect::<Vec<_>>().join(gap).trim_end().to_owned()
}

/// A size for people.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
