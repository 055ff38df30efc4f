//! Days and their entries.

use serde_json::json;

use crate::{home::Home, pair::Pair};

const DAY: &str = "2026-05-01";

#[test]
fn a_day_has_the_entries_that_were_added() {
    let home = Home::new();
    let empty = home.heph(&["journal", "show", DAY]);
    assert_eq!((empty.code, &*empty.out), (0, "nothing on 2026-05-01\n"));
    home.json(&["journal", "add", "slept well", "--date", DAY, "--tag", "health"]);
    home.heph_with(&["journal", "add", "-", "--date", DAY, "--json"], b"two\nlines\n").good();
    home.json(&["journal", "add", "today"]);
    let shown = home.json(&["journal", "show", DAY]);
    let bodies: Vec<_> =
        shown["data"].as_array().unwrap().iter().map(|entry| &entry["fields"]["body"]).collect();
    assert_eq!(bodies, ["slept well", "two\nlines\n"]);
    assert_eq!(shown["data"][0]["tags"], json!(["health"]));
    assert!(home.heph(&["journal"]).out.ends_with("  today\n"));
    let listed = home.json(&["journal", "list"]);
    let days: Vec<_> = listed["data"].as_array().unwrap().iter().collect();
    assert_eq!((&days[0]["day"], &days[0]["entries"]), (&json!(DAY), &json!(2)));
    assert_eq!(days.len(), 2);
    assert_eq!(home.json(&["show", DAY])["data"]["id"], days[0]["id"]);
    for bad in [&["show", "May"][..], &["add", " "], &["add", "x", "--date", "2026-5-1"]] {
        assert_eq!(home.heph(&[&["journal"], bad].concat()).code, 2, "{bad:?}");
    }
    let commands = home.heph(&["doc", "list"]).out;
    assert_eq!(commands, "no documents\n", "an entry is no document");
}

#[test]
fn two_devices_write_on_one_day_and_have_nothing_to_settle() {
    let mut pair = Pair::new();
    let add = |text: &'static str| {
        move |home: &Home| drop(home.json(&["journal", "add", text, "--date", DAY]))
    };
    pair.apart(add("on the laptop"), add("on the phone"));
    let shown = pair.both(&["journal", "show", DAY]);
    assert_eq!(shown["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(pair.both(&["journal", "list"])["data"][0]["entries"], 2);
    assert_eq!(pair.both(&["conflicts"])["data"], json!([]));
}
