//! What became of a node, what it was, and back to that.

use serde_json::{Value, json};

use crate::home::Home;

fn added(home: &Home, args: &[&str]) -> String {
    home.json(args)["data"]["id"].as_str().unwrap().to_owned()
}

/// The op that wrote a field for the last time.
fn last_op(home: &Home, id: &str, field: &str) -> String {
    let history = home.json(&["history", id]);
    let mut events = history["data"].as_array().unwrap().iter().rev();
    events.find(|event| event["field"] == field).unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn every_change_is_told_with_what_was_before() {
    let home = Home::new();
    let id = added(&home, &["task", "add", "one", "--tag", "t"]);
    home.json(&["task", "edit", &id, "--title", "two"]);
    home.json(&["tag", "remove", &id, "t"]);
    home.write(&json!([{ "node": { "id": id, "deleted": true } }]));
    let history = home.json(&["history", &id]);
    let events = history["data"].as_array().unwrap();
    let ids: Vec<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    let told = |event: &Value| {
        let keys = ["field", "before", "value", "standing"];
        Value::from_iter(keys.map(|key| event[key].clone()))
    };
    let titles: Vec<Value> = events.iter().filter(|e| e["field"] == "title").map(told).collect();
    assert_eq!(
        json!(titles),
        json!([["title", [], "one", "superseded"], ["title", ["one"], "two", "current"]])
    );
    let links: Vec<Value> = events.iter().filter(|e| e["field"] == "link").map(told).collect();
    assert_eq!(links[0][2], true);
    assert_eq!(links[1][2], false);
    assert_eq!(told(events.last().unwrap()), json!(["deleted", [], true, "current"]));
    let spoken = home.heph(&["history", &id]).out;
    for words in ["one → two", "#t", "no longer #t", "deleted"] {
        assert!(spoken.contains(words), "{words}: {spoken}");
    }
    assert!(spoken.lines().all(|line| line.chars().count() <= 80), "{spoken}");
}

#[test]
fn a_long_history_comes_page_by_page_and_whole() {
    let home = Home::new();
    let id = added(&home, &["task", "add", "0"]);
    let title = |n: usize| json!({ "node": { "id": id, "set": { "title": n.to_string() } } });
    home.write(&(1..450).map(title).collect());
    let history = home.json(&["history", &id]);
    let titles = history["data"].as_array().unwrap().iter().filter(|e| e["field"] == "title");
    let titles: Vec<String> = titles.map(|e| e["value"].as_str().unwrap().to_owned()).collect();
    assert_eq!(titles, (0..450).map(|n| n.to_string()).collect::<Vec<_>>());
    let page = home.call("history", &json!({ "id": id, "limit": 10 }));
    assert_eq!((page["events"].as_array().map(Vec::len), &page["more"]), (Some(10), &json!(true)));
    // A page is cut where its texts would be too much to hold.
    let body = "x".repeat(450_000);
    let text = |n: usize| json!({ "node": { "id": id, "set": { "note": format!("{n}{body}") } } });
    (0..12).for_each(|n| home.write(&json!([text(n)])));
    let after = last_op(&home, &id, "title");
    let page = home.call("history", &json!({ "id": id, "after": after }));
    let events = page["events"].as_array().unwrap().len();
    assert!((1..11).contains(&events) && page["more"] == true, "{events}");
    let history = home.json(&["history", &id]);
    assert_eq!(history["data"].as_array().map(Vec::len), Some(3 - 1 + 450 + 12));
}

#[test]
fn a_node_is_shown_as_it_was() {
    let home = Home::new();
    let id = added(&home, &["doc", "add", "Plan", "--body", "first\n"]);
    let first = last_op(&home, &id, "title");
    home.json(&["doc", "edit", &id, "--body", "second\n", "--title", "Planned"]);
    let second = last_op(&home, &id, "body");
    home.write(&json!([{ "node": { "id": id, "deleted": true } }]));
    let at = |op: &str| home.json(&["show", &id, "--at", op])["data"].clone();
    let told = |node: &Value| json!([node["title"], node["fields"]["body"], node["deleted"]]);
    assert_eq!(told(&at(&first)), json!(["Plan", "first\n", false]));
    assert_eq!(told(&at(&second)), json!(["Planned", "second\n", false]));
    assert_eq!(told(&at("2099-01-01")), json!(["Planned", "second\n", true]));
    assert_eq!(told(&home.json(&["show", &id])["data"]), json!(["Planned", "second\n", true]));
    let early = home.heph(&["show", &id, "--at", "2001-01-01", "--json"]);
    assert_eq!((early.code, &early.json()["error"]["code"]), (4, &json!("node_not_found")));
    assert!(early.json()["error"]["message"].as_str().unwrap().contains("it begins at"));
    assert_eq!(home.heph(&["show", &id, "--at", "tomorrow"]).code, 2);
}

#[test]
fn a_node_goes_back_by_a_new_write() {
    let home = Home::new();
    let body = "first\n- [ ] a box\n";
    let id = added(&home, &["doc", "add", "Plan", "--body", body]);
    let then = last_op(&home, &id, "title");
    home.json(&["doc", "edit", &id, "--body", "second\n"]);
    home.write(&json!([{ "node": { "id": id, "deleted": true } }]));
    assert!(home.tasks().is_empty());
    let before = home.json(&["history", &id])["data"].as_array().unwrap().clone();
    let revert = ["revert", &id, "--to", &then];

    let looked = home.json(&[&revert[..], &["--check"]].concat());
    assert_eq!((&looked["check"], &looked["changed"]), (&json!(true), &json!(true)));
    assert_eq!(home.json(&["history", &id])["data"].as_array(), Some(&before), "only looked");

    let reverted = home.json(&revert);
    assert_eq!((&reverted["status"], &reverted["changed"]), (&json!("reverted"), &json!(true)));
    assert_eq!(reverted["data"]["fields"]["body"], json!({ "before": "second\n", "after": body }));
    assert_eq!(reverted["data"]["fields"]["deleted"], json!({ "before": true, "after": false }));
    assert_eq!(home.heph(&["doc", "show", &id]).out, body);
    assert!(home.tasks().contains_key("a box"), "what the text says is so again");
    let after = home.json(&["history", &id])["data"].as_array().unwrap().clone();
    assert_eq!(after.len(), before.len() + 2, "nothing is unmade");

    let again = home.json(&revert);
    assert_eq!((&again["status"], &again["changed"]), (&json!("already_so"), &json!(false)));
    home.json(&["revert", &id, "--to", &last_op(&home, &id, "deleted")]);
}
