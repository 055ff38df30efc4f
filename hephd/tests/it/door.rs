//! A hub's door: who comes in, for whom, and what a provider that is away,
//! new keys, crowds and guesses change of it.

use std::{collections::BTreeSet, sync::Barrier, time::Duration};

use hephd::{hub::door::Door, oidc::keys::Pace};
use serde_json::json;

use super::{
    mint::{Key, Mint, Mood, sign},
    running::{http, wait_for},
    served::Served,
};

/// A hub that takes the tokens of a mint.
fn behind(mint: &Mint, pace: Pace) -> Served {
    let door = Door::new(mint.rules(), pace).unwrap();
    Served::with(|hub| hub.behind(door))
}

fn request(hub: &Served, method: &str, path: &str, lines: &str) -> (u16, String, String) {
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{lines}\
         Connection: close\r\n\r\n"
    );
    http(hub.port, text.as_bytes())
}

fn get(hub: &Served, path: &str, lines: &str) -> (u16, String, String) {
    request(hub, "GET", path, lines)
}

/// The hub's heads, asked for with a token.
pub fn get_with(hub: &Served, token: &str) -> (u16, String, String) {
    get(hub, "/sync/heads", &format!("Authorization: Bearer {token}\r\n"))
}

#[test]
fn row_25_no_token_is_401_and_says_how() {
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace::default());
    for (method, path) in GUARDED {
        for words in [
            "",
            "Authorization: \r\n",
            "Authorization: Bearer\r\n",
            "Authorization: Basic YTpi\r\n",
        ] {
            let (status, head, body) = request(&hub, method, path, words);
            assert_eq!(status, 401, "{method} {path} {words:?}: {body}");
            assert!(head.to_lowercase().contains("www-authenticate: bearer"), "{head}");
        }
    }
    for path in ["/healthz", "/readyz", "/config"] {
        assert_eq!(get(&hub, path, "").0, 200, "{path}");
    }
    assert_eq!(mint.times_asked(), 0, "nobody had a token to check");
}

/// Everything that carries data.
const GUARDED: [(&str, &str); 9] = [
    ("HEAD", "/sync/heads"),
    ("POST", "/sync/pull"),
    ("GET", "/metrics"),
    ("POST", "/rpc"),
    ("GET", "/sync/heads"),
    ("GET", "/sync/pull"),
    ("GET", "/sync/chain?origin=x&at=1"),
    ("POST", "/sync/push"),
    ("GET", "/sync/events"),
];

#[test]
fn row_26_the_scheme_may_be_written_in_any_case() {
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace::default());
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer "] {
        let words = format!("Authorization: {scheme} {}\r\n", mint.token("ann"));
        assert_eq!(get(&hub, "/sync/heads", &words).0, 200, "{scheme:?}");
    }
}

#[test]
fn row_27_two_authorization_headers_are_400() {
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace::default());
    let one = format!("Authorization: Bearer {}\r\n", mint.token("ann"));
    assert_eq!(get(&hub, "/sync/heads", &format!("{one}{one}")).0, 400);
}

#[test]
fn row_30_a_token_of_8_kib_is_431() {
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace::default());
    let words = format!("Authorization: Bearer {}\r\n", "x".repeat(8 << 10));
    assert_eq!(get(&hub, "/sync/heads", &words).0, 431);
}

#[test]
fn row_31_a_provider_that_is_down_from_the_start_is_503_and_when_to_ask_again() {
    let mint = Mint::new(Key::ec());
    mint.is(Mood::Down, Mood::Down);
    let pace = Pace { cool_down: Duration::from_millis(1900), ..Pace::default() };
    let hub = behind(&mint, pace);
    let words = format!("Authorization: Bearer {}\r\n", mint.token("ann"));
    let (status, head, _) = get(&hub, "/sync/heads", &words);
    assert_eq!(status, 503);
    assert!(head.to_lowercase().contains("retry-after: 2"), "{head}");
    assert_eq!(get(&hub, "/healthz", "").0, 200, "the hub itself is well");
}

