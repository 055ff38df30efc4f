//! What the real program leaves alone: files that are not its own, and places
//! where it was refused. What it makes is for its owner alone from the first
//! moment, whatever the umask.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use super::running::{DEADLINE, Home, Running, free_port, wait_for};

/// Every file and folder below a folder.
fn everything(below: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
        }
        found.insert(path);
    }
    found
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// Starts a device until it has refused, with this exit code, or has done
/// harm: then there is none.
fn refused_or_harmful(
    home: &Home,
    words: &[impl AsRef<OsStr>],
    unharmed: impl Fn() -> bool,
) -> Option<i32> {
    let mut command = home.command();
    command.args(["--mode", "local"]).args(words).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut ended = None;
    wait_for("hephd to refuse, or to do harm", || {
        ended = child.try_wait().unwrap();
        ended.is_some() || !unharmed()
    });
    let _ = child.kill();
    let _ = child.wait();
    ended.and_then(|status| status.code())
}

#[test]
fn a_file_that_is_no_socket_is_never_replaced_by_one() {
    let home = Home::new();
    let notes = home.folder("own").join("notes.md");
    fs::write(&notes, "years of work").unwrap();
    let output = home.run(&["--mode", "client", "--socket", notes.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "no --hub-url");
    let ended =
        refused_or_harmful(&home, &["--socket", notes.to_str().unwrap()], || notes.is_file());
    assert_eq!(fs::read_to_string(&notes).ok().as_deref(), Some("years of work"));
    assert_eq!(ended, Some(4));
}

#[test]
fn a_socket_that_is_the_store_itself_is_refused_and_the_store_stays() {
    let home = Home::new();
    let db = home.folder("own").join("heph.db");
    let text = db.to_str().unwrap();
    assert_eq!(home.start(&["--mode", "local", "--db", text]).stop(), 0);
    let before = fs::read(&db).unwrap();
    let ended = refused_or_harmful(&home, &["--db", text, "--socket", text], || db.is_file());
    assert!(fs::read(&db).is_ok_and(|now| now == before), "the store is gone");
    assert!(matches!(ended, Some(2 | 4)), "{ended:?}");
}

#[test]
fn a_hub_whose_port_is_taken_leaves_nothing_behind() {
    let home = Home::new();
    let squatter = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = squatter.local_addr().unwrap().to_string();
    let db = home.folder("hub").join("heph.db");
    let output =
        home.run(&["--mode", "server", "--db", db.to_str().unwrap(), "--http-addr", &address]);
    assert_eq!(output.status.code(), Some(1));
    let mut left = everything(&home.path("hub"));
    left.retain(|path| path.extension() != Some(OsStr::new("lock")));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_existing_store_that_is_not_at_its_usual_place_makes_not_even_a_folder() {
    let home = Home::new();
    let output = home.run(&["--mode", "server", "--existing-store"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("[store_missing]"));
    assert_eq!(everything(&home.path("")), BTreeSet::new());
}

/// A path that is not UTF-8 must not switch off the check of the other flags.
#[test]
fn rows_16_and_18_a_flag_of_the_other_mode_is_refused_beside_a_path_that_is_not_utf8() {
    let home = Home::new();
    let db = home.folder("odd").join(OsStr::from_bytes(b"h\xff.db"));
    let words = [OsStr::new("--insecure-no-auth"), OsStr::new("--db"), db.as_os_str()];
    let ended = refused_or_harmful(&home, &words, || !home.path("odd/hephd.sock").exists());
    assert_eq!(ended, Some(2));
    assert!(!db.exists());
}

/// The umask is the service manager's or the shell's: it decides nothing.
#[test]
fn what_is_made_is_its_owners_alone_from_the_first_moment() {
    for _ in 0..10 {
        let home = Home::new();
        let folder = home.path(".local/share/heph");
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", "umask 000; exec \"$0\" --mode local", env!("CARGO_BIN_EXE_hephd")]);
        shell.env_clear().env("HOME", home.path("")).stderr(Stdio::null());
        let child = shell.spawn().unwrap();
        let device = Running { child, socket: folder.join("hephd.sock") };
        // Looks as often as it can, so as to see the first moment.
        let begun = Instant::now();
        let mut seen: BTreeSet<(String, u32)> = BTreeSet::new();
        while std::os::unix::net::UnixStream::connect(&device.socket).is_err() {
            assert!(begun.elapsed() < DEADLINE);
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if let Ok(meta) = fs::symlink_metadata(entry.path()) {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    seen.insert((name, meta.permissions().mode() & 0o777));
                }
            }
        }
        let open: Vec<_> = seen.iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
        assert!(open.is_empty(), "{open:?}");
        assert_eq!((mode(&folder), mode(&device.socket)), (0o700, 0o600));
    }
}

#[test]
fn a_store_that_was_replaced_while_it_was_open_does_not_look_healthy() {
    let home = Home::new();
    let (db, port) = (home.folder("hub").join("heph.db"), free_port());
    let address = format!("127.0.0.1:{port}");
    let words = ["--mode", "server", "--db", db.to_str().unwrap(), "--http-addr", &address];
    let hub = home.start(&words);
    fs::copy(&db, home.path("copy")).unwrap();
    fs::rename(home.path("copy"), &db).unwrap();
    assert_eq!(super::running::get(port, "/readyz").0, 503);
    drop(hub);
}

/// SQLite reads with an empty log and an index beside the file; nothing else
/// may come of it.
#[test]
fn checking_a_store_leaves_its_bytes() {
    let home = Home::new();
    let folder = home.folder("own");
    let db = folder.join("heph.db");
    let text = db.to_str().unwrap();
    let check = |path: &Path| home.run(&["--check-store", path.to_str().unwrap()]).status.code();
    let device = home.start(&["--mode", "local", "--db", text]);
    super::running::add_task(&mut device.client(), "one").unwrap();
    assert_eq!(check(&db), Some(0), "while it runs");
    drop(device);
    assert_eq!(check(&db), Some(0), "after a kill");
    assert_eq!(home.start(&["--mode", "local", "--db", text]).stop(), 0);
    let (bytes, files) = (fs::read(&db).unwrap(), everything(&folder));
    assert_eq!(check(&db), Some(0), "after a stop");
    assert!(fs::read(&db).unwrap() == bytes);
    for path in everything(&folder).difference(&files) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let log = name == "heph.db-wal" && fs::metadata(path).unwrap().len() == 0;
        assert!(log || name == "heph.db-shm", "{name} was made");
        assert_eq!(mode(path), 0o600, "{name}");
    }
    assert_eq!(check(&home.path("none")), Some(4));
    assert!(!home.path("none").exists());
}
