//! Backups, and the way back.

use std::os::unix::fs::FileExt;

use hephd::{
    id::OwnerId,
    node::Change,
    store::{
        Birth, Store,
        backup::{Backup, Made, Task, back_up, list, newest, prune, restore, verify},
        verify::{Verdict, against_receipt, against_store},
    },
};

use super::*;

impl Lab {
    fn shelf(&self) -> PathBuf {
        self.dir.path().join("backups")
    }

    fn back_up(&self) -> (Backup, Receipt) {
        let made = self.make_backup(&self.source());
        (made.backup, made.receipt)
    }

    fn make_backup(&self, db: &Path) -> Made {
        let task = Task { db, to: &self.shelf(), name: "device" };
        back_up(&task, &Machine::this(), &|_| ()).unwrap()
    }

    fn restore(&self, kept: &Backup) -> Result<Receipt, Error> {
        let (to, receipt) = (self.target(), kept.load()?);
        let becoming = Becoming::Restored { sha256: &receipt.sha256 };
        let wish = Wish { becoming, ..wish(&to) };
        restore(kept, &receipt, &wish, &Machine::this(), &|_| ())
    }
}

#[test]
fn a_backup_is_a_sqlite_file_that_any_zstd_unpacks() {
    let lab = Lab::with_store();
    let before = files_of(&lab.source());
    let (kept, receipt) = lab.back_up();
    assert_eq!(before, files_of(&lab.source()));
    assert_eq!(
        (mode(&kept.file), mode(&kept.receipt()), mode(&lab.shelf())),
        (0o600, 0o600, 0o700)
    );
    assert_eq!(files_below(&lab.shelf()).len(), 2, "nothing else is left there");
    let unpacked = lab.dir.path().join("unpacked.db");
    let zstd = Command::new("zstd").arg("-dq").arg(&kept.file).arg("-o").arg(&unpacked).output();
    assert!(zstd.unwrap().status.success());
    assert_eq!(sqlite3(&unpacked, ".dump"), sqlite3(&lab.source(), ".dump"), "meta and all");
    assert_eq!(kept.load().unwrap(), receipt);
    verify(&kept, &receipt).unwrap();
}

#[test]
fn what_is_restored_is_what_was_kept_with_an_origin_of_its_own() {
    let lab = Lab::with_store();
    let (kept, then) = lab.back_up();
    let receipt = lab.restore(&kept).unwrap();
    assert_eq!(dump(&lab.source()), dump(&lab.target()));
    assert_eq!(receipt.meta_changed, ["epoch", "origin", "restored_from"]);
    assert_ne!(meta(&lab.target(), "origin"), meta(&lab.source(), "origin"));
    // What a hub knows of who may ask is its own, and comes back.
    for key in ["owner_id", "hub_url", "theme"] {
        assert_eq!(meta(&lab.target(), key), meta(&lab.source(), key), "{key}");
    }
    assert_eq!((mode(&lab.target()), receipt.heads), (0o600, then.heads));
    let error = lab.restore(&kept).unwrap_err();
    assert_eq!(error.code, Code::TargetNotEmpty, "{error}");
    lab.assert_tidy();
}

#[test]
fn a_store_that_is_there_is_never_restored_over() {
    let lab = Lab::with_store();
    let (kept, _) = lab.back_up();
    let conn = lab.at_target();
    add_op(&conn, "1700000000002-0000-00000000000000bb");
    drop(conn);
    let before = files_of(&lab.target());
    assert_eq!(lab.restore(&kept).unwrap_err().code, Code::TargetNotEmpty);
    let (to, receipt) = (lab.target(), kept.load().unwrap());
    let becoming = Becoming::Restored { sha256: &receipt.sha256 };
    let wish = Wish { becoming, replace: true, ..wish(&to) };
    let error = restore(&kept, &receipt, &wish, &Machine::this(), &|_| ()).unwrap_err();
    assert_eq!(error.code, Code::TargetHasNewerData);
    assert_eq!(before, files_of(&lab.target()));
}

#[test]
fn a_damaged_backup_is_never_restored() {
    let lab = Lab::with_store();
    let (kept, receipt) = lab.back_up();
    let bytes = fs::read(&kept.file).unwrap();
    for n in 0..120 {
        let at = (n * bytes.len() / 120) as u64;
        let file = fs::OpenOptions::new().write(true).open(&kept.file).unwrap();
        file.write_all_at(&[bytes[at as usize] ^ (1 << (n % 8))], at).unwrap();
        let error = verify(&kept, &receipt).unwrap_err();
        assert_eq!(error.code, Code::ChecksumMismatch, "byte {at}: {error}");
        match lab.restore(&kept) {
            Err(error) => assert_eq!(error.exit_code(), 4, "byte {at}: {error}"),
            // A bit of the frame that changes nothing of what it holds.
            Ok(_) => {
                assert_eq!(dump(&lab.source()), dump(&lab.target()), "byte {at}");
                fs::remove_dir_all(lab.dir.path().join("server")).unwrap();
            }
        }
        lab.assert_no_target();
        file.write_all_at(&[bytes[at as usize]], at).unwrap();
    }
    for bytes in [0, 1, bytes.len() - 1] {
        let file = fs::OpenOptions::new().write(true).open(&kept.file).unwrap();
        file.set_len(bytes as u64).unwrap();
        assert_eq!(lab.restore(&kept).unwrap_err().exit_code(), 4);
        lab.assert_no_target();
    }
}