/// A token of a key that the mint lists under another name.
fn of_key(mint: &Mint, id: &str, key: &Key) -> String {
    let header = json!({ "alg": key.algorithm(), "kid": id, "typ": "at+jwt" });
    sign(&header, &mint.claims("ann"), key)
}

#[test]
fn ten_thousand_made_up_keys_ask_the_provider_once() {
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace::default());
    assert_eq!(get_with(&hub, &mint.token("ann")).0, 200);
    assert_eq!(mint.times_asked(), 1);
    let door = Door::new(mint.rules(), Pace::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let before = mint.times_asked();
    runtime.block_on(async {
        let guess = |n: usize| of_key(&mint, &format!("guess-{n}"), mint.key());
        let all = (0..10_000).map(|n| {
            let (door, token) = (&door, guess(n));
            async move { door.verify(&token, mint_now()).await.is_err() }
        });
        let refused = futures_util::future::join_all(all).await;
        assert!(refused.into_iter().all(|refused| refused));
    });
    assert_eq!(mint.times_asked() - before, 1);
    for n in 0..5 {
        let (status, ..) = get_with(&hub, &of_key(&mint, &format!("more-{n}"), mint.key()));
        assert_eq!(status, 503, "it asked a moment ago, for the good one");
    }
    assert_eq!(mint.times_asked() - before, 1);
}

fn mint_now() -> u64 {
    hephd::clock::Clock::System.now_ms() / 1000
}

#[test]
fn a_new_key_is_found_once_the_cool_down_is_over_and_an_old_one_forgotten() {
    let mint = Mint::new(Key::ec());
    let pace = Pace { cool_down: Duration::from_millis(100), ..Pace::default() };
    let hub = behind(&mint, pace);
    let old = mint.token("ann");
    assert_eq!(get_with(&hub, &old).0, 200);
    let key = Key::rsa(2048);
    mint.lists(vec![key.jwk("second")]);
    let new = of_key(&mint, "second", &key);
    wait_for("the new key to count", || get_with(&hub, &new).0 == 200);
    wait_for("the old one not to", || get_with(&hub, &old).0 == 401);
}

/// Whether a key is nobody's is known from an answer that came after the token
/// did. Until there can be one, nobody says that the token is bad.
#[test]
fn an_unknown_key_is_refused_once_the_provider_has_been_asked_for_it() {
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace { cool_down: Duration::from_secs(3600), ..Pace::default() });
    let guess = |n: usize| of_key(&mint, &format!("guess-{n}"), mint.key());
    assert_eq!(get_with(&hub, &guess(1)).0, 401, "asked, and the answer does not have it");
    assert_eq!(get_with(&hub, &guess(1)).0, 401, "still known from that answer");
    let (status, head, _) = get_with(&hub, &guess(2));
    assert_eq!(status, 503, "it may be newer than the answer");
    assert!(head.to_lowercase().contains("retry-after: 3"), "what is left of an hour: {head}");
    assert_eq!(mint.times_asked(), 1);
}

/// Whoever hangs up while the provider is asked neither stops the question nor
/// spends it.
#[test]
fn a_question_goes_on_when_whoever_asked_has_gone() {
    use std::io::Write;
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace { cool_down: Duration::from_secs(3600), ..Pace::default() });
    let new = Key::rsa(2048);
    mint.lists(vec![new.jwk("second")]);
    let gate = mint.hold();
    let mut stranger = std::net::TcpStream::connect(("127.0.0.1", hub.port)).unwrap();
    let token = of_key(&mint, "second", mint.key());
    let ask =
        format!("GET /sync/heads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    stranger.write_all(ask.as_bytes()).unwrap();
    wait_for("the provider to be asked", || mint.times_discovered() == 1);
    drop(stranger);
    drop(gate);
    wait_for("the new key to count", || get_with(&hub, &of_key(&mint, "second", &new)).0 == 200);
    assert_eq!(mint.times_asked(), 1, "one question was enough");
}

