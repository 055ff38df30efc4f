//! What two devices write without knowing of each other: told whole, and
//! settled by one answer.

use serde_json::{Value, json};

use crate::{home::Home, pair::Pair};

/// A task that is called `L` on the laptop and `P` on the phone.
fn torn_title() -> (Pair, String) {
    let mut pair = Pair::new();
    let id = added(&pair.laptop, &["task", "add", "before"]);
    pair.meet();
    let edit = |title: &'static str| {
        let id = id.clone();
        move |home: &Home| drop(home.json(&["task", "edit", &id, "--title", title]))
    };
    pair.apart(edit("L first"), edit("P second"));
    (pair, id)
}

fn added(home: &Home, args: &[&str]) -> String {
    home.json(args)["data"]["id"].as_str().unwrap().to_owned()
}

fn values(conflicts: &Value, field: usize) -> Vec<(String, Value)> {
    let versions = conflicts["data"][0]["fields"][field]["versions"].as_array().unwrap();
    let pair = |told: &Value| (told["device"].as_str().unwrap().to_owned(), told["value"].clone());
    let mut values: Vec<_> = versions.iter().map(pair).collect();
    values.sort_by(|a, b| a.0.cmp(&b.0));
    values
}

#[test]
fn every_value_is_told_with_device_and_time() {
    let (pair, id) = torn_title();
    let conflicts = pair.both(&["conflicts"]);
    assert_eq!(conflicts["data"][0]["id"], id);
    assert_eq!(conflicts["data"][0]["fields"][0]["field"], "title");
    let expected = [("laptop", "L first"), ("phone", "P second")];
    assert_eq!(values(&conflicts, 0), expected.map(|(d, v)| (d.to_owned(), json!(v))));
    let told = pair.phone.heph(&["conflicts", "list"]).out;
    for words in ["L first", "P second", "laptop", "phone", "--take 1", "  1  ", "  2  "] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    let history = pair.both(&["history", &id]);
    let last: Vec<&Value> = history["data"].as_array().unwrap().iter().rev().take(2).collect();
    for event in last {
        assert_eq!(event["standing"], "conflicting", "{event}");
        assert_eq!(event["before"], json!(["before"]), "{event}");
    }
}

/// Whoever mends a word in the one value has done away with the other.
#[test]
fn an_edit_that_settles_a_conflict_says_so() {
    let (pair, id) = torn_title();
    let other = pair.laptop.json(&["task", "edit", &id, "--note", "of no concern"]);
    assert_eq!(other["warnings"], json!([]));
    let over = pair.laptop.json(&["task", "edit", &id, "--title", "P second, mended"]);
    assert_eq!(over["warnings"][0]["code"], "conflict_settled", "{over}");
    let again = pair.laptop.json(&["task", "edit", &id, "--title", "P second, mended"]);
    assert_eq!(again["warnings"], json!([]));
}

#[test]
fn one_answer_settles_it_everywhere_and_once() {
    let (pair, id) = torn_title();
    let resolve = ["conflicts", "resolve", &id, "title", "--take", "P sec"];
    let looked = pair.laptop.json(&[&resolve[..], &["--check"]].concat());
    assert_eq!((&looked["check"], &looked["changed"]), (&json!(true), &json!(true)));
    assert_eq!(pair.laptop.json(&["conflicts"])["data"].as_array().map(Vec::len), Some(1));
    let settled = pair.laptop.json(&resolve);
    assert_eq!((&settled["status"], &settled["changed"]), (&json!("resolved"), &json!(true)));
    assert_eq!(pair.laptop.json(&resolve)["status"], "already_resolved");
    pair.meet();
    assert_eq!(pair.both(&["conflicts"])["data"], json!([]));
    assert_eq!(pair.both(&["task", "show", &id])["data"]["title"], "P second");
    assert_eq!(pair.phone.json(&resolve)["changed"], false);
    assert_eq!(pair.phone.heph(&["status"]).out.chars().next(), Some('⟳'));
    let history = pair.both(&["history", &id]);
    let answer = history["data"].as_array().unwrap().last().unwrap();
    assert_eq!(answer["standing"], "current");
    assert_eq!(answer["before"].as_array().map(Vec::len), Some(2), "it knows of both: {answer}");
}

