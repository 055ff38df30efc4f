//! The catalogue of bad inputs, by number: requests whose form is wrong, or
//! lies. Bytes are written by hand, as no client would send them.

use std::io::Write;

use serde_json::{Value, json};

use super::{
    running::{DEADLINE, get, http, post},
    served::Served,
};

/// A hub, and what must stay as it is.
struct Hub {
    hub: Served,
    owner: String,
}

impl Hub {
    fn new() -> Self {
        let hub = Served::plain();
        let heads: Value = serde_json::from_str(&get(hub.port, "/sync/heads").2).unwrap();
        Self { owner: heads["owner_id"].as_str().unwrap().to_owned(), hub }
    }

    fn heads(&self) -> Value {
        let body: Value = serde_json::from_str(&get(self.hub.port, "/sync/heads").2).unwrap();
        body["heads"].clone()
    }

    /// A batch of one op whose bytes are given.
    fn batch(op: &str) -> String {
        let hash = hephd::op::Hash::NONE.then(op);
        format!(
            r#"{{"entries":[{{"origin":"00000000000000aa","seq":1,"hash":"{hash}","op":{op}}}]}}"#
        )
    }

    /// An op with a value, written out as it is.
    fn op(&self, value: &str) -> String {
        let owner = &self.owner;
        format!(
            r#"{{"op":"set","id":"1764000000000-0000-00000000000000aa","owner":"{owner}","node":"n1","field":"title","value":{value},"seen":[]}}"#
        )
    }

    /// A request with these lines beside the usual ones.
    fn push_with(&self, lines: &str, body: &str) -> (u16, String, String) {
        let request = format!(
            "POST /sync/push HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n{body}"
        );
        http(self.hub.port, request.as_bytes())
    }

    #[track_caller]
    fn refuses(&self, answer: &(u16, String, String), wanted: &[u16]) {
        assert!(wanted.contains(&answer.0), "{answer:?}");
        assert_eq!(self.heads(), json!({}), "nothing moved");
    }
}

const JSON: &str = "Content-Type: application/json\r\n";
const EMPTY: &str = "{\"entries\":[]}";

#[test]
fn row_27_two_of_a_header_that_must_be_one() {
    let hub = Hub::new();
    for two in [
        "Host: localhost\r\nAuthorization: Bearer a\r\nAuthorization: Bearer a\r\n",
        "Host: localhost\r\nContent-Type: application/json\r\nContent-Type: text/html\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
    ] {
        let request = format!("GET /sync/heads HTTP/1.1\r\n{two}\r\n");
        let (status, head, body) = http(hub.hub.port, request.as_bytes());
        assert_eq!(status, 400, "{two}: {head}");
        assert!(head.contains("connection: close") && body.contains("two of the header"), "{head}");
    }
}

#[test]
fn row_30_a_token_of_more_than_8_kib() {
    let hub = Hub::new();
    for (len, wanted) in [(8_000, 200), (8_193, 431), (60_000, 431)] {
        let token = format!("Authorization: Bearer {}\r\n", "x".repeat(len));
        let request = format!(
            "GET /sync/heads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}\r\n"
        );
        let (status, head, body) = http(hub.hub.port, request.as_bytes());
        assert_eq!(status, wanted, "{len}: {head}");
        assert!(status == 200 || body.contains("head_too_large"), "{body}");
    }
    // Many small ones are no way around it.
    let many: String = (0..90).map(|n| format!("X-{n}: {}\r\n", "x".repeat(300))).collect();
    let request =
        format!("GET /sync/heads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{many}\r\n");
    assert_eq!(http(hub.hub.port, request.as_bytes()).0, 431);
}

/// A cursor of thousands of origins travels in the first line.
#[test]
fn a_long_cursor_is_no_large_head() {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let bytes: Vec<u8> =
        (0..4_096_u64).flat_map(|n| [&n.to_be_bytes()[..], &[1]].concat()).collect();
    let cursor = BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let hub = Hub::new();
    let (status, head, _) = get(hub.hub.port, &format!("/sync/pull?limit=1000&after={cursor}"));
    assert_eq!(status, 200, "{head}");
}

#[test]
fn row_32_the_place_where_a_body_goes_wrong_is_named() {
    let hub = Hub::new();
    for (body, offset) in [("{\"entries\":[]} {}", 15), ("{\"entries\":[},", 12), ("", 0)] {
        let (status, _, answer) = post(hub.hub.port, "/sync/push", body);
        assert_eq!(status, 400, "{answer}");
        let read: Value = serde_json::from_str(&answer).unwrap();
        let message = read["error"]["message"].as_str().unwrap();
        let named = message.rsplit_once("at offset ").unwrap().1.parse::<usize>().unwrap();
        assert!(named.abs_diff(offset) <= 1, "{body}: {message}");
    }
}

