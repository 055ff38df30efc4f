//! A list that is printed as it comes, so that its length never lies in
//! memory. Still one document with `--json`: `data` stands before `status`,
//! and what fails half-way closes the array and tells `error` beside it.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use super::{Report, Style, after_printing, document, finish, paint};
use crate::error::{Error, Result};

/// What a command prints before it ends, and how it ends.
#[derive(Debug)]
pub struct Stream {
    command: String,
    style: Style,
    out: BufWriter<Stdout>,
    items: u64,
    /// Why nothing can be printed any more.
    broken: Option<io::Error>,
}

impl Stream {
    /// Nothing is printed yet.
    #[must_use]
    pub fn new(command: &str, style: Style) -> Self {
        let out = BufWriter::with_capacity(1 << 16, io::stdout());
        Self { command: command.to_owned(), style, out, items: 0, broken: None }
    }

    /// Prints with `--json`, and not for people.
    #[must_use]
    pub const fn json(&self) -> bool {
        self.style.json
    }

    /// One more in `data`, with `--json`.
    ///
    /// # Errors
    /// When nobody reads on, or the disk is full: there is no use in going
    /// on, and [`Stream::finish`] knows why.
    pub fn item(&mut self, item: &impl Serialize) -> Result<()> {
        let printed = self.print_item(item);
        self.items += 1;
        self.note(printed)
    }

    /// Lines for people; they leave at once.
    ///
    /// # Errors
    /// As [`Stream::item`].
    pub fn lines(&mut self, lines: &[String]) -> Result<()> {
        let printed = self.print_lines(lines);
        self.note(printed)
    }

    fn print_item(&mut self, item: &impl Serialize) -> io::Result<()> {
        if self.items == 0 {
            let command = serde_json::to_string(&self.command)?;
            write!(self.out, "{{\"schema_version\":1,\"command\":{command},\"data\":[")?;
        } else {
            self.out.write_all(b",")?;
        }
        Ok(serde_json::to_writer(&mut self.out, item)?)
    }

    fn print_lines(&mut self, lines: &[String]) -> io::Result<()> {
        let colored = self.style.colored(self.out.get_ref());
        for line in lines {
            writeln!(self.out, "{}", paint(line, colored))?;
        }
        self.out.flush()
    }

    fn note(&mut self, printed: io::Result<()>) -> Result<()> {
        printed.map_err(|error| {
            let told = Error::internal(format!("cannot print: {error}"));
            self.broken = Some(error);
            told
        })
    }

    /// Prints how the command ended, and gives its exit code. What was listed
    /// already is not in the report once more.
    pub fn finish(mut self, check: bool, ended: &Result<Report>) -> u8 {
        if let Some(error) = self.broken.take() {
            return after_printing(0, &Err(error));
        }
        if self.items == 0 {
            return finish(&self.command, self.style, check, ended);
        }
        let code = match ended {
            Ok(report) => report.error.as_ref().map_or(0, Error::exit_code),
            Err(error) => error.exit_code(),
        };
        let printed = self.close(check, ended);
        after_printing(code, &printed)
    }

    fn close(&mut self, check: bool, ended: &Result<Report>) -> io::Result<()> {
        let mut rest = document(&self.command, check, ended);
        for told in ["schema_version", "command", "data"] {
            rest.remove(told);
        }
        self.out.write_all(b"]")?;
        for (key, value) in rest {
            write!(self.out, ",{}:{value}", serde_json::to_string(&key)?)?;
        }
        writeln!(self.out, "}}")?;
        self.out.flush()
    }
}
