//! The calls that a command makes, and how one of them is made to go wrong.

use std::collections::BTreeMap;

use super::Place;
use crate::sandbox::Ended;

/// The calls that change something on a disk, on any kind of processor.
pub const CHANGES: &str = "trace=?open,openat,?creat,write,pwrite64,writev,?pwritev,ftruncate,fallocate,\
    fsync,fdatasync,?rename,renameat,renameat2,?link,linkat,?symlink,symlinkat,?unlink,unlinkat,\
    ?mkdir,mkdirat,?rmdir,fchmod,fchown,sendfile,copy_file_range";

/// A call: the `n`th of its name in its thread.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: String,
    pub n: usize,
    /// What strace shows of it.
    pub text: String,
}

impl Call {
    /// Opening a file changes something only where it may make one.
    pub fn changes_something(&self) -> bool {
        !self.name.starts_with("open") || self.text.contains("O_CREAT")
    }

    /// A library is sought before the program begins.
    pub fn seeks_library(&self) -> bool {
        self.name.starts_with("open") && self.text.contains(".so")
    }

    /// Whether what was written is on the disk after it.
    pub fn syncs(&self) -> bool {
        ["fsync", "fdatasync"].contains(&self.name.as_str())
    }

    /// Whether it is to that file descriptor.
    pub fn is_to(&self, fd: u8) -> bool {
        self.text.starts_with(&format!("{}({fd}, ", self.name))
    }

    /// What makes strace do this at the call.
    pub fn inject(&self, what: &str) -> [String; 2] {
        let Self { name, n, .. } = self;
        [format!("--trace={name}"), format!("--inject={name}:{what}:when={n}")]
    }
}

/// The calls of a run that ends well. strace counts each thread's by themselves
/// and stops the first that comes so far: where another thread makes as many
/// calls of that name before, one is out of reach. Were it one that matters, a
/// sweep would promise too much, and this fails.
#[track_caller]
pub fn calls(place: &Place<'_>) -> Vec<Call> {
    let (output, trace) = place.run_traced(&["-e", CHANGES, "-e", "signal=none"]);
    Ended::from(output).expect(0);
    let mut counts = BTreeMap::<_, usize>::new();
    let mut calls: Vec<Call> = Vec::new();
    for (thread, text) in trace.lines().filter_map(begun) {
        let name = text.split('(').next().unwrap_or_default();
        let n = counts.entry((thread, name)).or_default();
        *n += 1;
        let call = Call { name: name.to_owned(), n: *n, text: text.to_owned() };
        let hidden = calls.iter().any(|known| (known.n, &*known.name) == (*n, name));
        assert!(!hidden || !call.changes_something(), "out of reach: {text}");
        if !hidden {
            calls.push(call);
        }
    }
    calls
}

/// The thread and the call of a line. What is resumed has begun before; signals
/// and ends are no calls.
fn begun(line: &str) -> Option<(&str, &str)> {
    let (thread, call) = line.split_once(' ')?;
    let call = call.trim_start();
    call.starts_with(|c: char| c.is_ascii_lowercase()).then_some((thread, call))
}
