//! A program that runs beside a test, once it has said that it is there.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    time::Duration,
};

/// How long one may take to begin. Now and then node stands still for ever
/// before its first line, waiting for a thread of its own.
const BEGINS_WITHIN: Duration = Duration::from_secs(20);

/// Starts a program and gives its first line; once more where it says nothing.
pub fn started(mut command: Command) -> (Child, String) {
    for _ in 0..3 {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (said, out) = (channel(), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(out).read_line(&mut line);
            let _ = said.0.send(read.map(|_| line));
        });
        if let Ok(line) = said.1.recv_timeout(BEGINS_WITHIN) {
            return (child, line.unwrap().trim().to_owned());
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    panic!("{command:?} says nothing");
}
