//! docs/reference/openapi.yaml says what the hub does: each of its routes is
//! there, and what it really answers fits what is said.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    running::{DEADLINE, get, http, post},
    served::Served,
};

const DOCUMENT: &str = include_str!("../../../docs/reference/openapi.yaml");
const ROUTES: &str = include_str!("../../src/hub/mod.rs");

fn document() -> Value {
    serde_saphyr::from_str(DOCUMENT).unwrap()
}

/// `get /sync/heads` and so on, as the document has them.
fn documented(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
    });
    each.collect()
}

/// The same, as the router has them.
fn routed() -> BTreeSet<String> {
    let lines = ROUTES.lines().filter_map(|line| line.trim().strip_prefix(".route(\""));
    let each = lines.map(|line| {
        let (path, rest) = line.split_once("\", ").unwrap();
        format!("{} {path}", rest.split('(').next().unwrap())
    });
    each.collect()
}

#[test]
fn every_route_is_documented_and_nothing_else() {
    let routed = routed();
    assert!(routed.len() >= 10, "{routed:?}");
    assert_eq!(documented(&document()), routed);
}

#[test]
fn it_is_the_version_that_is_built() {
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// Checks answers against the document, and remembers which were seen.
struct Checked {
    document: Value,
    hub: Served,
    seen: BTreeSet<String>,
}

impl Checked {
    #[track_caller]
    fn answer(&mut self, operation: &str, status: u16, answer: &(u16, String, String)) {
        let (got, head, body) = answer;
        assert_eq!(*got, status, "{operation}: {head} {body}");
        let (method, path) = operation.split_once(' ').unwrap();
        let mut said = &self.document["paths"][path][method]["responses"][status.to_string()];
        if let Some(shared) = said["$ref"].as_str() {
            said = self.document.pointer(shared.trim_start_matches('#')).unwrap();
        }
        assert!(said.is_object(), "{operation} {status} is not documented");
        self.seen.insert(format!("{operation} {status}"));
        let Some(kinds) = said["content"].as_object() else {
            assert_eq!(body, "", "{operation} {status} should have no body");
            return;
        };
        let (kind, content) = kinds.iter().next().unwrap();
        assert!(head.contains(&format!("content-type: {kind}")), "{operation} {status}: {head}");
        let body = match kind.as_str() {
            "application/json" => serde_json::from_str(body).unwrap(),
            _ => Value::String(body.clone()),
        };
        let schema =
            json!({ "components": self.document["components"], "allOf": [content["schema"]] });
        let schema = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let wrong: Vec<String> = schema.iter_errors(&body).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{operation} {status}: {wrong:?} in {body}");
    }

    #[track_caller]
    fn get(&mut self, path: &str, status: u16, query: &str) {
        let answer = get(self.hub.port, &format!("{path}{query}"));
        self.answer(&format!("get {path}"), status, &answer);
    }

    #[track_caller]
    fn post(&mut self, path: &str, status: u16, body: &str) -> Value {
        let answer = post(self.hub.port, path, body);
        self.answer(&format!("post {path}"), status, &answer);
        serde_json::from_str(&answer.2).unwrap_or_default()
    }

    /// A request whose head is not as usual.
    #[track_caller]
    fn with(&mut self, method: &str, path: &str, status: u16, lines: &str, body: &str) {
        let request = format!(
            "{} {path} HTTP/1.1\r\nConnection: close\r\n{lines}\r\n{body}",
            method.to_ascii_uppercase()
        );
        let answer = http(self.hub.port, request.as_bytes());
        self.answer(&format!("{method} {path}"), status, &answer);
    }
}

/// One entry of each of so many new origins.
fn crowd(owner: &str, origins: u64) -> String {
    let entries = (0..origins).map(|n| {
        let op = format!(
            r#"{{"op":"set","id":"1764000000001-0000-{n:016x}","owner":"{owner}","node":"n","field":"title","value":{n},"seen":[]}}"#
        );
        let hash = hephd::op::Hash::NONE.then(&op);
        format!(r#"{{"origin":"{n:016x}","seq":1,"hash":"{hash}","op":{op}}}"#)
    });
    format!(r#"{{"entries":[{}]}}"#, entries.collect::<Vec<_>>().join(","))
}

fn batch(owner: &str, id: &str, value: &str, origin: &str) -> String {
    let op = json!({ "op": "set", "id": id, "owner": owner, "node": "n", "field": "title",
        "value": value, "seen": [] });
    let op = op.to_string();
    let hash = hephd::op::Hash::NONE.then(&op);
    format!(r#"{{"entries":[{{"origin":"{origin}","seq":1,"hash":"{hash}","op":{op}}}]}}"#)
}

const ID: &str = "1764000000000-0000-00000000000000aa";
const A: &str = "00000000000000aa";
const B: &str = "00000000000000bb";
const HOST: &str = "Host: localhost\r\n";

#[test]
fn what_the_hub_answers_is_what_is_documented() {
    let hub = Served::with(|mut hub| {
        hub.limits.body = DEADLINE / 40;
        hub
    });
    let mut checked = Checked { document: document(), hub, seen: BTreeSet::new() };
    for path in ["/healthz", "/readyz", "/config", "/metrics", "/sync/heads"] {
        checked.get(path, 200, "");
        checked.with("get", path, 403, "Host: evil.example\r\n", "");
        let token = format!("{HOST}Authorization: Bearer {}\r\n", "x".repeat(9_000));
        checked.with("get", path, 431, &token, "");
    }
    checked.get("/sync/pull", 200, "?limit=1");
    checked.get("/sync/pull", 400, "?after=!");
    checked.get("/sync/pull", 400, "?limit=-1");
    checked.get("/sync/chain", 200, &format!("?origin={A}&at=0,1,2"));
    checked.get("/sync/chain", 400, "?origin=x&at=1");
    checked.with("get", "/sync/heads", 400, "Host: localhost\r\nHost: localhost\r\n", "");
    calls(&mut checked);
    pushes(&mut checked);
    let digest = hephd::op::Hash::of("not it");
    checked.with("get", "/sync/heads", 200, &format!("{HOST}If-None-Match: \"{digest}\"\r\n"), "");
    let tag = get(checked.hub.port, "/sync/heads").1;
    let tag = tag.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    checked.with("get", "/sync/heads", 304, &format!("{HOST}If-None-Match: {tag}\r\n"), "");
    assert!(checked.seen.len() > 30, "{:?}", checked.seen);
}

fn calls(checked: &mut Checked) {
    let call = |method: &str, params: &Value| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
    };
    let set = json!({ "changes": [{ "node": { "set": { "kind": "task", "title": "x" } } }] });
    for body in [
        call("node.write", &set),
        call("node.list", &json!({})),
        call("node.get", &json!({ "id": 3 })),
        call("snapshot", &json!({})),
        "[]".to_owned(),
    ] {
        checked.post("/rpc", 200, &body);
    }
    checked.post("/rpc", 204, r#"{"jsonrpc":"2.0","method":"health"}"#);
    checked.post("/sync/pull", 200, r#"{"after":"","limit":1}"#);
    for path in ["/rpc", "/sync/push", "/sync/pull"] {
        checked.post(path, 400, "{");
        checked.post(path, 413, &"x".repeat(9 << 20));
        checked.post(path, 422, r#"{"method":"\ud800"}"#);
        let lines = format!("{HOST}Content-Type: text/plain\r\nContent-Length: 2\r\n");
        checked.with("post", path, 415, &lines, "{}");
        checked.with("post", path, 403, "Host: evil.example\r\nContent-Length: 2\r\n", "{}");
        let slow = format!("{HOST}Content-Type: application/json\r\nContent-Length: 9\r\n");
        checked.with("post", path, 408, &slow, "{");
    }
}

fn pushes(checked: &mut Checked) {
    let heads: Value = serde_json::from_str(&get(checked.hub.port, "/sync/heads").2).unwrap();
    let owner = heads["owner_id"].as_str().unwrap().to_owned();
    let entry = format!(r#"{{"origin":"{A}","seq":1,"hash":"{}","op":{{}}}}"#, "0".repeat(64));
    let told = format!(r#"{{"entries":[{}]}}"#, vec![entry; 5_001].join(","));
    assert_eq!(checked.post("/sync/push", 413, &told)["limit"], 5_000);
    checked.post("/sync/push", 429, &crowd(&owner, 4_097));
    checked.post("/sync/push", 200, &batch(&owner, ID, "x", A));
    checked.post("/sync/push", 422, &batch(&owner, "yesterday", "x", B));
    let told = checked.post("/sync/push", 409, &batch(&owner, ID, "y", A));
    assert_eq!(told["error"]["code"], "not_next");
    assert_eq!(told["head"]["seq"], 1);
    let told = checked.post("/sync/push", 409, &batch(&owner, ID, "y", B));
    assert_eq!(told["error"]["code"], "id_reused");
    let told = checked.post("/sync/push", 409, &batch("somebody", ID, "y", B));
    assert_eq!(told["error"]["code"], "owner_mismatch");
    checked.get("/sync/pull", 200, "");
    checked.get("/sync/chain", 200, &format!("?origin={A}&at=0,1,2"));
}

/// A document that allowed anything would fit anything.
#[test]
fn an_answer_that_is_not_documented_is_seen() {
    let mut checked = Checked { document: document(), hub: Served::plain(), seen: BTreeSet::new() };
    let head = "content-type: application/json".to_owned();
    for (operation, status, body) in [
        ("get /healthz", 200, json!({ "status": "fine", "instance": "x" })),
        ("get /config", 200, json!({ "version": "0.1.0", "protocol": 1, "issuer": null })),
        ("get /sync/heads", 200, json!({ "heads": {} })),
        ("post /sync/push", 409, json!({ "error": "not_next" })),
        ("post /rpc", 200, json!({ "jsonrpc": "2.0", "id": 1, "result": 1, "error": {} })),
        ("get /healthz", 500, json!({ "error": { "code": "x", "message": "x" } })),
    ] {
        let answer = (status, head.clone(), body.to_string());
        let judged = std::panic::AssertUnwindSafe(|| checked.answer(operation, status, &answer));
        assert!(std::panic::catch_unwind(judged).is_err(), "{operation} {status} {body}");
    }
}
