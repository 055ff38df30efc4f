//! What a copy is proved against: what its source holds. It is read on a thread
//! of its own, from a second connection while the first one is copied, or from
//! the only one there is after that.

use std::{path::PathBuf, thread::JoinHandle};

use rusqlite::{Connection, InterruptHandle};

use super::source::{Reader, reading};
use crate::{
    error::{Error, Result},
    store::proof::{Proof, prove},
};

/// What a source holds, as soon as it is known.
pub(super) enum Original {
    /// What it said of itself.
    Told(Proof),
    /// It is being read.
    Read(Reading),
}

/// A source that is being read. It ends with this, whatever there is left.
pub(super) struct Reading {
    thread: Option<JoinHandle<rusqlite::Result<Proof>>>,
    stop: InterruptHandle,
    from: PathBuf,
    /// Goes last: it clears away what reading has made.
    _reader: Option<Reader>,
}

impl Original {
    /// Waits until it is known.
    pub(super) fn known(self) -> Result<Proof> {
        match self {
            Self::Told(proof) => Ok(proof),
            Self::Read(mut reading) => reading.join(),
        }
    }
}

impl Reading {
    /// Reads all that a connection sees. It is closed then.
    pub(super) fn begin(conn: Connection, from: PathBuf) -> Self {
        let stop = conn.get_interrupt_handle();
        let thread = Some(std::thread::spawn(move || prove(&conn, &mut |_, _| ())));
        Self { thread, stop, from, _reader: None }
    }

    /// Reads all that a reader sees, which nobody else needs any more.
    pub(super) fn of(mut reader: Reader, from: PathBuf) -> Result<Self> {
        let conn = reader.take().map_err(reading(&from))?;
        Ok(Self::begin(conn, from).keep(reader))
    }

    /// The reader goes once this has ended.
    pub(super) fn keep(mut self, reader: Reader) -> Self {
        self._reader = Some(reader);
        self
    }

    fn join(&mut self) -> Result<Proof> {
        let broken = || Err(Error::internal("the proof broke off"));
        let Some(thread) = self.thread.take() else { return broken() };
        thread.join().map_or_else(|_| broken(), |read| read.map_err(reading(&self.from)))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.interrupt();
            let _ = thread.join();
        }
    }
}
