//! The catalogue of bad inputs, by number: requests that a hub refuses. Each
//! gets its status and a reason; the hub goes on, and nothing has moved.

use serde_json::{Value, json};

use super::running::{Home, Running, add_task, free_port, get, http, post};

struct Hub {
    running: Running,
    port: u16,
    owner: String,
    _home: Home,
}

fn hub() -> Hub {
    let home = Home::new();
    let (db, port) = (home.folder("hub").join("heph.db").display().to_string(), free_port());
    let running =
        home.start(&["--mode", "server", "--db", &db, "--http-addr", &format!("127.0.0.1:{port}")]);
    add_task(&mut running.client(), "there before").unwrap();
    let heads: Value = serde_json::from_str(&get(port, "/sync/heads").2).unwrap();
    let owner = heads["owner_id"].as_str().unwrap().to_owned();
    Hub { running, port, owner, _home: home }
}

impl Hub {
    fn heads(&self) -> Value {
        let body: Value = serde_json::from_str(&get(self.port, "/sync/heads").2).unwrap();
        body["heads"].clone()
    }

    fn unknown_ops(&self) -> Value {
        let status: Value = self.running.client().call("sync.status", &Value::Null).unwrap();
        status["unknown_ops"].clone()
    }

    /// A batch of one entry, with the hash that it should have.
    fn batch(&self, op: &str) -> String {
        let hash = hephd::op::Hash::NONE.then(op);
        format!(
            r#"{{"entries":[{{"origin":"00000000000000aa","seq":1,"hash":"{hash}","op":{op}}}]}}"#
        )
    }

    fn op(&self, more: &Value) -> String {
        let mut op = json!({ "op": "set", "id": "1764000000000-0000-00000000000000aa",
            "owner": self.owner, "node": "n1", "field": "title", "value": "x", "seen": [] });
        op.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        op.to_string()
    }

