//! `POST /rpc`, `/config` and `/metrics` of a hub.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use hephd::{config::Rules, hub::door::Door, oidc::keys::Pace};
use serde_json::{Value, json};

use super::{
    running::{Home, free_port, get, post, wait_for},
    served::Served,
};

fn call(port: u16, method: &str, params: &Value) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let (status, head, answer) = post(port, "/rpc", &call.to_string());
    assert_eq!(status, 200, "{head} {answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
    answer
}

fn new_task(title: &str) -> Value {
    json!({ "changes": [{ "node": { "set": { "kind": "task", "title": title } } }] })
}

#[test]
fn a_task_is_written_and_read_over_http() {
    let hub = Served::plain();
    let written = call(hub.port, "node.write", &new_task("from a browser"));
    let id = written["result"]["ids"][0].as_str().unwrap();
    let node = call(hub.port, "node.get", &json!({ "id": id }));
    assert_eq!(node["result"]["title"], "from a browser");
    let events = call(hub.port, "history", &json!({ "id": id }));
    assert!(events["result"]["events"].as_array().is_some_and(|e| !e.is_empty()), "{events}");
    let conflicts = call(hub.port, "conflicts.list", &json!({}));
    assert_eq!(conflicts["result"]["conflicts"], json!([]), "{conflicts}");
    assert_eq!(call(hub.port, "sync.status", &json!({}))["result"]["mode"], "server");
    assert!(call(hub.port, "health", &Value::Null)["result"]["instance"].is_string());
}

/// What belongs to the machine stays at its socket.
#[test]
fn row_40_methods_that_are_not_for_everybody() {
    let hub = Served::plain();
    for method in [
        "snapshot",
        "sync.now",
        "auth.login",
        "auth.logout",
        "node.explode",
        "node.",
        "node",
        "",
        "conflicts",
        "health.",
        "Health",
        " health",
        "rpc.discover",
        "sync.status ",
    ] {
        let answer = call(hub.port, method, &json!({}));
        assert_eq!(answer["error"]["code"], -32601, "{method:?}: {answer}");
    }
}

#[test]
fn row_41_arguments_that_do_not_fit_name_the_field() {
    let hub = Served::plain();
    let cases = [
        ("node.write", json!({ "changes": 3 }), "changes"),
        ("node.write", json!({}), "changes"),
        ("node.write", json!({ "changes": [{ "node": { "set": 3 } }] }), "changes[0]"),
        ("node.get", json!({ "id": 7 }), "id"),
        ("node.get", json!({ "id": "../x" }), "id"),
        ("node.list", json!({ "kindd": "task" }), "kindd"),
        ("node.list", json!({ "deleted": "yes" }), "deleted"),
    ];
    for (method, params, field) in cases {
        let answer = call(hub.port, method, &params);
        assert_eq!(answer["error"]["code"], -32602, "{method}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(field), "{method} should name {field}: {message}");
    }
}

#[test]
fn what_is_no_call_is_told_so() {
    let hub = Served::plain();
    let cases = [
        json!([]),
        json!([{ "jsonrpc": "2.0", "id": 1, "method": "health" }]),
        json!("health"),
        json!({ "id": 1, "method": "health" }),
        json!({ "jsonrpc": "1.0", "id": 1, "method": "health" }),
        json!({ "jsonrpc": "2.0", "id": 1 }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": 3 }),
        json!({ "jsonrpc": "2.0", "id": {}, "method": "health" }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "health", "params": [1] }),
    ];
    for case in cases {
        let (status, _, answer) = post(hub.port, "/rpc", &case.to_string());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, &answer["error"]["code"]), (200, &json!(-32600)), "{case}: {answer}");
    }
    let batch = post(hub.port, "/rpc", "[]").2;
    assert!(batch.contains("a batch is not taken"), "{batch}");
    assert_eq!(post(hub.port, "/rpc", "{").0, 400);
}

