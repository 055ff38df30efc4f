//! Folders come in, and come in again.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use crate::home::{Home, tree};

const NASTY: &[(&str, &[u8])] = &[
    ("crlf.md", b"# Windows\r\n\r\n- [ ] one\r\n- [x] two\r\n"),
    ("bom.md", b"\xef\xbb\xbf---\ntitle: Marked\n---\n- [ ] after a mark\n"),
    ("no final newline.md", b"- [ ] last"),
    ("empty.md", b""),
    ("only newline.md", b"\n"),
    ("nul.md", b"a\0b\n"),
    ("tabs and trailing.md", b"\t\n- [\t] tab  \n   \n\n\n"),
    ("mixed ends.md", b"a\nb\r\nc\rd"),
    ("\u{e9}t\u{e9}/\u{30ab}\u{30bf} \u{1f9c1}.md", "# \u{1f9c1}\n- [X] caf\u{e9}\n".as_bytes()),
    ("deep/a/b/c/d.markdown", b"[[../../x|up]] [[Windows]]\n"),
    ("deep/UPPER.MD", b"upper\n"),
    ("deep/it's \"quoted\" \\ $(x).md", b"[[nowhere]]\n"),
    ("front/list.md", b"---\ntitle: \"A: b\"\ntags:\n  - Home\n  - two words\n---\n"),
    ("front/text.md", b"---\r\ntags: 'home, garden #x'\r\ndate: 2024-01-02\r\n---\r\n"),
    ("front/broken.md", b"---\ntitle: [a\n---\n- [ ] still a task\n"),
    ("front/template.md", b"---\ntitle: {{title}}\n---\n"),
    ("front/unclosed.md", b"---\ntitle: a\n"),
    ("front/breaks.md", b"---\n\n- [ ] between\n\n---\n"),
    ("code.md", b"```\n- [ ] code\n```\n\n    - [ ] code\n\n- [ ] real\n"),
    ("twice.md", b"- [ ] again\n- [x] again\n  - [ ] again\n"),
    ("alias.md", b"[[Windows|w]] [[crlf#part]] ![[Windows]] `[[Marked]]` [[#here]]\n"),
];

fn nasty(home: &Home) {
    for (name, bytes) in NASTY {
        home.file(&format!("notes/{name}"), bytes);
    }
    home.file("notes/large.md", "0123456789abcde\n".repeat(900 * 64));
}

#[test]
fn what_comes_in_goes_out_byte_for_byte() {
    let home = Home::new();
    nasty(&home);
    let imported = home.json(&["import", "notes"]);
    assert_eq!((&imported["status"], &imported["changed"]), (&json!("imported"), &json!(true)));
    assert_eq!(imported["data"]["documents"], NASTY.len() + 1);
    assert_eq!(imported["data"]["skipped"], json!([]));
    let exported = home.json(&["export", "out"]);
    assert_eq!(exported["status"], "exported");
    assert_eq!(exported["warnings"], json!([]));
    assert_eq!(tree(&home.path("out")), tree(&home.path("notes")));
    let diff = home.command("diff").args(["-r", "notes", "out"]).output().unwrap();
    assert!(diff.status.success() && diff.stdout.is_empty(), "{diff:?}");
}

#[test]
fn a_second_import_changes_nothing() {
    let home = Home::new();
    nasty(&home);
    let first = home.json(&["import", "notes"]);
    let heads = home.json(&["sync", "--status"])["data"]["heads"].clone();
    let second = home.json(&["import", "notes"]);
    assert_eq!(
        (&second["status"], &second["changed"]),
        (&json!("already_imported"), &json!(false))
    );
    assert_eq!(second["data"]["written_ops"], 0);
    assert_eq!(home.json(&["sync", "--status"])["data"]["heads"], heads);
    for count in ["documents", "tasks", "links", "unresolved"] {
        assert_eq!(first["data"][count], second["data"][count], "{count}");
    }
}

