//! `heph-ops verify`: whether a store still holds what its receipt says, or
//! what another store holds.

use std::path::PathBuf;

use hephd::{
    error::{Code, Error, Result},
    report::{Report, Style},
    store::{
        backup::{self, Backup},
        file::full,
        seed::Receipt,
        snapshot::name_of,
        verify::{Verdict, against_receipt, against_store, receipt_beside},
    },
};
use serde_json::json;

use crate::{bars::Bars, host::Host, signals::giving_way};

/// Check a store, or a backup, against its receipt or another store
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The store, a backup's file, or a folder: all backups in it
    #[arg(value_name = "DB")]
    db: PathBuf,
    /// The receipt [default: the one beside it]
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Compare it with this store, row by row
    #[arg(long, value_name = "OTHER", conflicts_with = "receipt")]
    against: Option<PathBuf>,
}

/// Verifies.
///
/// # Errors
/// `store_differs` with the first difference; `store_corrupt`,
/// `checksum_mismatch`.
pub fn run(args: &Args, style: Style, host: &Host) -> Result<Report> {
    let bars = Bars::new(style);
    let verified = giving_way(host, style, "verify", || verify(args, host, &bars));
    bars.clear();
    verified
}

fn verify(args: &Args, host: &Host, bars: &Bars) -> Result<Report> {
    let progress = |progress| bars.show(&progress);
    let name = args.db.display();
    if let Some(other) = &args.against {
        let found = against_store(&args.db, other, &host.machine, &progress)?;
        let what = format!("{}", other.display());
        return report(args, &found.verdict, &what, json!({ "tables": found.proof.tables }));
    }
    if args.db.is_dir() {
        return verify_folder(args);
    }
    if !args.db.exists() {
        return Err(Error::new(
            Code::SourceNotFound,
            format!("there is nothing at {name}"),
            "give a store's file, a backup's, or the folder of backups",
        ));
    }
    if args.db.to_string_lossy().ends_with(".db.zst") {
        let kept = Backup::at(&args.db)?;
        let receipt = args.receipt.as_deref().map_or_else(|| kept.load(), Receipt::load)?;
        backup::verify(&kept, &receipt)?;
        let data = json!({
            "db": name_of(&args.db),
            "against": name_of(&args.receipt.clone().unwrap_or_else(|| kept.receipt())),
            "verdict": "equal",
        });
        return Ok(Report::new("verified", false, data)
            .line(format!("✓ {name} holds what was kept at {}", receipt.at)));
    }
    let path = match (&args.receipt, receipt_beside(&args.db)) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => path,
        (None, None) => {
            return Err(Error::new(
                Code::SourceNotFound,
                format!("there is no receipt beside {}", full(&args.db).display()),
                "give one: --receipt FILE, or another store: --against OTHER",
            ));
        }
    };
    let receipt = Receipt::load(&path)?;
    let found = against_receipt(&args.db, &receipt, &host.machine, &progress)?;
    let what = format!("its receipt of {}", receipt.at);
    report(args, &found.verdict, &what, json!({ "tables": found.proof.tables }))
}

/// Each of them, whatever is wrong with another one.
fn verify_folder(args: &Args) -> Result<Report> {
    if args.receipt.is_some() {
        return Err(Error::usage(
            "--receipt is of one backup, and a folder is to be verified",
            "name that backup's file, or leave out --receipt",
        ));
    }
    let kept = backup::list(&args.db)?;
    if kept.is_empty() {
        backup::newest(&args.db, None)?;
    }
    let (mut whole, mut damaged) = (Vec::new(), Vec::new());
    let mut report = Report::new("verified", false, json!(null));
    for kept in &kept {
        let name = kept.file.display();
        match kept.load().and_then(|then| backup::verify(kept, &then).map(|()| then)) {
            Ok(then) => {
                report.lines.push(format!("✓ {name} holds what was kept at {}", then.at));
                whole.push(name_of(&kept.file));
            }
            Err(error) => {
                report.lines.push(format!("✗ {}", error.message));
                damaged.push(name_of(&kept.file));
            }
        }
    }
    if let Some(first) = damaged.first() {
        let what = format!("not whole: {} of {}; the first is {first}", damaged.len(), kept.len());
        let hint = "restore one that is whole, and make a new one: heph-ops backup --to DIR";
        "refused".clone_into(&mut report.status);
        report.error = Some(Error::new(Code::ChecksumMismatch, what, hint));
    }
    report.data = json!({ "backups": whole, "damaged": damaged });
    Ok(report)
}

fn report(
    args: &Args,
    verdict: &Verdict,
    what: &str,
    mut data: serde_json::Value,
) -> Result<Report> {
    let name = args.db.display();
    data["db"] = json!(name_of(&args.db));
    let line = match verdict {
        Verdict::Equal => {
            data["verdict"] = json!("equal");
            format!("✓ {name} is sound and equal to {what}, but for meta")
        }
        Verdict::Alike => {
            data["verdict"] = json!("alike");
            format!("✓ {name} is sound and holds the same as {what}, in another order")
        }
        Verdict::Grown { ops } => {
            data["verdict"] = json!("grown");
            data["new_ops"] = json!(ops);
            format!("✓ {name} is sound, has all of {what}, and {ops} ops more")
        }
        Verdict::Differs(how) => {
            return Err(Error::new(
                Code::StoreDiffers,
                format!("{name} differs from {what}: {how}"),
                "keep both as they are; compare with a backup: heph-ops verify DB --receipt FILE",
            ));
        }
    };
    Ok(Report::new("verified", false, data).line(line))
}
