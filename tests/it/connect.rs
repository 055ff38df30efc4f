//! A device joins a hub in one command: the hub on a machine of its own, a real
//! provider, a real person at its pages.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    identity::{Beside, Provider, approve, lab},
    sandbox::{Ended, Sandbox, add_task, free_port, program},
};

const OWNER: &str = "the-owner";

/// A hub's machine, and a new one.
struct World {
    hub: Sandbox,
    device: Sandbox,
    url: String,
    port: u16,
}

impl World {
    /// The hub is still to come.
    fn without() -> Self {
        let (hub, device, port) = (Sandbox::new(), Sandbox::new(), free_port());
        Self { hub, device, url: format!("http://127.0.0.1:{port}"), port }
    }

    fn new(more: &[&str]) -> Self {
        let world = Self::without();
        let db = world.hub.path("hub.db").display().to_string();
        let address = format!("127.0.0.1:{}", world.port);
        world.hub.ops(&["seed", "--owner-id", OWNER, "--to", &db]).expect(0);
        let words = ["--role", "hub", "--db", &db, "--http-addr", &address];
        world.hub.install(&[&words, more].concat()).expect(0);
        world
    }

    fn with(provider: &Provider) -> Self {
        Self::new(&["--oidc-issuer", &provider.issuer, "--oidc-audience", "heph"])
    }

    fn command(&self, more: &[&str]) -> Command {
        self.command_to(&self.url, more)
    }

    fn command_to(&self, url: &str, more: &[&str]) -> Command {
        let mut command = self.device.command(program("heph-ops"));
        command.args(["connect", url, "--manager", "process", "--settle-ms", "50"]).args(more);
        command
    }

    fn connect(&self, more: &[&str]) -> Ended {
        self.command(more).output().unwrap().into()
    }

    fn connect_to(&self, url: &str, more: &[&str]) -> Ended {
        self.command_to(url, more).output().unwrap().into()
    }

    /// Runs until it shows a code, which somebody then does something with.
    fn with_a_person(&self, more: &[&str], person: impl FnOnce(&Child, &str, &str)) -> Ended {
        let mut command = self.command(&[&["--json"], more].concat());
        let mut ops = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut err, mut person) = (String::new(), Some(person));
        let lines = BufReader::new(ops.stderr.take().unwrap()).lines().map_while(Result::ok);
        for line in lines {
            let event: Value = serde_json::from_str(&line).expect("a line of JSON on stderr");
            if event["event"] == "code" {
                let text = |name: &str| event[name].as_str().unwrap();
                let person = person.take().expect("one code");
                person(&ops, text("verification_uri"), text("user_code"));
            }
            err.push_str(&line);
            err.push('\n');
        }
        Ended { err, ..Ended::from(ops.wait_with_output().unwrap()) }
    }

    fn untouched(&self) {
        let left = std::fs::read_dir(self.device.home()).unwrap().count();
        assert_eq!(left, 0, "something was made");
    }

    fn pid(&self) -> Value {
        self.device.state("heph-spoke")["child"]["pid"].clone()
    }
}

#[track_caller]
fn refused(ended: &Ended, code: &str, said: &str) {
    assert!(ended.err.contains(&format!("[{code}]")) && ended.err.contains(said), "{}", ended.err);
    assert_eq!(ended.err.lines().count(), 2, "{}", ended.err);
}

#[test]
fn a_new_device_is_connected_once_and_then_there_is_nothing_to_do() {
    let provider = Provider::start(&[]);
    let world = World::with(&provider);
    add_task(&mut world.hub.connect("hephd.sock"), "on the hub already");

    let would = world.connect(&["--check", "--json"]).expect(0).json();
    assert_eq!((&would["status"], &would["changed"]), (&"connected".into(), &true.into()));
    assert_eq!(would["data"]["login"], true, "{would}");
    world.untouched();

    let first = world.with_a_person(&[], |_, uri, code| approve(uri, code, "alice")).expect(0);
    let events: Vec<Value> =
        first.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["hub", "service", "started", "code"], "{names:?}");
    assert!(names.contains(&"signed_in"), "{names:?}");
    let first = first.json();
    assert_eq!((&first["status"], &first["changed"]), (&"connected".into(), &true.into()));
    let data = &first["data"];
    assert_eq!((&data["equal"], &data["owner_id"]), (&true.into(), &OWNER.into()), "{first}");
    assert!(data["ops"].as_u64() > Some(0), "{first}");
    assert_eq!(data["login"]["subject"], "alice", "{first}");
    world.device.ops(&["status", "--wait", "5", "--for", "equal"]).expect(0);

    // Who holds a good login does not need the provider.
    let pid = world.pid();
    provider.make("down");
    let would = world.connect(&["--check", "--json"]).expect(0).json();
    assert_eq!((&would["status"], &would["changed"]), (&"already_connected".into(), &false.into()));
    let again = world.connect(&[]).expect(0);
    assert!(again.out.contains("already connected, nothing to do"), "{}", again.out);
    let again = world.connect(&["--json"]).expect(0).json();
    assert_eq!((&again["status"], &again["changed"]), (&"already_connected".into(), &false.into()));
    assert_eq!(again["data"]["heads"], data["heads"]);
    assert_eq!(world.pid(), pid, "nobody was restarted");
}

