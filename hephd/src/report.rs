//! The only printer. One [`Report`] becomes lines for a person or one JSON
//! document for a script; an error becomes two lines, or the same document.
//!
//! Data goes to stdout, everything else to stderr. A broken pipe is silent.
//! Colour is for terminals; the words are the same without. A list that may
//! be long is printed as it comes, by [`stream`].

pub mod stream;

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal that can
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// How to print. These flags stand on every command of heph and heph-ops.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Style {
    /// Print one JSON document instead of lines
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only what was asked for
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print log lines, also without a terminal
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub color: Color,
}

impl Style {
    /// Whether to colour what goes to a stream.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads NO_COLOR and TERM")]
    pub fn colored(&self, stream: &impl IsTerminal) -> bool {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !plain && stream.is_terminal(),
        }
    }

    /// Whether to draw progress bars and the like.
    #[must_use]
    pub fn live(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }
}

/// Something to know that is no failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// A stable slug.
    pub code: String,
    /// One line.
    pub message: String,
}

impl Warning {
    /// A warning.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// What a command says at its end.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The state reached: `seeded`, `already_installed`, …
    pub status: String,
    /// Something is not as it was.
    pub changed: bool,
    /// `--check`: all this is what would be.
    pub check: bool,
    /// `--diff`: before and after.
    pub diff: Option<(String, String)>,
    /// To know.
    pub warnings: Vec<Warning>,
    /// For scripts.
    pub data: Value,
    /// For people: a text that is printed exactly as it is, before the lines.
    pub text: Option<String>,
    /// For people.
    pub lines: Vec<String>,
    /// The command ends with this failure all the same, and `data` stands.
    pub error: Option<Error>,
}

impl Report {
    /// A report of a state, with what there is to say about it.
    pub fn new(status: &str, changed: bool, data: Value) -> Self {
        Self { status: status.to_owned(), changed, data, ..Self::default() }
    }

    /// Adds a line for people.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }
}

/// A whole number as people read it: `402,377`.
#[must_use]
pub fn thousands(n: impl std::fmt::Display) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints how a command ended, or with `--check` would have, and gives its exit
/// code.
pub fn finish(command: &str, style: Style, check: bool, ended: &Result<Report>) -> u8 {
    let code = match ended {
        Ok(report) => report.error.as_ref().map_or(0, Error::exit_code),
        Err(error) => error.exit_code(),
    };
    let printed =
        if style.json { print_json(command, check, ended) } else { print_text(style, ended) };
    after_printing(code, &printed)
}

/// Nobody reads on: that is no failure of ours.
fn after_printing(code: u8, printed: &io::Result<()>) -> u8 {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // Where stderr fails as well, the exit code is all that is left.
            let _ = writeln!(io::stderr(), "✗ cannot write the answer: {error}");
            code.max(1)
        }
        _ => code,
    }
}

fn print_json(command: &str, check: bool, ended: &Result<Report>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", Value::Object(document(command, check, ended)))?;
    out.flush()
}

fn document(command: &str, check: bool, ended: &Result<Report>) -> Map<String, Value> {
    let mut document = Map::new();
    let mut put = |key: &str, value: Value| document.insert(key.to_owned(), value);
    put("schema_version", json!(1));
    put("command", json!(command));
    match ended {
        Ok(report) => {
            put("status", json!(report.status));
            put("changed", json!(report.changed));
            put("check", json!(report.check));
            if let Some((before, after)) = &report.diff {
                put("diff", json!({ "before": before, "after": after }));
            }
            put("warnings", json!(report.warnings));
            put("data", report.data.clone());
            if let Some(error) = &report.error {
                put("error", error_document(error));
            }
        }
        Err(error) => {
            put("status", json!(if error.exit_code() == 4 { "refused" } else { "failed" }));
            put("changed", json!(false));
            put("check", json!(check));
            put("error", error_document(error));
        }
    }
    document
}

