//! `heph daemon …`: the same words to the `heph-ops` beside this program.
//! There is one implementation of starting and stopping, so that none of the
//! flags of a service is ever dropped. This process becomes that one: its
//! output, its exit code and its signals are the caller's.

use std::{ffi::OsString, os::unix::process::CommandExt, path::PathBuf, process::Command};

use clap::ValueEnum;
use hephd::{
    error::{Code, Error},
    paths,
    record::{Record, Role},
    report::Color,
};

use crate::everywhere::Everywhere;

/// What to do with the daemon.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verb {
    Start,
    Stop,
    Restart,
    Status,
    Logs,
}

/// Flags of those verbs whose next word is their value, and no label.
const WITH_VALUE: [&str; 7] =
    ["--timeout", "--settle-ms", "--wait", "--for", "--since", "--lines", "-n"];

/// What is passed on.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    verb: Verb,
    /// More words and flags, as heph-ops takes them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    more: Vec<OsString>,
}

/// Becomes heph-ops. It comes back only with the reason why it could not.
pub fn run(args: &Args, everywhere: &Everywhere) -> Error {
    if everywhere.socket.is_some() {
        return Error::usage(
            "--socket names a running daemon; heph daemon is about services",
            "name the service instead: heph daemon start LABEL",
        );
    }
    let program = beside_us().unwrap_or_else(|| PathBuf::from("heph-ops"));
    #[expect(clippy::disallowed_methods, reason = "this program has no plans: it becomes heph-ops")]
    let mut command = Command::new(&program);
    command.arg(word(args.verb)).args(this_device(&args.more)).args(flags(everywhere));
    command.args(&args.more);
    let error = command.exec();
    Error::new(
        Code::NotSupported,
        format!("cannot run {}: {error}", program.display()),
        "install heph-ops beside heph, or somewhere on PATH",
    )
}

/// The label of this device's service, where the words name none and there is
/// only one: a hub on the same machine is not meant.
fn this_device(words: &[OsString]) -> Option<String> {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let is_value = |n: usize| n > 0 && WITH_VALUE.contains(&words[n - 1].as_ref());
    let named = (0..words.len()).any(|n| !words[n].starts_with('-') && !is_value(n));
    let records = Record::load_installed(&paths::record_folder().ok()?);
    let mut spokes = records.into_iter().flatten().filter(|record| record.role == Role::Spoke);
    match (named, spokes.next(), spokes.next()) {
        (false, Some(only), None) => Some(only.label),
        _ => None,
    }
}

fn beside_us() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.with_file_name("heph-ops");
    program.is_file().then_some(program)
}

fn word(verb: Verb) -> OsString {
    verb.to_possible_value().map(|value| value.get_name().into()).unwrap_or_default()
}

/// The flags that stand before the verb; those behind it are passed on as
/// they are.
fn flags(everywhere: &Everywhere) -> Vec<&'static str> {
    let style = everywhere.style;
    let color = match style.color {
        Color::Auto => None,
        Color::Always => Some("--color=always"),
        Color::Never => Some("--color=never"),
    };
    [
        style.json.then_some("--json"),
        style.quiet.then_some("--quiet"),
        style.verbose.then_some("--verbose"),
        color,
    ]
    .into_iter()
    .flatten()
    .collect()
}
