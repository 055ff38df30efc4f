//! The web app in a real browser: signed in at a real provider, and on a hub
//! that asks nobody.

use std::{
    path::Path,
    process::{Child, Command},
};

use serde_json::Value;

use super::{
    first_line::started,
    running::{Home, Running, free_port},
};

fn in_checkout(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    path.canonicalize().unwrap().display().to_string()
}

fn lab(name: &str) -> Command {
    Command::new(in_checkout(&format!("tests/lab/{name}")))
}

struct Provider {
    child: Child,
    issuer: String,
}

impl Provider {
    fn start() -> Self {
        let (child, line) = started(lab("openid-provider"));
        let told: Value = serde_json::from_str(&line).expect("the provider's addresses");
        Self { child, issuer: told["issuer"].as_str().unwrap().to_owned() }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hub(home: &Home, more: &[&str]) -> (Running, String) {
    let (db, port) = (home.folder("hub").join("heph.db"), free_port());
    let (address, web) = (format!("127.0.0.1:{port}"), in_checkout("hephd/pwa"));
    let words = ["--mode", "server", "--db", db.to_str().unwrap(), "--http-addr", &address];
    let web = ["--web-root", web.as_str()];
    (home.start(&[&words, web.as_slice(), more].concat()), format!("http://{address}"))
}

fn check(words: &[&str]) {
    let done = lab("browser-check").args(words).output().unwrap();
    let (said, err) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}\n{err}");
    assert!(said.contains(" 0 wrong"), "{said}");
}

#[test]
fn a_person_signs_in_lists_adds_ticks_and_signs_out() {
    let (home, provider) = (Home::new(), Provider::start());
    let (_hub, url) = hub(&home, &["--oidc-issuer", &provider.issuer, "--oidc-audience", "heph"]);
    check(&[&url, "alice"]);
}

#[test]
fn a_hub_that_asks_nobody_shows_the_tasks_at_once() {
    let home = Home::new();
    let (_hub, url) = hub(&home, &[]);
    check(&[&url]);
}
