//! With a real OpenID provider, a real person at its pages, and a real
//! keyring: the lab's.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{call, log_in_with, no_canary};
use crate::{
    first_line::started,
    mock::{http, provider::CLIENT},
    running::{DEADLINE, Home, Running, wait_for},
};

fn lab(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/lab").join(name)
}

/// The lab's provider; it ends when it goes.
struct Real {
    child: Child,
    issuer: String,
}

impl Real {
    fn start(flags: &[&str]) -> Self {
        let mut command = Command::new(lab("openid-provider"));
        command.args(flags);
        let (child, line) = started(command);
        let told: Value = serde_json::from_str(&line).expect("the provider's addresses");
        Self { child, issuer: told["issuer"].as_str().unwrap().to_owned() }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a hub says of itself, and that it takes everybody's token.
fn hub(issuer: &str, client: &str) -> u16 {
    let config = json!({ "version": "0", "protocol": 1, "issuer": issuer, "client_id": client });
    http::serve(move |asked, stream| match asked.header("authorization") {
        _ if asked.path == "/config" => http::answer(stream, 200, "", &config.to_string()),
        Some(_) => http::answer(stream, 503, "", "{}"),
        None => http::answer(stream, 401, "WWW-Authenticate: Bearer\r\n", "{}"),
    })
}

#[test]
fn a_real_provider_lets_a_person_approve_and_takes_the_tokens_back() {
    let (real, home) = (Real::start(&["--access-secs", "3"]), Home::new());
    let url = format!("http://127.0.0.1:{}", hub(&real.issuer, "heph"));
    let file = home.path("tokens").display().to_string();
    let device = home.start(&["--mode", "local", "--hub-url", &url, "--token-file", &file]);
    let person = |event: &Value| {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        let mut person = Command::new(lab("openid-person"));
        person.args(["approve", &text("verification_uri"), &text("user_code"), "alice"]);
        let done = person.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let result: Value = device
        .client()
        .stream("auth.login", &json!({}), |event| {
            if event["event"] == "code" {
                person(event);
            }
            Ok(DEADLINE)
        })
        .unwrap();
    assert_eq!((&result["logged_in"], &result["refreshable"]), (&json!(true), &json!(true)));
    assert!(result["name"].as_str().unwrap().contains("alice"), "{result}");
    // The token is good for three seconds, and a cycle wants one after that.
    let first = std::fs::read_to_string(&file).unwrap();
    wait_for("another token", || {
        let _ = device.client().call::<Value>("sync.now", &json!({}));
        std::fs::read_to_string(&file).unwrap() != first
    });
    assert_eq!(call(&device, "auth.status")["logged_in"], true);
    assert_eq!(call(&device, "auth.logout")["revoked"], true);
}

/// hephd in a session of its own, with a keyring in it.
fn with_keyring(home: &Home, locked: bool, url: &str) -> Running {
    let run = home.folder("run");
    home.folder("keyring-home");
    let socket = home.folder("store").join("hephd.sock");
    let mut command = Command::new(lab("keyring"));
    command
        .env("HOME", home.path("keyring-home"))
        .env("XDG_RUNTIME_DIR", run)
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .args(locked.then_some("--locked"))
        .arg(env!("CARGO_BIN_EXE_hephd"))
        .args(["--mode", "local", "--hub-url", url, "--db"])
        .arg(home.path("store/heph.db"))
        .stderr(std::fs::File::create(home.path("log")).unwrap());
    let running = Running { child: command.spawn().unwrap(), socket };
    wait_for("hephd to answer", || {
        let client = hephd::rpc::client::Client::connect(&running.socket, DEADLINE);
        client.is_ok_and(|mut client| client.call::<Value>("health", &Value::Null).is_ok())
    });
    running
}

/// Ends hephd itself; its session ends with it.
fn end(mut device: Running) {
    let pid = call(&device, "health")["pid"].as_i64().unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(device.child.wait().unwrap().success());
}

#[test]
fn a_real_keyring_keeps_a_login_over_a_restart() {
    let (provider, home) = (crate::mock::provider::Provider::agreeing(), Home::new());
    let url = format!("http://127.0.0.1:{}", hub(&provider.issuer, CLIENT));
    let device = with_keyring(&home, false, &url);
    let (events, result) = log_in_with(&mut device.client(), &json!({})).unwrap();
    assert_eq!(
        (&events[0]["token_place"], &result["token_place"]),
        (&json!("keyring"), &json!("keyring"))
    );
    end(device);
    let device = with_keyring(&home, false, &url);
    let status = call(&device, "auth.status");
    assert_eq!((&status["logged_in"], &status["name"]), (&json!(true), &json!("ada@example.test")));
    let out = call(&device, "auth.logout");
    assert_eq!((&out["was_logged_in"], &out["revoked"]), (&json!(true), &json!(true)));
    assert_eq!(call(&device, "auth.status")["logged_in"], false);
    log_in_with(&mut device.client(), &json!({})).unwrap();
    end(device);
    // After a reboot it is locked.
    let device = with_keyring(&home, true, &url);
    let status = call(&device, "auth.status");
    let error = &status["last_error"];
    assert_eq!(status["logged_in"], false);
    assert!(error["message"].as_str().unwrap().contains("keyring"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--token-file PATH"), "{error}");
    end(device);
    no_canary("the log", &std::fs::read_to_string(home.path("log")).unwrap());
}
