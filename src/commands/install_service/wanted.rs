//! The record that is wanted: what is named, laid over what is recorded.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use hephd::{
    args::Flags,
    error::{Code, Error, Result},
    record::{Backups, Hardening, ManagerKind, Record, Scope, nearest},
};

use super::args::{Args, ManagerChoice};
use crate::{
    host::Host,
    paths::SYSTEM_DB,
    service_manager::{Manager, linger},
};

/// What a service of the machine runs as, where nothing else says so.
const USER: &str = "heph";

/// Settings of a record that are no flags of hephd, and may be unset as well.
const OURS: [&str; 8] =
    ["hardening", "log-dir", "backup-dir", "backup-every", "keyring", "bin", "run-as", "env"];

/// The record that is wanted: what is named over what is recorded.
pub(super) fn wanted(
    args: &Args,
    host: &Host,
    label: String,
    recorded: Option<&Record>,
) -> Result<Record> {
    let base = recorded.filter(|_| !args.exact);
    if let Some(other) = recorded.filter(|record| record.role != args.role) {
        return Err(Error::new(
            Code::UnitForeign,
            format!("{label} is installed as a {}", other.role.as_str()),
            "choose another --label, or uninstall that one first",
        ));
    }
    let unset = unset(args)?;
    let stays = |name: &str| !unset.contains(&name);
    let (manager, scope) = place(args, host, recorded)?;
    let mut flags = base.map_or(Ok(toml::Table::new()), |record| record.flags.to_table())?;
    flags.retain(|name, _| stays(name));
    let named = absolute_paths(&args.flags)?;
    let known = recorded.filter(|_| stays("run-as"));
    let run_as = run_as(args, host, scope, named.db.as_deref(), known)?;
    flags.extend(named.to_table()?);
    let mut env = base.map(|record| record.env.clone()).unwrap_or_default();
    env.retain(|key, _| stays("env") && stays(&format!("env.{key}")));
    env.extend(args.env.iter().cloned());
    let in_keyring = args.keyring || base.is_some_and(|record| record.keyring && stays("keyring"));
    if args.keyring {
        flags.remove("token-file");
    }
    let (hardening, log_dir) = (
        base.and_then(|record| record.hardening).filter(|_| stays("hardening")),
        base.and_then(|record| record.log_dir.clone()).filter(|_| stays("log-dir")),
    );
    let backups = base.and_then(|record| record.backups.clone()).filter(|_| stays("backup-dir"));
    refuse_what_it_cannot(args, manager)?;
    let lingers = recorded.is_some_and(|record| record.enabled_linger);
    let turns_on = manager == ManagerKind::Systemd && scope == Scope::User && linger::is_off(host);
    Ok(Record {
        label,
        role: args.role,
        manager,
        scope,
        installed: true,
        bin: bin(args, host, base.filter(|_| stays("bin")))?,
        run_as,
        hardening: args.hardening.or(hardening),
        log_dir: args.log_dir.as_deref().map(absolute).transpose()?.or(log_dir),
        enabled_linger: lingers || turns_on || args.enabled_linger,
        keyring: in_keyring && args.flags.token_file.is_none(),
        backups: wanted_backups(args, backups, stays("backup-every"))?,
        env,
        flags: Flags::from_table(flags)?,
    })
}

fn unset(args: &Args) -> Result<Vec<&str>> {
    let known: Vec<String> = Flags::names().chain(OURS.map(str::to_owned)).collect();
    let names = args.unset.iter().map(|name| {
        let name = name.trim_start_matches("--");
        if known.iter().any(|one| one == name) || name.starts_with("env.") {
            return Ok(name);
        }
        let meant = nearest(name, known.iter().map(String::as_str));
        Err(Error::usage(
            format!("--unset {name}: there is no such flag"),
            meant.map_or("see heph-ops install-service --help".to_owned(), |meant| {
                format!("did you mean --unset {meant}?")
            }),
        ))
    });
    names.collect()
}

/// Only what a manager does is recorded: a flag that does nothing is a promise.
fn refuse_what_it_cannot(args: &Args, manager: ManagerKind) -> Result<()> {
    let not_here = |flag: &str, hint: &str| {
        let what = format!("{flag} is not for --manager {}", manager.as_str());
        Err(Error::new(Code::NotSupported, what, hint))
    };
    let hardened = args.hardening.is_some_and(|level| level != Hardening::Off);
    match manager {
        ManagerKind::Process if args.backup_dir.is_some() => {
            not_here("--backup-dir", "crontab -e can: 0 3 * * * heph-ops backup --to DIR --keep 30")
        }
        ManagerKind::Process | ManagerKind::Launchd if hardened => {
            not_here("--hardening", "leave it out: only systemd has such walls")
        }
        _ => Ok(()),
    }
}