#[test]
fn the_text_gives_titles_tags_tasks_and_links() {
    let home = Home::new();
    nasty(&home);
    let imported = home.json(&["import", "notes"]);
    let docs = home.json(&["doc", "list"]);
    let doc = |path: &str| {
        let docs = docs["data"].as_array().unwrap();
        docs.iter().find(|doc| doc["fields"]["path"] == path).unwrap().clone()
    };
    assert_eq!(doc("crlf.md")["title"], "Windows");
    assert_eq!(doc("bom.md")["title"], "Marked");
    assert_eq!(doc("front/list.md")["title"], "A: b");
    assert_eq!(doc("deep/UPPER.MD")["title"], "UPPER");
    assert_eq!(doc("front/list.md")["tags"], json!(["Home", "two words"]));
    assert_eq!(doc("front/text.md")["tags"], json!(["Home", "garden", "x"]));
    assert_eq!(doc("front/text.md")["fields"]["created"], "2024-01-02");
    let tasks = home.tasks();
    for (title, done) in
        [("one", false), ("two", true), ("café", true), ("real", false), ("between", false)]
    {
        assert_eq!(tasks.get(title), Some(&done), "{title}");
    }
    assert!(!tasks.contains_key("code"));
    assert_eq!(imported["data"]["tasks"], 12);
    assert_eq!(imported["data"]["links"], 2, "Windows from d.markdown and from alias.md");
    let unresolved = json!([
        { "path": "deep/a/b/c/d.markdown", "link": "../../x" },
        { "path": "deep/it's \"quoted\" \\ $(x).md", "link": "nowhere" },
    ]);
    assert_eq!(imported["data"]["unresolved"], unresolved);
    let codes = imported["warnings"].as_array().unwrap().iter().map(|w| w["code"].clone());
    assert_eq!(codes.collect::<Vec<_>>(), vec![json!("front_matter_unreadable"); 2]);
}

#[test]
fn what_cannot_come_in_is_listed_with_the_reason() {
    let home = Home::new();
    home.file("notes/good.md", "good");
    home.file("notes/latin.md", b"caf\xe9");
    home.file("notes/huge.md", "x".repeat(2 << 20));
    home.file("notes/escaped.md", "\u{1}".repeat(300 << 10));
    home.file("notes/photo.jpg", b"\xff\xd8");
    home.file("notes/.hidden/a.md", "a");
    home.file("notes/.hidden/b.md", "b");
    home.file("outside.md", "outside");
    fs::create_dir_all(home.path("notes/empty")).unwrap();
    std::os::unix::fs::symlink("../outside.md", home.path("notes/link.md")).unwrap();
    std::os::unix::fs::symlink("..", home.path("notes/loop")).unwrap();
    let fifo = home.command("mkfifo").arg("notes/pipe.md").status().unwrap();
    assert!(fifo.success());
    let imported = home.json(&["import", "notes"]);
    assert_eq!(imported["data"]["documents"], 1);
    let skipped = imported["data"]["skipped"].as_array().unwrap();
    let reason = |path: &str| {
        let found = skipped.iter().find(|skipped| skipped["path"] == path);
        found.unwrap_or_else(|| panic!("{path} in {skipped:?}"))["reason"].as_str().unwrap()
    };
    for (path, expected) in [
        ("latin.md", "not UTF-8"),
        ("huge.md", "too large"),
        ("escaped.md", "too large"),
        ("photo.jpg", "not Markdown"),
        (".hidden", "hidden"),
        ("empty", "an empty folder"),
        ("link.md", "a symlink"),
        ("loop", "a symlink"),
        ("pipe.md", "no regular file"),
    ] {
        assert!(reason(path).starts_with(expected), "{path}: {}", reason(path));
    }
    assert_eq!(skipped.len(), 9);
    assert_eq!(imported["warnings"].as_array().unwrap().len(), 9);
}

#[test]
fn a_name_that_is_not_utf8_is_skipped() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let home = Home::new();
    home.file("notes/good.md", "good");
    let odd = home.path("notes").join(OsStr::from_bytes(b"od\xff.md"));
    if fs::write(odd, "odd").is_ok() {
        let imported = home.json(&["import", "notes"]);
        assert_eq!(imported["data"]["documents"], 1);
        assert_eq!(imported["data"]["skipped"][0]["reason"], "the name is not UTF-8");
    }
}

#[test]
fn an_unreadable_file_stops_nothing() {
    let home = Home::new();
    home.file("notes/good.md", "good");
    home.file("notes/locked.md", "locked");
    let locked = home.path("notes/locked.md");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let readable = fs::File::open(&locked).is_ok();
    let imported = home.json(&["import", "notes"]);
    // Root reads everything.
    assert_eq!(imported["data"]["documents"], if readable { 2 } else { 1 });
}

#[test]
fn a_tick_in_the_file_is_a_task_done_and_back() {
    let home = Home::new();
    home.file("notes/a.md", "- [ ] one\n- [ ] two\n");
    home.json(&["import", "notes"]);
    home.file("notes/a.md", "- [x] one\n- [ ] two\n");
    assert_eq!(home.json(&["import", "notes"])["changed"], true);
    assert_eq!((home.tasks()["one"], home.tasks()["two"]), (true, false));
    home.file("notes/a.md", "- [ ] one\n- [ ] two\n");
    home.json(&["import", "notes"]);
    assert!(!home.tasks()["one"]);
}

