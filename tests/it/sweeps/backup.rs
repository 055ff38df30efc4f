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

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_str().unwrap().to_owned()
}

/// The backups in a folder; their receipts come before them, and may be alone.
fn kept(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = files.map(|file| text(file.path()));
    names.filter(|name| name.ends_with(".db.zst") && !name.contains("/.")).collect()
}
