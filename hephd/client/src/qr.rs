//! A code for a phone's camera, on a terminal: two rows of it in each line.

use std::io::IsTerminal;

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use unicode_width::UnicodeWidthStr;

/// Columns and lines that a terminal has that does not say.
const USUAL: (u16, u16) = (80, 24);

/// The picture's lines, where stderr is a terminal that has room for it.
#[must_use]
pub fn lines(text: &str) -> Vec<String> {
    let err = std::io::stderr();
    if !err.is_terminal() {
        return Vec::new();
    }
    let size = rustix::termios::tcgetwinsize(&err).map(|size| (size.ws_col, size.ws_row));
    let size = size.ok().filter(|size| size.0 > 0 && size.1 > 0).unwrap_or(USUAL);
    lines_in(text, size)
}

/// Light on dark and dark on light: cameras read both, with its margin.
fn lines_in(text: &str, (columns, rows): (u16, u16)) -> Vec<String> {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::L) else {
        return Vec::new();
    };
    let picture =
        code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    let lines: Vec<String> = picture.lines().map(|line| format!("  {line}")).collect();
    let width = lines.iter().map(|line| line.width()).max().unwrap_or(0);
    // The lines around it are worth more than the picture.
    let fits = width <= usize::from(columns) && lines.len() + 4 <= usize::from(rows);
    if fits { lines } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_drawn_where_there_is_room() {
        let url = "https://id.example/device?user_code=WDJB-MJHT";
        let lines = lines_in(url, (80, 40));
        assert_eq!(lines.len(), 19, "{lines:#?}");
        assert!(lines.iter().all(|line| line.width() == 39));
        assert!(lines_in(url, (38, 40)).is_empty());
        assert!(lines_in(url, (80, 20)).is_empty());
        assert!(lines_in(&"x".repeat(5000), (800, 400)).is_empty());
    }
}
