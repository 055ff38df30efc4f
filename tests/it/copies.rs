//! Backups, restores, drills and streams, as people and timers run them.

use std::{path::Path, process::Stdio, time::Duration};

use hephd::rpc::client::Client;
use serde_json::Value;

use super::sandbox::{Ended, Sandbox, add_task, free_port, program, wait_for};

fn text(path: &Path) -> String {
    path.display().to_string()
}

impl Sandbox {
    fn back_up(&self) -> Value {
        let to = text(&self.path("backups"));
        self.ops(&["backup", "--to", &to, "--keep", "2", "--json"]).expect(0).json()
    }
}

/// A hub of a device, both at work and equal.
fn pair() -> Sandbox {
    let sandbox = Sandbox::new();
    let mut device = sandbox.device();
    (0..20).for_each(|n| drop(add_task(&mut device, &format!("task {n}"))));
    let (from, to) = (text(&sandbox.device_db()), text(&sandbox.path("hub/heph.db")));
    sandbox.ops(&["seed", "--from", &from, "--to", &to]).expect(0);
    let address = format!("127.0.0.1:{}", free_port());
    sandbox.install(&["--role", "hub", "--db", &to, "--http-addr", &address]).expect(0);
    let url = format!("http://{address}");
    sandbox.install(&["--role", "spoke", "--hub-url", &url]).expect(0);
    equal(&sandbox);
    sandbox
}

fn equal(sandbox: &Sandbox) {
    sandbox.ops(&["status", "--wait", "20", "--for", "equal"]).expect(0);
}

#[test]
fn a_hub_that_is_lost_comes_back_from_its_backup_and_its_devices() {
    let sandbox = pair();
    let to = text(&sandbox.path("backups"));
    let made = sandbox.ops(&["backup", "heph-hub", "--to", &to, "--json"]).expect(0).json();
    assert_eq!((&made["status"], &made["changed"]), (&"backed_up".into(), &true.into()));
    let mut device = sandbox.connect(".local/share/heph/hephd.sock");
    let later = add_task(&mut device, "after the backup");
    equal(&sandbox);

    sandbox.ops(&["stop", "heph-hub"]).expect(0);
    std::fs::remove_dir_all(sandbox.path("hub")).unwrap();
    let hub = text(&sandbox.path("hub/heph.db"));
    let words = ["restore", "--from", &to, "--to", &hub, "--json"];
    let check = sandbox.ops(&[&words[..], &["--check"]].concat()).expect(0).json();
    assert_eq!((&check["status"], &check["check"]), (&"restored".into(), &true.into()));
    assert!(!sandbox.path("hub").exists());
    assert_eq!(sandbox.ops(&words).expect(0).json()["status"], "restored");
    let again = sandbox.ops(&words).expect(0).json();
    assert_eq!((&again["status"], &again["changed"]), (&"already_restored".into(), &false.into()));
    sandbox.ops(&["start", "heph-hub"]).expect(0);
    equal(&sandbox);
    let mut hub = sandbox.connect("hub/hephd.sock");
    let node: Value = hub.call("node.get", &serde_json::json!({ "id": later })).unwrap();
    assert_eq!(node["fields"]["title"], "after the backup", "{node}");
    // It goes on living, and still has all that it was restored with.
    let verified = sandbox.ops(&["verify", words[4], "--json"]).expect(0).json();
    assert_eq!(verified["data"]["verdict"], "grown", "{verified}");

    let against = ["verify", words[4], "--against", &text(&sandbox.device_db()), "--json"];
    // Whichever of its devices an op came from first, numbers its row.
    let verified = sandbox.ops(&against).expect(0).json();
    let verdict = verified["data"]["verdict"].as_str().unwrap();
    assert!(["equal", "alike"].contains(&verdict), "{verified}");
    // It has every op, and shows something else.
    let wrong = format!("UPDATE nodes SET title = 'another' WHERE id = '{later}'");
    let done = sandbox.command("sqlite3").arg(words[4]).arg(wrong).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let differs = sandbox.ops(&against).expect(4).json();
    let says = differs["error"]["message"].as_str().unwrap();
    assert!(says.contains("table nodes") && says.contains(&later), "{says}");
}

