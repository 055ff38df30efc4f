//! `heph-ops seed` is killed at each of its system calls that changes a disk. Whatever the
//! point, the target is absent or complete, the source is as it was, and the
//! next run succeeds.

use std::{collections::BTreeMap, path::Path};

use super::sandbox::{Sandbox, add_task, program};

/// The calls that change something on a disk.
const CALLS: &str =
    "openat,write,pwrite64,ftruncate,fsync,fdatasync,renameat2,rename,linkat,unlink";

fn seed_words(sandbox: &Sandbox) -> Vec<String> {
    let (from, to) = (sandbox.device_db(), sandbox.path("hub/heph.db"));
    ["seed", "--from", from.to_str().unwrap(), "--to", to.to_str().unwrap(), "--json"]
        .map(str::to_owned)
        .to_vec()
}

fn strace(sandbox: &Sandbox, options: &[&str]) {
    let mut command = sandbox.command("strace");
    command.args(["-f", "-qq", "-o"]).arg(sandbox.path("trace")).args(options);
    command.arg(program("heph-ops")).args(seed_words(sandbox)).output().unwrap();
}

/// How often the program's first thread makes each call in a run that ends.
fn calls(trace: &Path) -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(trace).unwrap();
    let main = text.split_whitespace().next().unwrap().to_owned();
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with(&main)) {
        let call = line[main.len()..].trim_start().split('(').next().unwrap_or_default();
        if CALLS.split(',').any(|known| known == call) {
            *counts.entry(call.to_owned()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn a_killed_seed_leaves_nothing_or_all_and_the_next_one_succeeds() {
    let sandbox = Sandbox::new();
    let mut device = sandbox.device();
    for n in 0..200 {
        add_task(&mut device, &format!("task {n}"));
    }
    sandbox.ops(&["stop"]).expect(0);
    let source = std::fs::read(sandbox.device_db()).unwrap();

    strace(&sandbox, &["-e", &format!("trace={CALLS}")]);
    let counts = calls(&sandbox.path("trace"));
    let each = |(call, count): (&String, &usize)| {
        let call = call.clone();
        (1..=*count).map(move |n| (call.clone(), n))
    };
    let points: Vec<(String, usize)> = counts.iter().flat_map(each).collect();
    assert!(points.len() >= 100, "only {} points", points.len());
    std::fs::remove_dir_all(sandbox.path("hub")).unwrap();

    let mut absent = 0;
    for (call, n) in &points {
        strace(
            &sandbox,
            &["-e", &format!("trace={call}"), "-e", &format!("inject={call}:signal=KILL:when={n}")],
        );
        let target = sandbox.path("hub/heph.db");
        let was_there = target.exists();
        absent += usize::from(!was_there);
        let words = seed_words(&sandbox);
        let again =
            sandbox.ops(&words.iter().map(String::as_str).collect::<Vec<_>>()).expect(0).json();
        let wanted = if was_there { "already_seeded" } else { "seeded" };
        assert_eq!(again["status"], wanted, "killed at {call} {n}");
        assert_eq!(std::fs::read(sandbox.device_db()).unwrap(), source, "killed at {call} {n}");
        let store = target.display().to_string();
        sandbox.hephd(&["--check-store", &store]).expect(0);
        let left: Vec<String> = std::fs::read_dir(sandbox.path("hub"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains(".new-") || name.ends_with("-wal"))
            .collect();
        assert!(left.is_empty(), "killed at {call} {n}: left {left:?}");
        std::fs::remove_dir_all(sandbox.path("hub")).unwrap();
    }
    assert!(absent * 2 > points.len(), "most points lie before the rename: {absent}");
}
