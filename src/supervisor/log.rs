//! The log of a service that a supervisor keeps, and the files it turns into.
//!
//! The service writes into a pipe and the supervisor into the file, so that the
//! supervisor can change files between two lines: none is lost, cut or shown
//! twice. The service writing into the file itself, which would then be copied
//! and emptied, would lose what comes in between. When the supervisor is killed,
//! hephd's lines are lost until it is started again, and hephd lives on.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A file that is longer is put by.
pub const LIMIT: u64 = 10 << 20;

/// How many that were put by are kept.
const KEPT: u32 = 3;

/// A log that is written to.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    limit: u64,
    /// Where in the file our first line is, in bytes.
    pub begins: u64,
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn put_by(path: &Path, n: u32) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{n}"))
}

/// The files of a log that there are, the oldest first, the one that is written
/// to last.
#[must_use]
pub fn files(path: &Path) -> Vec<PathBuf> {
    let old = (1..=KEPT).rev().map(|n| put_by(path, n));
    old.chain([path.to_owned()]).filter(|path| path.exists()).collect()
}

impl Log {
    /// Opens a log at its end.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = open(path)?;
        let begins = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, limit, begins })
    }

    /// Adds what a service has printed. Where it cannot be written it is lost: a
    /// full disk is no reason to hold up the service.
    pub fn add(&mut self, bytes: &[u8]) {
        let len = self.file.metadata().map_or(0, |meta| meta.len());
        let is_full = len + bytes.len() as u64 > self.limit;
        match bytes.iter().position(|byte| *byte == b'\n').filter(|_| is_full) {
            None => drop(self.file.write_all(bytes)),
            Some(end) => {
                let (last, rest) = bytes.split_at(end + 1);
                let _ = self.file.write_all(last);
                let _ = self.turn();
                let _ = self.file.write_all(rest);
            }
        }
    }

    /// Puts the file by and begins another.
    fn turn(&mut self) -> io::Result<()> {
        for n in (1..KEPT).rev() {
            let _ = std::fs::rename(put_by(&self.path, n), put_by(&self.path, n + 1));
        }
        std::fs::rename(&self.path, put_by(&self.path, 1))?;
        self.file = open(&self.path)?;
        self.begins = 0;
        Ok(())
    }
}

/// The last lines of a log that begins somewhere in its file, read from the last
/// pages only. Where the file is new, they go on in the one before.
#[must_use]
pub fn tail(path: &Path, begins: u64, lines: usize) -> Vec<String> {
    let (text, is_new) = read_end(path, begins).unwrap_or_default();
    let before = put_by(path, 1);
    let before = if is_new { read_end(&before, 0).unwrap_or_default().0 } else { String::new() };
    let all: Vec<&str> = before.lines().chain(text.lines()).collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}

/// The end of a file, and whether that is all of it.
fn read_end(path: &Path, begins: u64) -> io::Result<(String, bool)> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    // It was put by since its beginning was noted.
    let begins = if begins > len { 0 } else { begins };
    let from = len.saturating_sub(16 << 10).max(begins);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok((String::from_utf8_lossy(&text).into_owned(), from == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines that are kept, the oldest first.
    fn kept(path: &Path) -> String {
        files(path).iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn no_line_is_lost_or_cut_when_a_file_is_put_by() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let mut log = Log::open(&path, 300).unwrap();
        let lines: String = (0..100).map(|n| format!("line {n}\n")).collect();
        // Pieces end anywhere, as they do in a pipe.
        lines.as_bytes().chunks(13).for_each(|piece| log.add(piece));
        assert_eq!(kept(&path), lines);
        for path in files(&path) {
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.starts_with("line ") && text.ends_with('\n') && text.len() < 320);
        }
        assert_eq!(files(&path).len(), 3);
        (0..900).for_each(|n| log.add(format!("more {n}\n").as_bytes()));
        assert_eq!(files(&path).len(), 4, "the oldest go");
        assert!(kept(&path).ends_with("more 899\n"));
    }

    #[test]
    fn the_last_lines_are_those_of_this_time_also_across_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        Log::open(&path, 100).unwrap().add(b"of an earlier time\n");
        let mut log = Log::open(&path, 100).unwrap();
        log.add(b"one\n");
        assert_eq!(tail(&path, log.begins, 5), ["one"]);
        let noted = log.begins;
        log.add("x".repeat(100).as_bytes());
        log.add(b"\ntwo\nthree\n");
        assert_eq!(tail(&path, log.begins, 2), ["two", "three"]);
        assert_eq!(tail(&path, log.begins, 4)[0], "one");
        assert_eq!(tail(&path, noted, 4)[0], "one", "what was noted before stands no more");
    }
}
