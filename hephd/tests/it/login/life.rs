//! From the first login to the last logout.

use serde_json::{Value, json};

use super::{World, call, log_in, log_in_with, no_canary, sync_now, wait_for_status};
use crate::{
    mock::{
        gate::Door,
        provider::{CLIENT, Provider, Then},
    },
    running::{add_task, wait_for},
};

#[test]
fn a_device_that_logs_in_syncs_at_once_without_a_restart() {
    let world = World::new();
    let device = world.device();
    let status = wait_for_status(&device, "an auth failure", |s| s["auth_failure"] == true);
    let error = &status["last_error"];
    assert_eq!(error["message"], format!("not logged in at {}/", world.gate.url()));
    assert_eq!(
        (&error["code"], &error["hint"]),
        (&json!("auth_failed"), &json!("heph auth login"))
    );

    let (events, result) = log_in_with(&mut device.client(), &json!({})).unwrap();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["started", "code", "waiting", "signed_in"]);
    let place = world.token_file().display().to_string();
    let url = format!("{}/", world.gate.url());
    assert_eq!(
        events[0],
        json!({
            "event": "started", "hub_url": url, "issuer": world.provider.issuer,
            "client_id": CLIENT, "token_place": place,
        })
    );
    assert_eq!(
        events[1],
        json!({
            "event": "code", "user_code": "WDJB-MJHT", "expires_in": 600,
            "verification_uri": format!("{}/device", world.provider.issuer),
            "verification_uri_complete":
                format!("{}/device?user_code=WDJB-MJHT", world.provider.issuer),
        })
    );
    assert_eq!((&result["hub"], &result["name"]), (&json!("accepted"), &json!("ada@example.test")));
    assert_eq!((&result["logged_in"], &result["token_place"]), (&json!(true), &json!(place)));

    // The interval is a day: only the login can have brought this about.
    let status = wait_for_status(&device, "sync", |s| s["equal"] == true);
    assert_eq!((&status["auth_failure"], &status["last_error"]), (&json!(false), &Value::Null));
    add_task(&mut device.client(), "bread").unwrap();
    wait_for_status(&device, "the task to go", |s| s["unsent_ops"] == 0);
    // And the stream of hints is open as well.
    wait_for("the hints", || {
        let seen = world.gate.seen();
        seen.asked.iter().any(|(path, token)| path == "/sync/events" && token.is_some())
    });
    no_canary("the events", &json!(events).to_string());
    no_canary("the result", &result.to_string());
    no_canary("auth.status", &call(&device, "auth.status").to_string());
    no_canary("the log", &world.log());
}

#[test]
fn an_open_hub_is_sent_no_token_and_opens_no_vault() {
    let world = World::new();
    assert_eq!(world.logged_in().stop(), 0, "what it asked has been answered");
    world.gate.set(Door::Open);
    world.gate.seen().asked.clear();
    // With this mode any look into the file would fail.
    let device = world.device();
    chmod(&world, 0o644);
    wait_for_status(&device, "sync", |s| s["equal"] == true);
    sync_now(&device).unwrap();
    assert!(world.gate.seen().asked.iter().all(|(_, token)| token.is_none()));
    // To look how the login stands is no reason to send it.
    chmod(&world, 0o600);
    assert_eq!(call(&device, "auth.status")["logged_in"], true);
    sync_now(&device).unwrap();
    assert!(world.gate.seen().asked.iter().all(|(_, token)| token.is_none()));
    chmod(&world, 0o644);
    let refused = log_in(&mut device.client()).unwrap_err();
    assert_eq!(refused.code.as_str(), "insecure_permissions");
    chmod(&world, 0o600);
    let refused = log_in(&mut device.client()).unwrap_err();
    assert_eq!(refused.code.as_str(), "not_supported");
    assert!(refused.message.contains("asks nobody to log in"), "{}", refused.message);
}

pub fn chmod(world: &World, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(world.token_file(), mode).unwrap();
}

#[test]
fn a_restart_keeps_the_login() {
    let world = World::new();
    assert_eq!(world.logged_in().stop(), 0);
    let device = world.device();
    wait_for_status(&device, "sync", |s| s["equal"] == true);
    assert_eq!(world.provider.script().asked.len(), 1, "the provider is not asked again");
    // Only a hub that asks is shown a token.
    let asked = world.gate.seen().asked.clone();
    let first = asked.iter().rposition(|(path, token)| path == "/sync/heads" && token.is_none());
    assert!(first.is_some());
}

#[test]
fn the_owner_of_another_hub_is_told_so_and_nothing_is_kept() {
    let world = World::new();
    world.gate.set(Door::Foreign);
    let device = world.device();
    let refused = log_in(&mut device.client()).unwrap_err();
    assert_eq!(refused.code.as_str(), "auth_failed");
    let expected = "ada@example.test does not own this hub: it belongs to somebody else";
    assert_eq!(refused.message, expected);
    assert!(!world.token_file().exists());
    assert_eq!(world.provider.script().revoked.len(), 2, "both tokens are taken back");
    let status = wait_for_status(&device, "403", |s| s["auth_failure"] == true);
    let hint = status["last_error"]["hint"].as_str().unwrap();
    assert!(hint.contains("somebody else"), "{hint}");
}

