//! Services under the process manager: installed once, changed by name,
//! never robbed of a flag, put back when they do not start.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::sandbox::{Sandbox, add_task, free_port, wait_for};

fn hub(sandbox: &Sandbox) -> String {
    let db = sandbox.path("hub/heph.db").display().to_string();
    sandbox.ops(&["seed", "--owner-id", "me", "--to", &db]).expect(0);
    let address = format!("127.0.0.1:{}", free_port());
    sandbox.install(&["--role", "hub", "--db", &db, "--http-addr", &address]).expect(0);
    address
}

fn pid(sandbox: &Sandbox, label: &str) -> Value {
    sandbox.ops(&["status", label, "--json"]).json()["data"]["services"][0]["pid"].clone()
}

#[test]
fn a_second_install_touches_nothing() {
    let sandbox = Sandbox::new();
    let first = sandbox.install(&["--role", "spoke", "--json"]).expect(0).json();
    assert_eq!((&first["status"], &first["changed"]), (&"installed".into(), &true.into()));
    for words in [&["--role", "spoke", "--json"][..], &["--role", "spoke", "--json", "--check"]] {
        let again = sandbox.install(words).expect(0).json();
        assert_eq!(again["status"], "already_installed");
        assert_eq!(again["changed"], false);
        assert_eq!(pid(&sandbox, "heph-spoke"), first["data"]["pid"], "nobody was restarted");
    }
}

#[test]
fn a_later_install_drops_no_flag() {
    let sandbox = Sandbox::new();
    let address = hub(&sandbox);
    sandbox.install(&["--role", "spoke", "--hub-url", &format!("http://{address}")]).expect(0);
    let changed = sandbox
        .install(&["--role", "spoke", "--sync-interval-secs", "7", "--json"])
        .expect(0)
        .json();
    assert_eq!(changed["status"], "updated");
    assert_eq!(changed["data"]["kept"], serde_json::json!(["--hub-url"]));
    sandbox.ops(&["restart", "heph-spoke", "--settle-ms", "0"]).expect(0);
    let status = sandbox.ops(&["status", "heph-spoke", "--json"]).expect(0).json();
    let url = format!("http://{address}/");
    assert_eq!(status["data"]["services"][0]["sync"]["hub_url"], url, "{status}");
}

#[test]
fn exact_and_unset_are_the_two_ways_to_take_a_flag_away() {
    let sandbox = Sandbox::new();
    sandbox.install(&["--role", "spoke", "--sync-interval-secs", "7", "--log-format", "json"]);
    let unset = ["--role", "spoke", "--unset", "log-format", "--json"];
    assert_eq!(sandbox.install(&unset).expect(0).json()["data"]["kept"][0], "--sync-interval-secs");
    let record = sandbox.path(".config/heph/heph-spoke.toml");
    assert!(!std::fs::read_to_string(&record).unwrap().contains("log-format"));
    sandbox.install(&["--role", "spoke", "--exact"]).expect(0);
    assert!(!std::fs::read_to_string(&record).unwrap().contains("sync-interval"));
    let ended = sandbox.install(&["--role", "spoke", "--unset", "colour"]).expect(2);
    assert!(ended.err.contains("no such flag"), "{}", ended.err);
}