fn error_document(error: &Error) -> Value {
    json!({ "code": error.code.as_str(), "message": error.message, "hint": error.hint })
}

fn print_text(style: Style, ended: &Result<Report>) -> io::Result<()> {
    match ended {
        Ok(report) => {
            let mut out = io::stdout().lock();
            out.write_all(report.text.as_deref().unwrap_or_default().as_bytes())?;
            let colored = style.colored(&out);
            for line in &report.lines {
                writeln!(out, "{}", paint(line, colored))?;
            }
            out.flush()?;
            let mut err = io::stderr().lock();
            let colored = style.colored(&err);
            for warning in report.warnings.iter().filter(|_| !style.quiet) {
                let line = format!("! {} [{}]", warning.message, warning.code);
                writeln!(err, "{}", paint(&line, colored))?;
            }
            report.error.as_ref().map_or(Ok(()), |error| print_error(style, error))
        }
        Err(error) => print_error(style, error),
    }
}

/// Two lines: the thing, and what to do. Lines of a log stand between them.
///
/// # Errors
/// The operating system's, writing to stderr.
fn print_error(style: Style, error: &Error) -> io::Result<()> {
    let mut err = io::stderr().lock();
    let (first, rest) = error.message.split_once('\n').unwrap_or((&error.message, ""));
    let line = format!("✗ {first} [{}]", error.code.as_str());
    writeln!(err, "{}", paint(&line, style.colored(&err)))?;
    for line in rest.lines() {
        writeln!(err, "{line}")?;
    }
    writeln!(err, "  {}", error.hint)
}

/// Colours the sign at a line's beginning; the words stay as they are.
fn paint(line: &str, colored: bool) -> String {
    let color = match line.trim_start().chars().next() {
        Some('✓') => "32",
        Some('✗') => "31",
        Some('!') => "33",
        _ => return line.to_owned(),
    };
    if colored { format!("\x1b[{color}m{line}\x1b[0m") } else { line.to_owned() }
}

/// What clap says of this process's command line, in this project's two
/// lines. Help and version are no failures: they are printed, and the exit
/// code is 0.
pub fn usage_failure(program: clap::Command, error: &clap::Error) -> u8 {
    use clap::error::ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion, InvalidSubcommand,
    };
    let words: Vec<_> = std::env::args_os().skip(1).take_while(|word| word != "--").collect();
    let json = words.iter().any(|word| word == "--json");
    match error.kind() {
        DisplayHelp | DisplayVersion => {
            let _ = error.print();
            return 0;
        }
        DisplayHelpOnMissingArgumentOrSubcommand if !json => {
            let _ = error.print();
            return 2;
        }
        _ => {}
    }
    let (command, name) = led_to(program, &words);
    let text = error.render().to_string();
    let said = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let message = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let hint = match (tip, error.kind()) {
        (tip, InvalidSubcommand) => {
            let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
            let names = shown.map(clap::Command::get_name);
            let list = format!("commands: {}", names.collect::<Vec<_>>().join(", "));
            tip.map_or_else(|| list.clone(), |tip| format!("{tip}; {list}"))
        }
        (Some(tip), _) => tip.to_owned(),
        (None, _) => {
            format!("see {} --help", command.get_bin_name().unwrap_or(command.get_name()))
        }
    };
    let style = Style { json, ..Style::default() };
    finish(&name, style, false, &Err(Error::usage(message, hint)))
}

/// The command that the words lead to, and its name without the program's:
/// `task add`. The program itself where they lead to none.
fn led_to(program: clap::Command, words: &[OsString]) -> (clap::Command, String) {
    let mut command = program;
    command.build();
    let mut path: Vec<String> = Vec::new();
    for word in words {
        let inner = word.to_str().and_then(|word| command.find_subcommand(word)).cloned();
        if let Some(inner) = inner {
            path.push(inner.get_name().to_owned());
            command = inner;
        }
    }
    let name = if path.is_empty() { command.get_name().to_owned() } else { path.join(" ") };
    (command, name)
}
