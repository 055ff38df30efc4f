//! The catalogue of bad inputs has a number for each row, and that of seeding one
//! for each case. Each of the ones below has a test that bears it: `grep -rn
//! row_55`, `grep -rn case_07` lead there.

use std::path::{Path, PathBuf};

/// What is built and can be met today. The others are about logins, updates,
/// the keyring and the machine's own services; they come with those.
const ROWS: [(u8, u8); 3] = [(10, 15), (19, 22), (25, 70)];

/// What can befall a seed.
const CASES: [(u8, u8); 1] = [(1, 42)];

/// The source files of all tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The numbers that a test's name bears.
fn borne(line: &str, what: &'static str) -> impl Iterator<Item = u8> {
    let name = line.trim_start().strip_prefix("fn ").unwrap_or_default();
    name.split(what).skip(1).filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}

#[test]
fn every_row_that_can_be_met_has_a_test_of_its_number() {
    assert_eq!(missing("row_", &ROWS), Vec::<u8>::new(), "no test bears their number");
}

#[test]
fn every_case_of_seeding_has_a_test_of_its_number() {
    assert_eq!(missing("case_", &CASES), Vec::<u8>::new(), "no test bears their number");
}

fn missing(what: &'static str, wanted: &[(u8, u8)]) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = ["tests/it", "hephd/tests/it", "hephd/client/tests/it"];
    let files = tests.iter().flat_map(|folder| sources(&root.join(folder)));
    let text: String = files.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    let found: Vec<u8> = text.lines().flat_map(|line| borne(line, what)).collect();
    let all = wanted.iter().flat_map(|(first, last)| *first..=*last);
    all.filter(|number| !found.contains(number)).collect()
}
