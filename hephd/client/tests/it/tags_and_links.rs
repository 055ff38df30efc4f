//! Tags, and links of people's own.

use serde_json::{Value, json};

use crate::home::Home;

fn added(home: &Home, args: &[&str]) -> String {
    home.json(args)["data"]["id"].as_str().unwrap().to_owned()
}

fn tags(home: &Home) -> Value {
    let listed = home.json(&["tag", "list"]);
    let tags = listed["data"].as_array().unwrap().iter();
    tags.map(|tag| json!([tag["name"], tag["on"]])).collect()
}

#[test]
fn a_tag_is_put_on_taken_off_and_counted() {
    let home = Home::new();
    let task = added(&home, &["task", "add", "t", "--tag", "Home"]);
    let doc = added(&home, &["doc", "add", "d"]);
    assert_eq!(home.json(&["tag", "add", &doc, "#home", "work"])["status"], "tagged");
    assert_eq!(home.json(&["tag", "add", &doc, "HOME"])["status"], "already_tagged");
    assert_eq!(tags(&home), json!([["Home", 2], ["work", 1]]));
    let shown = home.json(&["tag", "show", "home"]);
    let ids: Vec<_> = shown["data"].as_array().unwrap().iter().map(|node| &node["id"]).collect();
    assert_eq!(ids, [&task, &doc]);
    assert_eq!(home.json(&["tag", "remove", &doc, "home"])["data"]["tags"], json!(["work"]));
    assert_eq!(home.json(&["tag", "remove", &doc, "home"])["changed"], false);
    assert_eq!(home.json(&["doc", "list", "--tag", "work"])["data"][0]["id"], doc);
    assert_eq!(home.json(&["doc", "list", "--tag", "home"])["data"], json!([]));
    assert_eq!(home.heph(&["tag", "show", "nowhere"]).code, 4);
    assert_eq!(home.heph(&["tag", "add", "#work", "x"]).code, 2, "a tag has no tags");
}

#[test]
fn a_renamed_tag_stays_on_all_that_had_it() {
    let home = Home::new();
    // More than fit in one batch, and one that has both names.
    let id = |n: usize| format!("task{n:04}");
    let task =
        |n: usize| json!({ "node": { "id": id(n), "set": { "kind": "task", "title": id(n) } } });
    home.write(&(0..601).map(task).collect());
    home.json(&["tag", "add", &id(0), "old", "new"]);
    let old = home.json(&["tag", "list"])["data"][1]["id"].clone();
    let put = |n| json!({ "link": { "from": id(n), "to": old, "kind": "tag" } });
    home.write(&(1..601).map(put).collect());
    let renamed = home.json(&["tag", "rename", "old", "New"]);
    assert_eq!((&renamed["status"], &renamed["data"]["moved"]), (&json!("renamed"), &json!(601)));
    assert_eq!(tags(&home), json!([["New", 601]]));
    let shown = home.json(&["tag", "show", "new"]);
    assert_eq!(shown["data"].as_array().map(Vec::len), Some(601));
    assert_eq!(home.json(&["tag", "rename", "old", "New"])["status"], "already_renamed");
    assert_eq!(home.json(&["tag", "rename", "new", "NEW"])["data"]["moved"], 0);
    assert_eq!(tags(&home), json!([["NEW", 601]]));
}

#[test]
fn links_are_made_listed_and_removed() {
    let home = Home::new();
    let (a, b) = (added(&home, &["task", "add", "a"]), added(&home, &["doc", "add", "b"]));
    home.json(&["journal", "add", "x", "--date", "2026-05-01"]);
    assert_eq!(home.json(&["link", "add", &a, &b])["status"], "linked");
    assert_eq!(home.json(&["link", "add", &a, &b])["status"], "already_linked");
    home.json(&["link", "add", &b, "2026-05-01", "--kind", "planned on"]);
    let listed = home.json(&["link", "list", &b]);
    let links: Vec<_> = listed["data"].as_array().unwrap().iter().collect();
    assert_eq!(
        (&links[0]["kind"], &links[0]["title"]),
        (&json!("planned on"), &json!("2026-05-01"))
    );
    assert_eq!((&links[1]["from"], &links[1]["kind"]), (&json!(a), &json!("related")));
    let told = home.heph(&["link", "list", &b]).out;
    assert!(told.contains("→  planned on") && told.contains("←  related"), "{told}");
    let wrong = home.json(&["link", "remove", &a, &b, "--kind", "needs"]);
    assert_eq!(wrong["warnings"][0]["code"], "still_linked", "{wrong}");
    assert_eq!(home.json(&["link", "remove", &a, &b])["status"], "unlinked");
    assert_eq!(home.json(&["link", "remove", &a, &b])["status"], "already_unlinked");
    assert_eq!(home.json(&["link", "list", &a])["data"], json!([]));
    let history = home.heph(&["history", &a]).out;
    assert!(history.contains("no longer related → b"), "{history}");
    for kind in ["tag", "wiki", "line_of", "entry_of", ""] {
        assert_eq!(home.heph(&["link", "add", &a, &b, "--kind", kind]).code, 2, "{kind}");
    }
    assert_eq!(home.heph(&["link", "add", &a, &a]).code, 2);
}
