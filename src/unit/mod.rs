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

/// What stands for an edition that is not known yet, as long as one.
const NO_EDITION: &str = "----------------";

/// Gives a text its edition: a short name for all that it means, which a service
/// is so started with.
fn with_edition(text: &str, meaning: impl Fn(&str) -> Meaning) -> String {
    let meant = serde_json::to_string(&meaning(text)).unwrap_or_default();
    let digest = Sha256::digest(meant.as_bytes());
    let edition: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    match text.split_once(EDITION) {
        Some((before, after)) => {
            format!("{before}{EDITION}{}", after.replacen(NO_EDITION, &edition, 1))
        }
        None => text.to_owned(),
    }
}

/// The edition that a text was given.
#[must_use]
pub fn edition_in(text: &str) -> Option<String> {
    let (_, after) = text.split_once(EDITION)?;
    let mut runs = after.split(|c: char| !c.is_ascii_hexdigit());
    runs.find(|run| run.len() == NO_EDITION.len()).map(str::to_owned)
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
