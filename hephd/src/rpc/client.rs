//! Calls a running daemon.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{MAX_MESSAGE_BYTES, Response};
use crate::error::{Code, Error, Result};

/// A connection to a daemon's socket.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    socket: PathBuf,
    calls: u64,
}

impl Client {
    /// Connects. No answer takes longer than `deadline`.
    ///
    /// # Errors
    /// `not_ready` when nobody listens there.
    pub fn connect(socket: &Path, deadline: Duration) -> Result<Self> {
        let stream = UnixStream::connect(socket).map_err(|error| {
            Error::new(
                Code::NotReady,
                format!("no daemon answers at {}: {error}", socket.display()),
                "start it: heph daemon start, or hephd --mode local",
            )
        })?;
        let deadline = Some(deadline);
        stream
            .set_read_timeout(deadline)
            .and_then(|()| stream.set_write_timeout(deadline))
            .map_err(Error::internal)?;
        Ok(Self { stream: BufReader::new(stream), socket: socket.to_owned(), calls: 0 })
    }

    /// Calls a method and waits for its result.
    ///
    /// # Errors
    /// The method's own; `not_ready` when the daemon hangs or goes away.
    pub fn call<T: DeserializeOwned>(&mut self, method: &str, params: &Value) -> Result<T> {
        self.ask(method, params).map_err(|error| self.lost(&error, method))?;
        let line = self.line().map_err(|error| self.lost(&error, method))?;
        understand(method, &line)
    }

    /// Calls a method that tells what happens before it gives its result.
    /// Each event says how long the next one may take.
    ///
    /// # Errors
    /// As [`Client::call`]; those of `event`.
    pub fn stream<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &Value,
        mut event: impl FnMut(&Value) -> Result<Duration>,
    ) -> Result<T> {
        self.ask(method, params).map_err(|error| self.lost(&error, method))?;
        loop {
            let line = self.line().map_err(|error| self.lost(&error, method))?;
            let told: Value = serde_json::from_str(&line).map_err(Error::internal)?;
            if told["method"].is_null() {
                return understand(method, &line);
            }
            let patience = event(&told["params"])?;
            self.stream.get_ref().set_read_timeout(Some(patience)).map_err(Error::internal)?;
        }
    }

    fn ask(&mut self, method: &str, params: &Value) -> std::io::Result<()> {
        self.calls += 1;
        let request =
            json!({ "jsonrpc": "2.0", "id": self.calls, "method": method, "params": params });
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes())
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        (&mut self.stream).take(MAX_MESSAGE_BYTES).read_line(&mut line)?;
        if line.ends_with('\n') { Ok(line) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    fn lost(&self, error: &std::io::Error, method: &str) -> Error {
        let why = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "did not answer in time",
            _ => "went away",
        };
        let hint = if super::writes(method) {
            "it may have been written: look before you repeat it; its log: heph-ops status"
        } else {
            "look at its log: heph-ops status"
        };
        Error::new(Code::NotReady, format!("the daemon at {} {why}", self.socket.display()), hint)
    }
}

fn understand<T: DeserializeOwned>(method: &str, line: &str) -> Result<T> {
    let wrong =
        |error: serde_json::Error| Error::internal(format!("not an answer to {method}: {error}"));
    match serde_json::from_str(line).map_err(wrong)? {
        Response { error: Some(error), .. } => Err(error.into()),
        Response { result, .. } => {
            serde_json::from_value(result.unwrap_or_default()).map_err(wrong)
        }
    }
}