/// Nobody waits for its outcome; it is done all the same.
#[test]
fn a_notification_is_obeyed_in_silence() {
    let hub = Served::plain();
    let notification =
        json!({ "jsonrpc": "2.0", "method": "node.write", "params": new_task("quiet") });
    let (status, _, body) = post(hub.port, "/rpc", &notification.to_string());
    assert_eq!((status, body.as_str()), (204, ""));
    let listed = call(hub.port, "node.list", &json!({ "kind": "task" }));
    assert!(listed.to_string().contains("quiet"), "{listed}");
}

/// A failure of the method is no failure of HTTP.
#[test]
fn what_a_method_refuses_travels_in_the_body() {
    let hub = Served::plain();
    let large = "x".repeat(2 << 20);
    let answer = call(hub.port, "node.write", &new_task(&large));
    assert_eq!(answer["error"]["data"]["code"], "value_too_large", "{answer}");
}

/// What is written at the hub wakes its devices like anything else: this one
/// would not ask by itself for an hour.
#[test]
fn a_write_over_http_wakes_a_device() {
    let home = Home::new();
    let address = format!("127.0.0.1:{}", free_port());
    let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let hub_db = home.folder("hub").join("heph.db").display().to_string();
    let _hub = home.start(&["--mode", "server", "--db", &hub_db, "--http-addr", &address]);
    let db = home.folder("device").join("heph.db").display().to_string();
    let (url, hour) = (format!("http://{address}"), "3600");
    let words = ["--mode", "local", "--db", &db, "--hub-url", &url, "--sync-interval-secs", hour];
    let device = home.start(&words);
    let mut client = device.client();
    client.call::<Value>("sync.now", &json!({})).unwrap();
    call(port, "node.write", &new_task("made at the hub"));
    wait_for("the device to hear of it", || {
        let listed: Value = client.call("node.list", &json!({ "kind": "task" })).unwrap();
        listed.to_string().contains("made at the hub")
    });
}

#[test]
fn config_says_what_there_is_and_null_for_what_is_not() {
    let hub = Served::plain();
    let read = |port| serde_json::from_str::<Value>(&get(port, "/config").2).unwrap();
    let wanted = json!({ "version": env!("CARGO_PKG_VERSION"), "protocol": 1,
        "issuer": null, "client_id": null });
    assert_eq!(read(hub.port), wanted);
    let rules = Rules {
        issuer: "https://id.example/application/o/heph/".to_owned(),
        audience: "heph".to_owned(),
    };
    let hub = Served::with(|hub| hub.behind(Door::new(rules, Pace::default()).unwrap()));
    let config = read(hub.port);
    assert_eq!(config["issuer"], "https://id.example/application/o/heph/");
    assert_eq!(config["client_id"], "heph");
}