#[test]
fn the_newest_come_first_and_so_many_are_kept() {
    let lab = Lab::with_store();
    let all: Vec<Made> = (0..4).map(|_| lab.make_backup(&lab.source())).collect();
    let made: Vec<&Backup> = all.iter().map(|made| &made.backup).collect();
    let other = lab.shelf().join("hub-20200101T000000.000Z.db.zst");
    fs::write(&other, "another store's").unwrap();
    fs::write(lab.shelf().join("notes.txt"), "a person's").unwrap();
    assert_eq!(&newest(&lab.shelf(), None).unwrap(), made[3]);
    let gone = prune(&all[3], 2).unwrap();
    assert_eq!(gone, [made[1].file.clone(), made[0].file.clone()]);
    let left = list(&lab.shelf()).unwrap();
    let strange = Backup { file: other.clone() };
    assert_eq!(left, [made[3].clone(), made[2].clone(), strange]);
    assert!(other.exists() && lab.shelf().join("notes.txt").exists());
    assert!(!made[0].receipt().exists() && made[2].receipt().exists());
}

/// What lies there of another store, or with a time that is yet to come, is
/// never removed for what was just made; and that itself stays.
#[test]
fn only_older_backups_of_the_very_store_go() {
    let lab = Lab::with_store();
    let other = Lab::with_store();
    let theirs = lab.make_backup(&other.source()).backup;
    let later = lab.shelf().join("device-20990101T000000.000Z.db.zst");
    fs::write(&later, "from a clock that was ahead").unwrap();
    let (first, _) = lab.back_up();
    let made = lab.make_backup(&lab.source());
    assert_eq!(prune(&made, 1).unwrap(), [first.file]);
    assert!(made.backup.file.exists() && theirs.file.exists() && later.exists());
}

/// Several services may have one folder, and one timer.
#[test]
fn backups_at_the_same_time_are_made_one_after_the_other() {
    let labs = [(); 4].map(|()| Lab::with_store());
    let shelf = labs[0].shelf();
    let back_up = |lab: &Lab| {
        let (db, task) = (lab.source(), "device");
        let task = Task { db: &db, to: &shelf, name: task };
        back_up(&task, &Machine::this(), &|_| ()).unwrap()
    };
    std::thread::scope(|scope| {
        labs.iter().for_each(|lab| drop(scope.spawn(|| [back_up(lab), back_up(lab)])));
    });
    let made = list(&shelf).unwrap();
    assert_eq!(made.len(), 8);
    made.iter().for_each(|made| verify(made, &made.load().unwrap()).unwrap());
}

/// A log that is gone takes changes with it that only a backup has by then.
#[test]
fn a_backup_of_what_is_lost_since_is_never_removed() {
    let (lab, machine) = (Lab::new(), Machine::this());
    let owner: OwnerId = "erich".parse().unwrap();
    Store::create(&lab.source(), &Birth::Owned(owner.clone()), &machine.entropy).unwrap();
    let write = |title: &str| {
        let set = serde_json::json!({ "kind": "doc", "title": title });
        let set = set.as_object().unwrap().clone();
        let mut store = Store::open(&lab.source(), &machine).unwrap();
        store.write(&owner, &[Change::Node { id: None, set, deleted: None }]).unwrap();
    };
    let early = lab.dir.path().join("early.db");
    write("one");
    fs::copy(lab.source(), &early).unwrap();
    write("a precious line");
    let full = lab.make_backup(&lab.source());
    assert!(full.spared.is_empty() && full.receipt.warnings.is_empty());
    fs::copy(&early, lab.source()).unwrap();
    // The chain goes on as if nothing had been, and is as long in the end.
    for title in ["another", "and another", "and one more"] {
        write(title);
        let made = lab.make_backup(&lab.source());
        assert_eq!(made.spared, std::slice::from_ref(&full.backup));
        assert_eq!(made.receipt.warnings[0].code, "store_shrunk");
        prune(&made, 1).unwrap();
        assert!(full.backup.file.exists() && full.backup.receipt().exists());
        assert_eq!(list(&lab.shelf()).unwrap().len(), 2);
    }
}

