//! A hub whose authentication is configured by half, and one whose owner is
//! named: in the real program.

use serde_json::{Value, json};

use super::{
    mint::{AUDIENCE, Key, Mint, Mood},
    running::{Home, Running, free_port, http, wait_for},
};

const ISSUER: &str = "https://id.example/application/o/heph/";

/// What a hub says to whoever has no token: 200, 401, or that it does not run.
#[derive(Debug, PartialEq, Eq)]
enum Serves {
    Everybody,
    NobodyWithoutToken,
    Refused(i32),
}

fn outcome(home: &Home, n: u32, words: &[&str], address: &str) -> Serves {
    let port = free_port();
    let db = home.folder(&format!("hub{n}")).join("heph.db");
    let address = format!("{address}:{port}");
    let mut all = vec!["--mode", "server", "--db", db.to_str().unwrap(), "--http-addr", &address];
    all.extend(words);
    // Whether it runs is known from what it does: it ends, or it answers.
    let mut child = home.command().args(&all).stderr(std::process::Stdio::null()).spawn().unwrap();
    let request = "GET /sync/heads HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let mut ended = None;
    wait_for("hephd to end or to answer", || {
        ended = child.try_wait().unwrap();
        ended.is_some() || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    if let Some(ended) = ended {
        assert!(!db.exists(), "what is refused makes nothing");
        return Serves::Refused(ended.code().unwrap());
    }
    let status = http(port, request.as_bytes()).0;
    child.kill().unwrap();
    child.wait().unwrap();
    match status {
        200 => Serves::Everybody,
        401 => Serves::NobodyWithoutToken,
        other => panic!("{words:?}: {other}"),
    }
}

/// All combinations: nobody is served without a token on more than loopback,
/// unless that was said.
#[test]
fn no_combination_of_flags_opens_a_hub_by_accident() {
    let home = Home::new();
    let (issuer, audience) = (["--oidc-issuer", ISSUER], ["--oidc-audience", AUDIENCE]);
    for n in 0..32 {
        let has = |bit: u32| n & (1 << bit) != 0;
        let mut words: Vec<&str> = Vec::new();
        words.extend(has(0).then_some(issuer).into_iter().flatten());
        words.extend(has(1).then_some(audience).into_iter().flatten());
        words.extend(has(2).then_some("--insecure-no-auth"));
        words.extend(has(3).then_some(["--owner-sub", "ann"]).into_iter().flatten());
        let address = if has(4) { "0.0.0.0" } else { "127.0.0.1" };
        let wanted = match (has(0), has(1)) {
            (true, false) | (false, true) => Serves::Refused(2),
            (true, true) => Serves::NobodyWithoutToken,
            (false, false) if has(3) => Serves::Refused(2),
            (false, false) if has(4) && !has(2) => Serves::Refused(2),
            (false, false) => Serves::Everybody,
        };
        assert_eq!(outcome(&home, n, &words, address), wanted, "{words:?} on {address}");
    }
}

/// Rows 10 to 12: half of it, or what can be no provider, is refused by name.
#[test]
fn row_10_row_11_row_12_what_is_wrong_with_a_provider_is_named() {
    let home = Home::new();
    let cases: [(&[&str], &[&str]); 10] = [
        (&["--oidc-issuer", ISSUER], &["--oidc-issuer", "--oidc-audience"]),
        (&["--oidc-audience", "heph"], &["--oidc-audience", "--oidc-issuer"]),
        (&["--oidc-issuer", ISSUER, "--oidc-audience", ""], &["--oidc-audience is empty"]),
        (&["--oidc-issuer", ISSUER, "--oidc-audience", "  "], &["--oidc-audience is empty"]),
        (&["--oidc-issuer", "http://id.example/", "--oidc-audience", "a"], &["https"]),
        (&["--oidc-issuer", "http://192.168.1.4/", "--oidc-audience", "a"], &["https"]),
        (&["--oidc-issuer", "id.example", "--oidc-audience", "a"], &["https"]),
        (&["--oidc-issuer", "https://me:word@id.example/", "--oidc-audience", "a"], &["https"]),
        (&["--owner-sub", "ann"], &["--owner-sub", "--oidc-issuer"]),
        (
            &["--oidc-issuer", ISSUER, "--oidc-audience", "a", "--owner-sub", " ann"],
            &["--owner-sub", "blank"],
        ),
    ];
    for (words, named) in cases {
        let output = home.run(&[&["--mode", "server"], words].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        for name in named {
            assert!(said.contains(name), "{words:?}: {said}");
        }
    }
}

fn hub(home: &Home, mint: &Mint, more: &[&str]) -> (Running, u16) {
    let port = free_port();
    let (db, address) = (home.folder("hub").join("heph.db"), format!("127.0.0.1:{port}"));
    let words = ["--mode", "server", "--db", db.to_str().unwrap(), "--http-addr", &address];
    let oidc = ["--oidc-issuer", mint.issuer.as_str(), "--oidc-audience", AUDIENCE];
    (home.start(&[&words, oidc.as_slice(), more].concat()), port)
}

fn heads(port: u16, token: &str) -> u16 {
    let text = format!(
        "GET /sync/heads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    );
    http(port, text.as_bytes()).0
}

/// Row 13: both spellings are told, before anybody is served.
#[test]
fn row_13_an_issuer_that_spells_itself_otherwise_is_refused_with_both() {
    let (home, mint) = (Home::new(), Mint::new(Key::ec()));
    let other = format!("{}/", mint.issuer);
    let db = home.folder("hub").join("heph.db");
    let address = format!("127.0.0.1:{}", free_port());
    let output = home.run(&[
        "--mode",
        "server",
        "--db",
        db.to_str().unwrap(),
        "--http-addr",
        &address,
        "--oidc-issuer",
        &other,
        "--oidc-audience",
        AUDIENCE,
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("[issuer_mismatch]") && said.contains(&other), "{said}");
    assert!(said.replace(&other, "").contains(&mint.issuer), "both are there: {said}");
    let left = std::fs::read_dir(home.path("hub")).unwrap().count();
    assert_eq!(left, 0, "nothing was made");
}

/// A seed's promise is not spent on a mistyped issuer, nor on one that changes
/// before the owner has come.
#[test]
fn a_promise_outlives_a_mistyped_issuer() {
    let (home, mint, other) = (Home::new(), Mint::new(Key::ec()), Mint::new(Key::ec()));
    let db = home.folder("hub").join("heph.db");
    let birth = hephd::store::Birth::Promised("the-owner".parse().unwrap(), "ann".to_owned());
    hephd::store::Store::create(&db, &birth, &hephd::clock::Entropy::System).unwrap();
    let (wrong, _) = hub(&home, &other, &[]);
    assert_eq!(wrong.stop(), 0);
    let (right, port) = hub(&home, &mint, &[]);
    assert_eq!(heads(port, &mint.token("bob")), 403);
    assert_eq!(heads(port, &mint.token("ann")), 200);
    assert_eq!(right.stop(), 0);
    // Now that ann has come she is ann of this issuer, and of no other.
    let (later, port) = hub(&home, &other, &[]);
    assert_eq!(heads(port, &other.token("ann")), 403);
    let status: Value = later.client().call("sync.status", &Value::Null).unwrap();
    assert_eq!(
        (&status["access"]["claimed"], &status["access"]["reachable"]),
        (&json!(true), &json!(false))
    );
}

/// Once bound, a flag that is lost opens nothing.
#[test]
fn a_hub_that_was_bound_does_not_open_by_a_dropped_flag() {
    let (home, mint) = (Home::new(), Mint::new(Key::ec()));
    let (bound, port) = hub(&home, &mint, &[]);
    assert_eq!(heads(port, &mint.token("ann")), 200);
    assert_eq!(bound.stop(), 0);
    let db = home.path("hub/heph.db");
    let address = format!("127.0.0.1:{}", free_port());
    let words = ["--mode", "server", "--db", db.to_str().unwrap(), "--http-addr", &address];
    let output = home.run(&words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--oidc-issuer") && said.contains("--insecure-no-auth"), "{said}");
    let opened = home.start(&[&words, ["--insecure-no-auth"].as_slice()].concat());
    let log = || std::fs::read_to_string(home.path("log")).unwrap();
    wait_for("the warning", || log().contains("everybody who reaches this hub"));
    drop(opened);
}

#[test]
fn a_hub_starts_while_its_provider_is_down_and_serves_once_it_is_back() {
    let (home, mint) = (Home::new(), Mint::new(Key::ec()));
    mint.is(Mood::Down, Mood::Down);
    let (hub, port) = hub(&home, &mint, &[]);
    assert_eq!(heads(port, &mint.token("ann")), 503);
    drop(hub);
    mint.is(Mood::Well, Mood::Well);
    let (_hub, port) = self::hub(&home, &mint, &[]);
    assert_eq!(heads(port, &mint.token("ann")), 200);
}

/// The window in which a stranger could claim the hub is told, and closed.
#[test]
fn status_warns_until_somebody_has_claimed_the_hub() {
    let (home, mint) = (Home::new(), Mint::new(Key::ec()));
    let (hub, port) = hub(&home, &mint, &[]);
    let access =
        || hub.client().call::<Value>("sync.status", &Value::Null).unwrap()["access"].clone();
    let wanted = |claimed| {
        json!({ "issuer": mint.issuer, "keys": true, "claimed": claimed, "reachable": claimed,
            "exposed": false, "insecure": false })
    };
    assert_eq!(access(), wanted(false));
    let log = || std::fs::read_to_string(home.path("log")).unwrap();
    wait_for("the warning", || log().contains("nobody has claimed this hub"));
    assert_eq!(heads(port, &mint.token("ann")), 200);
    assert_eq!(access(), wanted(true));
}

#[test]
fn an_owner_that_is_named_cannot_be_claimed_and_stays_named() {
    let (home, mint) = (Home::new(), Mint::new(Key::ec()));
    let (hub, port) = hub(&home, &mint, &["--owner-sub", "ann"]);
    assert_eq!(heads(port, &mint.token("thief")), 403);
    assert_eq!(heads(port, &mint.token("ann")), 200);
    assert_eq!(hub.stop(), 0);
    // What is bound stays bound, without the flag.
    let (hub, port) = self::hub(&home, &mint, &[]);
    assert_eq!(heads(port, &mint.token("thief")), 403);
    assert_eq!(heads(port, &mint.token("ann")), 200);
    assert_eq!(hub.stop(), 0);
    // Whoever runs the hub may decide anew.
    let (_hub, port) = self::hub(&home, &mint, &["--owner-sub", "bob"]);
    assert_eq!(heads(port, &mint.token("ann")), 403);
    assert_eq!(heads(port, &mint.token("bob")), 200);
}

/// Whoever is turned away leaves no trace among the devices.
#[test]
fn a_stranger_is_not_noted_as_a_device() {
    let (home, mint) = (Home::new(), Mint::new(Key::ec()));
    let (hub, port) = hub(&home, &mint, &["--owner-sub", "ann"]);
    let ask = |token: &str, origin: &str| {
        let text = format!(
            "GET /sync/heads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Heph-Origin: {origin}\r\nHeph-Version: 1\r\nHeph-Time: 1\r\nConnection: close\r\n\r\n"
        );
        http(port, text.as_bytes()).0
    };
    assert_eq!(ask("guess", "00000000deadbeef"), 401);
    assert_eq!(ask(&mint.token("mallory"), "00000000deadbeef"), 403);
    assert_eq!(ask(&mint.token("ann"), "00000000c0ffee00"), 200);
    let status: Value = hub.client().call("sync.status", &Value::Null).unwrap();
    let devices = status["devices"].to_string();
    assert!(devices.contains("c0ffee") && !devices.contains("deadbeef"), "{devices}");
}

/// The claim outlives the process: it was durable before anybody was served.
#[test]
fn a_claim_outlives_a_kill() {
    let (home, mint) = (Home::new(), Mint::new(Key::ec()));
    let (mut hub, port) = hub(&home, &mint, &[]);
    assert_eq!(heads(port, &mint.token("ann")), 200);
    hub.child.kill().unwrap();
    drop(hub);
    let (_hub, port) = self::hub(&home, &mint, &[]);
    assert_eq!(heads(port, &mint.token("bob")), 403);
}

/// Neither a good token nor a bad one is in the log.
#[test]
fn a_token_is_never_in_the_log() {
    let (home, mint) = (Home::new(), Mint::new(Key::ec()));
    for format in ["text", "json"] {
        let (hub, port) = hub(&home, &mint, &["--log-format", format]);
        let (good, canary) = (mint.token("ann"), "canary-c4n4ry-token");
        assert_eq!(heads(port, &good), 200);
        assert_eq!(heads(port, canary), 401);
        assert_eq!(heads(port, &format!("{canary}.{canary}.{canary}")), 401);
        let log = std::fs::read_to_string(home.path("log")).unwrap();
        assert!(log.contains("turned away"), "{log}");
        let parts = good.split('.').chain([canary]);
        parts.for_each(|part| assert!(!log.contains(part), "{part} is in {log}"));
        assert_eq!(hub.stop(), 0);
    }
}
