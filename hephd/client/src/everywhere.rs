//! The flags that stand on every command.

use std::path::PathBuf;

use hephd::report::Style;

/// What stands on every command.
#[derive(Debug, Clone, clap::Args)]
pub struct Everywhere {
    /// The daemon's socket; else that of the only spoke installed, else the default
    #[arg(long, global = true, value_name = "PATH", help_heading = "Everywhere")]
    pub socket: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub style: Style,
}
