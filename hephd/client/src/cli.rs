//! Every command, and the dispatch. What a command takes stands with it.

use clap::{CommandFactory, Parser, Subcommand};
use hephd::{
    error::Result,
    report::{self, Report, stream::Stream},
};

use crate::{
    auth, conflicts, daemon, doc, everywhere::Everywhere, export, history, import, journal, link,
    past, sync, tag, task,
};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "heph", version, about = "Your tasks and documents", max_term_width = 80)]
struct Cli {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add, list, show, edit and finish tasks
    #[command(subcommand)]
    Task(task::Command),
    /// Add, list, show and edit documents
    #[command(subcommand)]
    Doc(doc::Command),
    /// Write in the journal, show a day, list the days
    Journal(journal::Args),
    /// List, put on, take off and rename tags
    #[command(subcommand)]
    Tag(tag::Command),
    /// Link one thing to another, list links
    #[command(subcommand)]
    Link(link::Command),
    /// Every change of a node, oldest first
    History(history::Args),
    /// Show a node, as it is or as it was
    Show(past::Show),
    /// Make a node what it was; what was in between stays in its history
    Revert(past::Revert),
    /// What two devices wrote without knowing of each other: list, settle
    Conflicts(conflicts::Args),
    /// Sync with the hub now, or show how it stands
    Sync(sync::Args),
    /// Log in at the hub, log out, show who is logged in
    #[command(subcommand)]
    Auth(auth::Command),
    /// One line: how well this device is in step with its hub
    Status,
    /// Take in a folder of Markdown files
    Import(import::Args),
    /// Write every document as a Markdown file
    Export(export::Args),
    /// Start, stop, restart or look at this device's daemon, through heph-ops
    Daemon(daemon::Args),
}

impl Command {
    const fn name(&self) -> &'static str {
        match self {
            Self::Task(command) => command.name(),
            Self::Doc(command) => command.name(),
            Self::Journal(args) => args.name(),
            Self::Tag(command) => command.name(),
            Self::Link(command) => command.name(),
            Self::History(_) => "history",
            Self::Show(_) => "show",
            Self::Revert(_) => "revert",
            Self::Conflicts(args) => args.name(),
            Self::Sync(_) => "sync",
            Self::Auth(command) => command.name(),
            Self::Status => "status",
            Self::Import(_) => "import",
            Self::Export(_) => "export",
            Self::Daemon(_) => "daemon",
        }
    }
}

impl Command {
    /// Only to look what would be.
    const fn checks(&self) -> bool {
        match self {
            Self::Revert(args) => args.check,
            Self::Conflicts(conflicts::Args {
                command: Some(conflicts::Command::Resolve(args)),
            }) => args.check,
            _ => false,
        }
    }
}

/// Runs the command line that this process was given; its exit code.
#[must_use]
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return report::usage_failure(Cli::command(), &error),
    };
    let mut stream = Stream::new(cli.command.name(), cli.everywhere.style);
    let ended = run(&cli, &mut stream);
    stream.finish(cli.command.checks(), &ended)
}

fn run(cli: &Cli, stream: &mut Stream) -> Result<Report> {
    let everywhere = &cli.everywhere;
    match &cli.command {
        Command::Task(command) => task::run(command, everywhere, stream),
        Command::Doc(command) => doc::run(command, everywhere, stream),
        Command::Journal(args) => journal::run(args, everywhere, stream),
        Command::Tag(command) => tag::run(command, everywhere, stream),
        Command::Link(command) => link::run(command, everywhere, stream),
        Command::History(args) => history::run(args, everywhere, stream),
        Command::Show(args) => past::show(args, everywhere),
        Command::Revert(args) => past::revert(args, everywhere),
        Command::Conflicts(args) => conflicts::run(args, everywhere, stream),
        Command::Sync(args) => sync::run(args, everywhere),
        Command::Auth(command) => auth::run(command, everywhere),
        Command::Status => sync::line(everywhere),
        Command::Import(args) => import::run(args, everywhere),
        Command::Export(args) => export::run(args, everywhere),
        Command::Daemon(args) => Err(daemon::run(args, everywhere)),
    }
}
