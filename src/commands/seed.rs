//! `heph-ops seed`: a device's store becomes a hub's.

use super::How;
use crate::host::Host;
use hephd::{
    error::Result,
    report::{Report, Style},
};

/// Make a hub's store from a device's, and prove that nothing was lost
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The device's store
    #[arg(long, value_name = "SOURCE")]
    pub from: Option<String>,
}

/// later
pub fn run(_args: &Args, _how: How, _style: Style, _host: &Host) -> Result<Report> {
    Ok(Report::default())
}
