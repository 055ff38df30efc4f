//! The daemon's end of the local socket.

use std::{
    os::unix::{
        fs::FileTypeExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::Arc,
};

use rustix::{fs::Mode, process::umask};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::mpsc,
};

use super::{
    MAX_MESSAGE_BYTES, PARSE_ERROR, Request, Response, RpcError,
    auth::{EVENT, Event},
    methods::Daemon,
    snapshot,
};
use crate::{
    error::{Code, Error, Result, file},
    json,
    login::desk::Desk,
    proxy::Proxy,
    stopping::Stopping,
    store::file::{check_folder, folder, make_private_folder},
};

/// So much may a caller send while a login waits for a person.
const MOST_AHEAD: usize = 64 << 10;

/// Who answers what the socket is asked.
#[derive(Debug)]
pub enum Callee {
    /// The replica here.
    Replica(Arc<Daemon>),
    /// A hub elsewhere.
    Hub(Box<Proxy>),
}

/// Where people log in, and who answers everything else.
#[derive(Debug)]
struct Office {
    desk: Desk,
    callee: Callee,
}

impl Office {
    async fn call(
        &self,
        Request { method, params, .. }: Request,
        events: &mpsc::Sender<Event>,
    ) -> Result<Value, RpcError> {
        match &self.callee {
            _ if method.starts_with("auth.") => self.desk.call(&method, params, events).await,
            Callee::Replica(daemon) => daemon.call(&method, params, None).await,
            Callee::Hub(proxy) => proxy.call(&method, params).await,
        }
    }
}

/// Makes the socket, 0600 from the first moment: the mode comes from the
/// umask, as a chmod afterwards would be a race. A stale one is replaced, a
/// live one refused, and so is whatever is no socket. To be called before there are threads, as the umask is
/// the process's.
///
/// # Errors
/// `store_in_use` when another daemon listens there; `insecure_permissions`
/// when everybody may write to its folder.
pub fn bind(socket: &Path) -> Result<UnixListener> {
    make_private_folder(folder(socket))?;
    check_folder(folder(socket))?;
    if UnixStream::connect(socket).is_ok() {
        return Err(Error::new(
            Code::StoreInUse,
            format!("another daemon listens at {}", socket.display()),
            "stop that one first, or choose another socket: --socket PATH",
        ));
    }
    if std::fs::symlink_metadata(socket).is_ok_and(|meta| !meta.file_type().is_socket()) {
        return Err(Error::new(
            Code::TargetNotEmpty,
            format!("{} is a file, and no socket", socket.display()),
            "choose another path: --socket PATH",
        ));
    }
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(file(socket, "replace")(error));
        }
        _ => {}
    }
    let before = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(socket);
    umask(before);
    listener.map_err(file(socket, "listen at"))
}

/// Serves until told to stop.
///
/// # Errors
/// The operating system's.
pub async fn serve(
    listener: UnixListener,
    callee: Callee,
    desk: Desk,
    mut stopping: Stopping,
) -> Result<()> {
    let office = Arc::new(Office { desk, callee });
    listener.set_nonblocking(true).map_err(Error::internal)?;
    let listener = tokio::net::UnixListener::from_std(listener).map_err(Error::internal)?;
    let mut calls = tokio::task::JoinSet::new();
    let for_calls = stopping.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if is_ours(&stream) => {
                    calls.spawn(converse(stream, Arc::clone(&office), for_calls.clone()));
                }
                Ok(_) => tracing::warn!("another user's process tried the socket"),
                Err(error) => {
                    tracing::warn!("the socket: {error}");
                    // Out of descriptors: some come back as calls end.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
            Some(_) = calls.join_next() => {}
            () = stopping.heard() => break,
        }
    }
    while calls.join_next().await.is_some() {}
    Ok(())
}

/// Some systems ignore a socket's mode, so the peer is asked for as well.
fn is_ours(stream: &tokio::net::UnixStream) -> bool {
    let uid = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == uid || peer.uid() == 0)
}