#[test]
fn check_says_what_would_be_and_does_nothing() {
    let sandbox = Sandbox::new();
    let check =
        sandbox.install(&["--role", "spoke", "--check", "--diff", "--json"]).expect(0).json();
    assert_eq!((&check["status"], &check["check"]), (&"installed".into(), &true.into()));
    assert_eq!(check["changed"], true);
    assert!(check["diff"]["after"].as_str().unwrap().contains("role = \"spoke\""));
    assert_eq!(std::fs::read_dir(sandbox.home()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_first_install_that_never_gets_ready_is_removed_again() {
    let sandbox = Sandbox::new();
    let ended = sandbox.install(&["--role", "spoke", "--bin", "/bin/false"]).expect(1);
    assert!(ended.err.contains("times (exit code 1)"), "{}", ended.err);
    assert!(ended.err.contains("the service was removed again"), "{}", ended.err);
    assert!(!sandbox.path(".config/heph/heph-spoke.toml").exists());
    assert!(!sandbox.device_db().exists(), "a store that nobody wrote to goes too");
    let status = sandbox.ops(&["status", "--json"]).expect(0).json();
    assert_eq!(status["data"]["services"], serde_json::json!([]));
}

#[test]
fn a_change_that_does_not_start_is_put_back_and_runs() {
    let sandbox = Sandbox::new();
    sandbox.install(&["--role", "spoke", "--sync-interval-secs", "9"]).expect(0);
    let record = sandbox.path(".config/heph/heph-spoke.toml");
    let before = std::fs::read_to_string(&record).unwrap();
    let ended = sandbox.install(&["--role", "spoke", "--bin", "/bin/false", "--json"]).expect(1);
    assert_eq!(ended.json()["error"]["code"], "crash_loop");
    assert_eq!(std::fs::read_to_string(&record).unwrap(), before);
    sandbox.ops(&["status", "heph-spoke"]).expect(0);
}

#[test]
fn a_service_that_dies_at_once_shows_the_last_lines_of_its_log() {
    let sandbox = Sandbox::new();
    sandbox.device();
    sandbox.ops(&["stop"]).expect(0);
    std::fs::write(sandbox.device_db(), "no store at all, but long enough to look at").unwrap();
    let ended = sandbox.ops(&["start", "--settle-ms", "50"]).expect(3);
    assert!(
        ended.err.contains("  | ✗ ") && ended.err.contains("not_a_heph_store"),
        "{}",
        ended.err
    );
}

#[test]
fn start_stop_and_restart_say_what_was_so_already() {
    let sandbox = Sandbox::new();
    sandbox.device();
    let status = |words: &[&str]| {
        let mut words = words.to_vec();
        words.push("--json");
        let json = sandbox.ops(&words).expect(0).json();
        (json["status"].as_str().unwrap().to_owned(), json["changed"] == true)
    };
    assert_eq!(status(&["start", "--settle-ms", "0"]), ("already_started".into(), false));
    let before = pid(&sandbox, "heph-spoke");
    assert_eq!(status(&["restart", "--settle-ms", "0"]), ("restarted".into(), true));
    assert_ne!(pid(&sandbox, "heph-spoke"), before);
    assert_eq!(status(&["stop"]), ("stopped".into(), true));
    assert_eq!(status(&["stop"]), ("already_stopped".into(), false));
    assert_eq!(status(&["start", "--settle-ms", "0"]), ("started".into(), true));
    assert_eq!(status(&["uninstall-service"]), ("uninstalled".into(), true));
    assert_eq!(status(&["uninstall-service"]), ("already_uninstalled".into(), false));
    assert!(sandbox.device_db().exists(), "data stays");
}

#[test]
fn a_hub_without_a_store_is_refused_with_the_way_to_one() {
    let sandbox = Sandbox::new();
    let db = sandbox.path("heph.db").display().to_string();
    let ended = sandbox.install(&["--role", "hub", "--db", &db]).expect(4);
    assert!(ended.err.contains("[store_missing]") && ended.err.contains("seed"), "{}", ended.err);
    assert!(!sandbox.path("heph.db").exists());
}

#[test]
fn a_recorded_spokes_store_is_never_made_again() {
    let sandbox = Sandbox::new();
    sandbox.device();
    sandbox.ops(&["stop"]).expect(0);
    for name in ["heph.db", "heph.db-wal", "heph.db-shm"] {
        let _ = std::fs::remove_file(sandbox.path(".local/share/heph").join(name));
    }
    sandbox.install(&["--role", "spoke"]).expect(4);
    sandbox.ops(&["start", "--settle-ms", "50"]).expect(3);
    assert!(!sandbox.device_db().exists(), "an unmounted disk must not become an empty store");
}

#[test]
fn verbs_without_a_label_want_one_where_there_are_two() {
    let sandbox = Sandbox::new();
    hub(&sandbox);
    sandbox.device();
    let ended = sandbox.ops(&["restart"]).expect(2);
    assert!(ended.err.contains("heph-hub, heph-spoke"), "{}", ended.err);
}

#[test]
fn status_tells_equal_from_not_and_waits_for_it() {
    let sandbox = Sandbox::new();
    let address = hub(&sandbox);
    sandbox.install(&["--role", "spoke", "--hub-url", &format!("http://{address}")]).expect(0);
    let mut device = sandbox.connect(".local/share/heph/hephd.sock");
    sandbox.ops(&["status", "--wait", "20", "--for", "equal"]).expect(0);
    sandbox.ops(&["stop", "heph-hub"]).expect(0);
    add_task(&mut device, "while the hub is away");
    let status =
        || sandbox.ops(&["status", "heph-spoke", "--json"]).json()["data"]["services"][0].clone();
    wait_for("the loss of the hub to be seen", || status()["health"] == "offline");
    assert_eq!(status()["equal"], false);
    assert_eq!(status()["sync"]["unsent_ops"], 4, "the device's node, and the task");
    sandbox.ops(&["status"]).expect(3);
    sandbox.ops(&["status", "--wait", "1", "--for", "equal"]).expect(3);
    sandbox.ops(&["start", "heph-hub", "--settle-ms", "0"]).expect(0);
    let _: Value = device.call("sync.now", &Value::Null).unwrap();
    sandbox.ops(&["status", "--wait", "20", "--for", "equal"]).expect(0);
}

#[test]
fn equal_is_proved_and_not_remembered() {
    let sandbox = Sandbox::new();
    let address = hub(&sandbox);
    sandbox.install(&["--role", "spoke", "--hub-url", &format!("http://{address}")]).expect(0);
    sandbox.ops(&["status", "--wait", "20", "--for", "equal"]).expect(0);
    // The hint may be quicker than the question, or slower: whatever is said must hold.
    for n in 0..10 {
        add_task(&mut sandbox.connect("hub/hephd.sock"), &format!("on the hub: {n}"));
        let spoke = sandbox.ops(&["status", "--json"]).json()["data"]["services"][1].clone();
        let heads = spoke["sync"]["heads"].as_object().unwrap();
        let has = heads.values().map(|head| head["seq"].as_u64().unwrap()).sum::<u64>();
        assert_eq!(spoke["equal"], has == 4 + 2 * n, "{spoke}");
    }
    sandbox.ops(&["status", "--wait", "20", "--for", "equal"]).expect(0);
    let spoke = sandbox.ops(&["status", "--json"]).json()["data"]["services"][1].clone();
    assert_eq!(
        (&spoke["equal"], &spoke["sync"]["heads"].as_object().unwrap().len()),
        (&true.into(), &1)
    );
}

#[test]
fn a_hub_can_be_given_another_address_on_its_own_port() {
    let sandbox = Sandbox::new();
    let address = hub(&sandbox);
    let port = address.rsplit(':').next().unwrap();
    let everywhere = format!("0.0.0.0:{port}");
    let words = ["--role", "hub", "--http-addr", &everywhere, "--insecure-no-auth", "--json"];
    assert_eq!(sandbox.install(&words).expect(0).json()["status"], "updated");
}

#[test]
fn two_starts_at_once_leave_one_process_that_is_known() {
    let sandbox = Sandbox::new();
    sandbox.device();
    sandbox.ops(&["stop"]).expect(0);
    let start = || sandbox.ops(&["start", "--settle-ms", "0", "--json"]);
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(start);
        (start(), other.join().unwrap())
    });
    let mut said = [one, two].map(|ended| ended.expect(0).json()["status"].to_string());
    said.sort();
    assert_eq!(said, ["\"already_started\"", "\"started\""]);
    assert_eq!(sandbox.ops(&["stop", "--json"]).expect(0).json()["status"], "stopped");
}

#[test]
fn a_hanging_client_does_not_keep_a_hub_from_stopping() {
    use std::io::Write;
    let sandbox = Sandbox::new();
    let address = hub(&sandbox);
    let mut hanging = std::net::TcpStream::connect(&address).unwrap();
    hanging.write_all(b"GET /healthz HTTP/1.1\r\nHost: x").unwrap();
    sandbox.ops(&["stop", "heph-hub"]).expect(0);
}

#[test]
fn a_service_does_not_change_hands_unasked() {
    let sandbox = Sandbox::new();
    sandbox.device();
    let record = sandbox.path(".config/heph/heph-spoke.toml");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, text.replace("\"process\"", "\"systemd\"")).unwrap();
    let ended = sandbox.install(&["--role", "spoke"]).expect(4);
    assert!(ended.err.contains("uninstall it there first"), "{}", ended.err);
    std::fs::write(&record, text).unwrap();
}