/// The hub's own clockwork and everybody's tokens share one cool-down.
#[test]
fn no_reason_is_reason_enough_to_ask_twice() {
    let mint = Mint::new(Key::ec());
    mint.is(Mood::Says(500, String::new()), Mood::Well);
    let pace = Pace { cool_down: Duration::from_millis(300), refresh: Duration::from_millis(1) };
    let door = Door::new(mint.rules(), pace).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let begun = std::time::Instant::now();
    runtime.block_on(async {
        let keys = door.keys().clone();
        let clockwork = tokio::spawn(async move { keys.keep_fresh().await });
        while mint.times_discovered() < 4 {
            let _ = door.verify(&mint.token("ann"), mint_now()).await;
            tokio::task::yield_now().await;
        }
        clockwork.abort();
    });
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}

/// A hub that came up while its provider was away needs no restart.
#[test]
fn a_provider_that_comes_back_is_found_without_a_token() {
    let mint = Mint::new(Key::ec());
    mint.is(Mood::Down, Mood::Down);
    let pace = Pace { cool_down: Duration::from_millis(50), ..Pace::default() };
    let door = Door::new(mint.rules(), pace).unwrap();
    let keys = door.keys().clone();
    let hub = Served::with(|hub| hub.behind(door));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let kept = keys.clone();
    runtime.spawn(async move { kept.keep_fresh().await });
    assert_eq!(get_with(&hub, &mint.token("ann")).0, 503);
    mint.is(Mood::Well, Mood::Well);
    wait_for("the keys", || keys.has_any());
    assert_eq!(get_with(&hub, &mint.token("ann")).0, 200);
}

/// The same name, another key: the signature shows it.
#[test]
fn a_key_that_was_replaced_under_its_name_is_found() {
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace { cool_down: Duration::ZERO, ..Pace::default() });
    assert_eq!(get_with(&hub, &mint.token("ann")).0, 200);
    let key = Key::ec();
    mint.lists(vec![key.jwk("first")]);
    assert_eq!(get_with(&hub, &of_key(&mint, "first", &key)).0, 200);
    assert_eq!(get_with(&hub, &mint.token("ann")).0, 401);
}

#[test]
fn a_provider_that_goes_away_takes_nothing_along() {
    let garbage = Mood::Says(200, "no json".to_owned());
    let empty = Mood::Says(200, json!({ "keys": [] }).to_string());
    let huge = Mood::Says(200, format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(300 << 10)));
    let elsewhere = Mood::Says(302, String::new());
    for mood in [Mood::Down, garbage, empty, huge, elsewhere, Mood::Says(500, String::new())] {
        let mint = Mint::new(Key::ec());
        let pace = Pace { cool_down: Duration::ZERO, ..Pace::default() };
        let hub = behind(&mint, pace);
        assert_eq!(get_with(&hub, &mint.token("ann")).0, 200);
        mint.is(Mood::Well, mood.clone());
        // Nobody knows whose key that is, so nobody says that it is bad.
        let (status, head, _) = get_with(&hub, &of_key(&mint, "new", mint.key()));
        assert_eq!(status, 503, "{mood:?}");
        assert!(head.to_lowercase().contains("retry-after"), "{head}");
        assert_eq!(get_with(&hub, &mint.token("ann")).0, 200, "{mood:?}");
        mint.is(Mood::Well, Mood::Well);
        assert_eq!(get_with(&hub, &of_key(&mint, "new", mint.key())).0, 401, "{mood:?}");
    }
}

