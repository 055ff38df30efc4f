//! `heph-ops seed`: a device's store becomes a hub's (Path A), or an empty
//! store is born with its owner. The procedure is `hephd::store::seed`.

mod source;

use std::{ffi::OsString, os::unix::fs::MetadataExt, path::PathBuf};

use hephd::{
    config::check_sub,
    error::{Code, Error, Result},
    id::OwnerId,
    paths::quoted,
    record::{Record, Role, Scope},
    report::{Report, Style, Warning},
    store::{
        Birth, Store, file,
        seed::{self, Becoming, Kind, Look, Receipt, SeededFrom, Sought, Wish, receipt_path},
        snapshot::{Source, name_of, stream::Incoming},
    },
};
use serde_json::json;

use self::source::{Feed, From};
use super::{How, file_name, install_service};
use crate::{bars::Bars, host::Host, service::default_label, signals::giving_way, table::bytes};

/// Make a hub's store from a device's, and prove that nothing was lost
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The device's store: a path, [user@]host:path or ssh://…, socket:PATH of
    /// a running daemon, or - for the stream of heph-ops snapshot --stdout
    #[arg(long, value_name = "SOURCE", required_unless_present = "owner_id")]
    pub from: Option<OsString>,
    /// Make an empty store with this owner instead
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "replace", "link"])]
    pub owner_id: Option<String>,
    /// Bind the owner to this subject before anybody can claim the hub
    #[arg(long, value_name = "SUB")]
    pub owner_sub: Option<String>,
    /// The hub's store; its missing folders are made, 0700
    #[arg(long, value_name = "DB", value_parser = file_name())]
    pub to: PathBuf,
    /// Replace the store that is there, if the source has all of its changes;
    /// it is kept under another name
    #[arg(long)]
    pub replace: bool,
    /// Leave every file to this user
    #[arg(long, value_name = "USER")]
    pub run_as: Option<String>,
    /// Then install the service that syncs the source with this hub; the
    /// source must be a store of this machine
    #[arg(long, value_name = "HUB_URL")]
    pub link: Option<String>,
}

/// Seeds.
///
/// # Errors
/// Every refusal of `hephd::store::seed` (4), with nothing touched.
pub fn run(args: &Args, how: How, style: Style, host: &Host) -> Result<Report> {
    args.owner_sub.as_deref().map_or(Ok(()), check_sub)?;
    match (&args.from, &args.owner_id) {
        (Some(from), _) => {
            let from = From::parse(from)?;
            let link = link_of(args, &from)?;
            if let Some(link) = &link {
                check_link(link, host)?;
            }
            let report = seed_from(args, &from, how, style, host)?;
            link.map_or(Ok(report.clone()), |link| linked(report, &link, how, host))
        }
        (None, Some(owner)) => born_with(args, owner, how, host),
        (None, None) => {
            Err(Error::usage("seed wants --from or --owner-id", "see heph-ops seed --help"))
        }
    }
}

fn seed_from(args: &Args, from: &From, how: How, style: Style, host: &Host) -> Result<Report> {
    let run_as = args.run_as.as_deref().map(|user| host.user(user)).transpose()?;
    let becoming = Becoming::Hub { owner_sub: args.owner_sub.as_deref() };
    let wish = Wish { to: &args.to, becoming, replace: args.replace, run_as };
    let known = match (from, from.name()) {
        (From::Path(path), _) => seed::look(path, &wish)?,
        // Only its first line tells which device it is of.
        (From::Stdin, _) | (_, None) => Look::Free,
        (_, Some(name)) => seed::look_for(&Sought::Source(&name), &wish)?,
    };
    if let Look::AlreadySeeded(before) = known {
        return already(args, &before, host);
    }
    let would = || {
        let source = args.from.as_deref().unwrap_or_default().to_string_lossy();
        let mut report =
            Report::new("seeded", true, json!({ "from": source, "to": name_of(&args.to) }));
        report.check = true;
        report.line(format!("  would seed {} from {source}", args.to.display()))
    };
    if how.check && matches!(from, From::Path(_)) {
        return Ok(would());
    }
    let seed = |source: Source<'_>| {
        let bars = Bars::new(style);
        let made = seed::seed(source, &wish, &host.machine, &|progress| bars.show(&progress));
        bars.clear();
        made.map(|receipt| seeded(args, &receipt))
    };
    giving_way(host, style, "seed", || match from {
        From::Path(path) => seed(Source::Store(path)),
        _ => receive(args, from, &wish, how, host, &would, &seed),
    })
}

