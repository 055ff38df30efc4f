//! A seed, beside `.backup` alone, and beside `.backup` with a check and a
//! digest of every table on both sides.

use super::lab::{Lab, ROUNDS, median, ops, run, sqlite3};

pub fn bench(mb: u64) {
    let lab = Lab::new(mb);
    let (db, hub) = (lab.db.to_str().unwrap(), lab.path("hub/heph.db"));
    let by_hand = lab.path("by-hand.db");
    let backup = format!(".backup {}", by_hand.display());
    let (mut plain, mut safe, mut seeds, mut peak) = (vec![], vec![], vec![], 0.0_f64);
    for _ in 0..ROUNDS {
        lab.clear("by-hand.db");
        plain.push(run(&mut sqlite3(&lab.db, &[&backup])).0);
        lab.clear("hub");
        let words = ["seed", "--from", db, "--to", hub.to_str().unwrap(), "--json"];
        let (seconds, most) = run(&mut ops(&words));
        seeds.push(seconds);
        peak = peak.max(most);
        lab.clear("by-hand.db");
        let copied = run(&mut sqlite3(&lab.db, &[&backup])).0;
        let checked = run(&mut sqlite3(&by_hand, &["PRAGMA integrity_check", ".sha3sum"])).0;
        safe.push(copied + checked + run(&mut sqlite3(&lab.db, &[".sha3sum"])).0);
    }
    let [plain, safe, seed] = [plain, safe, seeds].map(median);
    println!(
        "| {} | {seed:.2} s | {plain:.2} s | {:.2} | ≤ 3 | {safe:.2} s | {:.2} | < 1 | {peak:.0} MB |",
        lab.megabytes(),
        seed / plain,
        seed / safe,
    );
}
