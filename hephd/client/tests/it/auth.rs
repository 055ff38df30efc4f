//! `heph auth`, with a real daemon, a provider that does as it is told, and
//! a hub behind a door that asks for tokens.

use std::{net::TcpListener, process::Stdio};

use serde_json::{Value, json};

use crate::{
    home::{HEPH, Home},
    mock::{
        gate::{Door, Gate},
        provider::{CLIENT, Provider},
    },
};

struct World {
    device: Home,
    gate: Gate,
    provider: Provider,
    _hub: Home,
}

impl World {
    fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (provider, mut hub) = (Provider::agreeing(), Home::empty());
        hub.start(&["--mode", "server", "--http-addr", &format!("127.0.0.1:{port}")]);
        let gate = Gate::before(port, &provider);
        let mut device = Home::empty();
        let file = device.path("tokens").display().to_string();
        device.start(&["--mode", "local", "--hub-url", &gate.url(), "--token-file", &file]);
        Self { device, gate, provider, _hub: hub }
    }

    fn place(&self) -> String {
        self.device.path("tokens").display().to_string()
    }
}

#[test]
fn a_person_logs_in_looks_and_logs_out() {
    let world = World::new();
    let before = world.device.heph(&["auth", "status"]);
    assert_eq!((before.code, before.err.as_str()), (0, ""), "{before:?}");
    assert!(before.out.contains("login      none: heph auth login"), "{}", before.out);

    let login = world.device.heph(&["auth", "login"]);
    assert_eq!(login.code, 0, "{login:?}");
    let said = format!("✓ signed in as ada@example.test   token in {}\n", world.place());
    assert_eq!(login.out, said);
    let issuer = &world.provider.issuer;
    let asked = format!(
        "  hub       {}/\n  provider  {issuer}   client  {CLIENT}\n  \
         sign in   {issuer}/device   code  WDJB-MJHT\n  \
         or open   {issuer}/device?user_code=WDJB-MJHT\n  \
         waiting   until you have typed it; the code is good for 10m 0s\n",
        world.gate.url(),
    );
    assert_eq!(login.err, asked, "no picture where there is no terminal");

    let status = world.device.heph(&["auth", "status"]);
    assert!(status.out.contains("login      ada@example.test\n"), "{}", status.out);
    assert!(status.out.contains(", then renewed by itself"), "{}", status.out);
    assert_eq!(world.device.json(&["sync"])["data"]["equal"], true);

    let out = world.device.heph(&["auth", "logout"]);
    assert_eq!(
        out.out,
        format!("✓ logged out at {}/; nothing is renewed any more\n", world.gate.url())
    );
    let again = world.device.json(&["auth", "logout"]);
    assert_eq!(
        (&again["status"], &again["changed"]),
        (&json!("already_logged_out"), &json!(false))
    );
}

#[test]
fn a_script_follows_the_events() {
    let world = World::new();
    let login = world.device.heph(&["auth", "login", "--json"]);
    let document = login.good();
    assert_eq!(
        (&document["command"], &document["status"]),
        (&json!("auth login"), &json!("logged_in"))
    );
    assert_eq!((&document["changed"], &document["warnings"]), (&json!(true), &json!([])));
    let data = &document["data"];
    assert_eq!((&data["client_id"], &data["hub"]), (&json!(CLIENT), &json!("accepted")));
    let events: Vec<Value> =
        login.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["started", "code", "waiting", "signed_in"]);
    assert_eq!(events[1]["user_code"], "WDJB-MJHT");
    assert!(!format!("{login:?}").contains("canary"));
}

#[test]
fn a_login_that_ended_is_told_wherever_one_looks() {
    let world = World::new();
    world.device.json(&["auth", "login"]);
    world.device.json(&["sync"]);
    world.provider.script().good.clear();
    world.provider.script().forget_refresh_tokens();
    let sync = world.device.heph(&["sync"]);
    assert_eq!(
        (sync.code, sync.err.as_str()),
        (3, "✗ login expired [auth_failed]\n  heph auth login\n")
    );
    let status = world.device.heph(&["sync", "--status"]);
    assert_eq!(status.code, 0);
    assert!(status.err.contains("login expired: heph auth login"), "{}", status.err);
    let status = world.device.json(&["sync", "--status"]);
    assert_eq!(status["data"]["last_error"]["hint"], "heph auth login");
    assert_eq!(world.device.heph(&["status"]).out, "⚠ auth\n");
    let auth = world.device.heph(&["auth", "status"]);
    assert_eq!(auth.code, 0);
    assert!(auth.err.contains("! login expired: heph auth login [auth_failed]"), "{}", auth.err);
    assert!(auth.out.contains("ada@example.test, over: heph auth login"), "{}", auth.out);
    world.device.json(&["auth", "login"]);
    assert_eq!(world.device.json(&["sync"])["data"]["equal"], true);
}

#[test]
fn somebody_else_s_hub_and_a_refusal_are_told_in_two_lines() {
    let world = World::new();
    world.gate.set(Door::Foreign);
    let refused = world.device.heph(&["auth", "login"]);
    assert_eq!(refused.code, 3);
    let said = "✗ ada@example.test does not own this hub: it belongs to somebody else [auth_failed]\n  \
                log in as its owner: heph auth login\n";
    assert!(refused.err.ends_with(said), "{}", refused.err);
    world.gate.set(Door::Open);
    let open = world.device.heph(&["auth", "login", "--json"]);
    assert_eq!((open.code, &open.json()["error"]["code"]), (4, &json!("not_supported")));
}

/// Nothing of a provider's reaches a terminal that the terminal would obey.
#[test]
fn names_are_only_names() {
    let world = World::new();
    world.provider.script().email = "a\u{1b}[2J\nb\u{202e}".to_owned();
    let login = world.device.heph(&["auth", "login"]);
    assert!(login.out.starts_with("✓ signed in as a [2J b   token"), "{:?}", login.out);
}

#[test]
fn a_picture_of_the_code_is_for_terminals() {
    let world = World::new();
    let mut script = world.device.command("script");
    let program = format!("stty cols 100 rows 50; {HEPH} auth login");
    script.args(["-qec", &program, "/dev/null"]).stdin(Stdio::null());
    let output = script.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("WDJB-MJHT") && said.contains('█') && said.contains('▀'), "{said}");
}
