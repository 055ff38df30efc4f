//! When a device syncs: at once, where its hub tells it to, and patiently,
//! where there is none. With real daemons, and an interval that is too long
//! for any of it.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hephd::rpc::client::Client;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(20);

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(dir: &Path, name: &str, flags: &[&str]) -> (Daemon, Client) {
    let home = dir.join(name);
    hephd::store::file::make_private_folder(&home).unwrap();
    let socket = home.join("hephd.sock");
    let child = Command::new(env!("CARGO_BIN_EXE_hephd"))
        .args(flags)
        .arg("--db")
        .arg(home.join("heph.db"))
        .arg("--socket")
        .arg(&socket)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let daemon = Daemon(child);
    let begun = Instant::now();
    loop {
        match Client::connect(&socket, DEADLINE) {
            Ok(client) => return (daemon, client),
            Err(error) => assert!(begun.elapsed() < DEADLINE, "{}", error.message),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn home() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("heph-").tempdir_in("/tmp").unwrap()
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

const DAY: [&str; 2] = ["--sync-interval-secs", "86400"];

fn device(dir: &Path, name: &str, address: &str) -> (Daemon, Client) {
    let url = format!("http://{address}");
    start(dir, name, &["--mode", "local", "--hub-url", &url, DAY[0], DAY[1]])
}

fn hub(dir: &Path, address: &str) -> (Daemon, Client) {
    start(dir, "hub", &["--mode", "server", "--http-addr", address])
}

fn add(client: &mut Client, title: &str) -> Value {
    let set = json!({ "kind": "task", "title": title });
    let written: Value =
        client.call("node.write", &json!({ "changes": [{ "node": { "set": set } }] })).unwrap();
    written["ids"][0].clone()
}

fn wait_for_node(client: &mut Client, id: &Value) {
    let begun = Instant::now();
    while client.call::<Value>("node.get", &json!({ "id": id })).unwrap().is_null() {
        assert!(begun.elapsed() < DEADLINE, "it never comes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_written_anywhere_is_everywhere_long_before_the_interval() {
    let (dir, address) = (home(), free_address());
    let (_hub, mut hub) = hub(dir.path(), &address);
    let (_one, mut one) = device(dir.path(), "one", &address);
    let (_two, mut two) = device(dir.path(), "two", &address);
    for client in [&mut one, &mut two] {
        client.call::<Value>("sync.now", &Value::Null).unwrap();
    }
    let from_one = add(&mut one, "on one device");
    wait_for_node(&mut two, &from_one);
    let from_hub = add(&mut hub, "on the hub");
    wait_for_node(&mut one, &from_hub);
    wait_for_node(&mut two, &from_hub);
}

#[test]
fn a_device_meets_its_hub_soon_after_it_comes_back() {
    let (dir, address) = (home(), free_address());
    let (_one, mut one) = device(dir.path(), "one", &address);
    let refused = one.call::<Value>("sync.now", &Value::Null);
    assert_eq!(refused.unwrap_err().code.as_str(), "hub_unreachable");
    let (hub_process, mut hub_client) = hub(dir.path(), &address);
    let begun = Instant::now();
    let status = |one: &mut Client| one.call::<Value>("sync.status", &Value::Null).unwrap();
    while status(&mut one)["owner_id"].is_null() {
        assert!(begun.elapsed() < DEADLINE, "a fresh device never joins");
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = add(&mut one, "joined");
    wait_for_node(&mut hub_client, &id);

    drop(hub_process);
    let id = add(&mut one, "while the hub is away");
    let (_hub, mut again) = hub(dir.path(), &address);
    wait_for_node(&mut again, &id);
}

#[test]
fn a_hub_that_asks_to_be_left_alone_is_and_a_person_is_not_kept_waiting() {
    let (dir, asked) = (home(), std::sync::mpsc::channel());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let path = refuse(stream.unwrap());
            if path.starts_with("/sync/heads") && asked.0.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    let (_one, mut one) = device(dir.path(), "one", &address);
    let first = asked.1.recv_timeout(DEADLINE).unwrap();
    let second = asked.1.recv_timeout(DEADLINE).unwrap();
    assert!(second - first >= Duration::from_secs(3), "{:?}", second - first);
    let begun = Instant::now();
    let refused = one.call::<Value>("sync.now", &Value::Null).unwrap_err();
    assert_eq!(refused.code.as_str(), "hub_unreachable");
    assert!(begun.elapsed() < Duration::from_secs(2), "heph sync waits for nothing");
}

/// 503, and not before three seconds. Gives the path that was asked for.
fn refuse(mut stream: TcpStream) -> String {
    let mut first = String::new();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    lines.read_line(&mut first).unwrap();
    let mut rest = String::new();
    while lines.read_line(&mut rest).is_ok_and(|n| n > 2) {
        rest.clear();
    }
    let answer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\n\
                  Content-Length: 0\r\nConnection: close\r\n\r\n";
    let _ = stream.write_all(answer.as_bytes());
    first.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Each of the two pushes while the other does, and is told of a digest that
/// it cannot know. Neither may stay behind until the next day.
#[test]
fn two_devices_that_write_at_the_same_moment_end_equal_at_once() {
    let (dir, address) = (home(), free_address());
    let (_hub, _) = hub(dir.path(), &address);
    let (_one, mut one) = device(dir.path(), "one", &address);
    let (_two, mut two) = device(dir.path(), "two", &address);
    for client in [&mut one, &mut two] {
        client.call::<Value>("sync.now", &Value::Null).unwrap();
    }
    for round in 0..30 {
        let barrier = std::sync::Barrier::new(2);
        let write = |client: &mut Client| {
            barrier.wait();
            add(client, &format!("round {round}"))
        };
        let (first, second) = std::thread::scope(|scope| {
            let first = scope.spawn(|| write(&mut one));
            let second = write(&mut two);
            (first.join().unwrap(), second)
        });
        wait_for_node(&mut one, &second);
        wait_for_node(&mut two, &first);
    }
}

#[test]
fn a_push_whose_sender_has_gone_is_told_to_the_others() {
    let (dir, address) = (home(), free_address());
    let (_hub, mut hub) = hub(dir.path(), &address);
    let (_one, mut one) = device(dir.path(), "one", &address);
    one.call::<Value>("sync.now", &Value::Null).unwrap();
    let heads = |client: &mut Client| {
        client.call::<Value>("sync.status", &Value::Null).unwrap()["heads"].clone()
    };
    let (before, begun) = (heads(&mut hub), Instant::now());
    while heads(&mut hub) == before {
        assert!(begun.elapsed() < DEADLINE, "none of them is taken in");
        send_and_go(&address);
    }
    // Those that are still on their way are told like the first.
    while heads(&mut one) != heads(&mut hub) {
        assert!(begun.elapsed() < DEADLINE, "the device is not told");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send_and_go(address: &str) {
    let set = json!({ "kind": "task", "title": "sent and gone" });
    let params = json!({ "changes": [{ "node": { "set": set } }] });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "node.write", "params": params });
    let body = body.to_string();
    let head = format!(
        "POST /rpc HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
}