#[test]
fn a_drill_ends_equal_and_leaves_nothing() {
    let sandbox = pair();
    sandbox.ops(&["backup", "heph-hub", "--to", &text(&sandbox.path("backups"))]).expect(0);
    let mut device = sandbox.connect(".local/share/heph/hephd.sock");
    (0..3).for_each(|n| drop(add_task(&mut device, &format!("later {n}"))));
    equal(&sandbox);
    std::fs::create_dir(sandbox.path("scratch")).unwrap();
    let [from, scratch] = ["backups", "scratch"].map(|name| text(&sandbox.path(name)));
    let words = ["drill", "heph-hub", "--from", &from, "--scratch", &scratch, "--json"];
    let drilled = sandbox.ops(&words).expect(0).json();
    assert_eq!((&drilled["status"], &drilled["changed"]), (&"drilled".into(), &false.into()));
    assert_eq!(drilled["data"]["equal"], true);
    assert!(drilled["data"]["ops_given_back"].as_u64().unwrap() >= 3, "{drilled}");
    assert_eq!(std::fs::read_dir(sandbox.path("scratch")).unwrap().count(), 0);
    equal(&sandbox);
}

/// Whoever kills a drill leaves no hub behind that answers to everybody.
#[test]
fn the_daemons_of_a_drill_end_with_it() {
    let sandbox = Sandbox::new();
    let mut daemon = sandbox.command(program("hephd"));
    let db = text(&sandbox.path("heph.db"));
    sandbox.ops(&["seed", "--owner-id", "me", "--to", &db]).expect(0);
    let socket = text(&sandbox.path("s"));
    daemon.args(["--mode", "local", "--until-eof", "--db", &db, "--socket", &socket]);
    let mut daemon = daemon.stdin(Stdio::piped()).spawn().unwrap();
    wait_for("the daemon to answer", || {
        Client::connect(&sandbox.path("s"), Duration::from_secs(9)).is_ok()
    });
    drop(daemon.stdin.take());
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

/// One that is damaged hides nothing of the others.
#[test]
fn every_backup_in_a_folder_is_verified() {
    let sandbox = Sandbox::new();
    sandbox.device();
    let made = [sandbox.back_up(), sandbox.back_up()];
    let [old, new] = made.each_ref().map(|made| made["data"]["file"].as_str().unwrap());
    let folder = text(&sandbox.path("backups"));
    let whole = sandbox.ops(&["verify", &folder, "--json"]).expect(0).json();
    assert_eq!(whole["data"]["backups"], serde_json::json!([new, old]));
    std::fs::write(new, "not what it was").unwrap();
    let found = sandbox.ops(&["verify", &folder, "--json"]).expect(4).json();
    assert_eq!(found["data"]["backups"], serde_json::json!([old]), "{found}");
    assert_eq!(found["data"]["damaged"], serde_json::json!([new]), "{found}");
    assert_eq!(found["error"]["code"], "checksum_mismatch", "{found}");
}

/// Names that are no text are names all the same.
#[test]
fn row_18_every_way_of_a_copy_takes_names_that_are_not_utf8() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let sandbox = Sandbox::new();
    sandbox.device();
    let odd = sandbox.path("").join(OsStr::from_bytes(b"caf\xe9"));
    let ops = |words: &[&OsStr]| {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_heph-ops"));
        Ended::from(command.args(words).arg("--json").output().unwrap()).expect(0)
    };
    let [seed, from, to, backup, db, verify, restore] =
        ["seed", "--from", "--to", "backup", "--db", "verify", "restore"].map(OsStr::new);
    let (source, hub, back) = (sandbox.device_db(), odd.join("hub.db"), odd.join("back.db"));
    let [source, hub, back] = [&source, &hub, &back].map(|path| path.as_os_str());
    assert_eq!(ops(&[seed, from, source, to, hub]).json()["status"], "seeded");
    assert_eq!(ops(&[seed, from, source, to, hub]).json()["status"], "already_seeded");
    assert_eq!(ops(&[verify, hub]).json()["data"]["verdict"], "equal");
    let shelf = odd.join("backups");
    ops(&[backup, db, hub, to, shelf.as_os_str()]);
    assert_eq!(ops(&[verify, shelf.as_os_str()]).json()["status"], "verified");
    assert_eq!(ops(&[restore, from, shelf.as_os_str(), to, back]).json()["status"], "restored");
}

