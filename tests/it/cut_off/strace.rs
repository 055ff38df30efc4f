//! The moments at which a command can be cut off, and cutting it off.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt, process::Stdio};

use crate::{keeper::Keeper, sandbox::program};

/// A call: the `n`th of its name in the first thread, which alone does things.
#[derive(Debug, Clone)]
pub struct Point {
    name: String,
    n: usize,
    /// What strace shows of it.
    pub text: String,
}

impl Point {
    /// What changes something: files, folders, locks, other processes.
    pub const CALLS: &str = "?open,openat,?creat,?rename,renameat,renameat2,?unlink,unlinkat,?mkdir,\
        mkdirat,?rmdir,fsync,fdatasync,fchmod,fchown,?fork,?vfork,clone,?clone3,kill,\
        pidfd_send_signal,wait4";
}

/// The command under strace, whoever it starts not.
fn traced(keeper: &Keeper, options: &[&str], words: &[String]) -> std::process::ExitStatus {
    let mut strace = keeper.command("strace");
    strace.args(["-qq", "-o"]).arg(keeper.sandbox().path("trace")).args(options);
    strace.arg(program("heph-ops")).args(words).stdout(Stdio::null()).stderr(Stdio::null());
    strace.status().unwrap()
}

/// The points of a run, from the moment on at which it has the service to itself.
pub fn points(keeper: &Keeper, words: &[String]) -> Vec<Point> {
    traced(keeper, &["-e", &format!("trace={}", Point::CALLS), "-e", "signal=none"], words);
    let trace = std::fs::read_to_string(keeper.sandbox().path("trace")).unwrap();
    let mut counts = BTreeMap::<&str, usize>::new();
    let (mut points, mut alone, mut begun) = (Vec::new(), false, false);
    for text in trace.lines() {
        let name = text.split('(').next().unwrap_or_default();
        let n = counts.entry(name).or_default();
        *n += 1;
        // Of a wait only its beginning: a child has been started a moment ago.
        let counts = match name {
            "open" | "openat" => text.contains("O_CREAT"),
            "wait4" => begun,
            _ => true,
        };
        begun = name.contains("clone") || name.contains("fork");
        if alone && counts {
            points.push(Point { name: name.to_owned(), n: *n, text: text.to_owned() });
        }
        alone |= text.contains(".ops\"");
    }
    points
}

/// Runs the command up to that call. What waits does so in more calls or fewer,
/// so it may also come to its end.
pub fn cut_off(keeper: &Keeper, words: &[String], at: &Point) -> bool {
    let Point { name, n, .. } = at;
    let options = [format!("--trace={name}"), format!("--inject={name}:signal=KILL:when={n}")];
    traced(keeper, &[&options[0], &options[1]], words).signal() == Some(9)
}
