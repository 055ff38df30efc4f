//! Whoever asks for a login is there until it ends, or it ends.

use std::{
    io::{BufRead, BufReader, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    time::Duration,
};

use serde_json::{Value, json};

use super::{World, call, log_in};
use crate::{
    mock::provider::{Provider, Then},
    running::{DEADLINE, Running, wait_for},
};

/// A caller that says what no client of ours would.
struct Caller(BufReader<UnixStream>);

impl Caller {
    fn to(device: &Running) -> Self {
        let stream = UnixStream::connect(&device.socket).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The next line; null at the end.
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        if line.is_empty() { Value::Null } else { serde_json::from_str(&line).unwrap() }
    }

    /// The next line that is no event.
    fn answer(&mut self) -> Value {
        loop {
            let line = self.line();
            if line["method"] != "auth.event" {
                return line;
            }
        }
    }

    /// Begins a login; the person has the code by then.
    fn begin(device: &Running) -> Self {
        let mut caller = Self::to(device);
        caller.say(LOGIN);
        while caller.line()["params"]["event"] != "waiting" {}
        caller
    }
}

const LOGIN: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"auth.login\"}\n";
const HEALTH: &str = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"health\"}\n";

/// The person agrees, and nobody asks for the tokens.
fn is_over(world: &World) {
    // A question may be on its way.
    std::thread::sleep(Duration::from_millis(500));
    world.provider.script().agreed = true;
    let asked = world.provider.script().asked.len();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(world.provider.script().asked.len(), asked, "the login went on");
    assert!(!world.token_file().exists());
}

#[test]
fn a_hang_up_is_seen_behind_what_was_sent_before_it() {
    for sent in ["x", HEALTH] {
        let world = World::with(Provider::new());
        let device = world.device();
        let mut caller = Caller::begin(&device);
        caller.say(sent);
        drop(caller);
        is_over(&world);
    }
}

#[test]
fn what_is_sent_during_a_login_is_the_next_request() {
    let world = World::with(Provider::new());
    let device = world.device();
    let mut caller = Caller::to(&device);
    let (health, rest) = HEALTH.split_at(9);
    caller.say(&format!("{LOGIN}{HEALTH}{health}"));
    while caller.line()["params"]["event"] != "waiting" {}
    world.provider.script().agreed = true;
    let first = caller.answer();
    assert_eq!((&first["id"], &first["result"]["logged_in"]), (&json!(1), &json!(true)));
    caller.say(&format!("{rest}{HEALTH}"));
    for _ in 0..3 {
        let next = caller.line();
        assert_eq!((&next["id"], &next["result"]["mode"]), (&json!(2), &json!("local")));
    }
}

#[test]
fn who_closes_only_the_side_that_asks_is_told_why_there_is_no_login() {
    let world = World::with(Provider::new());
    let device = world.device();
    let mut caller = Caller::begin(&device);
    caller.0.get_ref().shutdown(Shutdown::Write).unwrap();
    let answer = caller.answer();
    assert_eq!((&answer["id"], &answer["error"]["data"]["code"]), (&json!(1), &json!("usage")));
    let said = answer["error"]["message"].as_str().unwrap();
    assert!(said.contains("closed its side") && said.contains("was ended"), "{said}");
    assert_eq!(caller.line(), Value::Null);
    is_over(&world);
}

#[test]
fn who_sends_without_end_is_not_listened_to() {
    let world = World::with(Provider::new());
    let device = world.device();
    let mut caller = Caller::begin(&device);
    let _ = caller.0.get_mut().write_all(&vec![b'x'; 100 << 10]);
    let said = caller.answer()["error"]["message"].to_string();
    assert!(said.contains("more than 65536 bytes"), "{said}");
    is_over(&world);
}

#[test]
fn the_login_that_was_begun_last_is_the_one() {
    let world = World::with(Provider::new());
    let device = world.device();
    let mut first = Caller::begin(&device);
    let mut client = device.client();
    let second = std::thread::spawn(move || log_in(&mut client));
    let told = first.answer();
    assert_eq!(told["error"]["data"]["code"], "auth_failed");
    let said = told["error"]["message"].as_str().unwrap();
    assert!(said.contains("another login was begun"), "{said}");
    world.provider.script().agreed = true;
    assert_eq!(second.join().unwrap().unwrap()["logged_in"], true);
    assert_eq!(world.provider.script().good.len(), 1, "the first got tokens too");
    // It has lost only its login.
    first.say(HEALTH);
    assert_eq!(first.line()["id"], 2);
    wait_for("the login to be known", || call(&device, "auth.status")["logged_in"] == true);
}

#[test]
fn tokens_that_come_when_nobody_is_there_are_taken_back() {
    let world = World::new();
    world.provider.then(&[Then::Hold]);
    let device = world.device();
    let caller = Caller::begin(&device);
    wait_for("the question", || world.provider.script().asked.len() == 1);
    drop(caller);
    std::thread::sleep(Duration::from_millis(300));
    world.provider.script().go_on = true;
    wait_for("both to be taken back", || world.provider.script().revoked.len() == 2);
    assert!(world.provider.script().revoked[0].starts_with("canary-refresh"));
    assert!(!world.token_file().exists());
}