#[test]
fn one_record_that_cannot_be_read_hides_no_other() {
    let sandbox = Sandbox::new();
    sandbox.device();
    std::fs::write(sandbox.path(".config/heph/other.toml"), "label = 3").unwrap();
    let ended = sandbox.ops(&["status", "--json"]).expect(2).json();
    assert_eq!(ended["data"]["services"][0]["health"], "ok", "{ended}");
    assert_eq!(ended["error"]["code"], "config_invalid");
}

/// Editors put a mark at the start of a file, or end its lines otherwise.
#[test]
fn row_61_and_row_62_a_record_that_somebody_has_edited() {
    let sandbox = Sandbox::new();
    sandbox.device();
    let path = sandbox.path(".config/heph/heph-spoke.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    for edited in [format!("\u{feff}{text}"), text.replace('\n', "\r\n")] {
        std::fs::write(&path, edited).unwrap();
        let ended = sandbox.ops(&["status", "--json"]).expect(0).json();
        assert_eq!(ended["data"]["services"][0]["health"], "ok", "{ended}");
    }
    for (edited, line) in [
        ("\u{feff}a\n".to_owned(), 1),
        (format!("\u{feff}{text}").replace("label = ", "lable = "), 2),
        (format!("{text}nonsense\n").replace('\n', "\r\n"), text.lines().count() + 1),
        (text.replace("label = ", "lable = "), 2),
    ] {
        std::fs::write(&path, &edited).unwrap();
        let ended = sandbox.ops(&["status", "--json"]).expect(2).json();
        assert_eq!(ended["error"]["code"], "config_invalid", "{ended}");
        let said = ended["error"]["message"].as_str().unwrap();
        assert!(said.contains(&format!("heph-spoke.toml:{line}: ")), "{edited}: {said}");
        let meant = edited.contains("lable").then_some("did you mean `label`?");
        assert!(said.ends_with(meant.unwrap_or_default()), "{said}");
    }
    std::fs::write(&path, text).unwrap();
}

