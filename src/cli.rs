//! Every command, and the dispatch.

use std::io;

use clap::{CommandFactory, Parser, Subcommand};
use hephd::{
    error::Result,
    report::{self, Report, Style},
};

use crate::{
    commands::{
        How, backup, connect, drill, install_service, logs, render, restore, seed, snapshot, start,
        status, stop, uninstall_service, verify,
    },
    detached,
    host::Host,
    supervisor,
};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "heph-ops",
    version,
    about = "Seeds, installs and watches hephd",
    max_term_width = 80
)]
struct Cli {
    #[command(flatten)]
    style: Style,
    #[command(flatten)]
    how: How,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Seed(seed::Args),
    Snapshot(snapshot::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Verify(verify::Args),
    Drill(drill::Args),
    InstallService(Box<install_service::Args>),
    UninstallService(uninstall_service::Args),
    Connect(Box<connect::Args>),
    /// Start a service and wait until it is ready
    Start(start::Args),
    Stop(stop::Args),
    /// Stop a service, start it as recorded, wait until it is ready
    Restart(start::Args),
    Status(status::Args),
    Logs(logs::Args),
    /// Write the files that set up the systems around a hub
    #[command(subcommand)]
    Render(render::Command),
    #[command(hide = true)]
    Supervise(Supervise),
}

/// What heph-ops starts for itself; its words come by standard input
#[derive(Debug, clap::Args)]
struct Supervise {
    /// Of which service, for whoever looks at `ps`
    _label: Option<String>,
    /// Become the service
    #[arg(long)]
    begin: bool,
}

impl Command {
    const fn name(&self) -> &'static str {
        match self {
            Self::Seed(_) => "seed",
            Self::Snapshot(_) => "snapshot",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Verify(_) => "verify",
            Self::Drill(_) => "drill",
            Self::InstallService(_) => "install-service",
            Self::UninstallService(_) => "uninstall-service",
            Self::Connect(_) => "connect",
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
            Self::Restart(_) => "restart",
            Self::Status(_) => "status",
            Self::Logs(_) => "logs",
            Self::Render(command) => command.name(),
            Self::Supervise(_) => "supervise",
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
    report::finish(cli.command.name(), cli.style, cli.how.check, &run(&cli))
}

fn run(cli: &Cli) -> Result<Report> {
    if let Command::Supervise(Supervise { begin: true, .. }) = cli.command {
        // Before the host listens to signals: one that comes now ends us.
        return Err(detached::begin(io::stdin().lock()));
    }
    let (how, host) = (cli.how, Host::this()?);
    match &cli.command {
        Command::Seed(args) => seed::run(args, how, cli.style, &host),
        Command::Snapshot(args) => snapshot::run(args, how, cli.style, &host),
        Command::Backup(args) => backup::run(args, how, cli.style, &host),
        Command::Restore(args) => restore::run(args, how, cli.style, &host),
        Command::Verify(args) => verify::run(args, cli.style, &host),
        Command::Drill(args) => drill::run(args, how, cli.style, &host),
        Command::InstallService(args) => install_service::run(args, how, &host),
        Command::UninstallService(args) => uninstall_service::run(args, how, &host),
        Command::Connect(args) => connect::run(args, how, cli.style, &host),
        Command::Start(args) => start::start(args, how, &host),
        Command::Stop(args) => stop::run(args, how, &host),
        Command::Restart(args) => start::restart(args, how, &host),
        Command::Status(args) => status::run(args, &host),
        Command::Logs(args) => logs::run(args, cli.style, &host),
        Command::Render(command) => render::run(command, how, &host),
        Command::Supervise(_) => supervisor::run(&host, io::stdin().lock()),
    }
}
