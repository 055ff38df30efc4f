//! `--mode client`: a window on the hub, without a replica.

use serde_json::{Value, json};

use super::running::{Home, Running, add_task, free_port};

/// A hub, and a client of it.
struct Pair {
    hub: Option<Running>,
    client: Running,
    home: Home,
    url: String,
}

fn pair() -> Pair {
    let home = Home::new();
    let address = format!("127.0.0.1:{}", free_port());
    let db = home.folder("hub").join("heph.db").display().to_string();
    let hub = home.start(&["--mode", "server", "--db", &db, "--http-addr", &address]);
    let url = format!("http://{address}");
    let client = home.start(&["--mode", "client", "--hub-url", &url]);
    Pair { hub: Some(hub), client, home, url }
}

impl Pair {
    fn call(&self, method: &str, params: &Value) -> Result<Value, hephd::error::Error> {
        self.client.client().call(method, params)
    }
}

#[test]
fn what_is_written_at_a_client_is_in_the_hub() {
    let pair = pair();
    let written = add_task(&mut pair.client.client(), "bread").unwrap();
    let id = json!({ "id": written["ids"][0] });
    let there: Value = pair.hub.as_ref().unwrap().client().call("node.get", &id).unwrap();
    assert_eq!(there["title"], "bread");
    assert_eq!(pair.call("node.get", &id).unwrap(), there);
    assert_eq!(
        pair.call("node.list", &json!({ "kind": "task" })).unwrap()["nodes"][0]["title"],
        "bread"
    );
    for method in ["link.list", "history", "conflicts.list"] {
        let there: Value = pair.hub.as_ref().unwrap().client().call(method, &id).unwrap();
        assert_eq!(pair.call(method, &id).unwrap(), there, "{method}");
    }
    // It keeps nothing of its own.
    assert!(!pair.home.path(".local/share/heph/heph.db").exists());
}

#[test]
fn a_client_says_what_it_is() {
    let pair = pair();
    let health = pair.call("health", &Value::Null).unwrap();
    let hubs: Value = pair.hub.as_ref().unwrap().client().call("health", &Value::Null).unwrap();
    assert_eq!((&health["mode"], &health["db"]), (&json!("client"), &json!("")));
    assert_ne!(health["instance"], hubs["instance"]);
    let status = pair.call("sync.status", &json!({})).unwrap();
    assert_eq!((&status["mode"], &status["equal"]), (&json!("client"), &json!(true)));
    assert_eq!(status["hub_url"], format!("{}/", pair.url));
    assert!(status["owner_id"].is_string());
}

#[test]
fn what_only_a_replica_can_do_is_refused_with_a_hint() {
    let pair = pair();
    let refused = pair.call("sync.now", &json!({})).unwrap_err();
    assert_eq!(refused.code.as_str(), "not_supported");
    assert!(refused.hint.contains("--mode local"), "{}", refused.hint);
    let refused = pair.call("snapshot", &json!({})).unwrap_err();
    assert!(refused.message.contains("no method"), "{}", refused.message);
    let refused = pair.call("node.get", &json!({ "id": 3 })).unwrap_err();
    assert_eq!(refused.code.as_str(), "usage");
}

#[test]
fn without_its_hub_a_client_says_so_and_recovers() {
    let mut pair = pair();
    assert_eq!(pair.hub.take().unwrap().stop(), 0);
    for method in ["node.list", "sync.status"] {
        let error = pair.call(method, &json!({})).unwrap_err();
        assert_eq!(error.code.as_str(), "hub_unreachable", "{method}: {}", error.message);
        assert!(error.message.contains(&pair.url), "{}", error.message);
    }
    assert_eq!(pair.call("health", &Value::Null).unwrap()["mode"], "client");
    let db = pair.home.path("hub/heph.db").display().to_string();
    let address = pair.url.trim_start_matches("http://").to_owned();
    pair.hub = Some(pair.home.start(&["--mode", "server", "--db", &db, "--http-addr", &address]));
    add_task(&mut pair.client.client(), "again").unwrap();
}

/// Something else answers at that address.
#[test]
fn what_is_no_hub_is_not_taken_for_one() {
    let home = Home::new();
    let squatter = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", squatter.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in squatter.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let page = "<html>please log in to this network</html>";
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
            let _ = stream.write_all(format!("{head} {}\r\n\r\n{page}", page.len()).as_bytes());
        }
    });
    let client = home.start(&["--mode", "client", "--hub-url", &url]);
    let error = client.client().call::<Value>("node.list", &json!({})).unwrap_err();
    assert_eq!(error.code.as_str(), "hub_unreachable", "{}", error.message);
}

#[test]
fn a_client_stops_well_and_two_at_one_socket_are_one_too_many() {
    let pair = pair();
    let output = pair.home.run(&["--mode", "client", "--hub-url", &pair.url]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("[store_in_use]"));
    assert_eq!(pair.client.stop(), 0);
    assert!(!pair.home.path(".local/share/heph/hephd.sock").exists());
}
