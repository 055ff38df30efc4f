//! The record that is wanted: what is named, laid over what is recorded.

use std::path::{Path, PathBuf};

use hephd::{
    args::Flags,
    error::{Code, Error, Result},
    record::{ManagerKind, Record, Scope},
};

use super::{Args, ManagerChoice};
use crate::{host::Host, service_manager::Manager};

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
    let mut flags = base.map_or(Ok(toml::Table::new()), |record| record.flags.to_table())?;
    for name in &args.unset {
        let name = name.trim_start_matches("--");
        if !Flags::names().any(|known| known == name) {
            return Err(Error::usage(
                format!("--unset {name}: hephd has no such flag"),
                "see hephd --help for the flags there are",
            ));
        }
        flags.remove(name);
    }
    flags.extend(absolute_paths(&args.flags)?.to_table()?);
    let mut env = base.map(|record| record.env.clone()).unwrap_or_default();
    env.extend(args.env.iter().cloned());
    let in_keyring = args.keyring || base.is_some_and(|record| record.keyring);
    if args.keyring {
        flags.remove("token-file");
    }
    let manager = manager_kind(args.manager, host, recorded);
    Ok(Record {
        label,
        role: args.role,
        manager,
        scope: scope(args, host, manager, recorded)?,
        installed: true,
        bin: bin(args, host, base)?,
        keyring: in_keyring && args.flags.token_file.is_none(),
        env,
        flags: Flags::from_table(flags)?,
    })
}

/// Root's services are the machine's, unless root says otherwise. Detached
/// processes are always somebody's own.
fn scope(
    args: &Args,
    host: &Host,
    manager: ManagerKind,
    recorded: Option<&Record>,
) -> Result<Scope> {
    let usual = match (manager, host.uid) {
        (ManagerKind::Systemd, 0) if !args.print => Scope::System,
        _ => Scope::User,
    };
    match args.scope.or(recorded.map(|record| record.scope)).unwrap_or(usual) {
        Scope::User => Ok(Scope::User),
        Scope::System => Err(Error::new(
            Code::NotSupported,
            "services of the whole machine (--scope system) are not in this version",
            "install it for yourself: --scope user",
        )),
    }
}

fn manager_kind(
    choice: Option<ManagerChoice>,
    host: &Host,
    recorded: Option<&Record>,
) -> ManagerKind {
    match choice {
        Some(ManagerChoice::Systemd) => ManagerKind::Systemd,
        Some(ManagerChoice::Process) => ManagerKind::Process,
        Some(ManagerChoice::Auto) => Manager::auto(host),
        None => recorded.map_or_else(|| Manager::auto(host), |record| record.manager),
    }
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
