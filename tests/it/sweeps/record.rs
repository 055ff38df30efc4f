//! What a command did to its target's folder, in order, as strace saw it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use super::{Place, strace::CHANGES};
use crate::sandbox::Ended;

/// One change. Paths begin at the place.
#[derive(Debug, Clone)]
pub enum Op {
    MakeFolder(PathBuf),
    /// Nothing happens where it is there already.
    MakeFile(PathBuf),
    Write(PathBuf, usize, Vec<u8>),
    SetLength(PathBuf, usize),
    /// Of a file's data, or of a folder's names.
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    /// From here on somebody relies on it.
    Answer,
}

/// Runs the command, all of its data shown and all text as numbers, so that
/// no comma or bracket in it is taken for strace's own.
#[track_caller]
pub fn record(place: &Place<'_>) -> Vec<Op> {
    let options = ["-y", "-xx", "-s", "16777216", "-e", "signal=none", "-e", CHANGES];
    let (output, trace) = place.run_traced(&options);
    Ended::from(output).expect(0);
    let mut recorder =
        Recorder { place: place.path(), target: place.target(), at: BTreeMap::new() };
    whole_lines(&trace).iter().flat_map(|line| recorder.ops(line)).collect()
}

/// Each call on one line, also where another thread's came in between.
fn whole_lines(trace: &str) -> Vec<String> {
    let mut begun = BTreeMap::new();
    let mut whole = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or_default();
        if let Some(call) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, call.trim_start());
        } else if let Some((_, rest)) = call.split_once(" resumed>") {
            whole.push(format!("{}{rest}", begun.remove(thread).unwrap_or_default()));
        } else {
            whole.push(call.trim_start().to_owned());
        }
    }
    whole
}

struct Recorder {
    place: PathBuf,
    target: PathBuf,
    /// Where a plain write to each file descriptor goes.
    at: BTreeMap<String, usize>,
}

impl Recorder {
    fn ops(&mut self, line: &str) -> Vec<Op> {
        let Some((call, result)) = line.rsplit_once(" = ") else { return Vec::new() };
        let Some((name, args)) = call.split_once('(') else { return Vec::new() };
        if result.starts_with('-') {
            return Vec::new();
        }
        let args: Vec<&str> = args.trim_end().trim_end_matches(')').split(", ").collect();
        if name == "write" && args[0].starts_with("1<") {
            return vec![Op::Answer];
        }
        let paths = paths(name, &args);
        // Whether it came to the medium that a folder was made is for the one
        // around it to know.
        let ours = |path: &PathBuf| path.starts_with(&self.target) || *path == self.place;
        if !paths.iter().any(ours) {
            return Vec::new();
        }
        let path = |n: usize| paths[n].strip_prefix(&self.place).unwrap().to_owned();
        match name {
            "open" | "openat" | "creat" => self.opened(&path(0), &args, result),
            "mkdir" | "mkdirat" => vec![Op::MakeFolder(path(0))],
            "pwrite64" => vec![Op::Write(path(0), number(args[3]), written(args[1], result))],
            "write" => {
                let at = self.at.entry(descriptor(args[0])).or_default();
                *at += number(result);
                vec![Op::Write(path(0), *at - number(result), written(args[1], result))]
            }
            "ftruncate" => vec![Op::SetLength(path(0), number(args[1]))],
            "fsync" | "fdatasync" => vec![Op::Sync(path(0))],
            "rename" | "renameat" | "renameat2" => vec![Op::Rename(path(0), path(1))],
            "link" | "linkat" => vec![Op::Link(path(0), path(1))],
            "unlink" | "unlinkat" | "rmdir" => vec![Op::Remove(path(0))],
            "fchmod" | "fchown" => Vec::new(),
            other => panic!("what {other} does is not known here"),
        }
    }

    fn opened(&mut self, path: &Path, args: &[&str], result: &str) -> Vec<Op> {
        self.at.insert(descriptor(result), 0);
        let has = |flag| args.iter().any(|arg| arg.contains(flag));
        assert!(!has("O_APPEND") && !has("O_TMPFILE"), "{}: not known here", path.display());
        let made = has("O_CREAT").then(|| Op::MakeFile(path.to_owned()));
        let emptied = has("O_TRUNC").then(|| Op::SetLength(path.to_owned(), 0));
        made.into_iter().chain(emptied).collect()
    }
}

/// The files and folders that a call is about: those that it names, each from
/// the folder that is given before it, or those of its file descriptors.
fn paths(name: &str, args: &[&str]) -> Vec<PathBuf> {
    let of_descriptor = |arg: &&str| arg.split_once('<').map(|(_, path)| path_in(path));
    let names = NAMING.iter().any(|sort| name.contains(sort));
    if !names {
        return args.iter().filter_map(of_descriptor).collect();
    }
    let mut base = PathBuf::new();
    let mut found = Vec::new();
    for arg in args {
        match of_descriptor(arg) {
            Some(folder) => base = folder,
            None if arg.starts_with('"') => found.push(base.join(path_in(arg))),
            None => {}
        }
    }
    found
}

const NAMING: [&str; 6] = ["open", "creat", "mkdir", "rename", "link", "rmdir"];

fn path_in(text: &str) -> PathBuf {
    OsString::from_vec(bytes(text)).into()
}

/// What stands there as `\x2f\x74…`.
fn bytes(text: &str) -> Vec<u8> {
    let pairs = text.split("\\x").skip(1).map(|pair| &pair[..2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// As much as was taken of what was given.
fn written(text: &str, result: &str) -> Vec<u8> {
    let mut bytes = bytes(text);
    assert!(bytes.len() >= number(result), "strace has cut what was written");
    bytes.truncate(number(result));
    bytes
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

fn descriptor(text: &str) -> String {
    text.split('<').next().unwrap_or_default().to_owned()
}
