//! The catalogue of bad inputs, by number: stores that hephd does not open,
//! or has to let go. It names the file and what to do, serves nothing, and
//! makes nothing.

use std::{
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    disturbed::{daemon::Daemon, wire::ask},
    running::{Home, add_task},
};

/// A closed hub with something in it.
fn closed(home: &Home) -> (Daemon, PathBuf) {
    let (mut hub, _) = Daemon::hub(home);
    hub.start();
    for n in 0..50 {
        add_task(&mut hub.client(), &format!("task {n}")).unwrap();
    }
    assert_eq!(hub.stop(), Some(0));
    let db = hub.path("heph.db");
    (hub, db)
}

/// It ends with 4 and says each of these.
#[track_caller]
fn refused(hub: &mut Daemon, says: &[&str]) {
    let heard = hub.log().len();
    assert!(!hub.try_start(), "it started");
    assert_eq!(hub.last_exit, Some(4), "{}", hub.log());
    let said = hub.log()[heard..].to_owned();
    for word in says {
        assert!(said.contains(word), "should say {word}: {said}");
    }
    assert!(!hub.path("hephd.sock").exists(), "a socket was left");
}

#[test]
fn row_52_a_store_that_another_program_holds_names_it() {
    let home = Home::new();
    let (mut hub, db) = closed(&home);
    let mut holder = Command::new("sqlite3");
    holder.arg(&db).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    holder.stdin.as_mut().unwrap().write_all(b"BEGIN IMMEDIATE;\nSELECT 'held';\n").unwrap();
    let mut heard = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut heard).unwrap();
    let named = format!("process {} (sqlite3)", holder.id());
    refused(&mut hub, &["[store_in_use]", db.to_str().unwrap(), &named]);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    hub.start();
}

#[test]
fn row_53_a_newer_schema_is_left_alone() {
    let home = Home::new();
    let (mut hub, db) = closed(&home);
    let sqlite = Command::new("sqlite3").arg(&db).arg("PRAGMA user_version = 999").status();
    assert!(sqlite.unwrap().success());
    let before = std::fs::read(&db).unwrap();
    refused(&mut hub, &["[schema_newer]", "999", "upgrade"]);
    assert!(std::fs::read(&db).unwrap() == before);
}

#[test]
fn row_54_a_damaged_store_is_not_served() {
    let home = Home::new();
    let (mut hub, db) = closed(&home);
    let whole = std::fs::read(&db).unwrap();
    let page = 4096;
    type Damage<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));
    let damages: [Damage<'_>; 4] = [
        ("[not_a_heph_store]", &|bytes| bytes[..16].fill(b'x')),
        ("[not_a_heph_store]", &|bytes| bytes.truncate(0)),
        ("[store_corrupt]", &|bytes| bytes.truncate(page * 2)),
        ("[store_corrupt]", &|bytes| bytes[100..page].fill(0xff)),
    ];
    for (code, damage) in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        std::fs::write(&db, &bytes).unwrap();
        refused(&mut hub, &[code, db.to_str().unwrap()]);
        if code == "[store_corrupt]" {
            assert!(hub.log().contains("restore a backup"), "{}", hub.log());
        }
    }
    std::fs::write(&db, &whole).unwrap();
    hub.start();
}