/// The samples of a text, by name and labels; it must be right in every line.
fn samples(text: &str) -> std::collections::BTreeMap<String, f64> {
    let (body, end) = text.rsplit_once("# EOF").expect("an end");
    assert_eq!(end, "\n");
    let mut samples = std::collections::BTreeMap::new();
    let mut families: Vec<(String, String)> = Vec::new();
    for line in body.lines() {
        if let Some(described) = line.strip_prefix("# ") {
            let mut words = described.splitn(3, ' ');
            let (word, name, rest) =
                (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            assert!(matches!(word, "HELP" | "TYPE" | "UNIT"), "{line}");
            if word == "TYPE" {
                assert!(families.iter().all(|(known, _)| known != name), "twice: {line}");
                families.push((name.to_owned(), rest.to_owned()));
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a value");
        let bare = name.split('{').next().unwrap();
        assert!(bare.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        let (family, kind) = families.last().expect("a type comes first");
        let suffix = bare.strip_prefix(family.as_str()).expect("samples follow their type");
        let wanted = match kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        assert_eq!(suffix, wanted, "{line}");
        let known = samples.insert(name.to_owned(), value.parse().unwrap());
        assert!(known.is_none(), "twice: {line}");
    }
    samples
}

#[test]
fn metrics_count_what_happens() {
    let hub = Served::plain();
    let (status, head, text) = get(hub.port, "/metrics");
    assert!(status == 200 && head.contains("content-type: application/openmetrics-text"), "{head}");
    let before = samples(&text);
    assert!(before["heph_store_bytes"] > 0.0 && before["heph_start_time_seconds"] > 1e9);
    assert!(before.contains_key("heph_store_wal_bytes"));
    let build = format!("heph_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert!(before.contains_key(&build), "{text}");

    let heads: Value = serde_json::from_str(&get(hub.port, "/sync/heads").2).unwrap();
    let op = json!({ "op": "set", "id": "1764000000000-0000-00000000000000aa",
        "owner": heads["owner_id"], "node": "n", "field": "title", "value": "x", "seen": [] });
    let op = op.to_string();
    let hash = hephd::op::Hash::NONE.then(&op);
    let batch = format!(
        r#"{{"entries":[{{"origin":"00000000000000aa","seq":1,"hash":"{hash}","op":{op}}}]}}"#
    );
    for _ in 0..2 {
        assert_eq!(post(hub.port, "/sync/push", &batch).0, 200);
    }
    post(hub.port, "/sync/push", "{");
    get(hub.port, "/\"\\\n{}");
    get(hub.port, "/nothing/at/all");
    wait_for("the counts", || {
        let after = samples(&get(hub.port, "/metrics").2);
        let of = |name: &str| after.get(name).copied().unwrap_or(0.0);
        of("heph_http_requests_total{route=\"/sync/push\",status=\"200\"}") == 2.0
            && of("heph_http_requests_total{route=\"/sync/push\",status=\"400\"}") == 1.0
            && of("heph_http_requests_total{route=\"other\",status=\"404\"}") == 1.0
            && of("heph_entries_received_total") == 1.0
            && of("heph_ops_received_total") == 1.0
            && of("heph_http_connections") == 1.0
    });
}

/// Only what was asked for compressed is, and only where it is worth it.
#[test]
fn long_answers_travel_compressed_to_whoever_asks_for_it() {
    let hub = Served::plain();
    for n in 0..50 {
        call(hub.port, "node.write", &new_task(&format!("task number {n}")));
    }
    let ask = |path: &str, line: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{line}Connection: close\r\n\r\n");
        let mut stream = TcpStream::connect(("127.0.0.1", hub.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        (head.split("\r\n\r\n").next().unwrap().to_owned(), answer.len())
    };
    let (head, plain) = ask("/sync/pull", "");
    assert!(!head.contains("content-encoding"), "{head}");
    let (head, small) = ask("/sync/pull", "Accept-Encoding: gzip\r\n");
    assert!(head.contains("content-encoding: gzip") && head.contains("vary:"), "{head}");
    assert!(small * 2 < plain, "{small} of {plain}");
    let (head, _) = ask("/healthz", "Accept-Encoding: gzip\r\n");
    assert!(!head.contains("content-encoding"), "{head}");
}

/// A batch that is refused brings no origin, however often it comes.
#[test]
fn refused_origins_take_nobodys_place() {
    let hub = Served::plain();
    let entries = |count: u64, owner: &str| {
        let each = (0..count).map(|n| {
            let op =
                format!(r#"{{"op":"note","id":"1764000000001-0000-{n:016x}","owner":"{owner}"}}"#);
            let hash = hephd::op::Hash::NONE.then(&op);
            format!(r#"{{"origin":"{n:016x}","seq":1,"hash":"{hash}","op":{op}}}"#)
        });
        format!(r#"{{"entries":[{}]}}"#, each.collect::<Vec<_>>().join(","))
    };
    let heads: Value = serde_json::from_str(&get(hub.port, "/sync/heads").2).unwrap();
    let owner = heads["owner_id"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(post(hub.port, "/sync/push", &entries(4_000, "somebody-else")).0, 409);
    }
    assert_eq!(post(hub.port, "/sync/push", &entries(4_000, owner)).0, 200);
    assert_eq!(post(hub.port, "/sync/push", &entries(4_000, owner)).0, 200, "they are known");
    let (status, head, body) = post(hub.port, "/sync/push", &entries(4_097, owner));
    assert!(status == 429 && head.contains("retry-after: "), "{head}");
    assert!(body.contains("too_many_origins"), "{body}");
}
