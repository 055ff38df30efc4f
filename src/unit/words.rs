//! Words in a systemd unit: quoted, and read back.

use hephd::error::Result;

use super::refuse_breaks;

/// A word in double quotes. With `ExecStart=:` nothing expands but `%`, and
/// in `Environment=` nothing else does either, so one rule serves all.
///
/// # Errors
/// `usage` for a word with a line break.
pub fn quote(word: &str) -> Result<String> {
    refuse_breaks(word)?;
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    Ok(format!("\"{word}\""))
}

/// The words of a setting, without their quotes.
#[must_use]
pub fn words(value: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut letters) = (vec![], None, None, value.chars());
    while let Some(letter) = letters.next() {
        match (letter, quoted) {
            (blank, None) if blank.is_whitespace() => words.extend(word.take()),
            ('"' | '\'', None) => {
                quoted = Some(letter);
                word.get_or_insert_with(String::new);
            }
            (end, Some(begin)) if end == begin => quoted = None,
            ('\\', _) => word.get_or_insert_with(String::new).extend(letters.next()),
            _ => word.get_or_insert_with(String::new).push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_undone_by_reading() {
        for word in ["", "a b", "a\"b", "a\\b", "ü", "$HOME", "a'b"] {
            assert_eq!(words(&quote(word).unwrap()), [word]);
        }
    }
}
