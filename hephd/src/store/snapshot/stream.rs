//! A snapshot on its way from one process to another.
//!
//! ```text
//! heph-snapshot 1\n
//! {"bytes":N,"owner":…,"origin":…}\n     what comes
//! N bytes                                a SQLite file
//! {"sha256":…,"proof":{…}}\n             what came, by whoever sent it
//! ```
//!
//! The end carries the proof, so that a stream that was cut, or that another
//! program wrote into, is never taken for a whole one. Memory stays the same
//! however large a store is.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{Listener, Opened, Progress};
use crate::{
    error::{Code, Error, Result, file},
    id::hex,
    machine::Machine,
    report::Warning,
    store::{
        file::{Spool, full},
        proof::Proof,
    },
};

/// The first line.
const MAGIC: &str = "heph-snapshot 1";

/// The name of a snapshot that comes by standard input.
pub const STDIN: &str = "-";

/// No line is longer. A proof has a hundred bytes for each table.
const MAX_LINE_BYTES: u64 = 4 << 20;

/// How many bytes move at a time.
const PIECE: usize = 256 << 10;

/// What comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// How many bytes the store has.
    pub bytes: u64,
    /// Whose data it is, where the sender could tell.
    pub owner: Option<String>,
    /// The source's origin, where it has one.
    pub origin: Option<String>,
    /// What the sender has to say of its source.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// SHA-256 of the store's bytes.
    pub sha256: String,
    /// What its tables hold, by the sender's reading of its source. A sender
    /// without our programs has none.
    pub proof: Option<Proof>,
}

/// A snapshot that has begun to arrive.
pub struct Incoming<'a> {
    name: String,
    header: Header,
    trailer: Option<Trailer>,
    rest: Box<dyn BufRead + Send + 'a>,
    /// Its sender may leave the proof of its tables to the digest.
    digest_is_enough: bool,
}

impl<'a> Incoming<'a> {
    /// Reads the first lines of a stream. `name` is what errors and the new
    /// store call its source.
    ///
    /// # Errors
    /// `checksum_mismatch` for what is no such stream.
    pub fn open(name: &str, stream: impl Read + Send + 'a) -> Result<Self> {
        let mut rest = BufReader::with_capacity(PIECE, stream);
        let mut magic = String::new();
        let read = (&mut rest).take(64).read_line(&mut magic);
        if read.is_err() || magic.trim_end() != MAGIC {
            return Err(broken(name, "it does not begin like a snapshot"));
        }
        let header = line(name, &mut rest)?;
        let (name, trailer, rest) = (name.to_owned(), None, Box::new(rest));
        Ok(Self { name, header, trailer, rest, digest_is_enough: false })
    }

    /// For what we run ourselves where there is no heph-ops: it digests the file
    /// there, and cannot prove its tables.
    #[must_use]
    pub fn by_digest(self) -> Self {
        Self { digest_is_enough: true, ..self }
    }

    /// Bytes that are described elsewhere: those of a backup.
    #[must_use]
    pub fn described(
        name: &str,
        header: Header,
        trailer: Trailer,
        bytes: impl Read + Send + 'a,
    ) -> Self {
        let rest = Box::new(BufReader::with_capacity(PIECE, bytes));
        let (name, trailer) = (name.to_owned(), Some(trailer));
        Self { name, header, trailer, rest, digest_is_enough: false }
    }

    /// Where it comes from.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What comes.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Takes all of it into an empty file. Gives the sender's proof, where it
    /// has one.
    pub(super) fn receive(
        mut self,
        staging: &Path,
        progress: Listener<'_>,
    ) -> Result<Option<Proof>> {
        let of = self.header.bytes;
        let mut out = open_there(staging)?;
        let (mut bytes, mut hash, mut piece) = (0, Sha256::new(), vec![0; PIECE]);
        while bytes < of {
            let wanted = piece.len().min(usize::try_from(of - bytes).unwrap_or(PIECE));
            let came = self.read(&mut piece[..wanted])?;
            if came == 0 {
                return Err(broken(&self.name, &format!("it ended after {bytes} of {of} bytes")));
            }
            hash.update(&piece[..came]);
            out.write_all(&piece[..came]).map_err(file(staging, "write"))?;
            bytes += came as u64;
            progress(Progress::Copying { bytes, of });
        }
        let trailer = match self.trailer.take() {
            Some(trailer) => trailer,
            None => line::<Trailer>(&self.name, &mut self.rest)?,
        };
        if self.read(&mut piece[..1])? != 0 {
            return Err(broken(&self.name, "something follows its end"));
        }
        if trailer.sha256 != hex(&hash.finalize()) {
            return Err(broken(&self.name, "its digest is not that of what came"));
        }
        match trailer.proof {
            None if !self.digest_is_enough => {
                Err(broken(&self.name, "it ends without a proof of its tables"))
            }
            proof => Ok(proof),
        }
    }

