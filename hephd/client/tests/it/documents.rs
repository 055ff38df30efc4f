//! What people do with documents.

use serde_json::json;

use crate::home::{Ended, Home};

#[test]
fn a_text_is_shown_exactly() {
    let home = Home::new();
    for (n, body) in ["b", "a", "✓ a\r\n\r\n", "\u{feff}\u{1b}[0m\t\n\n"].into_iter().enumerate()
    {
        let title = format!("doc {n}");
        let added =
            home.heph_with(&["doc", "add", &title, "--file", "-", "--json"], body.as_bytes());
        let id = added.good()["data"]["id"].as_str().unwrap().to_owned();
        let shown = home.heph(&["doc", "show", &id, "--color", "always"]);
        assert_eq!((shown.code, &*shown.out, &*shown.err), (0, body, ""));
        assert_eq!(home.json(&["doc", "show", &id])["data"]["fields"]["body"], body);
    }
}

#[test]
fn a_text_means_the_same_wherever_it_comes_from() {
    let home = Home::new();
    home.json(&["doc", "add", "Target"]);
    let text = "---\ntags: [b]\n---\n[[target]]\n- [ ] typed here\n";
    let added = home.json(&["doc", "add", "Plan", "--body", text, "--tag", "a"]);
    assert_eq!(added["data"]["tags"], json!(["a", "b"]));
    let id = added["data"]["id"].as_str().unwrap();
    home.json(&["task", "done", &home.id("task", "typed here")]);
    home.json(&["export", "out"]);
    assert_eq!(home.text("out/Plan.md"), text.replace("[ ]", "[x]"));

    home.file("new.md", "- [ ] another\n");
    let edited = home.json(&["doc", "edit", id, "--file", "new.md", "--title", "Planned"]);
    assert_eq!(
        (&edited["data"]["title"], &edited["data"]["tags"]),
        (&json!("Planned"), &json!(["a"]))
    );
    assert_eq!(home.tasks().into_keys().collect::<Vec<_>>(), ["another"]);
    assert_eq!(home.json(&["doc", "edit", id, "--file", "new.md"])["changed"], false);
    let listed = home.json(&["doc", "list", "--tag", "A"]);
    assert_eq!(listed["data"][0]["id"], id);
    assert!(listed["data"][0]["fields"].get("body").is_none(), "a list leaves out the bodies");
}

#[test]
fn a_text_that_cannot_be_kept_is_refused() {
    let home = Home::new();
    let refused = |ended: Ended, code: i32, slug: &str| {
        assert_eq!((ended.code, &ended.json()["error"]["code"]), (code, &json!(slug)));
    };
    let from_stdin = ["doc", "add", "x", "--body", "-", "--json"];
    refused(home.heph_with(&from_stdin, b"\xff"), 2, "usage");
    refused(home.heph_with(&from_stdin, &b"x".repeat(1 << 20)), 4, "value_too_large");
    refused(home.heph_with(&from_stdin, &b"x".repeat(3 << 20)), 4, "value_too_large");
    refused(home.heph(&["doc", "add", "x", "--file", "gone.md", "--json"]), 4, "source_not_found");
    assert_eq!(home.json(&["doc", "list"])["data"], json!([]));
}
