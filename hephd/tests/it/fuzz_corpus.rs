//! Every file of the fuzzers' corpus goes through the function that is fuzzed,
//! in every run: what once was found stays mended. `tests/run --full fuzz`
//! makes up new ones.

use std::path::Path;

#[path = "../../../fuzz/src/targets.rs"]
mod targets;

#[track_caller]
fn replay(name: &str, target: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().collect();
    assert!(files.len() >= 5, "{} is not a corpus", folder.display());
    for file in files {
        eprintln!("{}", file.path().display());
        target(&std::fs::read(file.path()).unwrap());
    }
}

#[test]
fn ops() {
    replay("op", targets::op);
}

#[test]
fn ids() {
    replay("id", targets::id);
}

#[test]
fn tokens() {
    replay("token", targets::token);
}

#[test]
fn cursors() {
    replay("cursor", targets::cursor);
}

#[test]
fn calls_at_the_socket() {
    replay("rpc", targets::rpc);
}

#[test]
fn pushed_batches() {
    replay("push", targets::push);
}

#[test]
fn answers_of_a_hub() {
    replay("heads", targets::heads);
}
