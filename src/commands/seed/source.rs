//! Where a seed's data comes from.

use std::{
    ffi::OsStr,
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use hephd::{
    error::{Error, Result},
    rpc::snapshot,
    store::{file::full, snapshot::stream::STDIN},
};

use crate::{
    host::Host,
    ssh::{self, Address},
};

/// A source, as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// A store's file here.
    Path(PathBuf),
    /// A running daemon.
    Socket(PathBuf),
    /// A stream.
    Stdin,
    /// A file on another machine.
    Ssh(Address),
}

impl From {
    /// Reads `--from`.
    ///
    /// # Errors
    /// `usage` for an address that is none.
    pub fn parse(text: &OsStr) -> Result<Self> {
        let Some(words) = text.to_str() else { return Ok(Self::Path(text.into())) };
        if words == STDIN {
            return Ok(Self::Stdin);
        }
        if let Some(socket) = words.strip_prefix("socket:") {
            return match socket {
                "" => Err(Error::usage("--from socket: names no socket", "give socket:PATH")),
                _ => Ok(Self::Socket(socket.into())),
            };
        }
        if words.starts_with("ssh://") {
            return Address::from_url(words).map(Self::Ssh);
        }
        match Address::from_words(words) {
            Some(address) => address.map(Self::Ssh),
            None => Ok(Self::Path(words.into())),
        }
    }

    /// What a new store remembers it as; none for a path, which the store
    /// itself names.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Path(_) => None,
            Self::Stdin => Some(STDIN.to_owned()),
            Self::Socket(path) => Some(format!("socket:{}", full(path).display())),
            Self::Ssh(address) => Some(address.canonical()),
        }
    }

    /// Begins to read a source that is no file here.
    ///
    /// # Errors
    /// When there is nothing to read from.
    pub fn open(&self, host: &Host) -> Result<Feed> {
        match self {
            Self::Path(path) => {
                Err(Error::internal(format!("{} is read where it lies", path.display())))
            }
            Self::Stdin => stdin(),
            Self::Socket(path) => socket(path),
            Self::Ssh(address) => over_ssh(address, host),
        }
    }
}

/// How long ssh has to end once its output is closed.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Why what was read is not whole, where whoever sent it knows better.
type Explain = Box<dyn FnOnce(Error) -> Error>;

/// A stream, and whoever knows why it was short.
pub struct Feed {
    /// What comes.
    pub stream: Box<dyn Read + Send>,
    /// Tells why it was not whole.
    pub explain: Explain,
}

fn stdin() -> Result<Feed> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Error::usage(
            "--from - reads a snapshot from standard input, which is a terminal",
            "heph-ops snapshot --stdout | ssh HUB heph-ops seed --from - --to DB",
        ));
    }
    Ok(Feed { stream: Box::new(stdin), explain: Box::new(|error| error) })
}

fn socket(path: &Path) -> Result<Feed> {
    let asked = snapshot::ask(path)?;
    let explain = move |error: Error| match asked.call.join() {
        Ok(Err(told)) => told,
        _ => error,
    };
    Ok(Feed { stream: Box::new(asked.stream), explain: Box::new(explain) })
}

fn over_ssh(address: &Address, host: &Host) -> Result<Feed> {
    let mut child = host.pipe_through(&address.argv(), address.script())?;
    let (Some(stream), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Error::internal("ssh has no output"));
    };
    let said = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = (&mut stderr).take(64 << 10).read_to_end(&mut said);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        String::from_utf8_lossy(&said).into_owned()
    });
    let source = address.canonical();
    let host = host.clone();
    let explain = move |error: Error| {
        // Nobody reads on, so it ends by itself, unless nothing gets through.
        let ended = host.poll(ENDS_WITHIN, || child.try_wait().ok().flatten());
        let _ = child.kill();
        let _ = child.wait();
        match ended.and_then(|status| status.code()) {
            None | Some(0) => error,
            Some(_) => ssh::explain(&source, &said.join().unwrap_or_default()),
        }
    };
    Ok(Feed { stream: Box::new(stream), explain: Box::new(explain) })
}
