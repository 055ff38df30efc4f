//! What scripts rely on: exit codes, one JSON document on stdout, two lines
//! on stderr, no colour where there is no terminal. Rows are those of the
//! catalogue of bad inputs.

use std::process::Stdio;

use super::sandbox::{Ended, Sandbox, free_port, program};

#[test]
fn each_exit_code_is_met_and_its_json_parses() {
    let sandbox = Sandbox::new();
    sandbox.device();
    let missing = sandbox.path("none.db").display().to_string();
    let to = sandbox.path("hub/heph.db").display().to_string();
    let cases: [(i32, &str, &[&str]); 5] = [
        (0, "ok", &["status"]),
        (1, "failed", &["install-service", "--role", "spoke", "--bin", "/bin/false"]),
        (2, "failed", &["install-service", "--role", "sponge"]),
        (3, "unhealthy", &["status"]),
        (4, "refused", &["seed", "--from", &missing, "--to", &to]),
    ];
    for (code, status, words) in cases {
        if code == 3 {
            sandbox.ops(&["stop"]).expect(0);
        }
        let mut words = words.to_vec();
        words.push("--json");
        let ended = sandbox.ops(&words).expect(code);
        let document = ended.json();
        assert_eq!(document["schema_version"], 1, "{words:?}");
        assert_eq!(document["command"], words[0], "{document}");
        assert_eq!(document["status"], status, "{words:?}: {document}");
        assert_eq!(document["error"].is_object(), code != 0, "{words:?}: {document}");
        if code != 0 {
            for key in ["code", "message", "hint"] {
                assert!(!document["error"][key].as_str().unwrap().is_empty(), "{key}: {document}");
            }
        }
    }
}

#[test]
fn row_01_an_unknown_flag_names_the_nearest() {
    let ended = Sandbox::new().ops(&["status", "--jsno"]).expect(2);
    assert!(ended.err.contains("--jsno") && ended.err.contains("--json"), "{}", ended.err);
    assert_eq!(ended.err.lines().count(), 2);
}

#[test]
fn row_02_an_unknown_command_lists_those_there_are() {
    let ended = Sandbox::new().ops(&["statsu"]).expect(2);
    for name in ["status", "seed", "install-service", "uninstall-service", "restart"] {
        assert!(ended.err.contains(name), "{}", ended.err);
    }
}

#[test]
fn row_05_a_port_in_use_is_refused_before_anything_is_touched() {
    let sandbox = Sandbox::new();
    let db = sandbox.path("hub/heph.db").display().to_string();
    sandbox.ops(&["seed", "--owner-id", "me", "--to", &db]).expect(0);
    let squatter = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = squatter.local_addr().unwrap().to_string();
    let ended = sandbox.install(&["--role", "hub", "--db", &db, "--http-addr", &address]).expect(4);
    assert!(ended.err.contains("[port_in_use]"), "{}", ended.err);
    let me = format!("process {} (", std::process::id());
    assert!(ended.err.contains(&me), "names pid and program: {}", ended.err);
    assert!(!sandbox.path(".config/heph").exists(), "nothing was touched");
}

#[test]
fn row_06_and_07_a_store_that_is_a_folder_or_has_none() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("folder")).unwrap();
    let folder = sandbox.path("folder").display().to_string();
    let ended = sandbox.install(&["--role", "hub", "--db", &folder]).expect(4);
    assert!(ended.err.contains("is a folder"), "{}", ended.err);
    let nowhere = sandbox.path("no/such/heph.db").display().to_string();
    let ended = sandbox.install(&["--role", "hub", "--db", &nowhere]).expect(4);
    assert!(ended.err.contains(&nowhere) && ended.err.contains("seed"), "{}", ended.err);
    let folder = format!("{}/", sandbox.path("hub").display());
    for words in [["seed", "--owner-id", "me"], ["restore", "--from", "backups"]] {
        let ended = sandbox.ops(&[&words[..], &["--to", "nas:heph.db"]].concat()).expect(2);
        assert!(ended.err.contains("this machine; here it is ./nas:heph.db"), "{}", ended.err);
        let ended = sandbox.ops(&[&words[..], &["--to", &folder]].concat()).expect(2);
        assert!(ended.err.contains("name the file: ") && ended.err.contains("hub/heph.db"));
        assert!(!sandbox.path("hub").exists());
    }
}

#[test]
fn rows_03_04_09_16_17_are_usage() {
    let sandbox = Sandbox::new();
    let cases: [(&[&str], &str); 9] = [
        (&["--role", "hub", "--http-addr", "127.0.0.1:0"], "1 to 65535"),
        (&["--role", "hub", "--http-addr", "127.0.0.1:65536"], "1 to 65535"),
        (&["--role", "hub", "--http-addr", "127.0.0.1:abc"], "1 to 65535"),
        (&["--role", "hub", "--http-addr", "127.0.0.1"], "127.0.0.1:8787"),
        (&["--role", "hub", "--web-root", "/nowhere"], "index.html"),
        (&["--role", "spoke", "--http-addr", "127.0.0.1:80"], "--http-addr"),
        (&["--role", "spoke", "--sync-interval-secs", "0"], "sync-interval-secs"),
        (&["--role", "spoke", "--sync-interval-secs", "-3"], "sync-interval-secs"),
        (&["--role", "spoke", "--sync-interval-secs", "99999999999999999999"], "sync-interval"),
    ];
    for (words, named) in cases {
        let ended = sandbox.install(words).expect(2);
        assert!(ended.err.contains(named), "{words:?}: {}", ended.err);
        assert_eq!(ended.err.lines().count(), 2, "{words:?}: {}", ended.err);
    }
    assert!(!sandbox.path(".config/heph").exists(), "nothing was touched");
}