#[test]
fn what_is_shown_is_in_the_order_in_which_it_is_done() {
    let world = World::new(&[]);
    let shown = world.connect(&[]).expect(0).out;
    let first =
        |line: &str| line.trim_start_matches(['✓', ' ']).split(' ').next().map(str::to_owned);
    let words: Vec<String> = shown.lines().filter_map(first).collect();
    assert_eq!(words, ["hub", "service", "equal", "owner", "device"], "{shown}");
    assert!(shown.contains(OWNER), "{shown}");
    // One that was stopped is started again, and that is a change.
    world.device.ops(&["stop"]).expect(0);
    let started = world.connect(&["--json"]).expect(0).json();
    assert_eq!((&started["status"], &started["changed"]), (&"connected".into(), &true.into()));
}

#[test]
fn nothing_is_touched_where_there_is_no_hub() {
    let world = World::without();
    refused(&world.connect(&[]).expect(3), "hub_unreachable", &world.url);
    for (url, said) in [("ftp://hub", "http"), ("http://hub:8787/?x", "query")] {
        let ended = world.connect_to(url, &[]).expect(2);
        assert!(ended.err.contains(said), "{}", ended.err);
    }
    let twice = world.connect(&["--hub-url", "http://other:8787"]).expect(2);
    refused(&twice, "usage", "--hub-url");
    let of_a_hub = world.connect(&["--http-addr", "127.0.0.1:1"]).expect(2);
    refused(&of_a_hub, "usage", "--http-addr");
    world.untouched();
}

/// Answers every request in the same way.
fn server(answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut asked, mut buffer) = (String::new(), [0; 4096]);
            while !asked.ends_with("\r\n\r\n") {
                let read = stream.read(&mut buffer).unwrap_or(0);
                asked.push_str(&String::from_utf8_lossy(&buffer[..read]));
                if read == 0 {
                    break;
                }
            }
            let answer = answers(asked.split(' ').nth(1).unwrap_or_default());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

