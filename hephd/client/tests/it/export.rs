//! Documents go out, and nothing else is touched.

use std::{fs, os::unix::fs::symlink};

use serde_json::json;

use crate::home::{Home, tree};

#[test]
fn a_task_done_is_a_tick_and_nothing_else() {
    let home = Home::new();
    let text = "\u{feff}# A\r\n\r\n1. [ ] same\r\n2. [ ] same\r\n> * [X] kept\r\n- [x] undone";
    home.file("notes/a.md", text);
    home.json(&["import", "notes"]);
    let tasks = home.json(&["task", "list", "--all"]);
    let same = tasks["data"].as_array().unwrap().iter().filter(|task| task["title"] == "same");
    let ids: Vec<String> = same.map(|task| task["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 2);
    home.json(&["task", "done", &ids[0]]);
    home.json(&["task", "done", "--undo", &home.id("task", "undone")]);
    home.json(&["export", "out"]);
    let out = home.text("out/a.md").replace("- [ ] undone", "- [x] undone");
    let first = text.replacen("[ ]", "[x]", 1);
    let second = text.replacen("2. [ ]", "2. [x]", 1);
    assert!(out == first || out == second, "{out:?}");
    home.json(&["task", "done", &ids[1]]);
    home.json(&["export", "out", "--overwrite"]);
    assert_eq!(
        home.text("out/a.md"),
        text.replace("[ ]", "[x]").replace("[x] undone", "[ ] undone")
    );
}

#[test]
fn a_second_export_writes_nothing() {
    let home = Home::new();
    home.file("notes/a.md", "a");
    home.json(&["import", "notes"]);
    let first = home.json(&["export", "deep/out"]);
    assert_eq!((&first["status"], &first["changed"]), (&json!("exported"), &json!(true)));
    for more in [&[][..], &["--overwrite"]] {
        let second = home.json(&[&["export", "deep/out"], more].concat());
        assert_eq!(
            (&second["status"], &second["changed"]),
            (&json!("already_exported"), &json!(false))
        );
    }
}

#[test]
fn a_folder_in_use_is_touched_only_where_told() {
    let home = Home::new();
    home.file("notes/a.md", "new");
    home.file("notes/b/c.md", "c");
    home.json(&["import", "notes"]);
    home.file("out/a.md", "old");
    home.file("out/other.txt", "other");
    let before = tree(&home.path("out"));
    let refused = home.heph(&["export", "out", "--json"]);
    assert_eq!((refused.code, &refused.json()["error"]["code"]), (4, &json!("target_not_empty")));
    assert_eq!(tree(&home.path("out")), before);
    let exported = home.json(&["export", "out", "--overwrite"]);
    assert_eq!(exported["data"]["written"], 2);
    let names: Vec<String> = tree(&home.path("out")).into_keys().collect();
    assert_eq!(names, ["a.md", "b/c.md", "other.txt"]);
    assert_eq!((home.text("out/a.md"), home.text("out/other.txt")), ("new".into(), "other".into()));
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let home = Home::new();
    let paths = [
        "/tmp/heph-escaped.md",
        "../escaped.md",
        "a/../../escaped.md",
        ".git/config.md",
        "a//b.md",
        "nul\u{0}.md",
        "Makefile",
        "..",
        "/",
        "ok/../ok.md",
        "\u{1b}[2J/x.md",
        "x.md",
        "x.md/y.md",
    ];
    let docs = paths.iter().enumerate().map(|(n, path)| {
        let set = json!({ "kind": "doc", "title": "../T", "path": path, "body": format!("{n}") });
        json!({ "node": { "id": format!("doc-{n:04}"), "set": set } })
    });
    home.write(&docs.collect());
    let before = tree(&home.path(""));
    let exported = home.json(&["export", "out"]);
    assert_eq!(exported["data"]["documents"], paths.len());
    let mut after = tree(&home.path(""));
    after.retain(|name, _| !name.starts_with("out/") && !name.contains("heph.db"));
    assert!(after.keys().all(|name| before.contains_key(name)), "{:?}", after.keys());
    let out = tree(&home.path("out"));
    assert_eq!(out.len(), paths.len());
    assert!(out.keys().all(|name| !name.starts_with('.') && name.ends_with(".md")), "{out:?}");
    assert_eq!(exported["warnings"].as_array().unwrap().len(), paths.len() - 2);
    let spoken = home.heph(&["export", "out2"]);
    assert!(!spoken.err.contains('\u{1b}'), "{spoken:?}");
}

#[test]
fn symlinks_in_the_folder_are_in_the_way() {
    let home = Home::new();
    home.file("notes/a.md", "new");
    home.file("notes/sub/b.md", "b");
    home.json(&["import", "notes"]);
    home.file("precious/a.md", "precious");
    for (target, link) in [("../precious/a.md", "one/a.md"), ("../precious", "two/sub")] {
        fs::create_dir_all(home.path(link).parent().unwrap()).unwrap();
        symlink(target, home.path(link)).unwrap();
        let folder = &link[..3];
        let before = tree(&home.path(folder));
        let refused = home.heph(&["export", folder, "--overwrite", "--json"]);
        assert_eq!(
            (refused.code, &refused.json()["error"]["code"]),
            (4, &json!("target_not_empty"))
        );
        assert!(refused.out.contains("a symlink"), "{refused:?}");
        assert_eq!(tree(&home.path(folder)), before);
    }
    let precious = tree(&home.path("precious"));
    assert_eq!(precious.into_iter().collect::<Vec<_>>(), [("a.md".into(), b"precious".to_vec())]);
}

#[test]
fn a_document_typed_here_gets_a_file_too() {
    let home = Home::new();
    for body in ["one", "two"] {
        home.json(&["doc", "add", "Plan: a/b", "--body", body]);
    }
    home.json(&["export", "out"]);
    let names: Vec<String> = tree(&home.path("out")).into_keys().collect();
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|name| name.starts_with("Plan- a-b")), "{names:?}");
    assert!(names.contains(&"Plan- a-b.md".to_owned()), "{names:?}");
}
