//! `heph-ops seed`: a device's store becomes a hub's (Path A), or an empty
//! store is born with its owner. The procedure is `hephd::store::seed`.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hephd::{
    config::check_sub,
    error::{Code, Error, Result},
    id::OwnerId,
    report::{self, Report, Style, Warning},
    store::{
        Birth, Store, file,
        seed::{self, Look, Progress, Receipt, SeededFrom},
    },
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::How;
use crate::{host::Host, table::bytes};

/// Make a hub's store from a device's, and prove that nothing was lost
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The device's store; its daemon may run and write meanwhile
    #[arg(long, value_name = "PATH", required_unless_present = "owner_id")]
    pub from: Option<PathBuf>,
    /// Make an empty store with this owner instead
    #[arg(long, value_name = "ID", conflicts_with = "from")]
    pub owner_id: Option<String>,
    /// Bind the owner to this subject before anybody can claim the hub
    #[arg(long, value_name = "SUB")]
    pub owner_sub: Option<String>,
    /// The hub's store, which must not exist yet
    #[arg(long, value_name = "DB")]
    pub to: PathBuf,
}

/// Seeds.
///
/// # Errors
/// Every refusal of `hephd::store::seed` (4), with nothing touched.
pub fn run(args: &Args, how: How, style: Style, host: &Host) -> Result<Report> {
    args.owner_sub.as_deref().map_or(Ok(()), check_sub)?;
    match (&args.from, &args.owner_id) {
        (Some(from), _) => seed_from(args, from, how, style, host),
        (None, Some(owner)) => born_with(args, owner, how, host),
        (None, None) => {
            Err(Error::usage("seed wants --from or --owner-id", "see heph-ops seed --help"))
        }
    }
}

fn seed_from(
    args: &Args,
    from: &std::path::Path,
    how: How,
    style: Style,
    host: &Host,
) -> Result<Report> {
    if let Look::AlreadySeeded(before) = seed::look(from, &args.to)? {
        return already(args, &before, host);
    }
    if how.check {
        let data = json!({ "from": from, "to": args.to });
        let mut report = Report::new("seeded", true, data);
        report.check = true;
        return Ok(report.line(format!(
            "  would seed {} from {}",
            args.to.display(),
            from.display()
        )));
    }
    let last_word = give_way_to_signals(host, &args.to, style);
    let bars = Bars::new(style);
    let wish = seed::Wish { from, to: &args.to, owner_sub: args.owner_sub.as_deref() };
    let made = seed::seed(&wish, &host.machine, &|progress| bars.show(&progress));
    bars.clear();
    if last_word.swap(true, Ordering::SeqCst) {
        loop {
            host.pause(Duration::from_secs(1)); // The signal has it; the process ends.
        }
    }
    Ok(seeded(args, &made?))
}

/// A copy is one long step that nothing else can end. Up to its rename all
/// there is of it is a staging file: a signal takes that away, and is told.
/// Whoever takes the flag that this gives has the last word.
#[allow(clippy::disallowed_methods, reason = "the copy cannot be asked to stop")]
fn give_way_to_signals(host: &Host, to: &std::path::Path, style: Style) -> Arc<AtomicBool> {
    let last_word = Arc::new(AtomicBool::new(false));
    let (taken, host, to) = (Arc::clone(&last_word), host.clone(), to.to_owned());
    std::thread::spawn(move || {
        let signal = loop {
            match host.interrupted() {
                Some(signal) => break signal,
                None => host.pause(Duration::from_millis(20)),
            }
        };
        if !taken.swap(true, Ordering::SeqCst) {
            file::clear_staging(&to);
            let _ = std::fs::remove_dir(file::folder(&to)); // Unless something is in it.
            std::process::exit(report::finish("seed", style, false, &Err(signal)).into());
        }
    });
    last_word
}

fn already(args: &Args, before: &SeededFrom, host: &Host) -> Result<Report> {
    let data = json!({ "to": args.to, "seeded_from": before });
    let mut report = Report::new("already_seeded", false, data)
        .line(format!("✓ already seeded from this device at {}; nothing to do", before.at));
    report.warnings.extend(not_bound(args, host)?);
    Ok(report)
}

