//! `heph-ops restore`: what a backup kept becomes a store again. It gets an
//! origin of its own, so that what others have of the old one's later ops can
//! come back to it.

use std::path::{Path, PathBuf};

use hephd::{
    error::Result,
    report::{Report, Style},
    store::{
        backup::{self, Backup},
        seed::{self, Becoming, Kind, Look, Receipt, Sought, Wish, receipt_path},
        snapshot::name_of,
    },
};
use serde_json::json;

use super::{How, file_name};
use crate::{bars::Bars, host::Host, signals::giving_way, table::bytes};

/// Make a store of a backup, and prove that it is what was kept
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The backup's file, or a folder: then the newest in it
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The store; its missing folders are made, 0700
    #[arg(long, value_name = "DB", value_parser = file_name())]
    to: PathBuf,
    /// Replace the store that is there, if the backup has all of its changes;
    /// it is kept under another name
    #[arg(long)]
    replace: bool,
    /// Leave every file to this user
    #[arg(long, value_name = "USER")]
    run_as: Option<String>,
}

/// A backup's file, or the newest of a folder, of a store where that is named.
///
/// # Errors
/// As [`Backup::at`] and [`backup::newest`].
pub fn find(from: &Path, of: Option<&Path>) -> Result<Backup> {
    if from.is_file() { Backup::at(from) } else { backup::newest(from, of) }
}

/// Restores.
///
/// # Errors
/// As a seed's; `backup_not_found`, `checksum_mismatch`.
pub fn run(args: &Args, how: How, style: Style, host: &Host) -> Result<Report> {
    let kept = find(&args.from, None)?;
    let receipt = kept.load()?;
    let run_as = args.run_as.as_deref().map(|user| host.user(user)).transpose()?;
    let becoming = Becoming::Restored { sha256: &receipt.sha256 };
    let wish = Wish { to: &args.to, becoming, replace: args.replace, run_as };
    if let Look::AlreadySeeded(before) = seed::look_for(&Sought::Backup(&receipt.sha256), &wish)? {
        let data = json!({ "to": name_of(&args.to), "restored_from": before });
        return Ok(Report::new("already_restored", false, data)
            .line(format!("✓ already restored from this at {}; nothing to do", before.at)));
    }
    if how.check {
        backup::verify(&kept, &receipt)?;
        let data = json!({ "from": name_of(&kept.file), "to": name_of(&args.to) });
        let mut report = Report::new("restored", true, data);
        report.check = true;
        let (to, from) = (args.to.display(), kept.file.display());
        return Ok(report.line(format!("  would restore {to} from {from}")));
    }
    let bars = Bars::new(style);
    let made = giving_way(host, style, "restore", || {
        backup::restore(&kept, &receipt, &wish, &host.machine, &|progress| bars.show(&progress))
    });
    bars.clear();
    Ok(describe(args, &kept, &receipt, &made?))
}

fn describe(args: &Args, kept: &Backup, then: &Receipt, made: &Receipt) -> Report {
    let equal = made.tables.iter().filter(|table| table.equal).count();
    let mut report = Report::new("restored", true, json!(made))
        .line(format!(
            "✓ restored {} ({}, {:.1} s)",
            args.to.display(),
            bytes(made.bytes),
            made.seconds
        ))
        .line(format!("  from      {}, as of {}", kept.file.display(), then.at))
        .line(format!(
            "  equal     {equal} tables, row by row; only meta differs: {}",
            made.meta_changed.join(", ")
        ));
    if let Some(path) = &made.replaced {
        report = report.line(format!("  replaced  the store that was there is {path} now"));
    }
    report.warnings.clone_from(&made.warnings);
    report
        .line(format!("  receipt   {}", receipt_path(&args.to, Kind::Restore).display()))
        .line("  later     what came after this backup comes back from the devices that sync")
        .line("  next      heph-ops start, or install-service where it is not installed")
}