/// One connection: a line in, a line out, until either side has enough.
async fn converse(stream: tokio::net::UnixStream, office: Arc<Office>, mut stopping: Stopping) {
    let (read, mut write) = stream.into_split();
    let mut read = Reader { socket: BufReader::new(read), ahead: Vec::new() };
    loop {
        let mut line = Vec::new();
        let came = tokio::select! {
            came = read.line(&mut line) => came,
            () = stopping.heard() => return,
        };
        if !matches!(came, Ok(1..)) {
            return;
        }
        let mut last = !line.ends_with(b"\n");
        let reply = match understand(&line) {
            Ok(request) if takes_long(&request.method) => {
                let id = request.id.clone();
                // Whoever hangs up has changed their mind.
                tokio::select! {
                    reply = answer(&office, request, &mut write) => reply,
                    why = read.ended() => {
                        last = true;
                        // Who has closed only the side that asks still reads.
                        Some(Response::of(id, Err(why.into())))
                    }
                    () = stopping.heard() => return,
                }
            }
            Ok(request) => answer(&office, request, &mut write).await,
            Err(refused) => Some(Response::of(Value::Null, Err(refused))),
        };
        let Some(reply) = reply else { return };
        if !say(&mut write, &serde_json::json!(reply)).await || last {
            return;
        }
    }
}

/// What a connection says.
struct Reader {
    socket: BufReader<OwnedReadHalf>,
    /// It came while another call was under way.
    ahead: Vec<u8>,
}

impl Reader {
    /// The next line; what came ahead comes first.
    async fn line(&mut self, line: &mut Vec<u8>) -> std::io::Result<usize> {
        let mut ahead = self.ahead.as_slice();
        let all = (&mut ahead).chain(&mut self.socket);
        let came = all.take(MAX_MESSAGE_BYTES).read_until(b'\n', line).await;
        let used = self.ahead.len() - ahead.len();
        self.ahead.drain(..used);
        came
    }

    /// Waits until the other side closes; gives what to say to that. What it
    /// sends is for later, and is read all the same: behind a byte that nobody
    /// reads its end would not be seen.
    async fn ended(&mut self) -> Error {
        loop {
            let more = match self.socket.fill_buf().await {
                Ok([]) | Err(_) => return closed(),
                Ok(more) => more,
            };
            let bytes = more.len();
            self.ahead.extend_from_slice(more);
            self.socket.consume(bytes);
            if self.ahead.len() > MOST_AHEAD {
                return too_much();
            }
        }
    }
}

/// What waits for a person, or for a whole store to be read.
fn takes_long(method: &str) -> bool {
    matches!(method, "auth.login" | "snapshot")
}

fn closed() -> Error {
    Error::usage(
        "the caller closed its side: the call was ended",
        "keep the connection open until the answer comes",
    )
}

fn too_much() -> Error {
    Error::usage(
        format!("more than {MOST_AHEAD} bytes came meanwhile: the call was ended"),
        "wait for the answer, or ask on another connection",
    )
}

fn understand(line: &[u8]) -> Result<Request, RpcError> {
    // What a hub would not take must not get into an op here.
    let read = json::check(line).map_err(|refused| refused.to_string());
    let read = read
        .and_then(|()| serde_json::from_slice::<Request>(line).map_err(|error| error.to_string()));
    read.map_err(|why| RpcError::protocol(PARSE_ERROR, format!("not a request: {why}")))
}

/// Answers a call, and tells what happens meanwhile; none where the caller
/// cannot be told.
async fn answer(office: &Office, request: Request, write: &mut OwnedWriteHalf) -> Option<Response> {
    let id = request.id.clone();
    let outcome = match (&office.callee, request.method.as_str()) {
        (Callee::Replica(daemon), "snapshot") => {
            let (pieces, sent) = snapshot::pieces(daemon.replica.path().to_owned());
            let call = async move { Ok(sent.await.unwrap_or_else(|e| Err(Error::internal(e)))?) };
            telling(snapshot::PIECE, call, pieces, write).await
        }
        _ => {
            let (events, coming) = mpsc::channel(8);
            let call = async move { office.call(request, &events).await };
            telling(EVENT, call, coming, write).await
        }
    };
    Some(Response::of(id, outcome?))
}

/// Waits for a call, and tells what comes before its end.
///
/// The events end with the call that sends them, and a call ends with the last
/// one who could hear of it.
async fn telling<E: Serialize>(
    method: &str,
    call: impl Future<Output = Result<Value, RpcError>>,
    mut coming: mpsc::Receiver<E>,
    write: &mut OwnedWriteHalf,
) -> Option<Result<Value, RpcError>> {
    let tell = async {
        while let Some(event) = coming.recv().await {
            let event = serde_json::json!({ "jsonrpc": "2.0", "method": method, "params": event });
            if !say(write, &event).await {
                return Err(());
            }
        }
        Ok(())
    };
    let (outcome, ()) = tokio::try_join!(async { Ok(call.await) }, tell).ok()?;
    Some(outcome)
}

async fn say(write: &mut OwnedWriteHalf, message: &Value) -> bool {
    write.write_all(format!("{message}\n").as_bytes()).await.is_ok()
}
