//! Somebody else answers in the hub's place: a captive portal, a proxy that is
//! lost, a page. The device is not fooled: it says what is wrong, and no
//! progress is recorded.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use serde_json::Value;

use super::{daemon::Daemon, kills::whole, ledger::Ledger};
use crate::running::{Home, free_port};

const PAGE: &str = "<!doctype html><title>Welcome to the hotel</title>";

/// What strangers say: a name for it, and the whole answer.
fn strangers() -> Vec<(&'static str, String)> {
    let answer = |head: &str, body: &str| {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let html = "\r\nContent-Type: text/html";
    let json = "200 OK\r\nContent-Type: application/json";
    vec![
        ("a page", answer(&format!("200 OK{html}"), PAGE)),
        ("a page with an error", answer(&format!("502 Bad Gateway{html}"), PAGE)),
        ("a redirect", answer("302 Found\r\nLocation: http://127.0.0.1:1/login", "")),
        ("a lasting redirect", answer("308 Permanent Redirect\r\nLocation: /login", "")),
        ("no content", "HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        ("an empty 200", answer("200 OK", "")),
        ("other JSON", answer(json, r#"{"status":"ok"}"#)),
        ("null", answer(json, "null")),
        ("not modified, unasked", "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned()),
        ("another tag", "HTTP/1.1 304 Not Modified\r\nETag: \"0\"\r\n\r\n".to_owned()),
        ("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
        ("an error without a body", answer("500 Internal Server Error", "")),
        ("no such page", answer(&format!("404 Not Found{html}"), PAGE)),
        ("please log in", answer("511 Network Authentication Required", "{}")),
    ]
}

/// Somebody who answers every request at a port with the words of the moment.
struct Stranger(Arc<Mutex<String>>);

impl Stranger {
    fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let words = Arc::new(Mutex::new(String::new()));
        let said = Arc::clone(&words);
        std::thread::spawn(move || {
            for visitor in listener.incoming().flatten() {
                let said = Arc::clone(&said);
                std::thread::spawn(move || answer(visitor, &said));
            }
        });
        Self(words)
    }

    fn says(&self, words: String) {
        *self.0.lock().unwrap() = words;
    }
}

fn answer(mut visitor: TcpStream, words: &Mutex<String>) {
    let mut request = Vec::new();
    while !whole(&request) {
        let mut some = [0; 4096];
        match visitor.read(&mut some) {
            Ok(len @ 1..) => request.extend(&some[..len]),
            _ => return,
        }
    }
    let words = words.lock().unwrap().clone();
    let _ = visitor.write_all(words.as_bytes());
}

#[test]
fn a_stranger_in_the_hubs_place_fools_no_device() {
    let (home, port) = (Home::new(), free_port());
    let stranger = Stranger::at(port);
    let mut device = Daemon::device(&home, "device", port);
    device.start();
    for (name, words) in strangers() {
        stranger.says(words);
        let error = device.sync().expect_err(name);
        assert_eq!(error.code.as_str(), "hub_unreachable", "{name}: {error}");
        assert!(error.message.contains(&format!("127.0.0.1:{port}")), "{name}: {error}");
        let status = device.status();
        for progress in ["last_success", "hub_heads", "equal", "owner_id"] {
            assert_eq!(status[progress], Value::Null, "{name}: {status}");
        }
        assert_eq!(status["last_error"]["code"], "hub_unreachable", "{name}: {status}");
    }
}

/// The same for a device that knows its hub and has something to send.
#[test]
fn a_stranger_in_the_hubs_place_makes_no_op_count_as_sent() {
    let home = Home::new();
    let (mut hub, port) = Daemon::hub(&home);
    hub.start();
    let mut device = Daemon::device(&home, "device", port);
    device.start();
    let known = device.sync().unwrap();
    assert_eq!(hub.stop(), Some(0));
    let ledger = Ledger::default();
    assert!(ledger.add_task(&device, "not sent yet"));
    let stranger = Stranger::at(port);
    for (name, words) in strangers() {
        stranger.says(words);
        let error = device.sync().expect_err(name);
        assert_eq!(error.code.as_str(), "hub_unreachable", "{name}: {error}");
        let status = device.status();
        assert_eq!(status["hub_heads"], known["hub_heads"], "{name}");
        assert_ne!(status["unsent_ops"], 0, "{name}");
        assert_ne!(status["last_error"], Value::Null, "{name}");
    }
}
