//! Who gets in, with the programs that people run: a real OpenID provider, a
//! real person at its pages, Caddy's TLS in front of the hub.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::first_line::started;
use crate::sandbox::{Ended, Sandbox, free_port, program, wait_for};

/// A script of the lab.
pub fn lab(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(name))
}

/// What a person does with a code.
pub fn approve(uri: &str, code: &str, person: &str) {
    let done = lab("openid-person").args(["approve", uri, code, person]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Something that runs beside a test; it ends when it goes.
pub struct Beside {
    child: Child,
    /// The first line that it printed.
    pub said: String,
}

impl Beside {
    pub fn start(command: Command) -> Self {
        let (child, said) = started(command);
        Self { child, said }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An OpenID provider.
pub struct Provider {
    _running: Beside,
    pub issuer: String,
    lab: String,
}

impl Provider {
    pub fn start(flags: &[&str]) -> Self {
        let mut command = lab("openid-provider");
        command.args(flags);
        let running = Beside::start(command);
        let told: Value = serde_json::from_str(&running.said).expect("the provider's addresses");
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        Self { issuer: text("issuer"), lab: text("lab"), _running: running }
    }

    /// Makes something happen to it.
    pub fn make(&self, what: &str) {
        self.make_json(what, "");
    }

    /// The same, with what it is to be like.
    pub fn make_json(&self, what: &str, body: &str) {
        let address = self.lab.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!(
            "POST /lab/{what} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// A hub behind TLS, a device, and who says who people are.
struct World {
    sandbox: Sandbox,
    provider: Provider,
    _front: Beside,
    authority: String,
    hub_url: String,
    hub_port: u16,
}

impl World {
    /// Its access tokens live for so many seconds.
    fn new(access_secs: &str) -> Self {
        let (sandbox, provider) =
            (Sandbox::new(), Provider::start(&["--access-secs", access_secs]));
        let (hub_port, tls_port) = (free_port(), free_port());
        let mut front = lab("tls-front");
        front.args([tls_port.to_string(), hub_port.to_string()]).arg(sandbox.path("tls"));
        let front = Beside::start(front);
        let (authority, hub_url) = (front.said.clone(), format!("https://localhost:{tls_port}"));
        Self { sandbox, provider, _front: front, authority, hub_url, hub_port }
    }

    fn hub_db(&self) -> PathBuf {
        self.sandbox.path("hub/heph.db")
    }

    fn install_hub(&self, more: &[&str]) {
        let (db, address) = (self.hub_db(), format!("127.0.0.1:{}", self.hub_port));
        let words = ["--role", "hub", "--db", db.to_str().unwrap(), "--http-addr", &address];
        let oidc = ["--oidc-issuer", self.provider.issuer.as_str(), "--oidc-audience", "heph"];
        self.sandbox.install(&[&words, oidc.as_slice(), more].concat()).expect(0);
    }

    fn install_spoke(&self, more: &[&str]) {
        let words = ["--role", "spoke", "--hub-url", &self.hub_url, "--hub-ca", &self.authority];
        self.sandbox.install(&[&words, more].concat()).expect(0);
    }

    fn heph(&self, words: &[&str]) -> Ended {
        self.sandbox.command(program("heph")).args(words).output().unwrap().into()
    }

    fn status(&self) -> Value {
        self.heph(&["--json", "sync", "--status"]).expect(0).json()["data"].clone()
    }

    /// Logs in as a person would, from the events that a script sees.
    fn log_in(&self, person: &str) -> Ended {
        let mut heph = self.sandbox.command(program("heph"));
        heph.args(["--json", "auth", "login"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut heph = heph.spawn().unwrap();
        let mut err = String::new();
        for line in BufReader::new(heph.stderr.take().unwrap()).lines().map_while(Result::ok) {
            let event: Value = serde_json::from_str(&line).expect("a line of JSON on stderr");
            if event["event"] == "code" {
                let text = |name: &str| event[name].as_str().unwrap().to_owned();
                approve(&text("verification_uri"), &text("user_code"), person);
            }
            err.push_str(&line);
        }
        let output = heph.wait_with_output().unwrap();
        Ended { err, ..Ended::from(output) }
    }

    fn tokens(&self) -> Value {
        let text = std::fs::read_to_string(self.sandbox.path(".local/share/heph/tokens.json"));
        serde_json::from_str(&text.unwrap()).unwrap()
    }
}

/// Every value of a key, wherever it lies.
fn all_of(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key).and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| all_of(value, key, found));
        }
        Value::Array(values) => values.iter().for_each(|value| all_of(value, key, found)),
        _ => {}
    }
}

fn one_of(value: &Value, key: &str) -> String {
    let mut found = Vec::new();
    all_of(value, key, &mut found);
    assert_eq!(found.len(), 1, "{key} in {value}");
    found.remove(0)
}

/// From a device on its own to a hub that lets in its owner and nobody else.
#[test]
fn only_the_owner_gets_in_through_tls() {
    let world = World::new("300");
    let sandbox = &world.sandbox;
    let mut device = sandbox.device();
    crate::sandbox::add_task(&mut device, "from before there was a hub");
    let (from, to) = (sandbox.device_db(), world.hub_db());
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    sandbox.ops(&["seed", "--from", from, "--to", to, "--owner-sub", "alice"]).expect(0);
    world.install_hub(&[]);
    world.install_spoke(&[]);

    // Refused before, and that is seen for what it is.
    let refused = world.heph(&["sync"]).expect(3);
    assert!(refused.err.contains("[auth_failed]") && refused.err.contains("heph auth login"));
    let status = world.status();
    assert_eq!(
        (&status["auth_failure"], &status["equal"]),
        (&true.into(), &Value::Null),
        "{status}"
    );
    let seen = sandbox.ops(&["status"]).expect(3);
    assert!(seen.out.contains("auth") && seen.out.contains("heph auth login"), "{}", seen.out);
    assert!(seen.err.contains("[auth_failed]"), "{}", seen.err);

    // Somebody else is told so, and is not logged in.
    let stranger = world.log_in("mallory").expect(3);
    assert!(stranger.out.contains("somebody else"), "{}", stranger.out);
    assert_eq!(world.status()["auth_failure"], true);

    // The owner gets in, and the daemon was never restarted.
    let login = world.log_in("alice").expect(0).json();
    assert_eq!(login["status"], "logged_in", "{login}");
    world.heph(&["sync"]).expect(0);
    let status = world.status();
    assert_eq!(
        (&status["auth_failure"], &status["equal"]),
        (&false.into(), &true.into()),
        "{status}"
    );
    sandbox.ops(&["status", "--wait", "20", "--for", "equal"]).expect(0);

    no_token_lies_open(&world);
}

/// A token is in its file, and nowhere that a person or program may look.
fn no_token_lies_open(world: &World) {
    let tokens = world.tokens();
    let secrets: Vec<String> = ["access_token", "refresh_token"]
        .iter()
        .map(|key| one_of(&tokens, key))
        .flat_map(|token| token.split('.').map(str::to_owned).collect::<Vec<_>>())
        .filter(|part| part.len() >= 16)
        .collect();
    assert!(secrets.len() >= 4, "a JWT's parts and a refresh token: {}", secrets.len());
    let mut places = vec![
        ("heph-ops status", world.sandbox.ops(&["status", "--json"]).out),
        ("auth status", world.heph(&["--json", "auth", "status"]).out),
        ("sync status", world.heph(&["--json", "sync", "--status"]).out),
        ("help", world.sandbox.hephd(&["--help"]).out),
        (
            "ps",
            String::from_utf8_lossy(&Command::new("ps").args(["axeww"]).output().unwrap().stdout)
                .into_owned(),
        ),
    ];
    for role in ["hub", "spoke"] {
        let printed = world.sandbox.ops(&[
            "install-service",
            "--role",
            role,
            "--print",
            "--manager",
            "systemd",
        ]);
        places.push(("unit", printed.expect(0).out));
    }
    let mut files = Vec::new();
    files_below(world.sandbox.home(), &mut files);
    let read: Vec<(String, Vec<u8>)> = files
        .into_iter()
        .filter(|path| !path.ends_with("tokens.json"))
        .filter_map(|path| Some((path.display().to_string(), std::fs::read(&path).ok()?)))
        .collect();
    assert!(read.iter().any(|(path, _)| path.ends_with(".log")), "logs are among them");
    for secret in &secrets {
        for (place, text) in &places {
            assert!(!text.contains(secret.as_str()), "a token is in {place}");
        }
        for (path, bytes) in &read {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a token is in {path}");
        }
    }
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            files_below(&path, files);
        } else if kind.is_file() {
            files.push(path);
        }
    }
}

/// Expiry, renewal, rotation, revocation: each as the device's own status
/// tells it.
#[test]
fn a_login_stays_fresh_and_its_end_is_seen_and_mended() {
    let world = World::new("2");
    let to = world.hub_db();
    let seeded =
        world.sandbox.ops(&["seed", "--owner-id", "the-owner", "--to", to.to_str().unwrap()]);
    seeded.expect(0);
    world.install_hub(&[]);
    world.install_spoke(&["--sync-interval-secs", "1"]);
    let unclaimed = world.sandbox.ops(&["status", "heph-hub", "--json"]).expect(0).json();
    assert_eq!(unclaimed["warnings"][0]["code"], "hub_unclaimed", "{unclaimed}");
    world.log_in("alice").expect(0);
    let claimed = world.sandbox.ops(&["status", "heph-hub", "--json"]).expect(0).json();
    assert_eq!(claimed["warnings"], serde_json::json!([]), "the first login claimed it");

    // Each access token lives for two seconds, and each renewal brings another
    // refresh token.
    let mut seen = BTreeSet::from([one_of(&world.tokens(), "refresh_token")]);
    wait_for("three renewals", || {
        let status = world.status();
        assert_eq!(status["auth_failure"], false, "{status}");
        seen.insert(one_of(&world.tokens(), "refresh_token"));
        seen.len() == 4
    });
    world.heph(&["sync"]).expect(0);

    // Whoever runs the provider throws it out.
    world.provider.make("revoke-all");
    wait_for("the end of the login to be seen", || world.status()["auth_failure"] == true);
    let status = world.status();
    assert_eq!(status["last_error"]["code"], "auth_failed", "{status}");
    let said = world.heph(&["sync"]).expect(3).err;
    assert!(said.contains("heph auth login"), "{said}");

    // A task that is written meanwhile waits, and the next login sends it.
    world.heph(&["task", "add", "written while locked out"]).expect(0);
    assert!(world.status()["unsent_ops"].as_u64() > Some(0));
    world.log_in("alice").expect(0);
    wait_for("the task to be sent", || world.status()["equal"] == true);
    let status = world.status();
    assert_eq!((&status["auth_failure"], &status["unsent_ops"]), (&false.into(), &0.into()));
}
