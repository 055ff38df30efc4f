//! A snapshot over the local socket: the pieces of its stream, in base64, one
//! notification each, before the result of the method `snapshot`.

use std::{
    io::{self, PipeReader, Write},
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::client::Client;
use crate::{
    error::{Error, Result},
    machine::Machine,
    store::snapshot::stream::{Sending, send_own},
};

/// The method of the notifications.
pub const PIECE: &str = "snapshot.piece";

/// A piece's bytes, before base64.
const PIECE_BYTES: usize = 192 << 10;

/// How many pieces may wait for the caller.
const WAITING: usize = 4;

/// No piece takes longer: before the first one, the store is copied and proved.
const PATIENCE: Duration = Duration::from_secs(600);

/// The pieces of a snapshot of a store that this process works on, as they
/// come, and how it ends.
pub(super) fn pieces(
    db: PathBuf,
) -> (mpsc::Receiver<String>, tokio::task::JoinHandle<Result<Value>>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let sent = tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(sender));
        match send_own(&db, &Machine::this(), &mut out)? {
            Sending::Whole => Ok(json!({})),
            Sending::Unread => Err(Error::internal("nobody reads the snapshot any more")),
        }
    });
    (receiver, sent)
}

struct Pieces(mpsc::Sender<String>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(PIECE_BYTES)];
        let sent = self.0.blocking_send(STANDARD.encode(bytes));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A snapshot that a daemon is asked for: its stream, and whoever brings it.
#[derive(Debug)]
pub struct Asked {
    /// The stream. Short where the daemon fails.
    pub stream: PipeReader,
    /// How the call ended.
    pub call: JoinHandle<Result<()>>,
}

/// Asks a running daemon for a snapshot of its store.
///
/// # Errors
/// `not_ready` when nobody listens at the socket.
pub fn ask(socket: &Path) -> Result<Asked> {
    let mut client = Client::connect(socket, PATIENCE)?;
    let (stream, mut out) = io::pipe().map_err(Error::internal)?;
    let call = std::thread::spawn(move || {
        let piece = |params: &Value| {
            let bytes = STANDARD.decode(params.as_str().unwrap_or_default());
            let bytes = bytes.map_err(Error::internal)?;
            out.write_all(&bytes).map_err(Error::internal)?;
            Ok(PATIENCE)
        };
        client.stream::<Value>("snapshot", &json!({}), piece).map(drop)
    });
    Ok(Asked { stream, call })
}