#[test]
fn row_18_a_path_that_is_not_utf8_is_refused_in_words() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    let odd = std::ffi::OsStr::from_bytes(b"/tmp/h\xff.db");
    let mut command = sandbox.command(program("heph-ops"));
    let ended: Ended = command
        .args(["install-service", "--role", "spoke", "--db"])
        .arg(odd)
        .output()
        .unwrap()
        .into();
    assert!(ended.expect(2).err.contains("UTF-8"));
}

#[test]
fn row_19_a_line_break_in_a_units_word_is_refused() {
    let sandbox = Sandbox::new();
    let words =
        ["install-service", "--role", "spoke", "--print", "--env", "A=b\nExecStart=/bin/sh"];
    let ended = sandbox.ops(&words).expect(2);
    assert!(ended.err.contains("line break"), "{}", ended.err);
}

#[test]
fn row_20_by_sudo_a_persons_service_is_whose() {
    let sandbox = Sandbox::new();
    let words = ["install-service", "--role", "spoke", "--scope", "user"];
    let mut install = sandbox.command(program("heph-ops"));
    let ended: Ended = install.args(words).env("SUDO_USER", "ann").output().unwrap().into();
    let ended = ended.expect(4);
    assert!(
        ended.err.contains("[no_user_bus]") && ended.err.contains("--run-as ann"),
        "{}",
        ended.err
    );
}

#[test]
fn row_21_a_home_that_is_unset_or_cannot_be_written_to() {
    let sandbox = Sandbox::new();
    let install = |home: Option<&str>| {
        let mut install = sandbox.command(program("heph-ops"));
        install.args(["install-service", "--role", "spoke", "--manager", "process"]);
        match home {
            Some(home) => install.env("HOME", home),
            None => install.env_remove("HOME"),
        };
        let ended: Ended = install.output().unwrap().into();
        ended.expect(4)
    };
    let ended = install(None);
    assert!(ended.err.contains("HOME is not set [file_failed]"), "{}", ended.err);
    let ended = install(Some("/proc"));
    assert!(ended.err.contains("/proc/"), "{}", ended.err);
}

#[test]
fn row_22_systemd_where_there_is_none() {
    let sandbox = Sandbox::new();
    if std::path::Path::new("/run/user").join("0/systemd/private").exists() {
        return; // There is one.
    }
    let words = ["install-service", "--role", "spoke", "--scope", "user", "--manager", "systemd"];
    let ended = sandbox.ops(&words).expect(4);
    assert!(ended.err.contains("[no_service_manager]") || ended.err.contains("[no_user_bus]"));
}

#[test]
fn row_23_a_closed_stdout_is_silent() {
    let sandbox = Sandbox::new();
    for words in [&["--help"][..], &["status"], &["status", "--json"], &["nonsense"]] {
        let mut child = sandbox
            .command(program("heph-ops"))
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{words:?}: {said}");
        assert!(matches!(output.status.code(), Some(0 | 2 | 141)), "{words:?}");
    }
}

#[test]
fn row_24_errors_of_the_command_line_itself_are_json_too() {
    let sandbox = Sandbox::new();
    for words in [&["--json", "nonsense"][..], &["status", "--jsno", "--json"], &["--json"]] {
        let document = sandbox.ops(words).expect(2).json();
        assert_eq!(document["error"]["code"], "usage", "{document}");
    }
}

#[test]
fn row_74_without_a_terminal_the_same_words_and_no_colour() {
    let sandbox = Sandbox::new();
    let plain = sandbox.ops(&["status"]).expect(0);
    let other: Ended = sandbox
        .command(program("heph-ops"))
        .arg("status")
        .env("LC_ALL", "C.UTF-8")
        .env("TERM", "xterm-256color")
        .output()
        .unwrap()
        .into();
    assert_eq!(plain.out, other.out);
    assert!(!plain.out.contains('\x1b'));
    let coloured = sandbox.ops(&["uninstall-service", "--color", "always"]).expect(0);
    assert!(coloured.out.contains("\x1b[32m"), "colour can be asked for: {}", coloured.out);
}

#[test]
fn a_port_of_a_service_that_is_not_there_yet_is_free_to_name() {
    let sandbox = Sandbox::new();
    let address = format!("127.0.0.1:{}", free_port());
    let ended =
        sandbox.ops(&["install-service", "--role", "hub", "--print", "--http-addr", &address]);
    assert!(ended.expect(0).out.contains(&address));
}

#[test]
fn every_error_code_stands_in_the_reference() {
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/commands.md");
    let reference = std::fs::read_to_string(reference).unwrap();
    for code in hephd::error::ALL {
        let mut row = reference.lines().filter(|line| line.starts_with("| `"));
        let row = row.find(|line| {
            let codes = line.split('|').nth(1).unwrap_or_default();
            codes.contains(&format!("`{}`", code.as_str()))
        });
        let row = row.unwrap_or_else(|| panic!("{} is missing", code.as_str()));
        assert!(row.contains(&code.exit_code().to_string()), "{row}");
    }
}
