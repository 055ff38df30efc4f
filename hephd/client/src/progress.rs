//! One line that counts, for a person who waits. It is drawn only on a
//! terminal and leaves nothing behind.

use std::io::Write;

use hephd::report::Style;

use hephd::report::thousands;

/// How many steps lie between two drawings.
const STRIDE: usize = 16;

/// A line that counts.
#[derive(Debug)]
pub struct Progress {
    live: bool,
    verb: &'static str,
    total: usize,
    done: usize,
}

impl Progress {
    /// Nothing is drawn before the first step.
    pub fn new(style: Style, verb: &'static str, total: usize) -> Self {
        Self { live: style.live(), verb, total, done: 0 }
    }

    /// One more is done.
    pub fn step(&mut self) {
        if self.live && self.done.is_multiple_of(STRIDE) {
            let (done, total) = (thousands(self.done), thousands(self.total));
            self.draw(&format!("  {:<10}{done} of {total}", self.verb));
        }
        self.done += 1;
    }

    /// A terminal that went away is no reason to stop.
    fn draw(&self, line: &str) {
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "\r{line:<40}");
        let _ = err.flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.live {
            self.draw("");
            self.draw("\r");
        }
    }
}