/// Wherever a name is mistyped; and nothing else is looked at before that.
#[test]
fn row_61_a_name_that_is_none_tells_which_was_meant() {
    let sandbox = Sandbox::new();
    sandbox.install(&["--role", "spoke", "--sync-interval-secs", "9", "--no-start"]).expect(0);
    let path = sandbox.path(".config/heph/heph-spoke.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    for (name, typo) in
        [("sync-interval-secs", "sync-intervall-secs"), ("manager", "manger"), ("flags", "flag")]
    {
        let edited = text.replacen(name, typo, 1);
        std::fs::write(&path, &edited).unwrap();
        for words in [&["status"][..], &["start"], &["uninstall-service", "heph-spoke"]] {
            let ended = sandbox.ops(words).expect(2);
            assert!(ended.err.contains(&format!("did you mean `{name}`?")), "{}", ended.err);
        }
        sandbox.install(&["--role", "spoke"]).expect(2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), edited, "nothing was touched");
    }
    std::fs::write(&path, text).unwrap();
}

#[test]
fn row_63_a_record_that_others_may_read_and_that_holds_an_environment() {
    let sandbox = Sandbox::new();
    sandbox.install(&["--role", "spoke", "--no-start"]).expect(0);
    let path = sandbox.path(".config/heph/heph-spoke.toml");
    let give = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    give(0o644);
    sandbox.install(&["--role", "spoke", "--env", "TOKEN=s3cret", "--no-start"]).expect(0);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for mode in [0o644, 0o640, 0o604] {
        give(mode);
        for words in [&["status"][..], &["start"], &["uninstall-service", "heph-spoke"]] {
            let ended = sandbox.ops(words).expect(4);
            assert!(ended.err.contains("[insecure_permissions]"), "{}", ended.err);
            assert!(ended.err.contains(&format!("chmod 600 {}", path.display())));
            assert!(!ended.err.contains("s3cret"));
        }
        sandbox.install(&["--role", "spoke"]).expect(4);
    }
    give(0o600);
    sandbox.install(&["--role", "spoke"]).expect(0);
}

#[test]
fn what_a_person_wrote_into_a_record_outlives_a_change() {
    let sandbox = Sandbox::new();
    let install = ["--role", "spoke", "--sync-interval-secs", "9", "--env", "A=b"];
    sandbox.install(&[&install[..], &["--no-start"]].concat()).expect(0);
    let path = sandbox.path(".config/heph/heph-spoke.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, flags) = text.split_once("[flags]").unwrap();
    let mine = format!("# mine\n[flags] # here\n\n# slow{flags}").replace("\"9\"", "\"9\" # s");
    // The tables in another order, which is theirs to choose.
    let (head, env) = before.split_once("[env]").unwrap();
    let mine = format!("{head}{mine}\n# given\n[env]{env}");
    std::fs::write(&path, &mine).unwrap();
    sandbox.install(&["--role", "spoke", "--sync-interval-secs", "11"]).expect(0);
    let now = std::fs::read_to_string(&path).unwrap();
    assert_eq!(now, mine.replace("\"9\"", "\"11\""));
    sandbox.install(&["--role", "spoke", "--bin", "/bin/false"]).expect(1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), now, "put back, word for word");
}