/// A store that has lost something since is found by the drill as well.
#[test]
fn a_drill_of_a_store_that_lacks_what_its_backup_has_says_so() {
    let sandbox = Sandbox::new();
    let mut device = sandbox.device();
    let early = sandbox.back_up();
    add_task(&mut device, "after the first backup");
    let late = sandbox.back_up();
    let [early, late] = [&early, &late].map(|made| made["data"]["file"].as_str().unwrap());
    let old = text(&sandbox.path("old/heph.db"));
    sandbox.ops(&["restore", "--from", early, "--to", &old]).expect(0);
    // A folder's newest would be another store's, for all that anybody knows.
    let backups = text(&sandbox.path("backups"));
    let ended =
        sandbox.ops(&["drill", "--db", &old, "--from", &backups, "--json"]).expect(4).json();
    assert_eq!(ended["error"]["code"], "backup_not_found", "{ended}");
    let ended = sandbox.ops(&["drill", "--db", &old, "--from", late, "--json"]).expect(4).json();
    let says = ended["error"]["message"].as_str().unwrap();
    assert!(says.contains("lacks ops that") && says.contains(&old), "{says}");
}

/// A backup that was changed since is found by the drill, not by the disaster.
#[test]
fn a_drill_with_a_damaged_backup_says_so() {
    let sandbox = Sandbox::new();
    sandbox.device();
    let made = sandbox.back_up();
    let file = made["data"]["file"].as_str().unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
    let ended = sandbox.ops(&["drill", "--from", file, "--json"]).expect(4).json();
    assert_eq!(ended["error"]["code"], "checksum_mismatch", "{ended}");
    let ended = sandbox.ops(&["verify", file, "--json"]).expect(4).json();
    assert_eq!(ended["error"]["code"], "checksum_mismatch", "{ended}");
}

#[test]
fn only_so_many_backups_are_kept() {
    let sandbox = Sandbox::new();
    sandbox.device();
    for n in 1..=4 {
        let made = sandbox.back_up();
        let removed = made["data"]["removed"].as_array().unwrap().len();
        assert_eq!(removed, usize::from(n > 2));
        let left = std::fs::read_dir(sandbox.path("backups")).unwrap().count();
        assert_eq!(left, 2 * n.min(2));
    }
    let none = text(&sandbox.path("none"));
    let ended = sandbox.ops(&["restore", "--from", &none, "--to", "x.db", "--json"]).expect(4);
    assert_eq!(ended.json()["error"]["code"], "backup_not_found");
    std::fs::create_dir(&none).unwrap();
    let ended = sandbox.ops(&["drill", "--from", &none, "--json"]).expect(4).json();
    assert_eq!(ended["error"]["code"], "backup_not_found");
}