/// Also inside an op, whose bytes are otherwise kept as they came.
#[test]
fn row_33_an_op_ten_thousand_levels_deep() {
    let hub = Hub::new();
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [61, 128, 10_000, 1_000_000] {
        let batch = Hub::batch(&hub.op(&deep(depth)));
        hub.refuses(&post(hub.hub.port, "/sync/push", &batch), &[400]);
    }
    let batch = Hub::batch(&hub.op(&deep(60)));
    assert_eq!(post(hub.hub.port, "/sync/push", &batch).0, 200);
}

#[test]
fn row_34_two_equal_keys_anywhere() {
    let hub = Hub::new();
    for op in [
        hub.op("{\"a\":1,\"a\":2}"),
        hub.op("{\"a\":1,\"\\u0061\":2}"),
        hub.op("1").replace("\"seen\"", "\"value\":2,\"seen\""),
        hub.op("1").replace("\"seen\"", "\"extra\":1,\"extra\":2,\"seen\""),
    ] {
        hub.refuses(&post(hub.hub.port, "/sync/push", &Hub::batch(&op)), &[400]);
    }
}

#[test]
fn row_35_and_row_36_bodies_of_another_kind() {
    let hub = Hub::new();
    let len = format!("Content-Length: {}\r\n", EMPTY.len());
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: application/jsonx\r\n"] {
        hub.refuses(&hub.push_with(&format!("{kind}{len}"), EMPTY), &[415]);
    }
    for coding in ["gzip", "br", "deflate", "identity, gzip", "zstd", "GZIP"] {
        let lines = format!("{JSON}Content-Encoding: {coding}\r\n{len}");
        hub.refuses(&hub.push_with(&lines, EMPTY), &[415]);
    }
    let lines = format!("Content-Type: Application/JSON; charset=utf-8\r\n{len}");
    assert_eq!(hub.push_with(&lines, EMPTY).0, 200);
}

#[test]
fn row_37_a_gibibyte_in_chunks() {
    let hub = Hub::new();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", hub.hub.port)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    let head = format!(
        "POST /sync/push HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    let taken = (0..1024).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    assert!(taken < 64, "{taken} MiB were taken");
    assert_eq!(get(hub.hub.port, "/healthz").0, 200);
}

#[test]
fn row_38_a_content_length_that_lies_or_is_not_there() {
    let hub = Hub::new();
    hub.refuses(&hub.push_with(JSON, EMPTY), &[400]);
    let short = EMPTY.len() - 4;
    hub.refuses(&hub.push_with(&format!("{JSON}Content-Length: {short}\r\n"), EMPTY), &[400]);
    for lie in ["-1", "1e3", "0x10", "14, 15", "99999999999999999999", " ", "+14"] {
        hub.refuses(
            &hub.push_with(&format!("{JSON}Content-Length: {lie}\r\n"), EMPTY),
            &[400, 413],
        );
    }
    let two = format!("{JSON}Content-Length: 14\r\nContent-Length: 15\r\n");
    hub.refuses(&hub.push_with(&two, EMPTY), &[400]);
    // The rest never comes, and the connection ends: nobody is left to answer.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", hub.hub.port)).unwrap();
    let head =
        format!("POST /sync/push HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 99\r\n");
    stream.write_all(format!("{head}\r\n{EMPTY}").as_bytes()).unwrap();
    drop(stream);
    assert_eq!(hub.heads(), json!({}));
}

/// As chunks the body would be right; what follows must not be taken for a
/// second request.
#[test]
fn row_39_content_length_and_chunks_at_once() {
    let hub = Hub::new();
    let inner = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let chunked = format!("{:x}\r\n{EMPTY}\r\n0\r\n\r\n{inner}", EMPTY.len());
    for lines in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", chunked.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", chunked.len()),
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\nContent-Length: 4\r\n".to_owned(),
        "Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n".to_owned(),
    ] {
        let request =
            format!("POST /sync/push HTTP/1.1\r\nHost: localhost\r\n{JSON}{lines}\r\n{chunked}");
        let (status, head, body) = http(hub.hub.port, request.as_bytes());
        assert_eq!(status, 400, "{lines}: {head}");
        assert!(!body.contains("HTTP/1.1"), "{lines}: two answers: {body}");
    }
    for head in [
        "POST /sync/push HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX\u{a0}: folded\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n folded: yes\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: 127.0.0.1\r\n",
        "GET /healthz HTTP/3.9\r\nHost: localhost\r\n",
        "GET  /healthz\r\nHost: localhost\r\n",
        "GET /heal\0thz HTTP/1.1\r\nHost: localhost\r\n",
    ] {
        let (status, ..) = http(hub.hub.port, format!("{head}\r\n").as_bytes());
        assert_eq!(status, 400, "{head:?}");
    }
}