#[test]
fn a_hub_that_is_away_keeps_nobody_from_logging_in() {
    let world = World::new();
    world.gate.set(Door::Busy);
    let device = world.device();
    let result = log_in(&mut device.client()).unwrap();
    assert_eq!((&result["hub"], &result["logged_in"]), (&json!("unreachable"), &json!(true)));
    let status = call(&device, "sync.status");
    assert_eq!(status["auth_failure"], false, "a hub that is busy has refused nobody");
    world.gate.set(Door::Token);
    sync_now(&device).unwrap();
}

#[test]
fn what_the_person_does_elsewhere_is_told_here() {
    for (word, said) in [
        ("access_denied", "the login was refused on the other screen"),
        ("expired_token", "nobody typed the code in time"),
        ("unauthorized_client", "unauthorized_client"),
    ] {
        let world = World::new();
        world.provider.then(&[Then::Say("authorization_pending"), Then::Ill, Then::Say(word)]);
        let device = world.device();
        let refused = log_in(&mut device.client()).unwrap_err();
        assert_eq!(refused.code.as_str(), "auth_failed");
        assert!(refused.message.contains(said), "{}", refused.message);
        no_canary("the error", &format!("{refused:?}"));
        assert!(!world.token_file().exists());
    }
}

#[test]
fn slow_down_is_obeyed_for_good() {
    let world = World::new();
    world.provider.then(&[Then::Say("slow_down")]);
    let device = world.device();
    let (events, _) = log_in_with(&mut device.client(), &json!({})).unwrap();
    let waits: Vec<&Value> = events.iter().filter_map(|event| event.get("interval")).collect();
    assert_eq!(waits, [&json!(1), &json!(6)]);
    let asked = world.provider.script().asked.clone();
    let least = asked.windows(2).map(|two| (two[1].1 - two[0].1).as_secs()).min();
    assert!(least >= Some(5), "{least:?}");
}

#[test]
fn whoever_hangs_up_has_changed_their_mind() {
    let world = World::with(Provider::new());
    let device = world.device();
    let mut client = device.client();
    let left = client.stream::<Value>("auth.login", &json!({}), |event| match &event["event"] {
        told if told == "waiting" => Err(hephd::error::Error::usage("enough", "")),
        _ => Ok(super::DEADLINE),
    });
    assert_eq!(left.unwrap_err().message, "enough");
    drop(client);
    world.provider.script().agreed = true;
    // The daemon is whole, and the one who stays is logged in, alone.
    log_in(&mut device.client()).unwrap();
    let polls = world.provider.script().asked.len();
    assert_eq!(world.provider.script().good.len(), 1, "the other one went on and got tokens too");
    // One that waits for a person does not hold up the end.
    world.provider.script().agreed = false;
    let mut client = device.client();
    let waiting = std::thread::spawn(move || log_in(&mut client));
    wait_for("the code to be asked for", || world.provider.script().asked.len() > polls);
    assert_eq!(device.stop(), 0);
    assert_eq!(waiting.join().unwrap().unwrap_err().code.as_str(), "not_ready");
}

#[test]
fn logout_forgets_here_and_at_the_provider() {
    let world = World::new();
    let device = world.logged_in();
    wait_for_status(&device, "sync", |s| s["equal"] == true);
    let out: Value = call(&device, "auth.logout");
    assert_eq!((&out["was_logged_in"], &out["revoked"]), (&json!(true), &json!(true)));
    let revoked = world.provider.script().revoked.clone();
    assert_eq!(revoked.len(), 2);
    assert!(revoked[0].starts_with("canary-refresh"), "the refresh token comes first");
    assert!(world.entry().is_null());
    wait_for_status(&device, "an auth failure", |s| s["auth_failure"] == true);
    assert_eq!(call(&device, "auth.status")["logged_in"], false);
    let again = call(&device, "auth.logout");
    assert_eq!((&again["was_logged_in"], &again["revoked"]), (&json!(false), &json!(false)));
    log_in(&mut device.client()).unwrap();
    sync_now(&device).unwrap();
}

#[test]
fn two_spellings_of_a_hub_are_one() {
    let world = World::new();
    let device = world.logged_in();
    for url in [world.gate.url(), format!("{}/", world.gate.url())] {
        let at = json!({ "hub_url": url });
        let status: Value = device.client().call("auth.status", &at).unwrap();
        assert_eq!(status["logged_in"], true, "{url}");
    }
    let other = json!({ "hub_url": "http://127.0.0.1:1" });
    let status: Value = device.client().call("auth.status", &other).unwrap();
    assert_eq!(status["logged_in"], false);
}
