//! What people do with tasks.

use serde_json::json;

use crate::home::Home;

#[test]
fn a_task_from_its_beginning_to_its_end() {
    let home = Home::new();
    let added = home.json(&["task", "add", " buy milk ", "--due", "2027-01-31", "--tag", "#Home"]);
    assert_eq!((&added["status"], &added["changed"]), (&json!("added"), &json!(true)));
    let fields = json!({ "kind": "task", "title": "buy milk", "done": false, "due": "2027-01-31" });
    assert_eq!(added["data"]["fields"], fields);
    assert_eq!(added["data"]["tags"], json!(["Home"]));
    let id = added["data"]["id"].as_str().unwrap();
    let listed = home.json(&["task", "list", "--tag", "home"]);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));

    let edit = ["task", "edit", id, "--note", "two\nlines", "--due", ""];
    assert_eq!(home.json(&edit)["status"], "updated");
    assert_eq!(home.json(&edit)["status"], "up_to_date");
    let shown = home.heph(&["task", "show", &id[..6]]);
    assert!(shown.out.contains("  two\n  lines\n"), "{shown:?}");
    assert!(!shown.out.contains("due"), "{shown:?}");

    assert_eq!(home.json(&["task", "done", id])["status"], "done");
    assert_eq!(home.json(&["task", "done", id])["status"], "already_done");
    assert_eq!(home.json(&["task", "list"])["data"], json!([]));
    assert_eq!(home.heph(&["task", "list"]).out, "no open tasks\n");
    assert_eq!(home.json(&["task", "done", "--undo", id])["status"], "reopened");
    assert!(!home.tasks()["buy milk"]);
}

#[test]
fn the_next_one_due_stands_first() {
    let home = Home::new();
    for (title, due) in [("c", ""), ("b", "2027-02-01"), ("a", "2027-03-01")] {
        let due: &[&str] = if due.is_empty() { &[] } else { &["--due", due] };
        home.json(&[&["task", "add", title], due].concat());
    }
    let listed = home.heph(&["task", "list"]).out;
    let titles: Vec<&str> = listed.lines().map(|line| line.rsplit("  ").next().unwrap()).collect();
    assert_eq!(titles, ["TITLE", "b", "a", "c"]);
}

#[test]
fn a_beginning_that_several_have_is_not_guessed_at() {
    let home = Home::new();
    let task = |id: &str| json!({ "node": { "id": id, "set": { "kind": "task", "title": id } } });
    home.write(&json!([task("abcd"), task("abcd1"), task("abcd2")]));
    assert_eq!(home.json(&["task", "show", "abcd"])["data"]["id"], "abcd", "it is one, whole");
    let ended = home.heph(&["task", "done", "abcd1", "abc"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    home.write(&json!([task("wxyz1"), task("wxyz2")]));
    let ended = home.heph(&["task", "done", "abcd1", "wxyz"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("wxyz1") && ended.err.contains("wxyz2"), "{ended:?}");
    assert!(!home.tasks()["abcd1"], "all or none");
}

#[test]
fn what_a_terminal_would_obey_is_not_printed() {
    let home = Home::new();
    let title = "a\u{1b}[2J\u{7}b\nc";
    let set = json!({ "kind": "task", "title": title, "note": "n\u{1b}]0;x\u{7}" });
    home.write(&json!([{ "node": { "id": "abcdef", "set": set } }]));
    for args in [&["task", "list"][..], &["task", "show", "abcdef"], &["task", "done", "abcdef"]] {
        let out = home.heph(args).out;
        assert!(!out.contains(['\u{1b}', '\u{7}']), "{out:?}");
    }
    assert_eq!(home.json(&["task", "list", "--all"])["data"][0]["title"], title);
}

#[test]
fn the_words_are_the_same_without_a_locale_or_a_terminal() {
    let home = Home::new();
    home.json(&["task", "add", "caf\u{e9} \u{30ab}"]);
    let plain = home.heph(&["task", "list"]);
    let mut command = home.command(crate::home::HEPH);
    let output = command.args(["task", "list"]).env("LANG", "C").env("TERM", "dumb").output();
    let poor: crate::home::Ended = output.unwrap().into();
    assert_eq!((poor.code, poor.out), (plain.code, plain.out));
    let colored = home.heph(&["task", "add", "x", "--color", "always"]).out;
    assert!(colored.starts_with("\u{1b}[32m✓ added"), "{colored:?}");
}

#[test]
fn nobody_reading_on_is_no_failure() {
    let home = Home::new();
    let task = |n: usize| json!({ "node": { "set": { "kind": "task", "title": format!("{n}") } } });
    home.write(&(0..3000).map(task).collect());
    let script = "set -o pipefail; \"$HEPH\" task list --all | head -0";
    let mut bash = home.command("bash");
    let output = bash.args(["-c", script]).env("HEPH", crate::home::HEPH).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
