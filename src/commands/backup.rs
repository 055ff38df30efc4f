//! `heph-ops backup`: a copy of a store for later, while its daemon runs. The
//! procedure is `hephd::store::backup`.

use std::path::PathBuf;

use hephd::{
    error::{Error, Result},
    paths::quoted,
    report::{Report, Style, Warning},
    store::{
        backup::{self, Made, Task},
        file,
        snapshot::name_of,
    },
};
use serde_json::json;

use super::{
    How, path_here,
    which_store::{Named, WhichStore},
};
use crate::{bars::Bars, host::Host, signals::giving_way, table::bytes};

/// Copy a store into a folder, compressed, proved, with a receipt
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    store: WhichStore,
    /// The folder for backups; made, 0700, where it is missing
    #[arg(long, value_name = "DIR", value_parser = path_here())]
    to: PathBuf,
    /// Then remove all but the newest N backups of this store
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    keep: Option<u64>,
}

/// Backs up.
///
/// # Errors
/// As of a seed's source; `no_space`. Nothing is left of it.
pub fn run(args: &Args, how: How, style: Style, host: &Host) -> Result<Report> {
    let store = args.store.find(host)?;
    check_name(&store)?;
    if how.check {
        backup::look(&Task { db: &store.db, to: &args.to, name: &store.name })?;
        let mut report = Report::new(
            "backed_up",
            true,
            json!({ "db": name_of(&store.db), "to": name_of(&args.to) }),
        );
        report.check = true;
        let (db, to) = (store.db.display(), args.to.display());
        return Ok(report.line(format!("  would back up {db} to {to}")));
    }
    let task = Task { db: &store.db, to: &args.to, name: &store.name };
    let bars = Bars::new(style);
    let made = giving_way(host, style, "backup", || {
        backup::back_up(&task, &host.machine, &|progress| bars.show(&progress))
    });
    bars.clear();
    let made = made?;
    let keep = args.keep.map_or(usize::MAX, |keep| usize::try_from(keep).unwrap_or(usize::MAX));
    let (gone, left) = match backup::prune(&made, keep) {
        Ok(gone) => (gone, None),
        // The backup stands all the same.
        Err(error) => (Vec::new(), Some(Warning::new("not_removed", error.message))),
    };
    let mut report = describe(args, &made, &gone);
    report.warnings.extend(left);
    Ok(report)
}

fn check_name(Named { name, .. }: &Named) -> Result<()> {
    if name.is_empty() {
        return Err(Error::usage("the store's file has no name", "give --db PATH"));
    }
    Ok(())
}

fn describe(args: &Args, made: &Made, gone: &[PathBuf]) -> Report {
    let Made { backup: made, receipt, .. } = made;
    let data = json!({
        "file": name_of(&made.file),
        "receipt_file": name_of(&made.receipt()),
        "removed": gone.iter().map(|gone| name_of(gone)).collect::<Vec<_>>(),
        "receipt": receipt,
    });
    let packed = receipt.compressed.as_ref().map_or(0, |packed| packed.bytes);
    let mut report = Report::new("backed_up", true, data)
        .line(format!(
            "✓ backed up {} in {:.1} s: {} in {}",
            receipt.source,
            receipt.seconds,
            bytes(receipt.bytes),
            bytes(packed)
        ))
        .line(format!("  file      {}", made.file.display()))
        .line(format!("  equal     {} tables, row by row", receipt.tables.len()))
        .line(format!("  receipt   {}", made.receipt().display()));
    if !gone.is_empty() {
        report = report.line(format!("  removed   {} older", gone.len()));
    }
    report.warnings.clone_from(&receipt.warnings);
    let whose = args.store.words();
    let folder = quoted(file::folder(&made.file));
    report.line(format!("  next      heph-ops drill {whose}--from {folder}"))
}
