//! What goes wrong says so: in two lines, or in one JSON document.

use serde_json::json;

use crate::home::{Ended, HEPH, Home};

#[track_caller]
fn fails(home: &Home, args: &[&str], code: i32, slug: &str) {
    let ended = home.heph(&[args, &["--json"]].concat());
    assert_eq!((ended.code, &ended.json()["error"]["code"]), (code, &json!(slug)), "{ended:?}");
    let document = ended.json();
    assert_eq!(document["schema_version"], 1);
    assert_eq!(document["changed"], false);
    assert_eq!(document["status"], if code == 4 { "refused" } else { "failed" });
    assert!(document["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()));
    let spoken = home.heph(args);
    assert_eq!((spoken.code, &*spoken.out), (code, ""), "{spoken:?}");
    let mut lines = spoken.err.lines();
    assert!(lines.next().unwrap().ends_with(&format!("[{slug}]")), "{spoken:?}");
    assert!(lines.next_back().unwrap().starts_with("  "), "{spoken:?}");
}

#[test]
fn without_a_daemon_it_is_not_ready() {
    let home = Home::empty();
    home.file("notes/a.md", "");
    for args in [
        &["task", "list"][..],
        &["doc", "list"],
        &["status"],
        &["sync"],
        &["sync", "--status"],
        &["import", "notes"],
        &["export", "out"],
    ] {
        fails(&home, args, 3, "not_ready");
    }
}

#[test]
fn a_bad_command_line_is_usage() {
    let home = Home::empty();
    for args in [
        &["tusk"][..],
        &["task", "add"],
        &["task", "add", ""],
        &["task", "add", "x", "--due", "2027-02-30"],
        &["task", "edit", "abcd"],
        &["task", "list", "--nonsense"],
        &["doc", "add", "x", "--body", "a", "--file", "b"],
        &["daemon", "dance"],
        &["import"],
    ] {
        fails(&home, args, 2, "usage");
    }
    let bare = home.heph(&["--json"]);
    assert_eq!((bare.code, &bare.json()["error"]["code"]), (2, &json!("usage")));
}

#[test]
fn what_is_not_there_is_not_found() {
    let home = Home::new();
    let id = home.json(&["doc", "add", "a doc"])["data"]["id"].as_str().unwrap().to_owned();
    fails(&home, &["task", "show", "abcdef"], 4, "node_not_found");
    fails(&home, &["task", "done", &id], 4, "node_not_found");
    fails(&home, &["doc", "show", "%%%%"], 4, "node_not_found");
    fails(&home, &["doc", "show", ""], 2, "usage");
    fails(&home, &["task", "add", "x", "--tag", "#"], 2, "usage");
    let ended = home.heph(&["task", "show", &id[..8]]);
    assert!(ended.err.contains("is a doc, not a task"), "{ended:?}");
}

#[test]
fn nothing_on_stdin_is_no_text() {
    let home = Home::new();
    let id = home.json(&["doc", "add", "a doc", "--body", "kept"])["data"]["id"].clone();
    let id = id.as_str().unwrap();
    for args in [
        &["journal", "add", "-"][..],
        &["doc", "edit", id, "--file", "-"],
        &["doc", "edit", id, "--body", "-"],
        &["doc", "add", "b", "--file", "-"],
    ] {
        fails(&home, args, 2, "usage");
    }
    assert_eq!(home.heph(&["doc", "show", id]).out, "kept");
    assert_eq!(home.heph(&["doc", "edit", id, "--body", ""]).code, 0);
    assert_eq!(home.heph(&["doc", "show", id]).out, "");
}

#[test]
fn what_is_deleted_says_how_to_come_back() {
    let home = Home::new();
    let id = home.json(&["doc", "add", "a doc"])["data"]["id"].as_str().unwrap().to_owned();
    let other = home.json(&["doc", "add", "other"])["data"]["id"].as_str().unwrap().to_owned();
    home.json(&["link", "add", &other, &id]);
    home.json(&["link", "remove", &other, &id]);
    let events = home.json(&["history", &other])["data"].clone();
    let links = events.as_array().unwrap().iter().filter(|event| event["field"] == "link");
    let standings: Vec<_> = links.map(|event| event["standing"].clone()).collect();
    assert_eq!(standings, [json!("superseded"), json!("current")]);
    home.write(&json!([{ "node": { "id": id, "deleted": true } }]));
    for args in
        [&["doc", "show", &id[..]][..], &["tag", "add", &id, "x"], &["link", "add", &other, &id]]
    {
        let ended = home.heph(args);
        assert_eq!(ended.code, 4, "{ended:?}");
        assert!(ended.err.contains("is deleted"), "{ended:?}");
        assert!(ended.err.contains(&format!("heph revert {} --to TIME", &id[..8])), "{ended:?}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let home = Home::new();
    for args in [&["task", "list"][..], &["task", "list", "--json"], &["status"]] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        // There is no such device on every system.
        let Ok(full) = full else { return };
        let ended: Ended = home.command(HEPH).args(args).stdout(full).output().unwrap().into();
        assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{args:?} {ended:?}");
        assert!(ended.err.starts_with("✗ cannot write the answer: "), "{ended:?}");
    }
}

#[test]
fn a_device_on_its_own_has_nobody_to_sync_with() {
    let home = Home::new();
    assert_eq!(home.heph(&["status"]).out, "local\n");
    fails(&home, &["sync"], 4, "not_supported");
    let status = home.json(&["sync", "--status"]);
    assert_eq!(status["data"]["hub_url"], json!(null));
}

#[test]
fn a_device_that_has_not_met_its_hub_has_no_owner() {
    let home = Home::with_flags(&["--hub-url", "http://127.0.0.1:9"]);
    home.file("notes/a.md", "");
    fails(&home, &["import", "notes"], 4, "no_owner_yet");
    fails(&home, &["task", "add", "x"], 4, "no_owner_yet");
    fails(&home, &["sync"], 3, "hub_unreachable");
    home.wait_until("it knows", || home.heph(&["status"]).out == "⚠ offline\n");
    let status: Ended = home.heph(&["sync", "--status"]);
    assert_eq!(status.code, 0, "{status:?}");
    assert!(status.err.contains("[hub_unreachable]"), "{status:?}");
}