/// A backup that was killed between its receipt and its name.
#[test]
fn a_receipt_of_nothing_goes_with_the_next() {
    let lab = Lab::with_store();
    let (kept, _) = lab.back_up();
    fs::remove_file(&kept.file).unwrap();
    fs::write(lab.shelf().join(".device.new-0123abcd.zst"), "half").unwrap();
    let (next, _) = lab.back_up();
    let left = files_below(&lab.shelf());
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(!kept.receipt().exists() && next.receipt().exists());
}

#[test]
fn a_store_is_verified_by_its_receipt_or_by_another() {
    let lab = Lab::with_store();
    let receipt = lab.seed().unwrap();
    let machine = Machine::this();
    let verdict = |receipt: &Receipt| {
        against_receipt(&lab.target(), receipt, &machine, &|_| ()).unwrap().verdict
    };
    assert_eq!(verdict(&receipt), Verdict::Equal);
    let against =
        || against_store(&lab.source(), &lab.target(), &machine, &|_| ()).unwrap().verdict;
    assert_eq!(against(), Verdict::Equal);
    let conn = Connection::open(lab.target()).unwrap();
    conn.execute("UPDATE nodes SET body = 'another' WHERE id = 77", []).unwrap();
    drop(conn);
    let by_receipt = verdict(&receipt);
    assert!(matches!(&by_receipt, Verdict::Differs(how) if how.contains("table nodes")));
    let by_row = against();
    assert!(matches!(&by_row, Verdict::Differs(how) if how.contains("row 77")), "{by_row:?}");
    assert!(files_below(lab.dir.path()).iter().all(|path| !path.contains(".spool-")));
}

/// Each replica gives out its own numbers. Who compares a hub with a device asks
/// whether they hold the same, not whether they number it alike.
#[test]
fn replicas_that_number_their_rows_in_another_way_are_alike() {
    let (lab, machine) = (Lab::new(), Machine::this());
    let owner: OwnerId = "erich".parse().unwrap();
    Store::create(&lab.source(), &Birth::Owned(owner.clone()), &machine.entropy).unwrap();
    let set = |title: &str| {
        let set = serde_json::json!({ "kind": "doc", "title": title });
        Change::Node { id: None, set: set.as_object().unwrap().clone(), deleted: None }
    };
    let mut store = Store::open(&lab.source(), &machine).unwrap();
    store.write(&owner, &[set("one"), set("other")]).unwrap();
    drop(store);
    lab.seed().unwrap();
    let verdict =
        || against_store(&lab.target(), &lab.source(), &machine, &|_| ()).unwrap().verdict;
    let conn = Connection::open(lab.target()).unwrap();
    let renumbered = "PRAGMA foreign_keys = OFF;
        UPDATE ops SET n = -n, entity = -entity; UPDATE chains SET op = -op;
        UPDATE versions SET op = -op, entity = -entity; UPDATE entities SET n = -n";
    conn.execute_batch(renumbered).unwrap();
    assert_eq!(verdict(), Verdict::Alike);
    conn.execute_batch("UPDATE nodes SET hidden = 1 - hidden").unwrap();
    let Verdict::Differs(how) = verdict() else { panic!("each node is hidden in one of them") };
    assert!(how.starts_with("table nodes: row 1, "), "{how}");

    // An op less, and one of its own.
    let last = "(SELECT max(n) FROM ops)";
    let lost = format!(
        "DELETE FROM chains WHERE op = {last}; DELETE FROM versions WHERE op = {last};
         DELETE FROM ops WHERE n = {last}"
    );
    conn.execute_batch(&lost).unwrap();
    assert_eq!(verdict(), Verdict::Differs("ops that it lacks: 1".to_owned()));
    conn.execute_batch("UPDATE ops SET id = 'x' WHERE n = (SELECT max(n) FROM ops)").unwrap();
    let Verdict::Differs(how) = verdict() else { panic!("it lacks two") };
    assert_eq!(how, "ops that it lacks: 2; that it alone has: 1");
    conn.execute_batch(&lost).unwrap();
    let back = against_store(&lab.source(), &lab.target(), &machine, &|_| ()).unwrap().verdict;
    assert_eq!(back, Verdict::Grown { ops: 2 });
}

/// A table of somebody else's is data like any other.
#[test]
fn a_strangers_table_that_differs_is_no_likeness() {
    let (lab, machine) = (Lab::new(), Machine::this());
    let owner: OwnerId = "erich".parse().unwrap();
    Store::create(&lab.source(), &Birth::Owned(owner), &machine.entropy).unwrap();
    let conn = Connection::open(lab.source()).unwrap();
    conn.execute_batch("CREATE TABLE extra (x); INSERT INTO extra VALUES (1), (2)").unwrap();
    drop(conn);
    lab.seed().unwrap();
    let conn = Connection::open(lab.target()).unwrap();
    conn.execute_batch("DELETE FROM extra WHERE x = 2").unwrap();
    let found = against_store(&lab.source(), &lab.target(), &machine, &|_| ()).unwrap().verdict;
    assert!(matches!(&found, Verdict::Differs(how) if how.contains("table extra")), "{found:?}");
}
