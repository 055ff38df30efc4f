//! Real daemons: at work on the source, at work on the target, and in a race
//! with a seed.

use std::time::{Duration, Instant};

use hephd::{rpc::client::Client, store::file::make_private_folder};
use serde_json::Value;

use super::*;
use crate::{
    asked::full,
    running::{DEADLINE, Home, add_task, free_port, wait_for},
};

const TASKS: &str = "SELECT count(*) FROM nodes WHERE kind = 'task'";

/// A device's store of so many tasks, and its daemon.
fn device(home: &Home, tasks: u32) -> (PathBuf, crate::running::Running) {
    let db = home.folder("laptop").join("heph.db");
    let running = home.start(&["--mode", "local", "--db", db.to_str().unwrap()]);
    let mut client = running.client();
    for n in 0..tasks {
        add_task(&mut client, &format!("task {n}")).unwrap();
    }
    (db, running)
}

#[test]
fn case_03_a_live_daemon_is_named_and_all_that_it_acknowledged_is_there() {
    let home = Home::new();
    let (from, device) = device(&home, 50);
    let to = home.path("server/heph.db");
    let receipt = seed_from(&from, &to, &|_| ()).unwrap();
    let by = format!("process {} writes", device.child.id());
    let told = |code: &str| receipt.warnings.iter().find(|warning| warning.code == code);
    let running = told("source_running").expect("a warning");
    assert!(running.message.contains(&by), "{running:?}");
    assert_eq!(sqlite3(&to, TASKS), "50\n");
    assert_eq!(dump(&from), dump(&to));
    // It goes on as if nothing had been, and what it writes stays its own.
    add_task(&mut device.client(), "later").unwrap();
    assert_eq!((sqlite3(&from, TASKS), sqlite3(&to, TASKS)), ("51\n".into(), "50\n".into()));
    assert_eq!(device.stop(), 0);
}

#[test]
fn case_12_a_live_hub_is_named_and_keeps_its_store() {
    let (home, lab) = (Home::new(), Lab::with_store());
    make_private_folder(lab.target().parent().unwrap()).unwrap();
    let (to, address) = (lab.target(), format!("127.0.0.1:{}", free_port()));
    let words = ["--mode", "server", "--db", to.to_str().unwrap(), "--http-addr", &address];
    let hub = home.start(&words);
    let before = dump(&to);
    let by = format!("process {}", hub.child.id());
    let error = lab.refused(Code::StoreInUse);
    assert!(error.message.ends_with(&by), "{error}");
    // Nor is it replaced, however much that is wished for.
    let (files, from) = (files_of(&to), lab.source());
    let wish = Wish { replace: true, ..wish(&to) };
    let error = seed::seed(Source::Store(&from), &wish, &Machine::this(), &|_| ()).unwrap_err();
    assert_eq!(error.code, Code::StoreInUse, "{error}");
    assert!(error.message.ends_with(&by), "{error}");
    assert_eq!((files, before), (files_of(&to), dump(&to)));
    hub.client().call::<Value>("health", &Value::Null).unwrap();
    lab.assert_tidy();
}

/// Whether a program has a store open that has no name any more.
fn has_lost_its_store(pid: u32) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut files = open.filter_map(|fd| fs::read_link(fd.path()).ok());
    files.any(|file| file.to_string_lossy().ends_with("heph.db (deleted)"))
}

/// It makes a store where there is none, and so does the seed.
#[test]
fn case_13_a_real_hub_that_starts_meanwhile_makes_the_store_or_finds_one() {
    let home = Home::new();
    let (from, device) = device(&home, 20);
    assert_eq!(device.stop(), 0);
    let (rounds, mut seeded) = (full(8, 500), 0);
    for round in 0..rounds {
        let to = home.folder(&format!("server{round}")).join("heph.db");
        let address = format!("127.0.0.1:{}", free_port());
        let words = ["--mode", "server", "--db", to.to_str().unwrap(), "--http-addr", &address];
        let mut hub = home.command();
        let mut hub = hub.args(words).stderr(std::process::Stdio::null()).spawn().unwrap();
        // It needs some time to come so far: the seed meets it elsewhere each round.
        let (begun, head_start) = (Instant::now(), Duration::from_millis(round * 11 % 60));
        while begun.elapsed() < head_start {
            std::thread::yield_now();
        }
        let made = seed_from(&from, &to, &|_| ());
        let mut ended = None;
        wait_for("the hub to serve or to end", || {
            ended = hub.try_wait().unwrap();
            let socket = to.with_file_name("hephd.sock");
            let asked =
                || Client::connect(&socket, DEADLINE)?.call::<Value>("health", &Value::Null);
            ended.is_some() || asked().is_ok()
        });
        assert!(!has_lost_its_store(hub.id()), "{made:?}");
        let _ = hub.kill();
        hub.wait().unwrap();
        let found = (sqlite3(&to, TASKS), Some(meta(&to, "origin")));
        match made {
            Ok(receipt) => assert_eq!(found, ("20\n".to_owned(), receipt.new_origin)),
            Err(error) => {
                assert_eq!((error.exit_code(), found.0.as_str()), (4, "0\n"), "{error}");
                assert!(ended.is_none(), "whose store it is serves it: {ended:?}");
            }
        }
        seeded += u64::from(receipt_path(&to).exists());
        let left = files_below(to.parent().unwrap());
        assert!(!left.iter().any(|path| path.contains(".new-")), "{left:?}");
    }
    println!("{seeded} of {rounds} were seeded");
}
