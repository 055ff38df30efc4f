//! `heph-ops seed`, as the sweeps see it. The device's daemon was killed, so
//! that some of its rows are only in the log.

use std::path::{Path, PathBuf};

use hephd::store::{
    file::beside,
    seed::{Kind, receipt_path},
};
use serde_json::Value;

use super::{Place, Sandbox, Stand, Subject, asked::full};
use crate::sandbox::add_task;

pub const SEED: Subject = Subject {
    prepare,
    words,
    source: "device/heph.db",
    target: "hub",
    look,
    again: |stand| match stand {
        Stand::Old => &["seeded"],
        Stand::New => &["already_seeded"],
    },
};

/// Every row but those of `meta`, in the words of another SQLite.
const ROWS: &str = "rows.sql";

pub fn prepare(sandbox: &Sandbox, stock: &Path) {
    let mut device = sandbox.device();
    let add = |device: &mut _, n| add_task(device, &format!("task {n}"));
    // Deep, there are some 600 calls that change the disk.
    (0..full(60, 1_500)).for_each(|n| drop(add(&mut device, n)));
    sandbox.kill_service("heph-spoke");

    let db = stock.join(SEED.source);
    std::fs::create_dir_all(db.parent().unwrap()).unwrap();
    for suffix in ["", "-wal"] {
        std::fs::copy(beside(&sandbox.device_db(), suffix), beside(&db, suffix)).unwrap();
    }
    let read = sandbox.device_db(); // Reading it may leave something beside it.
    std::fs::write(stock.join(ROWS), rows(sandbox, &read).unwrap()).unwrap();
}

pub fn target(place: &Path) -> PathBuf {
    place.join(SEED.target).join("heph.db")
}

fn words(place: &Path) -> Vec<String> {
    let (from, to) = (place.join(SEED.source), target(place));
    let words = ["seed", "--from", from.to_str().unwrap(), "--to", to.to_str().unwrap(), "--json"];
    words.map(str::to_owned).to_vec()
}

fn look(place: &Place<'_>) -> Result<Stand, String> {
    look_for(place, Kind::Seed)
}

/// Whether a whole store stands there, and its receipt.
pub fn look_for(place: &Place<'_>, kind: Kind) -> Result<Stand, String> {
    let to = target(&place.path());
    if to.symlink_metadata().is_err() {
        return Ok(Stand::Old);
    }
    let store = to.display().to_string();
    let checked = place.sandbox.hephd(&["--check-store", &store]);
    if checked.code != 0 {
        return Err(format!("--check-store: {}{}", checked.out, checked.err));
    }
    let wanted = std::fs::read_to_string(place.path().join(ROWS)).unwrap();
    if rows(&place.sandbox, &to)? != wanted {
        return Err("its rows are not the source's".to_owned());
    }
    // A whole store always has one.
    let receipt =
        std::fs::read(receipt_path(&to, kind)).map_err(|error| format!("receipt: {error}"))?;
    serde_json::from_slice::<Value>(&receipt).map_err(|error| format!("receipt: {error}"))?;
    Ok(Stand::New)
}

/// Asks the `sqlite3` program, which knows nothing of ours.
fn rows(sandbox: &Sandbox, db: &Path) -> Result<String, String> {
    let mut sqlite3 = sandbox.command("sqlite3");
    sqlite3.arg("-readonly").arg(db).args(["PRAGMA integrity_check", ".dump"]);
    let output = sqlite3.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !said.starts_with("ok\n") {
        return Err(format!("sqlite3: {said}{}", String::from_utf8_lossy(&output.stderr)));
    }
    let rows = said.lines().filter(|line| !line.starts_with("INSERT INTO meta"));
    Ok(rows.collect::<Vec<_>>().join("\n"))
}