/// A store that is there already is not changed, so that a subject that it
/// does not know of is told.
fn not_bound(args: &Args, host: &Host) -> Result<Option<Warning>> {
    let Some(sub) = &args.owner_sub else { return Ok(None) };
    let store = Store::open_reader(&args.to, &host.machine)?;
    let owner = store.owner()?;
    let bound = owner.map_or(Ok(Vec::new()), |owner| store.subjects_of(&owner))?;
    let known = store.promised()?.as_ref() == Some(sub) || bound.iter().any(|b| b.sub == *sub);
    let message = format!(
        "{} was made without --owner-sub {sub}: give that to its hub, \
         heph-ops install-service --role hub --owner-sub {sub}",
        args.to.display()
    );
    Ok((!known).then(|| Warning::new("owner_sub_not_bound", message)))
}

fn seeded(args: &Args, receipt: &Receipt) -> Report {
    let mut report = Report::new("seeded", true, json!(receipt));
    report.warnings.clone_from(&receipt.warnings);
    // All of them: a seed with a difference elsewhere is refused.
    let equal = receipt.tables.iter().filter(|table| table.equal).count();
    let old = receipt.old_origin.as_deref().unwrap_or("none");
    let bound = args.owner_sub.as_ref();
    let bound = bound.map(|sub| format!("  bound to  {sub}, at the provider that its hub is told"));
    let report = report
        .line(format!(
            "✓ seeded {} ({}, {:.1} s)",
            args.to.display(),
            bytes(receipt.bytes),
            receipt.seconds
        ))
        .line(format!("  owner     {} (the device's, unchanged)", receipt.owner_id))
        .line(format!("  origin    {old} → {} (the hub writes under its own)", receipt.new_origin));
    (bound.into_iter().fold(report, Report::line))
        .line(format!(
            "  equal     {equal} tables, row by row; only meta differs: {}",
            receipt.meta_changed.join(", ")
        ))
        .line(format!("  receipt   {}", file::beside(&args.to, ".seeded.json").display()))
        .line(format!("  next      heph-ops install-service --role hub --db {}", args.to.display()))
}

fn born_with(args: &Args, owner: &str, how: How, host: &Host) -> Result<Report> {
    let owner: OwnerId = owner
        .parse()
        .map_err(|error| Error::usage(format!("--owner-id: {error}"), "give the owner's id"))?;
    let data = json!({ "to": args.to, "owner_id": owner });
    if args.to.exists() {
        let has = Store::open_reader(&args.to, &host.machine)?.owner()?;
        return match has {
            Some(has) if has == owner => {
                let mut report = Report::new("already_seeded", false, data)
                    .line("✓ the store has this owner already; nothing to do");
                report.warnings.extend(not_bound(args, host)?);
                Ok(report)
            }
            has => Err(other_owner(args, has.as_ref())),
        };
    }
    let mut report = Report::new("seeded", true, data);
    report.check = how.check;
    if how.check {
        return Ok(report.line(format!("  would make an empty store at {}", args.to.display())));
    }
    file::make_private_folder(file::folder(&args.to))?;
    let birth = match &args.owner_sub {
        Some(sub) => Birth::Promised(owner, sub.clone()),
        None => Birth::Owned(owner),
    };
    Store::create(&args.to, &birth, &host.machine.entropy)?;
    Ok(report.line(format!("✓ made an empty store at {}", args.to.display())))
}

fn other_owner(args: &Args, has: Option<&OwnerId>) -> Error {
    let has = has.map_or("nobody yet", OwnerId::as_str);
    Error::new(
        Code::TargetHasOtherOwner,
        format!("{} belongs to {has}", args.to.display()),
        "choose another file: --to DB",
    )
}

/// What moves on a terminal while a seed is made.
struct Bars(Option<Mutex<ProgressBar>>);

impl Bars {
    fn new(style: Style) -> Self {
        if !style.live() {
            return Self(None);
        }
        let bar = ProgressBar::new(0);
        let look = "  {msg:<9} {bar:24} {decimal_bytes} of {decimal_total_bytes}  {eta} left";
        bar.set_style(
            ProgressStyle::with_template(look).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(Mutex::new(bar)))
    }

    fn show(&self, progress: &Progress) {
        let Some(Ok(bar)) = self.0.as_ref().map(Mutex::lock) else { return };
        match progress {
            Progress::Copying { bytes, of } => {
                bar.set_message("copying");
                bar.set_length(*of);
                bar.set_position(*bytes);
            }
            Progress::Proving { .. } => bar.set_message("proving"),
        }
    }

    fn clear(&self) {
        if let Some(Ok(bar)) = self.0.as_ref().map(Mutex::lock) {
            bar.finish_and_clear();
        }
    }
}