fn says(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn a_hub(path: &str, protocol: u32, ready: &str) -> String {
    match path {
        "/healthz" => says("200 OK", r#"{"status":"ok","instance":"1"}"#),
        "/readyz" => says(ready, r#"{"error":{"code":"not_ready","message":"the disk is full"}}"#),
        _ => says(
            "200 OK",
            &format!(
                r#"{{"version":"9.0.0","protocol":{protocol},"issuer":null,"client_id":null}}"#
            ),
        ),
    }
}

/// What a server answers at a path.
type Answers = fn(&str) -> String;

#[test]
fn what_answers_and_cannot_be_used_is_told_apart() {
    let world = World::without();
    let cases: [(Answers, i32, &str, &str); 6] = [
        (|_| says("404 Not Found", "no"), 3, "hub_unreachable", "is no hub: /healthz said 404"),
        (|_| says("200 OK", "<html>"), 3, "hub_unreachable", "is no hub: /healthz is no answer"),
        (|_| says("200 OK", "{}"), 3, "hub_unreachable", "is no hub"),
        (
            |_| says("301 Moved\r\nLocation: https://there.example/", ""),
            3,
            "hub_unreachable",
            "https://there.example/",
        ),
        (|path| a_hub(path, 2, "200 OK"), 4, "not_supported", "protocol 2"),
        (|path| a_hub(path, 1, "503 No"), 3, "not_ready", "the disk is full"),
    ];
    for (answers, exit, code, said) in cases {
        let ended = world.connect_to(&server(answers), &[]).expect(exit);
        refused(&ended, code, said);
    }
    world.untouched();
}

#[test]
fn a_certificate_that_nobody_vouches_for_ends_it_and_hub_ca_helps() {
    let world = World::new(&[]);
    let tls_port = free_port();
    let mut front = lab("tls-front");
    front.args([tls_port.to_string(), world.port.to_string()]).arg(world.hub.path("tls"));
    let (front, url) = (Beside::start(front), format!("https://localhost:{tls_port}"));
    let ended = world.connect_to(&url, &[]).expect(3);
    refused(&ended, "hub_unreachable", "--hub-ca FILE");
    world.untouched();
    let none = world.connect_to(&url, &["--hub-ca", "/nowhere.pem"]).expect(4);
    refused(&none, "file_failed", "/nowhere.pem");
    world.connect_to(&url, &["--hub-ca", &front.said]).expect(0);
    // It is recorded, and need not be said again.
    let again = world.connect_to(&url, &["--json"]).expect(0).json();
    assert_eq!(again["status"], "already_connected", "{again}");
}

#[test]
fn a_provider_that_is_down_or_has_no_codes_is_found_out_first() {
    let provider = Provider::start(&[]);
    let world = World::with(&provider);
    provider.make("down");
    let ended = world.connect(&[]).expect(3);
    refused(&ended, "auth_failed", &provider.issuer);
    provider.make("up");
    provider
        .make_json("discovery", r#"{"mode":"normal","drop":["device_authorization_endpoint"]}"#);
    let ended = world.connect(&[]).expect(3);
    refused(&ended, "auth_failed", "has no login by code");
    world.untouched();
}

#[test]
fn a_login_that_is_denied_or_cut_off_leaves_the_service_and_is_gone_on_with() {
    let provider = Provider::start(&[]);
    let world = World::with(&provider);
    let denied = world.with_a_person(&[], |_, uri, code| {
        let done = lab("openid-person").args(["deny", uri, code]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    });
    let denied = denied.expect(3).json();
    assert_eq!((&denied["status"], &denied["changed"]), (&"failed".into(), &true.into()));
    let error = &denied["error"];
    assert_eq!(error["code"], "auth_failed", "{denied}");
    assert!(error["message"].as_str().unwrap().contains("refused on the other screen"));
    let again = format!("heph-ops connect {}", world.url);
    assert!(error["hint"].as_str().unwrap().contains(&again), "{denied}");

    let pid = world.pid();
    for (signal, exit, told) in
        [(Signal::INT, 130, "interrupted"), (Signal::TERM, 143, "terminated")]
    {
        let cut = world.with_a_person(&[], |ops, _, _| {
            kill_process(Pid::from_child(ops), signal).unwrap();
        });
        let cut = cut.expect(exit).json();
        assert_eq!(cut["error"]["code"], told, "{cut}");
        assert!(cut["error"]["hint"].as_str().unwrap().contains(&again), "{cut}");
    }
    let late = world.with_a_person(&["--timeout", "1"], |_, _, _| {}).expect(3).json();
    assert!(late["error"]["message"].as_str().unwrap().contains("--timeout"), "{late}");

    let done = world.with_a_person(&[], |_, uri, code| approve(uri, code, "alice")).expect(0);
    assert_eq!(done.json()["status"], "connected");
    assert_eq!(world.pid(), pid, "the same service went on");

    // Now it is hers, and somebody else is not let in.
    provider.make("revoke-all");
    world.device.command(program("heph")).args(["auth", "logout"]).output().unwrap();
    let other = world.with_a_person(&[], |_, uri, code| approve(uri, code, "mallory"));
    let other = other.expect(3).json();
    assert!(other["error"]["message"].as_str().unwrap().contains("somebody else"), "{other}");
    assert_eq!(other["error"]["hint"], format!("log in as its owner: {again}"));
}

#[test]
fn a_device_with_notes_of_its_own_is_refused_and_stays_as_it_was() {
    let provider = Provider::start(&[]);
    let (open, closed) = (World::new(&[]), World::with(&provider));
    for (world, late) in [(&open, false), (&closed, true)] {
        add_task(&mut world.device.device(), "begun apart");
        let (pid, record) = (world.pid(), world.device.path(".config/heph/heph-spoke.toml"));
        let before = std::fs::read_to_string(&record).unwrap();
        let ended = match late {
            // Only the login shows whose hub it is.
            true => world.with_a_person(&[], |_, uri, code| approve(uri, code, "alice")),
            false => world.connect(&["--json"]),
        };
        let refused = ended.expect(4).json();
        assert_eq!(refused["error"]["code"], "owner_mismatch", "{refused}");
        let hint = refused["error"]["hint"].as_str().unwrap();
        assert!(hint.contains("heph export") && hint.contains("uninstall-service"), "{hint}");
        assert_eq!(std::fs::read_to_string(&record).unwrap(), before, "late: {late}");
        assert!(late || world.pid() == pid, "nobody was restarted");
        let status = world.device.ops(&["status", "--json"]).expect(0).json();
        assert_eq!(status["data"]["services"][0]["sync"]["hub_url"], Value::Null, "{status}");
    }
}

#[test]
fn a_device_of_another_hub_is_told_how_to_change_that() {
    let world = World::new(&[]);
    world.connect(&[]).expect(0);
    let pid = world.pid();
    let other = server(|path| a_hub(path, 1, "200 OK"));
    let ended = world.connect_to(&other, &[]).expect(4);
    refused(&ended, "unit_foreign", "install-service --role spoke");
    assert_eq!(world.pid(), pid);
}