/// `heph-ops snapshot --stdout | heph-ops seed --from -`
fn piped(sandbox: &Sandbox, to: &str) -> Ended {
    let mut snapshot = sandbox.command(program("heph-ops"));
    let mut snapshot =
        snapshot.args(["snapshot", "--stdout"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut seed = sandbox.command(program("heph-ops"));
    seed.args(["seed", "--from", "-", "--to", to, "--json"]);
    let ended = seed.stdin(snapshot.stdout.take().unwrap()).output().unwrap().into();
    drop(seed); // It holds our end of the pipe.
    assert_eq!(snapshot.wait().unwrap().code(), Some(0));
    ended
}

#[test]
fn a_laptop_without_sshd_sends_its_snapshot() {
    let sandbox = Sandbox::new();
    add_task(&mut sandbox.device(), "sent");
    let to = text(&sandbox.path("hub/heph.db"));
    assert_eq!(piped(&sandbox, &to).expect(0).json()["status"], "seeded");
    assert_eq!(piped(&sandbox, &to).expect(0).json()["status"], "already_seeded");
    let [from, other] = [text(&sandbox.device_db()), text(&sandbox.path("no.db"))];
    // Standard input that is something else, or nothing.
    let mut seed = sandbox.command(program("heph-ops"));
    seed.args(["seed", "--from", "-", "--to", &other, "--json"]);
    let ended: Ended = seed.stdin(Stdio::null()).output().unwrap().into();
    assert_eq!(ended.expect(4).json()["error"]["code"], "checksum_mismatch");
    sandbox.ops(&["snapshot", "--db", &from]).expect(2);
}

#[test]
fn a_running_daemon_gives_a_snapshot_of_itself() {
    let sandbox = Sandbox::new();
    let mut device = sandbox.device();
    (0..500).for_each(|n| drop(add_task(&mut device, &format!("task {n}"))));
    let from = format!("socket:{}", text(&sandbox.path(".local/share/heph/hephd.sock")));
    let to = text(&sandbox.path("hub/heph.db"));
    let words = ["seed", "--from", &from, "--to", &to, "--json"];
    assert_eq!(sandbox.ops(&words).expect(0).json()["status"], "seeded");
    assert_eq!(sandbox.ops(&words).expect(0).json()["status"], "already_seeded");
    let db = text(&sandbox.device_db());
    let verified = sandbox.ops(&["verify", &db, "--against", &to, "--json"]).expect(0).json();
    assert_eq!(verified["data"]["verdict"], "equal");
    // The daemon goes on, and nothing is left beside its store.
    add_task(&mut device, "and on");
    let files = std::fs::read_dir(sandbox.device_db().parent().unwrap()).unwrap();
    let left: Vec<_> = files.flatten().map(|file| file.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("spool")), "{left:?}");
    sandbox.ops(&["stop"]).expect(0);
    let ended = sandbox.ops(&["seed", "--from", &from, "--to", "x.db", "--json"]).expect(3).json();
    assert_eq!(ended["error"]["code"], "not_ready");
}

/// Who hangs up in the middle of a snapshot leaves nothing behind.
#[test]
fn a_caller_that_hangs_up_ends_its_snapshot() {
    use std::io::{Read, Write};
    let sandbox = Sandbox::new();
    let mut device = sandbox.device();
    (0..300).for_each(|n| drop(add_task(&mut device, &"long ".repeat(400 + n))));
    let socket = sandbox.path(".local/share/heph/hephd.sock");
    for _ in 0..5 {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"snapshot\"}\n").unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
    }
    add_task(&mut device, "and on");
    wait_for("the spools to go", || {
        let files = std::fs::read_dir(sandbox.device_db().parent().unwrap()).unwrap().flatten();
        !files.into_iter().any(|file| file.file_name().to_string_lossy().contains("spool"))
    });
}

/// Root makes the hub's store for the user that its service runs as.
#[test]
fn case_36_every_file_is_left_to_the_user_that_is_named() {
    use std::os::unix::fs::MetadataExt;
    let sandbox = Sandbox::new();
    sandbox.device();
    sandbox.ops(&["stop"]).expect(0);
    let from = text(&sandbox.device_db());
    let to = text(&sandbox.path("srv/heph/heph.db"));
    let words = ["seed", "--from", &from, "--to", &to, "--json", "--run-as"];
    let ended = sandbox.ops(&[&words[..], &["nobody-of-that-name"]].concat()).expect(2).json();
    assert_eq!(ended["error"]["code"], "usage");
    if !rustix::process::geteuid().is_root() {
        sandbox.ops(&[&words[..], &["root"]].concat()).expect(4);
        return;
    }
    sandbox.ops(&[&words[..], &["nobody"]].concat()).expect(0);
    let uid = |path: &str| sandbox.path(path).metadata().unwrap().uid();
    for path in ["srv", "srv/heph", "srv/heph/heph.db", "srv/heph/heph.db.seeded.json"] {
        assert_eq!(uid(path), 65534, "{path}");
    }
    assert_eq!((uid(".local/share/heph/heph.db"), uid(".local")), (0, 0), "the source stays ours");
    let born = text(&sandbox.path("born/heph.db"));
    sandbox.ops(&["seed", "--owner-id", "me", "--to", &born, "--run-as", "nobody"]).expect(0);
    assert_eq!((uid("born"), uid("born/heph.db")), (65534, 65534));
}