#[test]
fn a_task_done_here_stays_done_although_the_file_has_not_heard() {
    let home = Home::new();
    home.file("notes/a.md", "- [ ] one\n");
    home.json(&["import", "notes"]);
    home.json(&["task", "done", &home.id("task", "one")]);
    assert_eq!(home.json(&["import", "notes"])["changed"], false);
    home.file("notes/a.md", "A new line.\n\n- [ ] one\n");
    assert_eq!(home.json(&["import", "notes"])["changed"], true);
    assert!(home.tasks()["one"]);
    home.json(&["export", "out"]);
    assert_eq!(home.text("out/a.md"), "A new line.\n\n- [x] one\n");
}

#[test]
fn what_was_given_here_stays_and_what_the_text_takes_back_goes() {
    let home = Home::new();
    home.file("notes/a.md", "---\ntags: [a, b]\n---\n[[b]]\n- [ ] plain\n- [ ] planned\n");
    home.file("notes/b.md", "# B\n");
    home.json(&["import", "notes"]);
    home.json(&["doc", "edit", &home.id("doc", "a"), "--title", "Mine"]);
    home.json(&["task", "edit", &home.id("task", "planned"), "--due", "2027-01-31"]);
    assert_eq!(home.json(&["import", "notes"])["changed"], false);
    home.file("notes/a.md", "---\ntags: [b, c]\n---\n- [ ] other\n");
    let again = home.json(&["import", "notes"]);
    assert_eq!(again["data"]["links"], 0);
    let doc = home.json(&["doc", "show", &home.id("doc", "Mine")]);
    assert_eq!(doc["data"]["tags"], json!(["b", "c"]));
    let tasks: Vec<String> = home.tasks().into_keys().collect();
    assert_eq!(tasks, ["other", "planned"], "a line's task goes with it, unless more is known");
    home.file("notes/a.md", "- [ ] plain\n");
    home.json(&["import", "notes"]);
    assert!(home.tasks().contains_key("plain"), "it comes back with its line");
}

#[test]
fn a_deleted_document_comes_back() {
    let home = Home::new();
    home.file("notes/a.md", "- [x] one\n");
    home.json(&["import", "notes"]);
    let id = home.id("doc", "a");
    home.write(&json!([{ "node": { "id": id, "deleted": true } }]));
    assert_eq!(home.json(&["doc", "list"])["data"], json!([]));
    assert_eq!(home.json(&["import", "notes"])["changed"], true);
    assert_eq!(home.id("doc", "a"), id);
    assert_eq!(home.json(&["import", "notes"])["changed"], false);
}

#[test]
fn a_document_that_moved_does_not_take_another_file() {
    let home = Home::new();
    home.file("notes/a.md", "first");
    home.json(&["import", "notes"]);
    let id = home.id("doc", "a");
    home.write(&json!([{ "node": { "id": id, "set": { "path": "b.md" } } }]));
    assert_eq!(home.json(&["import", "notes"])["data"]["new"], 1);
    assert_eq!(home.json(&["import", "notes"])["changed"], false);
    assert_eq!(home.json(&["doc", "list"])["data"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let home = Home::new();
    home.file("file.md", "");
    for folder in ["nowhere", "file.md"] {
        let ended = home.heph(&["import", folder, "--json"]);
        assert_eq!(ended.code, 4, "{ended:?}");
        assert_eq!(ended.json()["error"]["code"], "source_not_found");
    }
    fs::create_dir(home.path("none")).unwrap();
    let imported = home.json(&["import", "none"]);
    assert_eq!(imported["data"]["documents"], Value::from(0));
}

#[test]
fn what_the_daemon_refuses_stops_nothing_else() {
    let home = Home::new();
    home.file("notes/a.md", "a");
    // Short in the file, long as a title.
    let title = "\\x01".repeat(180 << 10);
    home.file("notes/b.md", format!("---\ntitle: \"x{title}\"\n---\n- [ ] never\n"));
    home.file("notes/c.md", "c");
    let imported = home.json(&["import", "notes"]);
    assert_eq!(imported["data"]["documents"], 2);
    assert_eq!(imported["data"]["skipped"][0]["path"], "b.md");
    let reason = imported["data"]["skipped"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("title is too large"), "{reason}");
    assert_eq!(home.tasks().len(), 0);
    assert_eq!(home.json(&["import", "notes"])["changed"], false);
}

#[test]
fn two_devices_make_the_same_of_the_same_folder() {
    let homes = [(); 2].map(|()| Home::with_flags(&["--owner-id", "somebody"]));
    let made = homes.each_ref().map(|home| {
        nasty(home);
        home.json(&["import", "notes"]);
        let ids = |kind: &str, more: &[&str]| {
            let nodes = home.json(&[&[kind, "list"], more].concat());
            let nodes = nodes["data"].as_array().unwrap().iter();
            nodes.map(|node| node["id"].clone()).collect::<Vec<_>>()
        };
        (ids("doc", &[]), ids("task", &["--all"]))
    });
    assert_eq!(made[0], made[1]);
}