    fn read(&mut self, piece: &mut [u8]) -> Result<usize> {
        loop {
            match self.rest.read(piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(|error| broken(&self.name, &error.to_string())),
            }
        }
    }
}

/// The staging file; in a folder of another user's, no link in its place.
fn open_there(staging: &Path) -> Result<File> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut options = File::options();
    options.write(true).custom_flags(no_link).open(staging).map_err(file(staging, "open"))
}

/// A line of JSON.
fn line<T: DeserializeOwned>(name: &str, rest: &mut impl BufRead) -> Result<T> {
    let mut line = Vec::new();
    let read = rest.take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
    if read.is_err() || line.last() != Some(&b'\n') {
        return Err(broken(name, "it was cut off"));
    }
    serde_json::from_slice(&line)
        .map_err(|error| broken(name, &format!("a line of it is wrong: {error}")))
}

fn broken(name: &str, why: &str) -> Error {
    let name = if name == STDIN { "standard input" } else { name };
    Error::new(
        Code::ChecksumMismatch,
        format!("the snapshot from {name} is not whole: {why}"),
        "nothing was made of it; run it again",
    )
}

/// How sending ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// All of it went.
    Whole,
    /// Whoever read it has stopped.
    Unread,
}

/// Sends a snapshot of a store: proved, then whole. Its copy lies beside the
/// store meanwhile, or where temporary files do.
///
/// # Errors
/// As of a seed's source; `file_failed` where it cannot be written.
pub fn send(
    db: &Path,
    machine: &Machine,
    out: &mut dyn Write,
    progress: Listener<'_>,
) -> Result<Sending> {
    let db = full(db);
    let spool = Spool::near(&super::real_file(&db)?, &machine.entropy)?;
    let opened = Opened::at(&db, &spool.path("source.db"))?;
    send_opened(opened, &spool, out, progress)
}

/// The same for a store that this very process works on. Its files are never
/// opened but by SQLite: closing one ends all locks that the process has on it.
///
/// # Errors
/// As [`send`].
pub fn send_own(db: &Path, machine: &Machine, out: &mut dyn Write) -> Result<Sending> {
    let db = full(db);
    let spool = Spool::near(&db, &machine.entropy)?;
    send_opened(Opened::live(&db)?, &spool, out, &|_| ())
}

fn send_opened(
    opened: Opened,
    spool: &Spool,
    out: &mut dyn Write,
    progress: Listener<'_>,
) -> Result<Sending> {
    let mut out = Out { out, unread: false };
    match send_all(opened, spool, &mut out, progress) {
        Err(_) if out.unread => Ok(Sending::Unread),
        other => other.map(|()| Sending::Whole),
    }
}

fn send_all(
    opened: Opened,
    spool: &Spool,
    out: &mut Out<'_>,
    progress: Listener<'_>,
) -> Result<()> {
    let judged = &opened.judged;
    let (owner, origin) = (Some(judged.owner.to_string()), judged.origin.clone());
    let warnings = opened.warnings.clone();
    let header = Header { bytes: judged.bytes, owner, origin, warnings };
    // First, so that whoever has it already need not wait for the rest.
    out.say(&[MAGIC.as_bytes(), b"\n"].concat())?;
    out.say_line(&header)?;
    out.flush()?;
    let copied = opened.copy_proved(spool, progress)?;
    if copied.proved.bytes != header.bytes {
        return Err(Error::internal("the copy has another length than its source"));
    }
    let mut bytes = File::open(&copied.path).map_err(file(&copied.path, "read"))?;
    let (mut piece, mut sent) = (vec![0; PIECE], 0);
    loop {
        let read = bytes.read(&mut piece).map_err(file(&copied.path, "read"))?;
        if read == 0 {
            break;
        }
        out.say(&piece[..read])?;
        sent += read as u64;
        progress(Progress::Copying { bytes: sent, of: header.bytes });
    }
    let sha256 = copied.proved.sha256.clone();
    out.say_line(&Trailer { sha256, proof: Some(copied.proved.copy) })?;
    out.flush()
}

/// Where it goes, and whether anybody still reads there.
struct Out<'a> {
    out: &'a mut dyn Write,
    unread: bool,
}

impl Out<'_> {
    fn say_line(&mut self, what: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(what).map_err(Error::internal)?;
        text.push(b'\n');
        self.say(&text)
    }

    fn say(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.out.write_all(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.out.flush();
        self.note(written)
    }

    fn note(&mut self, written: io::Result<()>) -> Result<()> {
        written.map_err(|error| {
            self.unread |= error.kind() == io::ErrorKind::BrokenPipe;
            let message = format!("cannot send the snapshot: {error}");
            Error::new(Code::FileFailed, message, "look at where it is sent to, then run it again")
        })
    }
}