#[test]
fn a_device_is_linked_to_its_hub_in_one_go() {
    let sandbox = Sandbox::new();
    add_task(&mut sandbox.device(), "one");
    let (from, to) = (text(&sandbox.device_db()), text(&sandbox.path("hub/heph.db")));
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{address}");
    let words = ["seed", "--from", &from, "--to", &to, "--link", &url, "--json"];
    let elsewhere = ["seed", "--from", "laptop:heph.db", "--to", &to, "--link", &url];
    sandbox.ops(&elsewhere).expect(2);
    let linked = sandbox.ops(&words).expect(0).json();
    assert_eq!(
        (&linked["status"], &linked["data"]["link"]["status"]),
        (&"seeded".into(), &"updated".into())
    );
    let again = sandbox.ops(&words).expect(0).json();
    assert_eq!((&again["status"], &again["changed"]), (&"already_seeded".into(), &false.into()));
    assert_eq!(again["data"]["link"]["status"], "already_installed");
    sandbox.install(&["--role", "hub", "--db", &to, "--http-addr", &address]).expect(0);
    equal(&sandbox);
}

/// A hub of a device that was stopped in order, made in some way: how many ops
/// went to it until the two were equal, one of them being new.
fn moved_to(make: impl Fn(&Sandbox, &Path)) -> u64 {
    let sandbox = Sandbox::new();
    let mut device = sandbox.device();
    (0..40).for_each(|n| drop(add_task(&mut device, &format!("task {n}"))));
    sandbox.ops(&["stop"]).expect(0);
    let hub = sandbox.path("hub/heph.db");
    make(&sandbox, &hub);
    let address = format!("127.0.0.1:{}", free_port());
    sandbox.install(&["--role", "hub", "--db", &text(&hub), "--http-addr", &address]).expect(0);
    let url = format!("http://{address}");
    sandbox.install(&["--role", "spoke", "--hub-url", &url]).expect(0);
    let mut device = sandbox.connect(".local/share/heph/hephd.sock");
    add_task(&mut device, "new");
    let status: Value = device.call("sync.now", &Value::Null).unwrap();
    assert_eq!(status["equal"], true, "{status}");
    let metrics = sandbox.command("curl").args(["-s", &format!("{url}/metrics")]).output().unwrap();
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    let count = metrics.lines().find_map(|line| line.strip_prefix("heph_ops_received_total "));
    count.unwrap().parse().unwrap()
}

/// The way that was written down before there was a command: stop, copy, delete
/// one row. Ours behaves the same from then on, and the first sync moves only
/// what is new.
#[test]
fn a_seed_behaves_like_one_that_is_made_by_hand() {
    let by_hand = moved_to(|sandbox, hub| {
        std::fs::create_dir(hub.parent().unwrap()).unwrap();
        std::fs::copy(sandbox.device_db(), hub).unwrap();
        let delete = "DELETE FROM meta WHERE key = 'origin'";
        let done = sandbox.command("sqlite3").arg(hub).arg(delete).output().unwrap();
        assert!(done.status.success());
    });
    let seeded = moved_to(|sandbox, hub| {
        let (from, to) = (text(&sandbox.device_db()), text(hub));
        sandbox.ops(&["seed", "--from", &from, "--to", &to]).expect(0);
    });
    assert_eq!(seeded, by_hand);
    assert!((1..20).contains(&seeded), "of some 200 ops only the new ones go: {seeded}");
}