#[test]
fn a_value_is_meant_by_number_device_or_beginning() {
    let (pair, id) = torn_title();
    let home = &pair.laptop;
    let resolve = |answer: &[&str]| {
        home.heph(&[&["conflicts", "resolve", &id, "title", "--check", "--json"], answer].concat())
    };
    for (answer, value) in [
        (&["--take", "laptop"][..], "L first"),
        (&["--take", "P"], "P second"),
        (&["--value", "neither"], "neither"),
    ] {
        assert_eq!(resolve(answer).good()["data"]["value"], value, "{answer:?}");
    }
    let numbered: Vec<Value> = ["1", "2"]
        .iter()
        .map(|n| resolve(&["--take", n]).good()["data"]["value"].clone())
        .collect();
    assert!(numbered.contains(&json!("L first")) && numbered.contains(&json!("P second")));
    let both = resolve(&["--keep-both"]).good()["data"]["value"].clone();
    let [a, b] = [&numbered[0], &numbered[1]].map(|value| value.as_str().unwrap());
    assert_eq!(both, format!("{a} / {b}"));
    for answer in [&["--take", "3"][..], &["--take", "Q"], &["--take", ""], &[]] {
        assert_eq!(resolve(answer).code, 2, "{answer:?}");
    }
    let nonsense = home.heph(&["conflicts", "resolve", &id, "tittle", "--take", "1"]);
    assert_eq!(nonsense.code, 2, "{nonsense:?}");
}

#[test]
fn what_is_no_text_of_words_has_one_value() {
    let mut pair = Pair::new();
    let id = added(&pair.laptop, &["task", "add", "before"]);
    pair.meet();
    let edit = |due: &'static str| {
        let id = id.clone();
        move |home: &Home| drop(home.json(&["task", "edit", &id, "--due", due]))
    };
    pair.apart(edit("2027-01-01"), edit("2027-01-02"));
    let due = ["conflicts", "resolve", &id, "due"];
    let refused = pair.laptop.heph(&[&due[..], &["--keep-both"]].concat());
    assert_eq!((refused.code, refused.err.contains("--take N")), (2, true), "{refused:?}");
    let unclear = pair.laptop.heph(&[&due[..], &["--take", "2027"]].concat());
    assert!(unclear.err.contains("fits 2 of the values"), "{unclear:?}");

    // Too deep for a hub, so not even an answer to a conflict may hold it.
    let deep = (0..61).fold(json!(1), |inner, _| json!([inner]));
    for (field, value) in [("due", deep), ("due", json!("2027-01-01 / 2027-01-02"))] {
        let answer = json!({ "id": id, "field": field, "value": value });
        let refused = pair.laptop.try_call("conflicts.resolve", &answer).unwrap_err();
        assert_eq!(refused.code.as_str(), "usage", "{}", refused.message);
    }
    let deepest = (0..32).fold(json!(1), |inner, _| json!([inner]));
    pair.laptop.write(&json!([{ "node": { "id": id, "set": { "note": deepest } } }]));
    let deeper = json!([{ "node": { "id": id, "set": { "note": [deepest] } } }]);
    let refused = pair.laptop.try_call("node.write", &json!({ "changes": deeper })).unwrap_err();
    assert_eq!(refused.code.as_str(), "usage", "{}", refused.message);
    // A task that is done is in no list, and its conflict is told all the same.
    pair.laptop.json(&["task", "done", &id]);
    pair.meet();
    let listed = pair.both(&["task", "list"]);
    assert!(!listed["data"].to_string().contains(&id), "{listed}");
    assert_eq!(listed["warnings"][0]["code"], "conflict", "{listed}");
    assert_eq!(pair.both(&["doc", "list"])["warnings"], json!([]));
    assert_eq!(pair.both(&["task", "show", &id])["data"]["fields"]["note"], deepest);
}

