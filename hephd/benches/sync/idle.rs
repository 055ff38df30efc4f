//! A hub to which many spokes are connected, and nothing happens.

use std::time::Duration;

use crate::lab::Lab;

pub fn run(spokes: usize, seconds: u64) {
    let lab = Lab::new();
    let db = lab.store("hub", 1_000);
    let (hub, url) = lab.hub(&db);
    let spokes: Vec<_> =
        (0..spokes).map(|n| lab.spoke(&lab.db(&format!("spoke-{n}")), &url)).collect();
    spokes.iter().for_each(|spoke| drop(spoke.sync()));
    let before = hub.cpu_secs();
    std::thread::sleep(Duration::from_secs(seconds));
    let share = (hub.cpu_secs() - before) / seconds as f64 * 100.0;
    println!(
        "| {} spokes connected, {seconds} s | {:.1} MB resident | ≤ 32 MB | {share:.2} % of a core | < 0.5 % |",
        spokes.len(),
        hub.resident_mb(),
    );
}