/// A seed from what comes.
fn receive(
    args: &Args,
    from: &From,
    wish: &Wish<'_>,
    how: How,
    host: &Host,
    would: &dyn Fn() -> Report,
    seed: &dyn Fn(Source<'_>) -> Result<Report>,
) -> Result<Report> {
    let Feed { stream, explain } = from.open(host)?;
    let come = || {
        let mut incoming = Incoming::open(&from.name().unwrap_or_default(), stream)?;
        if matches!(from, From::Ssh(_)) {
            incoming = incoming.by_digest();
        }
        if *from == From::Stdin {
            let sought = Sought::Sender(incoming.header());
            if let Look::AlreadySeeded(before) = seed::look_for(&sought, wish)? {
                return already(args, &before, host);
            }
        }
        if how.check {
            return Ok(would());
        }
        seed(Source::Stream(incoming))
    };
    come().map_err(|error| match error.code {
        // Short, or no snapshot at all: whoever sent it may know why.
        Code::ChecksumMismatch => explain(error),
        _ => error,
    })
}

fn already(args: &Args, before: &SeededFrom, host: &Host) -> Result<Report> {
    let data = json!({ "to": name_of(&args.to), "seeded_from": before });
    let mut report = Report::new("already_seeded", false, data)
        .line(format!("✓ already seeded from this device at {}; nothing to do", before.at));
    report.warnings.extend(not_bound(args, host)?);
    report.warnings.extend(not_given(args, host)?);
    Ok(report)
}

/// What installs the service of a source's own machine.
fn link_of(args: &Args, from: &From) -> Result<Option<install_service::Args>> {
    let Some(hub) = &args.link else { return Ok(None) };
    let From::Path(db) = from else {
        return Err(Error::usage(
            "--link installs the service of a store of this machine, and the source is elsewhere",
            "run there: heph-ops install-service --role spoke --hub-url URL",
        ));
    };
    let mut link = install_service::Args::new(Role::Spoke);
    link.flags.db = Some(db.clone());
    link.flags.hub_url = Some(hub.clone());
    Ok(Some(link))
}

/// Before anything is made: what is wrong with it must not show afterwards, and
/// a device that is installed on another store stays there.
fn check_link(link: &install_service::Args, host: &Host) -> Result<()> {
    let recorded = Record::load(&host.paths(Scope::User).records(), default_label(Role::Spoke))?;
    let there = recorded.filter(|record| record.installed).and_then(|record| record.flags.db);
    let wanted = link.flags.db.as_deref().map(file::full);
    if let Some(there) = there.filter(|there| wanted.as_ref() != Some(&file::full(there))) {
        return Err(Error::new(
            Code::UnitForeign,
            format!("{} works on {}", default_label(Role::Spoke), there.display()),
            "--link is for the store of that service; others by install-service --label NAME",
        ));
    }
    install_service::run(link, How { check: true, diff: false }, host).map(drop)
}

/// The device syncs with its hub from now on.
fn linked(
    mut report: Report,
    link: &install_service::Args,
    how: How,
    host: &Host,
) -> Result<Report> {
    let installed = install_service::run(link, how, host)?;
    report.changed |= installed.changed;
    report.data["link"] = json!({ "status": installed.status, "data": installed.data });
    report.warnings.extend(installed.warnings);
    report.lines.extend(installed.lines);
    Ok(report)
}

/// A store that is there already is not changed, so that a subject that it
/// does not know of is told.
fn not_bound(args: &Args, host: &Host) -> Result<Option<Warning>> {
    let Some(sub) = &args.owner_sub else { return Ok(None) };
    // A store of another schema has no such thing.
    let Ok(store) = Store::open_reader(&args.to, &host.machine) else { return Ok(None) };
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

/// Nor is whose files they are.
fn not_given(args: &Args, host: &Host) -> Result<Option<Warning>> {
    let Some(name) = &args.run_as else { return Ok(None) };
    let (user, db) = (host.user(name)?, args.to.display());
    let owner = std::fs::metadata(&args.to).map(|meta| meta.uid());
    let message = format!("{db} is not {name}'s: chown {name} {}*", quoted(&args.to));
    Ok(owner.is_ok_and(|uid| uid != user.uid).then(|| Warning::new("not_given", message)))
}

fn seeded(args: &Args, receipt: &Receipt) -> Report {
    let mut report = Report::new("seeded", true, json!(receipt));
    report.warnings.clone_from(&receipt.warnings);
    // All of them: a seed with a difference elsewhere is refused.
    let equal = receipt.tables.iter().filter(|table| table.equal).count();
    let old = receipt.old_origin.as_deref().unwrap_or("none");
    let bound = args.owner_sub.as_ref();
    let bound = bound.map(|sub| format!("  bound to  {sub}, at the provider that its hub is told"));
    let new = receipt.new_origin.as_deref().unwrap_or("none");
    let kept = receipt.replaced.as_ref();
    let kept = kept.map(|path| format!("  replaced  the store that was there is {path} now"));
    let report = report
        .line(format!(
            "✓ seeded {} ({}, {:.1} s)",
            args.to.display(),
            bytes(receipt.bytes),
            receipt.seconds
        ))
        .line(format!("  owner     {} (the device's, unchanged)", receipt.owner_id))
        .line(format!("  origin    {old} → {new} (the hub writes under its own)"));
    (bound.into_iter().chain(kept).fold(report, Report::line))
        .line(format!(
            "  equal     {equal} tables, row by row; only meta differs: {}",
            receipt.meta_changed.join(", ")
        ))
        .line(format!("  receipt   {}", receipt_path(&args.to, Kind::Seed).display()))
        .line(format!(
            "  next      heph-ops install-service --role hub --db {}",
            quoted(&file::full(&args.to))
        ))
}

fn born_with(args: &Args, owner: &str, how: How, host: &Host) -> Result<Report> {
    let owner: OwnerId = owner
        .parse()
        .map_err(|error| Error::usage(format!("--owner-id: {error}"), "give the owner's id"))?;
    let data = json!({ "to": name_of(&args.to), "owner_id": owner });
    file::check_ground(&file::full(&args.to))?;
    if args.to.exists() {
        let has = Store::open_reader(&args.to, &host.machine)?.owner()?;
        return match has {
            Some(has) if has == owner => {
                let mut report = Report::new("already_seeded", false, data)
                    .line("✓ the store has this owner already; nothing to do");
                report.warnings.extend(not_bound(args, host)?);
                report.warnings.extend(not_given(args, host)?);
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
    let user = args.run_as.as_deref().map(|user| host.user(user)).transpose()?;
    let mut folders = file::Folders::make(file::folder(&file::full(&args.to)))?;
    let birth = match &args.owner_sub {
        Some(sub) => Birth::Promised(owner, sub.clone()),
        None => Birth::Owned(owner),
    };
    Store::create(&args.to, &birth, &host.machine.entropy)?;
    if let Some(user) = user {
        user.give(&args.to)?;
        folders.give_to(user)?;
    }
    folders.keep();
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