#[test]
fn an_answer_holds_only_for_what_was_shown() {
    let (pair, id) = torn_title();
    let conflicts = pair.laptop.call("conflicts.list", &json!({ "id": id }));
    let version = &conflicts["conflicts"][0]["fields"][0]["versions"][0]["id"];
    let answer = json!({ "id": id, "field": "title", "value": "x", "versions": [version] });
    let mut client = hephd::rpc::client::Client::connect(
        &pair.laptop.socket(),
        std::time::Duration::from_secs(10),
    )
    .unwrap();
    let refused = client.call::<Value>("conflicts.resolve", &answer).unwrap_err();
    assert_eq!(refused.code.as_str(), "conflict_changed");
    assert_eq!(pair.laptop.json(&["conflicts"])["data"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_deletion_that_met_an_edit_is_kept_or_deleted() {
    for (answer, deleted) in [("delete", true), ("keep", false), ("1", true), ("2", false)] {
        let mut pair = Pair::new();
        let id = added(&pair.laptop, &["task", "add", "before"]);
        pair.meet();
        let gone = json!([{ "node": { "id": id, "deleted": true } }]);
        let edit = ["task", "edit", &id, "--note", "more"];
        pair.apart(|laptop| laptop.write(&gone), |phone| drop(phone.json(&edit)));
        let told = pair.phone.heph(&["conflicts"]).out;
        assert!(told.contains("delete it") && told.contains("keep it, with note more"), "{told}");
        let resolve = ["conflicts", "resolve", &id, "deleted", "--take", answer];
        assert_eq!(pair.phone.json(&resolve)["status"], "resolved");
        pair.meet();
        assert_eq!(pair.both(&["conflicts"])["data"], json!([]));
        assert_eq!(pair.both(&["show", &id])["data"]["deleted"], deleted);
    }
}

#[test]
fn a_text_that_is_settled_means_what_it_says() {
    let mut pair = Pair::new();
    let body = "one\ntwo\n- [ ] kept\n";
    let id = added(&pair.laptop, &["doc", "add", "Plan", "--body", body]);
    pair.meet();
    let task = pair.laptop.id("task", "kept");
    pair.laptop.json(&["task", "done", &task]);
    pair.meet();
    let (ours, theirs) = ("one\nTWO\n- [ ] kept\n- [ ] ours\n", "one\ntwo\n- [ ] kept\n\nend\n");
    pair.apart(
        |laptop| drop(laptop.json(&["doc", "edit", &id, "--body", ours])),
        |phone| drop(phone.json(&["doc", "edit", &id, "--body", theirs])),
    );
    let told = pair.laptop.heph(&["conflicts"]).out;
    assert!(told.contains("- [ ] ours") && told.contains("lines"), "{told}");
    pair.laptop.json(&["conflicts", "resolve", &id, "body", "--take", "phone"]);
    pair.meet();
    assert_eq!(pair.both(&["doc", "show", &id])["data"]["fields"]["body"], theirs);
    let tasks = pair.phone.tasks();
    assert!(!tasks.contains_key("ours"), "its line is gone: {tasks:?}");
    assert!(tasks["kept"], "what was done stays done: {tasks:?}");
}

#[test]
fn a_tag_on_one_side_and_off_on_the_other_is_no_conflict() {
    let mut pair = Pair::new();
    let id = added(&pair.laptop, &["task", "add", "x", "--tag", "a"]);
    pair.meet();
    pair.apart(
        |laptop| drop(laptop.json(&["tag", "remove", &id, "a"])),
        |phone| drop(phone.json(&["tag", "add", &id, "b"])),
    );
    assert_eq!(pair.both(&["task", "show", &id])["data"]["tags"], json!(["b"]));
    assert_eq!(pair.both(&["conflicts"])["data"], json!([]));
}
