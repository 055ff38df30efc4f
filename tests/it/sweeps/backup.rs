//! `heph-ops backup` and `restore`, as the sweeps see them.

use std::path::Path;

use hephd::store::seed::Kind;

use super::{Stand, Subject, seed};

pub const BACKUP: Subject = Subject {
    prepare: seed::prepare,
    words: |place| {
        let [db, to] = [place.join(BACKUP.source), place.join(BACKUP.target)].map(text);
        ["backup", "--db", &db, "--to", &to, "--keep", "1", "--json"].map(str::to_owned).to_vec()
    },
    source: "device/heph.db",
    target: "backups",
    look: |place| match kept(&place.path().join(BACKUP.target)).as_slice() {
        [] => Ok(Stand::Old),
        [file] => {
            let verified = place.sandbox.ops(&["verify", file]);
            let said = || format!("{}{}", verified.out, verified.err);
            if verified.code == 0 { Ok(Stand::New) } else { Err(said()) }
        }
        more => Err(format!("{more:?}")),
    },
    again: |_| &["backed_up"],
};

pub const RESTORE: Subject = Subject {
    prepare: |sandbox, stock| {
        seed::prepare(sandbox, stock);
        let [db, to] = [stock.join(BACKUP.source), stock.join("made")].map(text);
        sandbox.ops(&["backup", "--db", &db, "--to", &to]).expect(0);
        std::fs::create_dir(stock.join("kept")).unwrap();
        let made = kept(Path::new(&to)).remove(0);
        let receipt = made.replace(".db.zst", ".json");
        std::fs::rename(made, stock.join(RESTORE.source)).unwrap();
        std::fs::rename(receipt, stock.join("kept/a-20260101T000000.000Z.json")).unwrap();
    },
    words: |place| {
        let [from, to] = [place.join(RESTORE.source), seed::target(place)].map(text);
        ["restore", "--from", &from, "--to", &to, "--json"].map(str::to_owned).to_vec()
    },
    source: "kept/a-20260101T000000.000Z.db.zst",
    target: "hub",
    look: |place| seed::look_for(place, Kind::Restore),
    again: |stand| match stand {
        Stand::Old => &["restored"],
        Stand::New => &["already_restored"],
    },
};

/// A store that was seeded from a copy of the device, in the place of which comes
/// what is seeded from the device.
pub const REPLACE: Subject = Subject {
    prepare: |sandbox, stock| {
        seed::prepare(sandbox, stock);
        std::fs::create_dir(stock.join("elsewhere")).unwrap();
        for suffix in ["", "-wal"] {
            let [from, to] = ["device/heph.db", "elsewhere/heph.db"]
                .map(|path| hephd::store::file::beside(&stock.join(path), suffix));
            std::fs::copy(from, to).unwrap();
        }
        let [from, to] = [stock.join("elsewhere/heph.db"), seed::target(stock)].map(text);
        sandbox.ops(&["seed", "--from", &from, "--to", &to]).expect(0);
    },
    words: |place| {
        let [from, to] = [place.join(REPLACE.source), seed::target(place)].map(text);
        ["seed", "--from", &from, "--to", &to, "--replace", "--json"].map(str::to_owned).to_vec()
    },
    source: "device/heph.db",
    target: "hub",
    look: |place| {
        if seed::look_for(place, Kind::Seed)? == Stand::Old {
            return Err("there is no store at all".to_owned());
        }
        let mut sqlite3 = place.sandbox.command("sqlite3");
        sqlite3.arg("-readonly").arg(seed::target(&place.path()));
        let asked = sqlite3.arg("SELECT value FROM meta WHERE key = 'seeded_from'").output();
        let mark = String::from_utf8(asked.unwrap().stdout).unwrap();
        Ok(if mark.contains("elsewhere") { Stand::Old } else { Stand::New })
    },
    again: |stand| match stand {
        Stand::Old => &["seeded"],
        Stand::New => &["already_seeded"],
    },
};

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_str().unwrap().to_owned()
}

/// The backups in a folder; their receipts come before them, and may be alone.
fn kept(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = files.map(|file| text(file.path()));
    names.filter(|name| name.ends_with(".db.zst") && !name.contains("/.")).collect()
}
