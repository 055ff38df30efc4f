//! What it costs that a hub looks at tokens: one token, and many requests.
//!
//! The reference of one token is its bare signature; that of the requests is
//! a hub that asks nobody for a token, in the same run, by turns.

use std::time::{Duration, Instant};

use hephd::{hub::door::Door, oidc::keys::Pace};
use reqwest::Client;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

use crate::{
    lab::{Lab, percentile},
    mint::{AUDIENCE, Key, Mint, text_of},
};

/// Verifies a token so often, by turns with a bare signature.
pub fn verify(times: usize) {
    let mint = Mint::new(Key::rsa(2048));
    let door = Door::new(mint.rules(), Pace::default()).unwrap();
    let (token, now) = (mint.token("ann"), hephd::clock::Clock::System.now_ms() / 1000);
    let text = text_of(&mint.header(), &mint.claims("ann"));
    let (signed, key) = (mint.key().sign(text.as_bytes()), public(mint.key()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let whole = || runtime.block_on(door.verify(&token, now)).map(drop).unwrap();
    let bare = || key.verify(&RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), &signed).unwrap();
    whole();
    let (mut wholes, mut bares) = (Vec::new(), Vec::new());
    for _ in 0..times {
        wholes.push(time(whole));
        bares.push(time(bare));
    }
    let mut micros = |percent| percentile(&mut wholes, percent) * 1e3;
    let (whole, most, bare) = (micros(50), micros(99), percentile(&mut bares, 50) * 1e3);
    println!(
        "| a token, RS256, keys known | p50 {whole:.1}, p99 {most:.1} µs | p50 {bare:.1} µs | {:.2} | \
         < 150 µs | |",
        whole / bare,
    );
}

fn public(key: &Key) -> RsaPublicKeyComponents<Vec<u8>> {
    match key {
        Key::Rsa(key) => key.public().into(),
        Key::Ec(_) => panic!("a key for RS256"),
    }
}

fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// So many requests a second for a while, each begun at its time whether or
/// not those before it have ended.
pub fn requests(a_second: u32, secs: u32) {
    let (lab, mint) = (Lab::new(), Mint::new(Key::rsa(2048)));
    let (db, open_db) = (lab.store("hub", 10_000), lab.store("open", 10_000));
    let oidc = ["--oidc-issuer", &mint.issuer, "--oidc-audience", AUDIENCE];
    let (hub, url) = lab.hub_with(&db, &oidc);
    let (_open, open_url) = lab.hub(&open_db);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let token = mint.token("ann");
    let (mut guarded, mut open) = (Vec::new(), Vec::new());
    for _ in 0..secs / 5 {
        guarded.extend(runtime.block_on(load(&url, Some(&token), a_second, 5)));
        open.extend(runtime.block_on(load(&open_url, None, a_second, 5)));
    }
    let (count, p50, p99) =
        (guarded.len(), percentile(&mut guarded, 50), percentile(&mut guarded, 99));
    println!(
        "| {a_second} requests/s with a token, {count} of them | p50 {p50:.2}, p99 {p99:.2} ms | \
         p50 {:.2}, p99 {:.2} ms | {:.2} | p99 < 20 ms | {:.1} s of a core |",
        percentile(&mut open, 50),
        percentile(&mut open, 99),
        p99 / percentile(&mut open, 99),
        hub.cpu_secs(),
    );
}

async fn load(url: &str, token: Option<&str>, a_second: u32, secs: u32) -> Vec<Duration> {
    let client = Client::builder().no_proxy().build().unwrap();
    let begun = tokio::time::Instant::now();
    let asks: Vec<_> = (0..a_second * secs)
        .map(|n| {
            let request = client.get(format!("{url}sync/heads"));
            let request =
                token.map_or(request.try_clone().unwrap(), |token| request.bearer_auth(token));
            tokio::spawn(async move {
                let due = begun + Duration::from_secs(1) / a_second * n;
                tokio::time::sleep_until(due).await;
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status().as_u16(), 200);
                answer.bytes().await.unwrap();
                due.elapsed()
            })
        })
        .collect();
    let mut times = Vec::new();
    for ask in asks {
        times.push(ask.await.unwrap());
    }
    times
}