#[test]
fn a_provider_that_says_nothing_holds_up_only_those_it_must() {
    let mint = Mint::new(Key::ec());
    let pace = Pace { cool_down: Duration::ZERO, ..Pace::default() };
    let hub = behind(&mint, pace);
    let (good, unknown) = (mint.token("ann"), of_key(&mint, "new", mint.key()));
    assert_eq!(get_with(&hub, &good).0, 200);
    mint.is(Mood::Well, Mood::Silent);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| get_with(&hub, &unknown).0);
        wait_for("the provider to be asked", || mint.times_asked() == 2);
        for _ in 0..50 {
            assert_eq!(get_with(&hub, &good).0, 200);
        }
        assert!(!waits.is_finished(), "it waits for the provider");
        assert_eq!(waits.join().unwrap(), 503, "and not for ever");
    });
}

#[test]
fn a_document_that_leads_elsewhere_is_not_followed() {
    let mint = Mint::new(Key::ec());
    let document = |jwks: &str, issuer: &str| {
        let document = json!({ "issuer": issuer, "jwks_uri": jwks, "token_endpoint": jwks });
        Mood::Says(200, document.to_string())
    };
    for (jwks, issuer) in [
        ("http://192.0.2.1/keys", mint.issuer.as_str()),
        ("file:///etc/passwd", &mint.issuer),
        (&format!("{}/keys", mint.issuer), "http://127.0.0.1:1"),
        (&format!("{}/keys", mint.issuer), &format!("{}/", mint.issuer)),
    ] {
        mint.is(document(jwks, issuer), Mood::Well);
        let hub = behind(&mint, Pace::default());
        assert_eq!(get_with(&hub, &mint.token("ann")).0, 503, "{jwks} {issuer}");
        assert_eq!(mint.times_asked(), 0);
    }
}

#[test]
fn of_200_who_claim_at_once_exactly_one_wins() {
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace::default());
    let tokens: Vec<String> = (0..200).map(|n| mint.token(&format!("person-{n}"))).collect();
    let together = Barrier::new(tokens.len());
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> = (tokens.iter())
            .map(|token| {
                scope.spawn(|| {
                    together.wait();
                    get_with(&hub, token).0
                })
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let won: Vec<usize> = (0..200).filter(|n| statuses[*n] == 200).collect();
    assert_eq!(won.len(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 403)), "{statuses:?}");
    for (n, token) in tokens.iter().enumerate() {
        let wanted = if n == won[0] { 200 } else { 403 };
        assert_eq!(get_with(&hub, token).0, wanted, "person-{n}");
    }
}

#[test]
fn row_29_whoever_owns_nothing_here_is_403() {
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace::default());
    assert_eq!(get_with(&hub, &mint.token("ann")).0, 200);
    let (status, _, body) = get_with(&hub, &mint.token("bob"));
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("owns nothing"), "{body}");
}

#[test]
fn whoever_guesses_is_slowed_down_and_a_good_token_never() {
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace::default());
    let good = mint.token("ann");
    let seen: BTreeSet<u16> = (0..40).map(|_| get_with(&hub, "guess").0).collect();
    assert_eq!(seen, BTreeSet::from([401, 429]));
    let slowed = (0..40).map(|_| get_with(&hub, "guess")).find(|answer| answer.0 == 429).unwrap();
    assert!(slowed.1.to_lowercase().contains("retry-after: 1"), "{}", slowed.1);
    // From the same address, as behind a proxy.
    (0..40).for_each(|_| assert_eq!(get_with(&hub, &good).0, 200));
}

/// A stream that outlives its token would tell of changes for ever.
#[test]
fn an_event_stream_ends_with_its_token() {
    let mint = Mint::new(Key::ec());
    let hub = behind(&mint, Pace::default());
    let mut claims = mint.claims("ann");
    // It still counts for a moment by the leeway between clocks; the stream is
    // over with the token itself.
    claims["exp"] = json!(mint_now() + 1);
    let token = sign(&mint.header(), &claims, mint.key());
    let words = format!("Authorization: Bearer {token}\r\n");
    let (status, _, body) = get(&hub, "/sync/events", &words);
    assert_eq!(status, 200);
    assert!(body.contains("event: heads"), "{body}");
}