    #[track_caller]
    fn refuses(&self, body: &str, status: u16, code: &str) {
        let before = self.heads();
        let (got, _, answer) = post(self.port, "/sync/push", body);
        let shown: String = body.chars().take(120).collect();
        assert_eq!(got, status, "{shown}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["error"]["code"], code, "{shown}: {answer}");
        assert_eq!(self.heads(), before, "{shown}: nothing moved");
    }
}

#[test]
fn row_32_row_33_and_row_34_bodies_that_cannot_be_read() {
    let hub = hub();
    hub.refuses("{", 400, "bad_request");
    hub.refuses("{\"entries\":[]} and more", 400, "bad_request");
    hub.refuses(&"[".repeat(10_000), 400, "bad_request");
    hub.refuses("{\"entries\":[],\"entries\":[]}", 400, "bad_request");
    hub.refuses("", 400, "bad_request");
}

#[test]
fn row_37_a_body_over_the_limit_is_told_the_limit() {
    let hub = hub();
    let body = format!("{{\"entries\":[],\"padding\":\"{}\"}}", "x".repeat(9 << 20));
    let (status, _, answer) = post(hub.port, "/sync/push", &body);
    // The hub may close the connection before it has read everything.
    assert!(status == 413 || status == 0, "{status} {answer}");
    let declared =
        "POST /sync/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n";
    let (status, _, answer) = http(hub.port, declared.as_bytes());
    assert_eq!(status, 413, "{answer}");
    assert!(answer.contains("\"limit\":8388608"), "{answer}");
}

/// One more than a batch may have. Nothing else about them is looked at: a
/// device has to learn that it should send fewer, whatever they are.
#[test]
fn row_37_a_batch_of_too_many_entries_is_told_how_many() {
    let hub = hub();
    let entry = |seq: u64| {
        let (origin, hash) = ("00000000000000aa", hephd::op::Hash::NONE);
        format!(r#"{{"origin":"{origin}","seq":{seq},"hash":"{hash}","op":{{}}}}"#)
    };
    let batch = |count: u64| {
        format!(r#"{{"entries":[{}]}}"#, (1..=count).map(entry).collect::<Vec<_>>().join(","))
    };
    hub.refuses(&batch(5_001), 413, "too_large");
    let answer: Value =
        serde_json::from_str(&post(hub.port, "/sync/push", &batch(5_001)).2).unwrap();
    assert_eq!(answer["limit"], 5_000, "{answer}");
    assert_ne!(post(hub.port, "/sync/push", &batch(5_000)).0, 413);
}

#[test]
fn row_42_a_cursor_that_is_none_and_one_that_is_ahead() {
    let hub = hub();
    for bad in ["!", "AAAA", "%ff"] {
        assert_eq!(get(hub.port, &format!("/sync/pull?after={bad}")).0, 400, "{bad}");
    }
    let (status, _, answer) = get(hub.port, "/sync/pull?after=AAAAAAAAAKr_____fw");
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn row_43_an_op_of_an_unknown_kind_is_stored_counted_and_passed_on() {
    let hub = hub();
    assert_eq!(hub.unknown_ops(), 0);
    let op = hub.op(&json!({ "op": "rewind", "whatever": [1, 2, { "deep": true }] }));
    for _ in 0..2 {
        assert_eq!(post(hub.port, "/sync/push", &hub.batch(&op)).0, 200);
        assert_eq!(hub.unknown_ops(), 1);
    }
    assert!(get(hub.port, "/sync/pull").2.contains("\"rewind\""));
}

#[test]
fn row_44_row_45_and_row_46_ops_that_are_not_right() {
    let hub = hub();
    hub.refuses(&hub.batch(&hub.op(&json!({ "id": "yesterday" }))), 422, "malformed");
    hub.refuses(&hub.batch(&hub.op(&json!({ "id": "" }))), 422, "malformed");
    hub.refuses(&hub.batch(&hub.op(&json!({ "owner": "somebody-else" }))), 409, "owner_mismatch");
    let right = hub.batch(&hub.op(&json!({})));
    let wrong = right.replace("\"seq\":1", "\"seq\":2");
    hub.refuses(&wrong, 409, "not_next");
    hub.refuses(
        &right.replace("\"hash\":\"", "\"hash\":\"00").replacen("00", "", 0),
        400,
        "bad_request",
    );

    // One from 2099 is taken: no op is refused for its clock.
    let late = hub.op(&json!({ "id": "4070908800000-0000-00000000000000aa" }));
    assert_eq!(post(hub.port, "/sync/push", &hub.batch(&late)).0, 200);
    // Pushed again it is harmless; the place with another op is not next.
    assert_eq!(post(hub.port, "/sync/push", &hub.batch(&late)).0, 200);
    hub.refuses(&hub.batch(&hub.op(&json!({}))), 409, "not_next");
    // The same id with other bytes, in another chain, is told.
    let other = hub.op(&json!({ "id": "4070908800000-0000-00000000000000aa", "value": "y" }));
    let other =
        hub.batch(&other).replace("00000000000000aa\",\"seq\"", "00000000000000bb\",\"seq\"");
    hub.refuses(&other, 409, "id_reused");
}

#[test]
fn row_48_and_row_50_paths_and_methods_that_there_are_not() {
    let hub = hub();
    for path in ["/nothing", "/../etc/passwd", "/%2e%2e/etc/passwd", "/%00", "/sync/../healthz"] {
        assert_eq!(get(hub.port, path).0, 404, "{path}");
    }
    let (status, head, _) = get(hub.port, "/sync/push");
    assert!(status == 405 && head.contains("allow: post"), "{head}");
}

#[test]
fn row_40_and_row_41_calls_at_the_socket_that_make_no_sense() {
    use std::io::{BufRead, BufReader, Write};
    let hub = hub();
    let mut stream = std::os::unix::net::UnixStream::connect(&hub.running.socket).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let cases = [
        ("nonsense", -32700),
        (r#"{"id":1,"method":"node.explode"}"#, -32601),
        (r#"{"id":1,"method":"node.write","params":{"changes":3}}"#, -32602),
        (r#"{"id":1,"method":"node.get","params":{"id":"../x"}}"#, -32602),
        (r#"{"id":1,"method":"node.list","params":{"kindd":"task"}}"#, -32602),
    ];
    for (line, code) in cases {
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["error"]["code"], code, "{line}: {answer}");
    }
}

#[test]
fn questions_about_a_chain_that_make_no_sense_are_answered() {
    let hub = hub();
    let asked = |query: &str| get(hub.port, &format!("/sync/chain?{query}"));
    for bad in ["", "origin=x&at=1", "origin=00000000000000aa", "origin=00000000000000aa&at=one"] {
        assert_eq!(asked(bad).0, 400, "{bad}");
    }
    for none in ["0", "7", "18446744073709551615", "9223372036854775808"] {
        let (status, _, body) = asked(&format!("origin=00000000000000aa&at={none}"));
        assert!(status == 200 || status == 400, "{none}: {status} {body}");
    }
}

/// Every refusal has the one form, also those that the router makes.
#[test]
fn every_refusal_says_why_in_json() {
    let hub = hub();
    let refusals = [
        get(hub.port, "/nothing"),
        get(hub.port, "/sync/push"),
        get(hub.port, "/sync/pull?after=!"),
        get(hub.port, "/sync/pull?limit=many"),
        post(hub.port, "/sync/heads", "{}"),
        post(hub.port, "/sync/push", "{"),
    ];
    for (status, head, body) in refusals {
        let read: Value = serde_json::from_str(&body).unwrap_or_default();
        assert!(read["error"]["code"].is_string(), "{status} {head} {body:?}");
        assert!(read["error"]["message"].is_string(), "{status} {head} {body:?}");
    }
}
