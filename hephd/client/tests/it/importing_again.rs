//! An import never takes the place of what was written elsewhere.

use serde_json::json;

use crate::home::Home;

#[test]
fn an_old_file_does_not_replace_what_was_edited_in_heph() {
    let home = Home::new();
    home.file("notes/a.md", "# A\nas it was\n");
    home.json(&["import", "notes"]);
    let id = home.id("doc", "A");
    home.json(&["doc", "edit", &id, "--body", "# A\nedited in heph\n"]);
    let again = home.json(&["import", "notes"]);
    assert_eq!((&again["changed"], &again["data"]["skipped"]), (&json!(false), &json!([])));
    assert_eq!(home.heph(&["doc", "show", &id]).out, "# A\nedited in heph\n");

    // Both have gone on: neither is lost, and it is told.
    home.file("notes/a.md", "# A\nedited in the file\n");
    let both = home.json(&["import", "notes"]);
    assert_eq!(both["data"]["skipped"][0]["path"], "a.md", "{both}");
    assert_eq!(home.heph(&["doc", "show", &id]).out, "# A\nedited in heph\n");
    home.json(&["import", "notes", "--overwrite"]);
    assert_eq!(home.heph(&["doc", "show", &id]).out, "# A\nedited in the file\n");
}

#[test]
fn a_file_of_the_same_name_in_another_folder_is_another_file() {
    let home = Home::new();
    home.file("notes/README.md", "of the notes\n");
    home.file("work/README.md", "of the work\n");
    home.json(&["import", "notes"]);
    let other = home.json(&["import", "work"]);
    assert_eq!(other["data"]["skipped"][0]["path"], "README.md", "{other}");
    assert_eq!(home.heph(&["doc", "show", &home.id("doc", "README")]).out, "of the notes\n");
}

#[test]
fn what_was_typed_in_heph_comes_back_from_its_export_as_itself() {
    let home = Home::new();
    home.json(&["doc", "add", "Typed", "--body", "- [ ] a task of it\n"]);
    home.json(&["task", "done", &home.id("task", "a task of it")]);
    home.json(&["export", "out"]);
    assert_eq!(home.text("out/Typed.md"), "- [x] a task of it\n");
    assert_eq!(home.json(&["import", "out"])["data"]["new"], 0);
    assert_eq!(home.json(&["doc", "list"])["data"].as_array().unwrap().len(), 1);
    assert_eq!(home.tasks().len(), 1);
}