#[test]
fn row_55_a_store_deleted_under_a_hub_is_503_and_then_its_end() {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    hub.start();
    add_task(&mut hub.client(), "in the file that goes").unwrap();
    std::fs::remove_file(hub.path("heph.db")).unwrap();
    let (status, _, said) = ask(port, "GET", "/readyz", "").unwrap();
    assert_eq!(status, 503, "{said}");
    assert_eq!(hub.ended(), Some(4), "{}", hub.log());
    assert!(hub.log().contains("[store_missing]"), "{}", hub.log());

    let folder = hub.path("");
    let here = || {
        let names = std::fs::read_dir(&folder).unwrap().flatten().map(|e| e.file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = here();
    // The same words again, as a service manager would; and once more, for the
    // first time may not take away what the second one knows it by.
    for _ in 0..2 {
        let mend = format!("rm {}", hub.path("heph.db.lock").display());
        refused(&mut hub, &["[store_missing]", "put it back", &mend]);
        assert_eq!(here(), before, "nothing was created");
    }
    std::fs::remove_file(hub.path("heph.db.lock")).unwrap();
    hub.start();
    assert_eq!(hub.tasks().len(), 0, "begun anew, as was asked for");
}

/// However it ended: nobody was there to see the store go.
#[test]
fn row_55_a_store_deleted_after_a_stop_or_a_kill_is_not_made_anew() {
    for killed in [false, true] {
        let home = Home::new();
        let (mut hub, _) = Daemon::hub(&home);
        hub.start();
        add_task(&mut hub.client(), "in the file that goes").unwrap();
        if killed {
            hub.kill()
        } else {
            assert_eq!(hub.stop(), Some(0))
        }
        let db = hub.path("heph.db");
        let elsewhere = home.folder("elsewhere").join("heph.db");
        std::fs::rename(&db, &elsewhere).unwrap();
        let _ = std::fs::remove_file(hub.path("heph.db-wal"));
        let _ = std::fs::remove_file(hub.path("heph.db-shm"));
        let _ = std::fs::remove_file(hub.path("hephd.sock"));
        refused(&mut hub, &["[store_missing]", "heph.db.lock"]);
        assert!(!db.exists());
        std::fs::rename(&elsewhere, &db).unwrap();
        hub.start();
    }
}

/// A port that is taken, and no store yet: the next start makes one.
#[test]
fn a_start_that_failed_before_there_was_a_store_stands_in_nobodys_way() {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert!(!hub.try_start());
    assert_eq!(hub.last_exit, Some(1), "{}", hub.log());
    drop(taken);
    hub.start();
}

/// No schema is migrated yet, so nothing can be killed in the middle of it:
/// an older one is left exactly as it is.
#[test]
fn row_59_an_older_schema_is_left_alone() {
    let home = Home::new();
    let (mut hub, db) = closed(&home);
    let sqlite = Command::new("sqlite3").arg(&db).arg("PRAGMA user_version = 1").status();
    assert!(sqlite.unwrap().success());
    let before = std::fs::read(&db).unwrap();
    refused(&mut hub, &["[schema_older]", db.to_str().unwrap()]);
    assert!(std::fs::read(&db).unwrap() == before);
    for suffix in ["heph.db-wal", "heph.db-shm", "heph.db-journal"] {
        assert!(!hub.path(suffix).exists(), "{suffix} was left");
    }
}

/// A disk that is mounted over it, or another store that is put there.
#[test]
fn row_55_a_store_replaced_under_a_device_ends_it_and_the_new_one_is_untouched() {
    let home = Home::new();
    let mut device = Daemon::new(&home, "device", &["--mode", "local"]);
    device.start();
    let other = home.folder("other").join("heph.db");
    std::fs::copy(device.path("heph.db"), &other).unwrap();
    let bytes = std::fs::read(&other).unwrap();
    std::fs::rename(&other, device.path("heph.db")).unwrap();
    assert_eq!(device.ended(), Some(4), "{}", device.log());
    assert!(std::fs::read(device.path("heph.db")).unwrap() == bytes);
}

#[test]
fn row_57_a_store_that_cannot_be_written_to_names_the_line_that_mends_it() {
    let home = Home::new();
    let (mut hub, db) = closed(&home);
    std::fs::set_permissions(&db, std::fs::Permissions::from_mode(0o444)).unwrap();
    let mend = format!("chmod 600 {}", db.display());
    refused(&mut hub, &["[insecure_permissions]", "0444", &mend]);
    std::fs::set_permissions(&db, std::fs::Permissions::from_mode(0o600)).unwrap();
    if !given_away(&db) {
        return;
    }
    let mend = format!("chown {} {}", rustix::process::geteuid().as_raw(), db.display());
    refused(&mut hub, &["[insecure_permissions]", "belongs to user 65534", &mend]);
}

#[test]
fn row_58_a_file_beside_the_store_that_is_another_users_is_named() {
    let home = Home::new();
    let (mut hub, _) = closed(&home);
    for suffix in ["heph.db-wal", "heph.db-shm"] {
        let beside = hub.path(suffix);
        std::fs::write(&beside, "").unwrap();
        if !given_away(&beside) {
            return;
        }
        refused(&mut hub, &["[insecure_permissions]", beside.to_str().unwrap(), "chown"]);
        std::fs::remove_file(&beside).unwrap();
    }
    hub.start();
}

/// Only root can give a file away.
fn given_away(path: &Path) -> bool {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(65_534), None).unwrap();
        return true;
    }
    eprintln!("skipped: what belongs to another user, which only root can make");
    false
}

/// A page in the middle: it is met when it is read, and said then.
#[test]
fn row_54_damage_deep_in_the_file_is_said_when_it_is_met() {
    let home = Home::new();
    let (mut hub, db) = closed(&home);
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(&db).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    let mut page = vec![0; 4096];
    for n in 2..pages {
        file.seek(SeekFrom::Start(n * 4096)).unwrap();
        file.read_exact(&mut page).unwrap();
        if page.windows(7).any(|seven| seven == b"task 49") {
            file.seek(SeekFrom::Start(n * 4096)).unwrap();
            file.write_all(&[0xff; 200]).unwrap();
        }
    }
    let check = home.run(&["--check-store", db.to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&check.stderr).contains("[store_corrupt]"));
    if hub.try_start() {
        let list = hub.client().call::<serde_json::Value>("node.list", &serde_json::json!({}));
        assert_eq!(list.unwrap_err().code.as_str(), "store_corrupt");
        assert!(hub.client().call::<serde_json::Value>("health", &serde_json::Value::Null).is_ok());
    }
}