fn wanted_backups(
    args: &Args,
    recorded: Option<Backups>,
    keep_time: bool,
) -> Result<Option<Backups>> {
    let dir = args.backup_dir.as_deref().map(absolute).transpose()?;
    let every = recorded.as_ref().map(|backups| backups.every.clone()).filter(|_| keep_time);
    let Some(dir) = dir.or(recorded.map(|backups| backups.dir)) else {
        return match args.backup_every {
            Some(_) => Err(Error::usage(
                "--backup-every says how often, and nothing says where to",
                "add --backup-dir DIR",
            )),
            None => Ok(None),
        };
    };
    let every = args.backup_every.clone().or(every).unwrap_or_else(|| "1d".to_owned());
    Ok(Some(Backups { dir, every }))
}

/// What runs it, and whose it is. Root's services are the machine's, unless
/// root says otherwise. Detached processes are always somebody's own.
fn place(args: &Args, host: &Host, recorded: Option<&Record>) -> Result<(ManagerKind, Scope)> {
    let scope = args.scope.or(recorded.map(|record| record.scope));
    if scope == Some(Scope::System) && host.uid != 0 && !args.print {
        return Err(Error::new(
            Code::InsecurePermissions,
            "only root can install services of the machine",
            "run it with sudo, or for yourself: --scope user",
        ));
    }
    let usual = || match scope {
        Some(scope) => scope,
        None if host.uid == 0 => Scope::System,
        None => Scope::User,
    };
    let kind = match (args.manager, recorded) {
        (Some(ManagerChoice::Systemd), _) => ManagerKind::Systemd,
        (Some(ManagerChoice::Launchd), _) => ManagerKind::Launchd,
        (Some(ManagerChoice::Process), _) => ManagerKind::Process,
        (None, Some(record)) => record.manager,
        // What is printed may be for another machine, and is most likely wanted
        // for what most machines like this one have.
        _ if args.print && cfg!(target_os = "macos") => ManagerKind::Launchd,
        _ if args.print => ManagerKind::Systemd,
        _ => return Ok(Manager::auto(host, scope)),
    };
    match kind {
        ManagerKind::Process if args.scope == Some(Scope::System) => Err(Error::usage(
            "--manager process is for a person's own services",
            "leave --scope system out, or take systemd or launchd",
        )),
        ManagerKind::Process => Ok((kind, Scope::User)),
        _ => Ok((kind, usual())),
    }
}

/// The user of a service of the machine. A person's runs as that person.
fn run_as(
    args: &Args,
    host: &Host,
    scope: Scope,
    db: Option<&Path>,
    recorded: Option<&Record>,
) -> Result<Option<String>> {
    if scope == Scope::User {
        let other = args.run_as.as_deref().filter(|name| !args.print && *name != host.user_name());
        // Root has become that person already, so this is somebody else.
        return other.map_or(Ok(None), |name| host.user(name).map(|_| None));
    }
    let recorded_db = recorded.and_then(|record| record.flags.db.as_deref());
    let db = db.or(recorded_db).unwrap_or(Path::new(SYSTEM_DB));
    let of_store = || {
        let owner = std::fs::metadata(db).ok().filter(|_| !args.print)?.uid();
        // Nobody is root by chance.
        host.name_of(owner).filter(|name| name != "root")
    };
    let named = args.run_as.clone().or_else(|| recorded.and_then(|record| record.run_as.clone()));
    Ok(Some(named.or_else(of_store).unwrap_or_else(|| USER.to_owned())))
}

/// The daemon that was named, that is recorded, or that the host finds.
fn bin(args: &Args, host: &Host, recorded: Option<&Record>) -> Result<PathBuf> {
    let named = args.bin.clone().or_else(|| recorded.map(|record| record.bin.clone()));
    let elsewhere = || args.print.then(|| PathBuf::from("/usr/local/bin/hephd"));
    let bin = named.map_or_else(|| host.hephd().or_else(|none| elsewhere().ok_or(none)), Ok)?;
    absolute(&bin)
}

/// A service does not run in the folder that we run in.
fn absolute_paths(flags: &Flags) -> Result<Flags> {
    let mut flags = flags.clone();
    for path in flags.paths_mut() {
        *path = absolute(path)?;
    }
    Ok(flags)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        Error::usage(format!("{} is no path: {error}", path.display()), "give an absolute path")
    })
}
