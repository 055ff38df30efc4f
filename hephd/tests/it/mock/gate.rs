//! A real hub behind a door that asks for tokens, as a hub's own will.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::json;

use super::{
    http::{Asked, answer, serve_at},
    provider::{CLIENT, Provider},
};

/// Whom the door lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Who has a good token.
    Token,
    /// Nobody, whatever token they have.
    Nobody,
    /// Everybody.
    Open,
    /// Nobody: what is here belongs to somebody else.
    Foreign,
    /// Nobody, for a while.
    Busy,
}

#[derive(Debug)]
pub struct Seen {
    pub door: Door,
    /// Path and token of each request.
    pub asked: Vec<(String, Option<String>)>,
    /// Every token that comes must lie in this file already.
    pub vault: Option<PathBuf>,
    /// What is open: closed when the door is.
    streams: Vec<TcpStream>,
}

#[derive(Clone)]
pub struct Gate {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
}

impl Gate {
    /// A door before the hub at a port.
    pub fn before(hub: u16, provider: &Provider) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap(), hub, provider)
    }

    /// The same at an address of the test's own.
    pub fn at(listener: TcpListener, hub: u16, provider: &Provider) -> Self {
        let seen = Seen { door: Door::Token, asked: Vec::new(), vault: None, streams: Vec::new() };
        let seen = Arc::new(Mutex::new(seen));
        let (theirs, provider) = (Arc::clone(&seen), provider.clone());
        let port = serve_at(listener, move |asked, stream| {
            handle(hub, &provider, &theirs, &asked, stream);
        });
        Self { port, seen }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Changes the door, and ends what went through it.
    pub fn set(&self, door: Door) {
        let mut seen = self.seen();
        seen.door = door;
        for stream in seen.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn handle(
    hub: u16,
    provider: &Provider,
    seen: &Mutex<Seen>,
    asked: &Asked,
    stream: &mut TcpStream,
) {
    let token = asked
        .header("authorization")
        .map(|value| value.strip_prefix("Bearer ").expect("a bearer token").to_owned());
    let door = {
        let mut seen = seen.lock().unwrap();
        seen.asked.push((asked.path.clone(), token.clone()));
        seen.streams.push(stream.try_clone().unwrap());
        if let (Some(vault), Some(token)) = (&seen.vault, &token) {
            let lies_there = std::fs::read_to_string(vault).unwrap().contains(token);
            assert!(lies_there, "a token was used before it was kept");
        }
        seen.door
    };
    if asked.path == "/config" {
        let issuer = (door != Door::Open).then_some(&provider.issuer);
        let config = json!({
            "version": "0.1.0", "protocol": 1,
            "issuer": issuer, "client_id": issuer.map(|_| CLIENT),
        });
        return answer(stream, 200, "", &config.to_string());
    }
    // A hub, or a proxy before it, may repeat what it was shown.
    let shown = token.clone().unwrap_or_default();
    let error = |code: &str| {
        let message = format!("{code}: what came was {shown}\n\u{1b}[2J");
        json!({ "error": { "code": code, "message": message } }).to_string()
    };
    let good = token.is_some_and(|token| provider.script().good.contains(&token));
    match door {
        Door::Open => pass(hub, asked, stream),
        Door::Token if good => pass(hub, asked, stream),
        Door::Token | Door::Nobody => {
            answer(stream, 401, "WWW-Authenticate: Bearer\r\n", &error("auth_failed"));
        }
        Door::Foreign => answer(stream, 403, "", &error("auth_failed")),
        Door::Busy => answer(stream, 503, "Retry-After: 1\r\n", &error("not_ready")),
    }
}

fn pass(hub: u16, asked: &Asked, stream: &mut TcpStream) {
    let mut there = TcpStream::connect(("127.0.0.1", hub)).unwrap();
    let mut head = format!("{} {} HTTP/1.1\r\n", asked.method, asked.path);
    for (name, value) in &asked.headers {
        if !["authorization", "connection", "host"].contains(&name.as_str()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("host: localhost\r\nconnection: close\r\n\r\n");
    there.write_all(&[head.as_bytes(), &asked.body].concat()).unwrap();
    let mut some = [0; 8192];
    while let Ok(n @ 1..) = there.read(&mut some) {
        if stream.write_all(&some[..n]).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}
