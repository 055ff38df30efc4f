//! Where a token lies, and where it does not.

use std::{
    os::unix::net::UnixListener,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{World, call, life::chmod, log_in, no_canary, sync_now, wait_for_status};
use crate::{
    mock::gate::Door,
    running::{Home, Running},
};

#[test]
fn row_64_a_token_file_that_others_may_read_is_refused_at_each_reading() {
    let world = World::new();
    let device = world.logged_in();
    drop(device);
    for mode in [0o644, 0o640, 0o666, 0o700, 0o400] {
        chmod(&world, mode);
        let (url, file) = (world.gate.url(), world.token_file());
        let words = ["--mode", "local", "--hub-url", &url, "--token-file"];
        let refused = world.home.run(&[&words[..], &[file.to_str().unwrap()]].concat());
        assert_eq!(refused.status.code(), Some(4), "{mode:o}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("[insecure_permissions]"), "{said}");
        assert!(said.contains(&format!("chmod 600 {}", file.display())), "{said}");
    }
    chmod(&world, 0o600);
    let device = world.device();
    wait_for_status(&device, "sync", |s| s["equal"] == true);
    chmod(&world, 0o644);
    world.provider.script().good.clear();
    assert_eq!(sync_now(&device).unwrap_err().code.as_str(), "insecure_permissions");
    assert_eq!(world.provider.script().count("refresh_token"), 0, "it could not be kept");
    let status = call(&device, "sync.status");
    assert_eq!(status["last_error"]["code"], "insecure_permissions");
    chmod(&world, 0o600);
    log_in(&mut device.client()).unwrap();
    sync_now(&device).unwrap();
}

#[test]
fn a_file_that_holds_something_else_is_left_alone() {
    let world = World::new();
    let device = world.device();
    std::fs::write(world.token_file(), "my diary").unwrap();
    chmod(&world, 0o600);
    let refused = log_in(&mut device.client()).unwrap_err();
    assert_eq!(refused.code.as_str(), "file_failed");
    assert!(refused.message.contains("is no file of tokens"), "{}", refused.message);
    assert_eq!(std::fs::read_to_string(world.token_file()).unwrap(), "my diary");
    assert_eq!(world.provider.script().asked.len(), 0, "nobody had to type a code for that");
    let status: Value = call(&device, "auth.status");
    assert_eq!(
        (&status["logged_in"], &status["last_error"]["code"]),
        (&json!(false), &json!("file_failed"))
    );
}

/// A device whose keyring is at this address.
fn device_with_bus(world: &World, bus: &str) -> Running {
    let url = world.gate.url();
    let words = ["--mode", "local", "--hub-url", &url, "--sync-interval-secs", "86400"];
    world.home.start_in(&words, &[("DBUS_SESSION_BUS_ADDRESS", bus)])
}

#[track_caller]
fn refused_with_advice(device: &Running, said: &str) {
    let refused = log_in(&mut device.client()).unwrap_err();
    assert_eq!(refused.code.as_str(), "auth_failed");
    assert!(refused.message.contains(said), "{}", refused.message);
    assert!(refused.hint.contains("--token-file PATH"), "{}", refused.hint);
}

#[test]
fn row_65_a_keyring_that_hangs_costs_three_seconds_and_gives_advice() {
    let world = World::new();
    let bus = world.home.path("bus");
    let _silent = UnixListener::bind(&bus).unwrap();
    let device = device_with_bus(&world, &format!("unix:path={}", bus.display()));
    let begun = Instant::now();
    refused_with_advice(&device, "did not answer within 3 s");
    assert!((3..10).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    let status = wait_for_status(&device, "it to be told", |s| s["auth_failure"] == true);
    assert!(status["last_error"]["message"].as_str().unwrap().contains("keyring"));
    // What does not need it never waits for it.
    let mut client = device.client();
    let waiting = std::thread::spawn(move || log_in(&mut client).unwrap_err());
    let begun = Instant::now();
    for _ in 0..20 {
        call(&device, "health");
        call(&device, "sync.status");
    }
    assert!(!waiting.is_finished(), "all this took less than the keyring does");
    waiting.join().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(world.provider.script().asked.len(), 0);
    assert_eq!(device.stop(), 0);
}

#[test]
fn without_a_keyring_there_is_advice_and_no_other_place_is_taken() {
    let world = World::new();
    let bus = world.home.path("no-such-bus");
    let device = device_with_bus(&world, &format!("unix:path={}", bus.display()));
    refused_with_advice(&device, "the system's keyring");
    // A failure is not for ever: what comes to life later is asked anew.
    let _silent = UnixListener::bind(&bus).unwrap();
    refused_with_advice(&device, "did not answer within 3 s");
    let status: Value = call(&device, "auth.status");
    assert_eq!((&status["logged_in"], &status["token_place"]), (&json!(false), &json!("keyring")));
}

#[test]
fn a_token_is_nowhere_but_in_its_file() {
    for format in ["text", "json"] {
        let world = World::new();
        let (url, file) = (world.gate.url(), world.token_file());
        let words = ["--mode", "local", "--hub-url", &url, "--log-format", format];
        let words = [&words[..], &["--token-file", file.to_str().unwrap()]].concat();
        let device = world.home.start_in(&words, &[("RUST_BACKTRACE", "1")]);
        // The first try at a hub that repeats what it was shown, and refuses it.
        world.gate.set(Door::Nobody);
        let refused = log_in(&mut device.client()).unwrap_err();
        no_canary("a refused login", &format!("{refused:?}"));
        assert!(refused.message.contains("[secret]"), "{refused:?}");
        assert!(!refused.message.contains(['\n', '\u{1b}']), "{refused:?}");
        world.gate.set(Door::Token);
        log_in(&mut device.client()).unwrap();
        wait_for_status(&device, "sync", |s| s["equal"] == true);
        // A renewal, one that is refused in words that repeat the token, and the end.
        world.provider.script().good.clear();
        sync_now(&device).unwrap();
        world.provider.script().good.clear();
        world.provider.script().forget_refresh_tokens();
        let errors = [sync_now(&device).unwrap_err(), sync_now(&device).unwrap_err()];
        no_canary("an error", &format!("{errors:?}"));
        no_canary("sync.status", &call(&device, "sync.status").to_string());
        no_canary("auth.status", &call(&device, "auth.status").to_string());
        let process = format!("/proc/{}", device.child.id());
        for what in ["cmdline", "environ"] {
            let text = std::fs::read(format!("{process}/{what}")).unwrap();
            no_canary(what, &String::from_utf8_lossy(&text));
        }
        assert!(std::fs::read_to_string(&file).unwrap().contains("canary"), "it lies there");
        no_canary("auth.logout", &call(&device, "auth.logout").to_string());
        assert_eq!(device.stop(), 0);
        no_canary("the log", &world.log());
        let store = std::fs::read(world.home.path(".local/share/heph/heph.db")).unwrap();
        no_canary("the store", &String::from_utf8_lossy(&store));
    }
}

#[test]
fn a_client_without_a_replica_logs_in_as_well() {
    let world = World::new();
    let (url, file) = (world.gate.url(), world.token_file());
    let words = ["--mode", "client", "--hub-url", &url, "--token-file", file.to_str().unwrap()];
    let device = world.home.start(&words);
    let list =
        |device: &Running| device.client().call::<Value>("node.list", &json!({ "kind": "task" }));
    let refused = list(&device).unwrap_err();
    assert_eq!((refused.code.as_str(), refused.hint.as_str()), ("auth_failed", "heph auth login"));
    log_in(&mut device.client()).unwrap();
    assert_eq!(list(&device).unwrap()["nodes"], json!([]));
    world.provider.script().good.clear();
    assert_eq!(list(&device).unwrap()["nodes"], json!([]), "renewed on the way");
    assert_eq!(call(&device, "auth.status")["logged_in"], true);
    assert_eq!(call(&device, "auth.logout")["revoked"], true);
    assert_eq!(list(&device).unwrap_err().code.as_str(), "auth_failed");
}

#[test]
fn a_device_on_its_own_is_told_to_name_a_hub() {
    let home = Home::new();
    let device = home.start(&["--mode", "local"]);
    let refused = log_in(&mut device.client()).unwrap_err();
    assert_eq!(refused.code.as_str(), "usage");
    assert!(refused.hint.contains("--hub-url"), "{}", refused.hint);
}
