//! What services log: one way to read it and to go on reading, wherever their
//! manager keeps it.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use hephd::error::{Error, Result, file};

use crate::host::Host;

/// How often files are looked at for more.
const LOOK: Duration = Duration::from_millis(100);

/// Where a service's log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the journal; these words show it.
    Journal(Vec<String>),
    /// In files.
    Files {
        /// Those that were put by, the oldest first.
        old: Vec<PathBuf>,
        /// Those that are written to.
        now: Vec<PathBuf>,
    },
}

impl Place {
    /// Without what systemd has to say of the service: its own last words are why
    /// it ended.
    #[must_use]
    pub fn of_service_alone(self) -> Self {
        match self {
            Self::Journal(words) => {
                Self::Journal([words, vec!["_TRANSPORT=stdout".to_owned()]].concat())
            }
            files => files,
        }
    }
}

/// Which lines.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    /// As many from the end.
    Last(usize),
    /// All since a time, in milliseconds since 1970.
    Since(u64),
}

/// The lines that are there.
///
/// # Errors
/// Where a file is there and cannot be read, or journalctl fails.
pub fn read(host: &Host, place: &Place, which: Which) -> Result<Vec<String>> {
    match place {
        Place::Journal(words) => journal(host, words, which),
        Place::Files { old, now } => {
            let (mut lines, mut shown) = (Vec::new(), false);
            for path in old.iter().chain(now) {
                for line in lines_of(path)? {
                    shown = time_of(&line).map_or(shown, |ms| is_wanted(ms, which));
                    if shown || matches!(which, Which::Last(_)) {
                        lines.push(line);
                    }
                }
            }
            let last = if let Which::Last(n) = which { n } else { lines.len() };
            Ok(lines.split_off(lines.len().saturating_sub(last)))
        }
    }
}

const fn is_wanted(ms: u64, which: Which) -> bool {
    match which {
        Which::Last(_) => true,
        Which::Since(since) => ms >= since,
    }
}

/// When hephd wrote a line, as it says itself, in either of its formats.
fn time_of(line: &str) -> Option<u64> {
    let in_json = line.split_once("\"timestamp\":\"").map(|(_, rest)| rest);
    let text = in_json.unwrap_or(line).split(['"', ' ']).next()?;
    hephd::clock::parse_rfc3339(text)
}

fn lines_of(path: &Path) -> Result<Vec<String>> {
    match std::fs::read(path) {
        Ok(text) => Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(file(path, "read")(error)),
    }
}

fn journal(host: &Host, words: &[String], which: Which) -> Result<Vec<String>> {
    let argv = [words, &journal_words(which), &["--no-pager".to_owned()]].concat();
    let output = host.run(&argv)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::internal(format!("{} failed: {said}", argv.join(" "))));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // What it says where there is nothing is no line of the service's.
    let lines = text.lines().filter(|line| !line.starts_with("-- "));
    Ok(lines.map(str::to_owned).collect())
}

fn journal_words(which: Which) -> Vec<String> {
    let words = match which {
        Which::Last(n) => ["-n".to_owned(), n.to_string()],
        Which::Since(ms) => ["--since".to_owned(), format!("@{}", ms / 1000)],
    };
    words.into_iter().chain(["--output=cat".to_owned()]).collect()
}

/// The lines that come from now on, until a signal or until nobody takes them.
///
/// # Errors
/// Where journalctl cannot be run.
pub fn follow(host: &Host, place: &Place, each: impl FnMut(String) -> Result<()>) -> Result<()> {
    match place {
        Place::Journal(words) => follow_journal(host, words, each),
        Place::Files { now, .. } => {
            follow_files(host, now, each);
            Ok(())
        }
    }
}

fn follow_journal(
    host: &Host,
    words: &[String],
    mut each: impl FnMut(String) -> Result<()>,
) -> Result<()> {
    let more = ["--follow", "-n", "0", "--output=cat"].map(str::to_owned);
    let mut child = host.pipe_through(&[words, &more].concat(), String::new())?;
    let lines = lines_from(child.stdout.take());
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                if each(line).is_err() {
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout) if host.interrupted().is_none() => {}
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    Ok(())
}

/// Reads lines beside us, so that a signal is heard while none comes.
fn lines_from(from: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        let from = from.map(BufReader::new).into_iter();
        for line in from.flat_map(BufRead::lines).map_while(std::io::Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn follow_files(host: &Host, paths: &[PathBuf], mut each: impl FnMut(String) -> Result<()>) {
    let mut files: Vec<Followed> = paths.iter().map(|path| Followed::at_end(path)).collect();
    while host.interrupted().is_none() {
        for line in files.iter_mut().flat_map(Followed::more).collect::<Vec<_>>() {
            if each(line).is_err() {
                return;
            }
        }
        host.pause(LOOK);
    }
}

/// A file that grows, and whose name may pass to another one.
struct Followed {
    path: PathBuf,
    file: Option<File>,
    /// A line that has not ended yet.
    begun: Vec<u8>,
}

impl Followed {
    fn at_end(path: &Path) -> Self {
        let mut file = File::open(path).ok();
        if let Some(file) = &mut file {
            let _ = file.seek(SeekFrom::End(0));
        }
        Self { path: path.to_owned(), file, begun: Vec::new() }
    }

    fn more(&mut self) -> Vec<String> {
        self.read();
        let inode = |meta: std::io::Result<std::fs::Metadata>| meta.ok().map(|meta| meta.ino());
        let named = inode(std::fs::metadata(&self.path));
        let held = self.file.as_ref().and_then(|file| inode(file.metadata()));
        if named.is_some() && named != held {
            self.file = File::open(&self.path).ok();
            self.read();
        }
        let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.begun.split_off(end + 1);
        let whole = std::mem::replace(&mut self.begun, rest);
        String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
    }

    fn read(&mut self) {
        if let Some(file) = &mut self.file {
            let _ = file.read_to_end(&mut self.begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_followed_into_the_one_that_takes_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let add = |path: &Path, text: &str| {
            use std::io::Write;
            let mut file =
                std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        add(&path, "before\n");
        let mut followed = Followed::at_end(&path);
        add(&path, "one\ntw");
        assert_eq!(followed.more(), ["one"]);
        add(&path, "o\n");
        std::fs::rename(&path, dir.path().join("a.log.1")).unwrap();
        add(&path, "three\n");
        assert_eq!(followed.more(), ["two", "three"]);
    }

    #[test]
    fn both_formats_tell_when_a_line_was_written() {
        for line in [
            "2026-05-01T10:00:00.5Z  INFO ready",
            r#"{"timestamp":"2026-05-01T10:00:00.5Z","level":"INFO"}"#,
        ] {
            assert_eq!(time_of(line), Some(1_777_629_600_500), "{line}");
        }
        assert_eq!(time_of("  and more of it"), None);
    }
}
