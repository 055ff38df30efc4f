//! A service in the language of a service manager: the files that it reads,
//! and what such a file means. One template for each, and for each language
//! the quoting that makes every word come out as it went in.

pub mod hardening;
pub mod job;
pub mod plist;
pub mod systemd;
pub mod words;

use std::{collections::BTreeMap, path::PathBuf};

use hephd::error::{Error, Result};
use sha2::{Digest, Sha256};

/// The variable that tells which edition of its unit a process was started
/// with.
pub const EDITION: &str = "HEPH_UNIT";

/// One file that a manager reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    /// What the manager calls it: `heph-hub.service`, or a label.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
    /// What it is for.
    pub kind: Kind,
}

/// What a unit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The service itself.
    Service,
    /// Work that a timer starts.
    Work,
    /// What starts it again and again.
    Timer,
}

/// What a file means: its settings, each with its values in order. Two texts
/// that mean the same are the same to a manager, whatever their comments,
/// their blanks and their quotes.
pub type Meaning = BTreeMap<String, Vec<Vec<String>>>;

/// A short name for all that a service is started with.
#[must_use]
pub fn edition(meaning: &Meaning) -> String {
    let text = serde_json::to_string(meaning).unwrap_or_default();
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// No line-based format can hold a line break, nor any a NUL.
///
/// # Errors
/// `usage`, with the word.
pub fn refuse_breaks(word: &str) -> Result<()> {
    if word.contains(|c: char| c.is_control()) {
        return Err(Error::usage(
            format!(
                "{word:?} holds a line break or another control character, which a unit cannot"
            ),
            "choose a value without one",
        ));
    }
    Ok(())
}
