//! A hub's connections: slow peers are ended, crowds turned away, honest
//! requests served all the while, and nothing that is in flight is lost when
//! it stops.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

use hephd::hub::{Hub, limits::Limits};

use super::{
    answer,
    own_network::own_address,
    running::{DEADLINE, get, http, post, wait_for},
    served::Served,
};

const SHORT: Duration = Duration::from_millis(300);

/// Longer than [`SHORT`] by enough to tell the two apart on a busy machine.
const LONG: Duration = Duration::from_secs(8);

fn limited(change: impl FnOnce(&mut Limits)) -> Served {
    Served::with(|mut hub: Hub| {
        let long = Limits { head: LONG, body: LONG, idle: LONG, stalled: LONG, ..hub.limits };
        hub.limits = Limits { linger: SHORT, ..long };
        change(&mut hub.limits);
        hub
    })
}

fn connect(hub: &Served) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", hub.port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What comes until the hub closes, and how long that took.
fn until_closed(mut stream: TcpStream) -> (String, Duration) {
    let (begun, mut came) = (Instant::now(), Vec::new());
    let _ = stream.read_to_end(&mut came);
    (String::from_utf8_lossy(&came).into_owned(), begun.elapsed())
}

/// An answer's head and body; the connection stays.
#[track_caller]
fn one_answer(stream: &mut TcpStream) -> String {
    let (_, head, body) = answer::read(stream, "GET ").unwrap();
    head + &body
}

const HEALTHZ: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_head_that_does_not_end_is_ended() {
    let hub = limited(|limits| limits.head = SHORT);
    let silent = connect(&hub);
    let mut halved = connect(&hub);
    halved.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").unwrap();
    for stream in [silent, halved] {
        let (_, took) = until_closed(stream);
        assert!(took < LONG / 2, "{took:?}");
    }
}

/// A byte now and then wins no more time.
#[test]
fn a_head_that_trickles_is_ended() {
    let hub = limited(|limits| limits.head = SHORT);
    let stream = connect(&hub);
    let mut trickle = stream.try_clone().unwrap();
    let feeding = std::thread::spawn(move || {
        let begun = Instant::now();
        let fed = HEALTHZ.iter().cycle().take_while(|_| begun.elapsed() < DEADLINE);
        let endless = fed.filter(|byte| **byte != b'\n');
        for byte in endless {
            if trickle.write_all(&[*byte]).is_err() {
                return;
            }
            sleep(SHORT / 10);
        }
    });
    let (_, took) = until_closed(stream);
    assert!(took < LONG / 2, "{took:?}");
    feeding.join().unwrap();
}

/// The head's time begins with its first byte, not with the connection.
#[test]
fn an_idle_connection_has_its_own_time() {
    let hub = limited(|limits| limits.head = SHORT);
    let mut stream = connect(&hub);
    for _ in 0..3 {
        stream.write_all(HEALTHZ).unwrap();
        assert!(one_answer(&mut stream).starts_with("http/1.1 200"));
        sleep(SHORT * 2);
    }
    stream.write_all(b"GET /hea").unwrap();
    let (_, took) = until_closed(stream);
    assert!(took < LONG / 2, "the second head of a connection is timed too: {took:?}");

    let hub = limited(|limits| limits.idle = SHORT);
    let mut stream = connect(&hub);
    stream.write_all(HEALTHZ).unwrap();
    one_answer(&mut stream);
    let (_, took) = until_closed(stream);
    assert!(took < LONG / 2, "{took:?}");
}

#[test]
fn row_38_a_body_that_trickles_is_ended_with_408() {
    let hub = limited(|limits| limits.body = SHORT);
    let mut stream = connect(&hub);
    let head = "POST /sync/push HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    let (answer, took) = until_closed(stream);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("too_slow") && took < LONG / 2, "{took:?} {answer}");
}

