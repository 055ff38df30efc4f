//! `heph-ops render` as people and scripts use it: stdout, files, refusals,
//! and what is taken from the services that are recorded.

use super::sandbox::Sandbox;

const AUTHENTIK: [&str; 4] = ["render", "authentik", "--hub-url", "https://heph.example.org"];
const CADDY: [&str; 4] = ["render", "caddy", "--domain", "heph.example.org"];

fn with<'a>(words: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [words, more].concat()
}

#[test]
fn stdout_is_the_file_and_nothing_else() {
    let sandbox = Sandbox::new();
    for words in [AUTHENTIK, CADDY] {
        let plain = sandbox.ops(&words).expect(0);
        assert_eq!(plain.err, "");
        assert!(plain.out.contains("rendered by heph-ops"), "{}", plain.out);
        assert!(plain.out.ends_with('\n') && !plain.out.contains("{{"), "{}", plain.out);
        let json = sandbox.ops(&with(&words, &["--json"])).expect(0).json();
        assert_eq!(json["command"], words[..2].join(" "));
        assert_eq!((&json["status"], &json["changed"]), (&"rendered".into(), &false.into()));
        assert_eq!(json["data"]["text"], plain.out);
        assert!(json["data"]["path"].is_null(), "{json}");
        let file = sandbox.path("file").display().to_string();
        sandbox.ops(&with(&words, &["--output", &file])).expect(0);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), plain.out);
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_file_is_written_once_and_written_anew_when_something_changes() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let path = sandbox.path("Caddyfile");
    let file = path.display().to_string();
    let render = |more: &[&str]| {
        let words = with(&with(&CADDY, &["--output", &file, "--json"]), more);
        sandbox.ops(&words).expect(0).json()
    };
    let state = |json: &serde_json::Value| {
        (json["status"].as_str().unwrap().to_owned(), json["changed"] == true)
    };
    assert_eq!(state(&render(&["--check"])), ("rendered".into(), true));
    assert!(!path.exists(), "--check writes nothing");
    assert_eq!(state(&render(&[])), ("rendered".into(), true));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(state(&render(&[])), ("already_rendered".into(), false));
    assert_eq!(state(&render(&["--check"])), ("already_rendered".into(), false));
    let diff = render(&["--tls", "internal", "--check", "--diff"])["diff"].clone();
    assert!(diff["before"].as_str().unwrap().contains("Strict-Transport-Security"), "{diff}");
    assert!(diff["after"].as_str().unwrap().contains("tls internal"), "{diff}");
    assert_eq!(state(&render(&["--tls", "internal"])), ("rendered".into(), true));
    assert!(std::fs::read_to_string(&path).unwrap().contains("tls internal"));
}

#[test]
fn what_is_somebody_elses_is_refused() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("Caddyfile");
    let file = path.display().to_string();
    let words = with(&CADDY, &["--output", &file]);
    std::fs::write(&path, "mine.example.org {\n}\n").unwrap();
    for words in [words.clone(), with(&words, &["--check"])] {
        let ended = sandbox.ops(&words).expect(4);
        assert!(ended.err.contains("[target_not_empty]") && ended.err.contains(&file));
        assert_eq!(ended.err.lines().count(), 2, "{}", ended.err);
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine.example.org {\n}\n");
    std::fs::write(&path, "").unwrap();
    sandbox.ops(&words).expect(0);
    let nowhere = sandbox.path("no/such/Caddyfile").display().to_string();
    for more in [&["--output", nowhere.as_str()][..], &["--output", &nowhere, "--check"]] {
        let ended = sandbox.ops(&with(&CADDY, more)).expect(4);
        assert!(ended.err.contains(&nowhere), "{}", ended.err);
    }
    let folder = sandbox.home().display().to_string();
    let ended = sandbox.ops(&with(&CADDY, &["--output", &folder])).expect(4);
    assert!(ended.err.contains(&folder), "{}", ended.err);
}

#[test]
fn bad_values_are_usage_in_one_clear_line() {
    let sandbox = Sandbox::new();
    let long = format!("{}.org", "a".repeat(64));
    let mut cases = vec![
        (vec!["render", "authentik"], "--hub-url"),
        (vec!["render", "authentik", "--hub-url", "heph.example.org"], "--hub-url"),
        (with(&AUTHENTIK, &["--slug", "a b"]), "--slug"),
        (with(&AUTHENTIK, &["--slug", ""]), "--slug"),
        (with(&AUTHENTIK, &["--client-id", "a\nb"]), "line break"),
        (with(&AUTHENTIK, &["--group", ""]), "--group"),
        (with(&AUTHENTIK, &["--brand", "a\rb"]), "--brand"),
        (vec!["render", "caddy"], "--domain"),
        (with(&CADDY, &["--http-addr", "127.0.0.1"]), "--http-addr"),
        (with(&CADDY, &["--tls", "off"]), "--tls"),
    ];
    for domain in [
        "https://heph.example.org",
        "heph.example.org:443",
        "heph.example.org/",
        "*.example.org",
        "192.0.2.1",
        "[::1]",
        "a b",
        "a,b",
        "a_b.org",
        "a..b",
        "a.b.",
        "",
        "{$HOST}",
        "a {\n}",
        "a#b",
        &long,
    ] {
        cases.push((vec!["render", "caddy", "--domain", domain], "--domain"));
    }
    for (words, named) in cases {
        let ended = sandbox.ops(&words).expect(2);
        assert!(ended.err.contains(named), "{words:?}: {}", ended.err);
        assert_eq!(ended.err.lines().count(), 2, "{words:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{words:?}");
    }
}

#[test]
fn a_host_name_gets_its_one_spelling() {
    let sandbox = Sandbox::new();
    for (given, site) in
        [("HEPH.Example.org", "heph.example.org"), ("bücher.example", "xn--bcher-kva.example")]
    {
        let text = sandbox.ops(&["render", "caddy", "--domain", given]).expect(0).out;
        assert!(text.contains(&format!("\n{site} {{\n")), "{text}");
    }
}

#[test]
fn what_is_recorded_need_not_be_said_again() {
    let sandbox = Sandbox::new();
    let ended = sandbox.ops(&CADDY).expect(0);
    assert!(ended.out.contains("reverse_proxy 127.0.0.1:8787\n"), "{}", ended.out);
    let db = sandbox.path("hub.db").display().to_string();
    sandbox.ops(&["seed", "--owner-id", "me", "--to", &db]).expect(0);
    let hub = ["--role", "hub", "--no-start", "--db", &db, "--http-addr", "0.0.0.0:8790"];
    sandbox.install(&with(&hub, &["--insecure-no-auth"])).expect(0);
    let hub_url = "https://hub.example.org";
    sandbox.install(&["--role", "spoke", "--no-start", "--hub-url", hub_url]).expect(0);
    let text = sandbox.ops(&CADDY).expect(0).out;
    assert!(text.contains("reverse_proxy 127.0.0.1:8790\n"), "{text}");
    let text = sandbox.ops(&with(&CADDY, &["--http-addr", "[::]:9"])).expect(0).out;
    assert!(text.contains("reverse_proxy [::1]:9\n"), "{text}");
    let json = sandbox.ops(&["render", "authentik", "--json"]).expect(0).json();
    assert_eq!(json["data"]["redirect_uris"], serde_json::json!([format!("{hub_url}/")]));
    assert_eq!(json["data"]["client_id"], "heph");
}
