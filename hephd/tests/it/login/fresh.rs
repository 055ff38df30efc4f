//! A login stays fresh, whatever happens to the answers.

use std::{
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hephd::{
    clock::Clock,
    config::parse_hub_url,
    login::{Login, entry::Entry, vault::Vault},
    oidc::secret::Secret,
};
use serde_json::json;
use tokio::task::JoinSet;

use super::{World, call, log_in, no_canary, sync_now, wait_for_status};
use crate::{
    mock::{
        gate::Door,
        provider::{CLIENT, Provider, Then},
    },
    running::wait_for,
};

/// Seconds since 1970 when the tests' tokens are given.
const NOW: u64 = 1_800_000_000;
const LIFE: u64 = 1000;

/// A login in this process, whose time the test moves.
struct Bench {
    provider: Provider,
    login: Login,
    vault: Vault,
    first: Secret,
    clock: Arc<AtomicU64>,
    dir: tempfile::TempDir,
}

fn entry(provider: &Provider, now: u64) -> Entry {
    let tokens = provider.tokens();
    let entry = json!({
        "issuer": provider.issuer, "client_id": CLIENT, "issued_at": now,
        "expires_at": now + LIFE, "access_token": tokens["access_token"],
        "refresh_token": tokens["refresh_token"],
    });
    serde_json::from_value(entry).unwrap()
}

const HUB: &str = "http://127.0.0.1:1";

impl Bench {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let (provider, vault) = (Provider::new(), Vault::File(dir.path().join("tokens")));
        provider.script().life = LIFE;
        let hub = parse_hub_url(HUB).unwrap();
        let entry = entry(&provider, NOW);
        vault.put(&hub, &entry).await.unwrap();
        let clock = Arc::new(AtomicU64::new(NOW * 1000));
        let login = Login::new(hub, None, vault.clone(), Clock::Manual(Arc::clone(&clock)));
        assert!(login.bearer().await.is_none(), "nobody has asked for it");
        let first = login.rejected(None).await.unwrap();
        assert_eq!(first, entry.access_token);
        Self { provider, login, vault, first, clock, dir }
    }

    fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    fn renewals(&self) -> usize {
        self.provider.script().count("refresh_token")
    }

    async fn kept(&self) -> Secret {
        let hub = parse_hub_url(HUB).unwrap();
        self.vault.get(&hub).await.unwrap().unwrap().access_token
    }

    async fn bearer(&self) -> Secret {
        self.login.bearer().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_want_it_it_is_renewed_once() {
    let bench = Bench::new().await;
    bench.pass(LIFE + 1);
    let mut many = JoinSet::new();
    for _ in 0..20 {
        let login = bench.login.clone();
        many.spawn(async move { login.bearer().await.unwrap() });
    }
    let tokens = many.join_all().await;
    assert!(tokens.iter().all(|token| *token == tokens[0] && *token != bench.first));
    assert_eq!((bench.renewals(), bench.kept().await), (1, tokens[0].clone()));

    let mut many = JoinSet::new();
    for _ in 0..20 {
        let (login, used) = (bench.login.clone(), tokens[0].clone());
        many.spawn(async move { login.rejected(Some(used)).await.unwrap() });
    }
    let again = many.join_all().await;
    assert!(again.iter().all(|token| *token == again[0] && *token != tokens[0]));
    assert_eq!((bench.renewals(), bench.kept().await), (2, again[0].clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_ahead_of_time_keeps_nobody_waiting() {
    let bench = Bench::new().await;
    bench.provider.then(&[Then::Hold]);
    bench.pass(LIFE - 30);
    for _ in 0..20 {
        assert_eq!(bench.bearer().await, bench.first, "the old one is good still");
    }
    bench.provider.script().go_on = true;
    bench.login.settled().await;
    assert_ne!(bench.bearer().await, bench.first);
    assert_eq!(bench.renewals(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_waiting_stops_no_renewal() {
    let bench = Bench::new().await;
    bench.provider.then(&[Then::Hold]);
    bench.pass(LIFE + 1);
    let login = bench.login.clone();
    let waiting = tokio::spawn(async move { login.bearer().await });
    wait_for("the renewal", || bench.renewals() == 1);
    waiting.abort();
    bench.provider.script().go_on = true;
    bench.login.settled().await;
    assert_ne!(bench.bearer().await, bench.first);
    assert_eq!((bench.renewals(), bench.kept().await), (1, bench.bearer().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_asked_for_again() {
    let bench = Bench::new().await;
    bench.provider.script().leeway = true;
    bench.provider.then(&[Then::Lose, Then::Ill]);
    bench.pass(LIFE - 50);
    for _ in 0..2 {
        assert_eq!(bench.bearer().await, bench.first);
        bench.login.settled().await;
        assert_eq!(bench.bearer().await, bench.first, "not again at once");
        bench.login.settled().await;
        bench.pass(15);
    }
    assert_eq!((bench.renewals(), bench.kept().await), (2, bench.first.clone()));
    bench.pass(15);
    let _ = bench.bearer().await;
    bench.login.settled().await;
    assert_ne!(bench.bearer().await, bench.first);
    assert_eq!(bench.renewals(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_without_leeway_ends_the_login_when_its_token_does() {
    let bench = Bench::new().await;
    bench.provider.then(&[Then::Lose]);
    bench.pass(LIFE - 50);
    for _ in 0..2 {
        assert_eq!(bench.bearer().await, bench.first);
        bench.login.settled().await;
        bench.pass(20);
    }
    assert_eq!(bench.bearer().await, bench.first, "it was refused, and goes on");
    assert_eq!(bench.renewals(), 2);
    bench.pass(20);
    let error = match bench.login.bearer().await {
        None => bench.login.rejected(None).await.unwrap_err(),
        Some(over) => bench.login.rejected(Some(over)).await.unwrap_err(),
    };
    assert_eq!((error.message.as_str(), error.hint.as_str()), ("login expired", "heph auth login"));
    for _ in 0..3 {
        bench.pass(4000);
        assert_eq!(bench.login.bearer().await, None);
        assert_eq!(bench.login.rejected(None).await.unwrap_err(), error);
    }
    assert_eq!(bench.renewals(), 2, "a login that ended is let rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_named_and_waited_for() {
    let bench = Bench::new().await;
    bench.provider.then(&[Then::Ill]);
    bench.pass(LIFE + 1);
    // The hub has the last word.
    let over = bench.bearer().await;
    assert_eq!(over, bench.first);
    let error = bench.login.rejected(Some(over.clone())).await.unwrap_err();
    assert!(error.message.contains("cannot be reached"), "{}", error.message);
    assert_eq!(bench.renewals(), 1);
    bench.pass(60);
    assert_ne!(bench.bearer().await, over);
}

/// The old tokens are worth nothing by then.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_cannot_be_kept_are_not_lost_and_kept_later() {
    let bench = Bench::new().await;
    let in_the_way = bench.dir.path().join("tokens.new");
    std::fs::create_dir(&in_the_way).unwrap();
    bench.pass(LIFE + 1);
    let new = bench.bearer().await;
    assert_ne!(new, bench.first);
    assert_eq!(bench.kept().await, bench.first);
    std::fs::remove_dir(&in_the_way).unwrap();
    bench.pass(60);
    assert_eq!(bench.bearer().await, new);
    bench.login.settled().await;
    assert_eq!((bench.kept().await, bench.renewals()), (new, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_renewed_is_taken_over() {
    let bench = Bench::new().await;
    let hub = parse_hub_url(HUB).unwrap();
    let theirs = entry(&bench.provider, NOW + 900);
    bench.vault.put(&hub, &theirs).await.unwrap();
    bench.pass(LIFE + 1);
    assert_eq!(bench.bearer().await, theirs.access_token);
    assert_eq!(bench.renewals(), 0);
    bench.vault.remove(&hub).await.unwrap();
    bench.pass(LIFE);
    assert_eq!(bench.login.bearer().await, None, "they logged out");
    let error = bench.login.rejected(None).await.unwrap_err();
    assert_eq!(error.message, format!("not logged in at {HUB}/"));
    no_canary("Debug", &format!("{:?} {:?}", bench.login, theirs));
}

/// Another process with the same file; locks know no difference.
fn another(bench: &Bench) -> Login {
    let clock = Clock::Manual(Arc::clone(&bench.clock));
    Login::new(parse_hub_url(HUB).unwrap(), None, bench.vault.clone(), clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_not_spend_the_same_refresh_token() {
    let bench = Bench::new().await;
    let other = another(&bench);
    assert_eq!(other.rejected(None).await.unwrap(), bench.first);
    bench.provider.then(&[Then::Hold]);
    bench.pass(LIFE + 1);
    let (one, two) = (bench.login.clone(), other.clone());
    let one = tokio::spawn(async move { one.bearer().await });
    wait_for("the first to ask", || bench.renewals() == 1);
    let two = tokio::spawn(async move { two.bearer().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.renewals(), 1, "the other asked meanwhile");
    bench.provider.script().go_on = true;
    let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
    assert_ne!(one, bench.first);
    assert_eq!((&two, bench.renewals()), (&one, 1));
    assert_eq!(bench.kept().await, one);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_during_another_process_s_renewal_stays_one() {
    let bench = Bench::new().await;
    bench.provider.then(&[Then::Hold]);
    bench.pass(LIFE + 1);
    let login = bench.login.clone();
    let renewing = tokio::spawn(async move { login.bearer().await });
    wait_for("the renewal", || bench.renewals() == 1);
    let (vault, hub) = (bench.vault.clone(), parse_hub_url(HUB).unwrap());
    let leaving = tokio::spawn(async move { vault.remove(&hub).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!leaving.is_finished(), "what it takes away is on its way");
    bench.provider.script().go_on = true;
    renewing.await.unwrap();
    leaving.await.unwrap().unwrap();
    let hub = parse_hub_url(HUB).unwrap();
    assert_eq!(bench.vault.get(&hub).await.unwrap(), None);
}

#[test]
fn a_token_that_the_hub_refuses_is_renewed_kept_and_only_then_used() {
    let world = World::new();
    let device = world.logged_in();
    wait_for_status(&device, "sync", |s| s["equal"] == true);
    world.gate.seen().vault = Some(world.token_file());
    let before = world.entry();
    world.provider.script().good.clear();
    sync_now(&device).unwrap();
    let after = world.entry();
    assert_ne!(before["access_token"], after["access_token"]);
    assert_ne!(before["refresh_token"], after["refresh_token"]);
    // kill -9: what was kept is all that is needed.
    drop(device);
    let device = world.device();
    wait_for_status(&device, "sync", |s| s["equal"] == true);
    assert_eq!(world.provider.script().count("refresh_token"), 1);
    no_canary("the log", &world.log());
}

#[test]
fn a_login_that_ended_is_told_within_a_cycle_and_healed_by_the_next() {
    let world = World::new();
    let device = world.logged_in();
    wait_for_status(&device, "sync", |s| s["equal"] == true);
    world.provider.script().good.clear();
    world.provider.script().forget_refresh_tokens();
    let error = sync_now(&device).unwrap_err();
    assert_eq!((error.code.as_str(), error.message.as_str()), ("auth_failed", "login expired"));
    let status = call(&device, "sync.status");
    assert_eq!(status["auth_failure"], true);
    let last = &status["last_error"];
    assert_eq!(
        (&last["message"], &last["hint"]),
        (&json!("login expired"), &json!("heph auth login"))
    );
    let asked = world.provider.script().asked.len();
    for _ in 0..3 {
        sync_now(&device).unwrap_err();
    }
    assert_eq!(world.provider.script().asked.len(), asked, "it is remembered");
    let status = call(&device, "auth.status");
    assert_eq!((&status["logged_in"], &status["refreshable"]), (&json!(false), &json!(false)));
    assert_eq!(status["last_error"]["message"], "login expired");
    log_in(&mut device.client()).unwrap();
    wait_for_status(&device, "sync", |s| s["auth_failure"] == false && s["equal"] == true);
    no_canary("the log", &world.log());
}

#[test]
fn a_hub_that_takes_no_token_is_not_given_a_new_one_each_time() {
    let world = World::new();
    let device = world.logged_in();
    wait_for_status(&device, "sync", |s| s["equal"] == true);
    world.gate.set(Door::Nobody);
    for _ in 0..5 {
        assert_eq!(sync_now(&device).unwrap_err().code.as_str(), "auth_failed");
    }
    assert_eq!(world.provider.script().count("refresh_token"), 1);
    world.gate.set(Door::Token);
    sync_now(&device).unwrap();
}

#[test]
fn a_daemon_that_is_stopped_waits_for_the_tokens_that_are_on_their_way() {
    let world = World::new();
    let device = world.logged_in();
    wait_for_status(&device, "sync", |s| s["equal"] == true);
    let before = world.entry();
    world.provider.script().good.clear();
    world.provider.then(&[Then::Hold]);
    let mut client = device.client();
    let syncing = std::thread::spawn(move || {
        let _ = client.call::<serde_json::Value>("sync.now", &json!({}));
    });
    wait_for("the renewal", || world.provider.script().count("refresh_token") == 1);
    let socket = device.socket.clone();
    let stopping = std::thread::spawn(move || device.stop());
    // All else has ended by then.
    wait_for("the socket to close", || UnixStream::connect(&socket).is_err());
    // One that does not wait is gone well before this.
    std::thread::sleep(Duration::from_secs(1));
    assert!(!stopping.is_finished(), "it went without them");
    assert_eq!(before, world.entry(), "nothing has come yet");
    world.provider.script().go_on = true;
    assert_eq!(stopping.join().unwrap(), 0);
    syncing.join().unwrap();
    let after = world.entry();
    assert_ne!(before["refresh_token"], after["refresh_token"]);
    let good = world.provider.script().good.clone();
    assert!(good.contains(after["access_token"].as_str().unwrap()), "the new one is kept");
}