/// A slow line is no attack: what arrives steadily earns its time.
#[test]
fn a_body_that_comes_slowly_but_steadily_is_read() {
    let hub = limited(|limits| limits.body = SHORT);
    let mut stream = connect(&hub);
    let body = format!("{{\"entries\":[]{}}}", " ".repeat(64 << 10));
    let head = format!(
        "POST /sync/push HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    for piece in body.as_bytes().chunks(16 << 10) {
        stream.write_all(piece).unwrap();
        sleep(SHORT / 2);
    }
    let (answer, _) = until_closed(stream);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Whoever asks for much and takes nothing is let go.
#[test]
fn a_peer_that_does_not_take_its_answer_is_ended() {
    let hub = limited(|limits| limits.stalled = SHORT);
    let mut stream = connect(&hub);
    let title = "x".repeat(900 << 10);
    for _ in 0..8 {
        let call = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "node.write", "params":
            { "changes": [{ "node": { "set": { "kind": "doc", "title": title } } }] } });
        assert_eq!(post(hub.port, "/rpc", &call.to_string()).0, 200);
    }
    let metrics = |name: &str| {
        let text = get(hub.port, "/metrics").2;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        line.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let pull = "GET /sync/pull HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(8);
    stream.write_all(pull.as_bytes()).unwrap();
    // Only the one that asks is left.
    wait_for("the hub to let go", || metrics("heph_http_connections ") == 1);
}

#[test]
fn a_crowd_is_told_to_come_again() {
    let hub = limited(|limits| {
        limits.connections = 4;
        limits.per_address = 1;
    });
    // This machine's own address has no limit of its own: a proxy's would be
    // everybody's.
    let mut inside: Vec<TcpStream> = (0..4).map(|_| connect(&hub)).collect();
    for stream in &mut inside {
        stream.write_all(HEALTHZ).unwrap();
        assert!(one_answer(stream).starts_with("http/1.1 200"));
    }
    let (status, head, body) = get(hub.port, "/healthz");
    assert_eq!(status, 503, "{head}");
    assert!(head.contains("retry-after: 5"), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["error"]["code"], "too_many");

    inside.pop().unwrap().shutdown(Shutdown::Both).unwrap();
    wait_for("room", || get(hub.port, "/healthz").0 == 200);
}

#[test]
fn one_address_may_not_have_all() {
    let Some(ip) = own_address("connections::one_address_may_not_have_all") else { return };
    let hub = Served::on(ip, |mut hub| {
        hub.guard.exposed = true;
        hub.limits.per_address = 3;
        hub
    });
    let ask = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let _ = stream.write_all(HEALTHZ_ANY);
        one_answer(stream)
    };
    let mut inside = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect((ip, hub.port)).unwrap();
        assert!(ask(&mut stream).starts_with("http/1.1 200"));
        inside.push(stream);
    }
    let mut fourth = TcpStream::connect((ip, hub.port)).unwrap();
    assert!(ask(&mut fourth).starts_with("http/1.1 503"));
}

const HEALTHZ_ANY: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n";

#[test]
fn a_stop_ends_what_idles_at_once_and_finishes_what_runs() {
    let hub = limited(|_| {});
    let mut idle = connect(&hub);
    idle.write_all(HEALTHZ).unwrap();
    one_answer(&mut idle);
    let fresh = connect(&hub);
    let mut halved = connect(&hub);
    halved.write_all(b"GET /hea").unwrap();
    // The head is here, and half of the body.
    let mut running = connect(&hub);
    let body = b"{\"entries\":[]}";
    let head = format!(
        "POST /sync/push HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    running.write_all(head.as_bytes()).unwrap();
    assert!(one_answer(&mut running).starts_with("http/1.1 100"));

    let rest = std::thread::spawn(move || {
        // It is still read after the word to stop has been said.
        let (_, took) = until_closed(idle);
        running.write_all(body).unwrap();
        (until_closed(running).0, took)
    });
    let took = hub.stop();
    let (answer, idled) = rest.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(took < LONG / 2 && idled < LONG / 2, "{took:?} {idled:?}");
    drop((fresh, halved));
}

/// A refusal reaches a peer that is still sending: all is taken off its
/// hands, as after a reset nobody could count on reading the answer.
#[test]
fn row_37_a_413_is_heard_by_who_sends_ten_mebibytes() {
    let hub = Served::plain();
    let body = "x".repeat(10 << 20);
    let request = format!(
        "POST /sync/push HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect(&hub);
    stream.write_all(request.as_bytes()).unwrap();
    let (answer, _) = until_closed(stream);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"limit\":8388608"), "{answer}");
}

#[test]
fn a_head_of_a_whole_mebibyte_is_refused_without_being_kept() {
    let hub = Served::plain();
    let request =
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let (status, ..) = http(hub.port, request.as_bytes());
    // It may be closed while the rest is on its way.
    assert!(matches!(status, 431 | 0), "{status}");
    assert_eq!(get(hub.port, "/healthz").0, 200);
}