#[test]
fn row_44_and_row_45_ids_and_owners_that_are_not_right() {
    let hub = Hub::new();
    let id = "1764000000000-0000-00000000000000aa";
    for bad in
        ["", "x", "1764000000000-0000-00000000000000AA", "1764000000000-0000-00000000000000a"]
    {
        let op = hub.op("1").replace(id, bad);
        hub.refuses(&post(hub.hub.port, "/sync/push", &Hub::batch(&op)), &[422]);
    }
    for bad in ["1", "null", "[]", "{}"] {
        let op = hub.op("1").replace(&format!("\"{id}\""), bad);
        hub.refuses(&post(hub.hub.port, "/sync/push", &Hub::batch(&op)), &[422]);
    }
    let op = hub.op("1").replace(&hub.owner, "somebody-else");
    hub.refuses(&post(hub.hub.port, "/sync/push", &Hub::batch(&op)), &[409]);
    let op = hub.op("1").replace(id, "4070908800000-0000-00000000000000aa");
    assert_eq!(post(hub.hub.port, "/sync/push", &Hub::batch(&op)).0, 200, "2099 is taken");
}

/// What is taken comes back byte for byte.
#[test]
fn row_47_texts_at_the_edge_of_what_a_text_is() {
    let mebibyte = format!("\"{}\"", "x".repeat((1 << 20) - 300));
    for value in [
        "\"\\u0000\"",
        "\"a\\u0000b\"",
        "\"\u{202e}txt.exe\u{2066}\u{200f}\"",
        "\"\\ud83d\\ude00 and \u{1f600}\"",
        "\"\u{feff}\u{fffe}\u{ffff}\u{10ffff}\"",
        "\"\\u2028\\u2029\\/\"",
        "-0.0",
        "1E2",
        "0.1000000000000000055511151231257827021181583404541015625",
        "18446744073709551616",
        &mebibyte,
    ] {
        let hub = Hub::new();
        let op = hub.op(value);
        let shown: String = value.chars().take(40).collect();
        let (status, _, answer) = post(hub.hub.port, "/sync/push", &Hub::batch(&op));
        assert_eq!(status, 200, "{shown}: {answer}");
        assert!(get(hub.hub.port, "/sync/pull").2.contains(&op), "{shown} came back otherwise");
    }
    let hub = Hub::new();
    let larger = format!("\"{}\"", "x".repeat(1 << 20));
    for value in ["\"\\ud800\"", "\"\\udc00\\ud800\"", "1e400", &larger] {
        hub.refuses(&post(hub.hub.port, "/sync/push", &Hub::batch(&hub.op(value))), &[422]);
    }
    for value in ["\"\u{0}\"", "\"\n\"", "NaN", "01", "\"\\x41\"", "'x'"] {
        hub.refuses(&post(hub.hub.port, "/sync/push", &Hub::batch(&hub.op(value))), &[400]);
    }
    let latin = Hub::batch(&hub.op("\"?\"")).into_bytes();
    let latin: Vec<u8> = latin.iter().map(|b| if *b == b'?' { 0xe9 } else { *b }).collect();
    let head = format!(
        "POST /sync/push HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{JSON}Content-Length: {}\r\n\r\n",
        latin.len()
    );
    hub.refuses(&http(hub.hub.port, &[head.as_bytes(), &latin].concat()), &[400]);
}

#[test]
fn row_49_options_on_any_path() {
    let hub = Hub::new();
    for path in ["/", "/sync/push", "/rpc", "/nowhere/at/all", "*"] {
        let request =
            format!("OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let (status, head, body) = http(hub.hub.port, request.as_bytes());
        assert_eq!((status, body.as_str()), (204, ""), "{path}: {head}");
        assert!(!head.contains("credentials") && !head.contains("allow-origin"), "{head}");
    }
}

#[test]
fn row_50_methods_that_a_path_does_not_take() {
    let hub = Hub::new();
    let cases = [
        ("GET", "/sync/push", "post"),
        ("PUT", "/sync/push", "post"),
        ("DELETE", "/sync/heads", "get,head"),
        ("POST", "/config", "get,head"),
        ("GET", "/rpc", "post"),
        ("BREW", "/metrics", "get,head"),
    ];
    for (method, path, allow) in cases {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let (status, head, body) = http(hub.hub.port, request.as_bytes());
        assert_eq!(status, 405, "{method} {path}: {head}");
        assert!(head.contains(&format!("allow: {allow}\r\n")), "{method} {path}: {head}");
        assert!(body.contains("method_not_allowed"), "{body}");
    }
}

#[test]
fn row_51_hosts_that_are_not_this_machine() {
    let hub = Hub::new();
    let ask = |line: &str, host: &str| {
        let request = format!("GET {line} HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        http(hub.hub.port, request.as_bytes()).0
    };
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"] {
        assert_eq!(ask("/sync/heads", &format!("Host: {host}\r\n")), 403, "{host}");
        assert_eq!(
            ask(&format!("http://{host}/sync/heads"), "Host: localhost\r\n"),
            403,
            "{host} in the first line"
        );
    }
    assert_eq!(ask("/sync/heads", ""), 403, "none at all");
    assert_eq!(ask("/sync/heads", "Host: localhost\r\nOrigin: https://evil.example\r\n"), 403);
    assert_eq!(ask("http://localhost/sync/heads", "Host: localhost\r\n"), 200);
}
