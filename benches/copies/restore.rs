//! A restore with its proof, beside Litestream's, which has none.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use super::lab::{Lab, ROUNDS, median, ops, run};

pub fn bench(mb: u64, litestream: &str) {
    let lab = Lab::new(mb);
    let (db, kept) = (lab.db.to_str().unwrap(), lab.path("kept"));
    let replica = format!("file://{}", lab.path("replica").display());
    replicate(litestream, &lab.db, &replica, &lab.path("replica"));
    run(&mut ops(&["backup", "--db", db, "--to", kept.to_str().unwrap(), "--json"]));
    let (mut theirs, mut ours, mut peak) = (vec![], vec![], 0.0_f64);
    for _ in 0..ROUNDS {
        lab.clear("theirs.db");
        let mut restore = Command::new(litestream);
        restore.args(["restore", "-o"]).arg(lab.path("theirs.db")).arg(&replica);
        theirs.push(run(restore.stderr(Stdio::null())).0);
        lab.clear("ours");
        let to = lab.path("ours/heph.db");
        let words =
            ["restore", "--from", kept.to_str().unwrap(), "--to", to.to_str().unwrap(), "-q"];
        let (seconds, most) = run(&mut ops(&words));
        ours.push(seconds);
        peak = peak.max(most);
    }
    let [theirs, ours] = [theirs, ours].map(median);
    println!(
        "| {} | {ours:.2} s | {theirs:.2} s | {:.2} | < 1 | {peak:.0} MB |",
        lab.megabytes(),
        ours / theirs,
    );
}

/// Runs it until all has been copied: until its folder has stopped growing.
fn replicate(litestream: &str, db: &Path, replica: &str, folder: &Path) {
    let mut command = Command::new(litestream);
    command.arg("replicate").arg(db).arg(replica);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (mut before, mut still) = (0, 0);
    while still < 6 {
        std::thread::sleep(Duration::from_millis(500));
        let now = size(folder);
        still = if now > 1_000_000 && now == before { still + 1 } else { 0 };
        before = now;
        assert!(child.try_wait().unwrap().is_none(), "litestream has ended");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    child.wait().unwrap();
}

fn size(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|file| match file.path().is_dir() {
            true => size(&file.path()),
            false => file.metadata().map_or(0, |meta| meta.len()),
        })
        .sum()
}
