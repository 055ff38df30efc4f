//! A bad connection: a TCP proxy of threads and nothing else, which does one
//! kind of harm at a time, and counts how often it did.

use std::{
    collections::BTreeMap,
    io::{Read, Result, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use super::kills::whole;
use crate::world::Dice;

/// What becomes of the connections that are made from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Nothing: the line is good.
    None,
    /// Closed as soon as it is made.
    Refuse,
    /// Each piece of the hub's comes some milliseconds late.
    Delay(u64),
    /// The hub's bytes come one by one, for so many.
    Trickle(usize),
    /// Closed both ways after so many bytes of the device's.
    CutRequest(usize),
    /// Closed both ways after so many bytes of the hub's.
    CutAnswer(usize),
    /// Reset after so many bytes of the hub's.
    Reset(usize),
    /// After so many bytes of the device's the hub hears that there will be
    /// no more; the other way stays open.
    HalfClose(usize),
    /// The answer's body ends after so many bytes, and its Content-Length
    /// says that this is right.
    Shorten(usize),
    /// Each request reaches the hub twice; the second answer counts.
    Duplicate,
    /// Batches of more entries never reach the hub: it seems to take only so
    /// many. No connection does this by itself.
    Narrow(usize),
}

impl Harm {
    pub const KINDS: usize = 9;

    /// One of them, at some byte.
    pub fn any(dice: &Dice) -> Self {
        let few = dice.below(700);
        let many = if dice.percent(80) { few } else { dice.below(20_000) };
        match dice.below(Self::KINDS) {
            0 => Self::Refuse,
            1 => Self::Delay(1 + dice.roll() % 20),
            2 => Self::Trickle(1 + dice.below(300)),
            3 => Self::CutRequest(many),
            4 => Self::CutAnswer(many),
            5 => Self::Reset(many),
            6 => Self::HalfClose(many),
            7 => Self::Shorten(many),
            _ => Self::Duplicate,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Refuse => "refuse",
            Self::Delay(_) => "delay",
            Self::Trickle(_) => "trickle",
            Self::CutRequest(_) => "cut the request",
            Self::CutAnswer(_) => "cut the answer",
            Self::Reset(_) => "reset",
            Self::HalfClose(_) => "half-close",
            Self::Shorten(_) => "shorten",
            Self::Duplicate => "duplicate",
            Self::Narrow(_) => "narrow",
        }
    }
}

#[derive(Default)]
struct State {
    harm: Option<Harm>,
    counted: bool,
    done: BTreeMap<&'static str, u64>,
    open: Vec<TcpStream>,
}

/// Stands between devices and a hub.
#[derive(Clone)]
pub struct Proxy {
    pub port: u16,
    hub: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub fn before(hub: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, hub, state: Arc::default() };
        let at_work = proxy.clone();
        std::thread::spawn(move || {
            for visitor in listener.incoming().flatten() {
                let proxy = at_work.clone();
                std::thread::spawn(move || proxy.carry(visitor));
            }
        });
        proxy
    }

    /// From now on this. Connections from before are closed.
    pub fn set(&self, harm: Harm) {
        let mut state = self.state.lock().unwrap();
        (state.harm, state.counted) = (Some(harm), false);
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How often which harm was really done.
    pub fn done(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().unwrap().done.clone()
    }

    /// Counts once, however many connections it befell.
    fn did(&self, harm: Harm) {
        let mut state = self.state.lock().unwrap();
        if !std::mem::replace(&mut state.counted, true) {
            *state.done.entry(harm.name()).or_default() += 1;
        }
    }

    fn carry(&self, visitor: TcpStream) -> Result<()> {
        let harm = {
            let mut state = self.state.lock().unwrap();
            state.open.push(visitor.try_clone()?);
            state.harm.unwrap_or(Harm::None)
        };
        match harm {
            Harm::Refuse => {
                self.did(harm);
                visitor.shutdown(Shutdown::Both)
            }
            Harm::Shorten(_) | Harm::Duplicate | Harm::Narrow(_) => self.exchange(visitor, harm),
            _ => self.stream(visitor, harm),
        }
    }

    /// Both ways at once, byte by byte.
    fn stream(&self, visitor: TcpStream, harm: Harm) -> Result<()> {
        let hub = TcpStream::connect(("127.0.0.1", self.hub))?;
        visitor.set_nodelay(true)?;
        hub.set_nodelay(true)?;
        self.state.lock().unwrap().open.push(hub.try_clone()?);
        let (ask, answer) = ((visitor.try_clone()?, hub.try_clone()?), (hub, visitor));
        let proxy = self.clone();
        std::thread::spawn(move || proxy.pass(ask, harm, true));
        self.pass(answer, harm, false)
    }

    fn pass(
        &self,
        (mut from, mut to): (TcpStream, TcpStream),
        harm: Harm,
        asking: bool,
    ) -> Result<()> {
        let mut passed = 0;
        let mut some = [0; 4096];
        loop {
            let len = match from.read(&mut some) {
                Ok(len @ 1..) => len,
                // Whoever has said all may still listen.
                _ => return to.shutdown(Shutdown::Write),
            };
            let limit = match (harm, asking) {
                (Harm::CutRequest(at) | Harm::HalfClose(at), true)
                | (Harm::CutAnswer(at) | Harm::Reset(at), false) => Some(at),
                _ => None,
            };
            let left = limit.map_or(len, |at| len.min(at - passed));
            self.send(&mut to, &some[..left], harm, asking, passed)?;
            passed += left;
            if limit == Some(passed) {
                self.did(harm);
                return end(&from, &to, harm);
            }
        }
    }

    fn send(
        &self,
        to: &mut TcpStream,
        piece: &[u8],
        harm: Harm,
        asking: bool,
        passed: usize,
    ) -> Result<()> {
        match harm {
            Harm::Delay(ms) if !asking => {
                self.did(harm);
                std::thread::sleep(Duration::from_millis(ms));
                to.write_all(piece)
            }
            Harm::Trickle(slow) if !asking => {
                self.did(harm);
                let slowly = piece.len().min(slow.saturating_sub(passed));
                for byte in &piece[..slowly] {
                    to.write_all(&[*byte])?;
                    std::thread::sleep(Duration::from_micros(200));
                }
                to.write_all(&piece[slowly..])
            }
            _ => to.write_all(piece),
        }
    }

    /// One whole request, one whole answer, and the end.
    fn exchange(&self, mut visitor: TcpStream, harm: Harm) -> Result<()> {
        let mut request = Vec::new();
        while !whole(&request) {
            let mut some = [0; 4096];
            match visitor.read(&mut some)? {
                0 => return Ok(()),
                len => request.extend(&some[..len]),
            }
        }
        let mut answer = match harm {
            Harm::Narrow(most) if entries(&request) > most => {
                self.did(harm);
                takes_only(most)
            }
            _ => self.once(&request)?,
        };
        match harm {
            Harm::Duplicate => {
                answer = self.once(&request)?;
                self.did(harm);
            }
            Harm::Shorten(at) => {
                if let Some(shorter) = shortened(&answer, at) {
                    answer = shorter;
                    self.did(harm);
                }
            }
            _ => {}
        }
        visitor.write_all(&answer)?;
        visitor.shutdown(Shutdown::Both)
    }

    fn once(&self, request: &[u8]) -> Result<Vec<u8>> {
        let mut hub = TcpStream::connect(("127.0.0.1", self.hub))?;
        // An event stream never ends, and is none of these exchanges.
        hub.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut request = request.to_vec();
        let at = request.windows(2).position(|two| two == b"\r\n").unwrap_or(0);
        request.splice(at..at, *b"\r\nConnection: close");
        hub.write_all(&request)?;
        let mut answer = Vec::new();
        let _ = hub.read_to_end(&mut answer);
        Ok(answer)
    }
}

/// How many entries a request brings.
fn entries(request: &[u8]) -> usize {
    request.windows(6).filter(|six| six == b"\"seq\":").count()
}

/// As a hub says it.
fn takes_only(entries: usize) -> Vec<u8> {
    let body = format!(
        r#"{{"error":{{"code":"too_large","message":"send fewer entries"}},"limit":{entries}}}"#
    );
    let head =
        "HTTP/1.1 413 Payload Too Large\r\nContent-Type: application/json\r\nConnection: close";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The same answer with fewer bytes, and an honest length of those.
fn shortened(answer: &[u8], at: usize) -> Option<Vec<u8>> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let body = &answer[end..];
    // An answer without a body stays what it is.
    let keep = at.min(body.len().checked_sub(1)?);
    let head = String::from_utf8_lossy(&answer[..end - 4]).into_owned();
    let ours = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("content-length:") && !line.starts_with("transfer-encoding:")
    };
    let mut lines: Vec<&str> = head.lines().filter(ours).collect();
    let length = format!("Content-Length: {keep}");
    lines.push(&length);
    let mut shorter = (lines.join("\r\n") + "\r\n\r\n").into_bytes();
    shorter.extend(&body[..keep]);
    Some(shorter)
}

fn end(from: &TcpStream, to: &TcpStream, harm: Harm) -> Result<()> {
    match harm {
        Harm::HalfClose(_) => to.shutdown(Shutdown::Write),
        Harm::Reset(_) => {
            // To connect to nothing is to drop the connection: a reset goes
            // out at once, whoever else holds the socket.
            let reset = rustix::net::connect_unspec(to).or_else(|_| to.shutdown(Shutdown::Both));
            from.shutdown(Shutdown::Both).and(reset)
        }
        _ => from.shutdown(Shutdown::Both).and(to.shutdown(Shutdown::Both)),
    }
}
