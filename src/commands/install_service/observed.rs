//! What is there before anything is done, and what is refused because of it.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use hephd::{
    error::{Code, Error, Result},
    paths::quoted,
    record::{Record, Role, Scope},
    store::file,
};

use super::args::Args;
use crate::{
    host::Host,
    service::Service,
    service_manager::{Manager, Running, linger},
};

/// What is there before anything is done.
pub(super) struct Observed {
    /// What is recorded, whose flags stand where none is named.
    pub(super) recorded: Option<Record>,
    pub(super) record_text: Option<String>,
    /// What to go back to: the record as it stood before an install that was
    /// cut off; empty where there was none.
    pub(super) before: Option<String>,
    pub(super) manager: Manager,
    pub(super) running: Running,
    pub(super) store_exists: bool,
    /// The user that it runs as has to be made.
    pub(super) no_user: bool,
    /// What root made and the service's user is to have.
    pub(super) to_give: Vec<PathBuf>,
    /// Its person's systemd ends with the person's login.
    pub(super) linger_is_off: bool,
}

/// The record of a label, in whichever scope it is installed, and where that is.
pub(super) fn recorded(args: &Args, host: &Host, label: &str) -> Result<Option<Record>> {
    let mut found: Option<Record> = None;
    for scope in host.scopes() {
        let record = Record::load(&host.paths(*scope).records(), label)?;
        let better = |record: &Record| record.installed || found.is_none();
        found = record.filter(better).or(found);
    }
    let elsewhere = |record: &&Record| {
        record.installed && args.scope.is_some_and(|scope| scope != record.scope)
    };
    match found.as_ref().filter(elsewhere) {
        Some(record) => Err(Error::new(
            Code::UnitForeign,
            format!("{label} is installed in {} scope", record.scope.as_str()),
            format!("uninstall it there first: heph-ops uninstall-service {label}"),
        )),
        // What an uninstall left in another scope is nothing to build on.
        None => Ok(found.filter(|record| args.scope.is_none_or(|scope| scope == record.scope))),
    }
}

pub(super) fn observe(
    args: &Args,
    host: &Host,
    service: &Service,
    recorded: Option<Record>,
) -> Result<Observed> {
    service.config.check_files()?;
    refuse_other_manager(service, recorded.as_ref())?;
    refuse_anothers_store(host, service)?;
    let (manager, running) = Manager::look(host, service)?;
    let db = &service.config.db;
    // Once installed, a store that is missing is a disk that is not mounted.
    let noted = host.read(&service.paths().record_before(service.label()))?;
    // Whoever removed the record by hand has nothing to go back to.
    let before = noted.filter(|_| recorded.as_ref().is_some_and(|record| record.installed));
    let first = match before.as_deref() {
        // One that was cut off may have come to its record, and not to the store.
        Some(before) => !was_installed(before, service)?,
        None => recorded.as_ref().is_none_or(|record| !record.installed),
    };
    let may_make_one =
        first && service.record.role == Role::Spoke && !service.record.flags.existing_store;
    if file::folder(db).is_dir() {
        file::check_place(db)?;
    }
    let store_exists = db.exists();
    if !store_exists && !may_make_one {
        return Err(missing(service));
    }
    if !service.record.bin.is_file() {
        return Err(Error::new(
            Code::SourceNotFound,
            format!("there is no hephd at {}", service.record.bin.display()),
            "name it: --bin PATH",
        ));
    }
    let (no_user, to_give) = check_user(args, host, service)?;
    check_folders(host, service)?;
    manager.check_walls(host, service, recorded.as_ref())?;
    check_port(service, recorded.as_ref(), &running)?;
    let record_text = host.read(&service.record_path)?;
    let linger_is_off = matches!(manager, Manager::Systemd(_))
        && service.record.scope == Scope::User
        && linger::is_off(host);
    Ok(Observed {
        recorded,
        record_text,
        before,
        manager,
        running,
        store_exists,
        no_user,
        to_give,
        linger_is_off,
    })
}

/// There was a service, as a note says of the time before an install.
fn was_installed(before: &str, service: &Service) -> Result<bool> {
    let was = |before| Record::parse(before, &service.record_path).map(|record| record.installed);
    if before.is_empty() { Ok(false) } else { was(before) }
}

/// The user is there, or will be made, and can reach what it needs. Gives whether
/// it has to be made, and which of root's files it is to have.
fn check_user(args: &Args, host: &Host, service: &Service) -> Result<(bool, Vec<PathBuf>)> {
    let Some(name) = &service.record.run_as else { return Ok((false, vec![])) };
    let user = match host.user(name) {
        Ok(user) => Some(user),
        Err(_) if args.create_user => None,
        Err(error) => {
            let hint = "add --create-user, or name another: --run-as USER";
            return Err(Error::new(Code::Usage, error.message, hint));
        }
    };
    if user.is_none() && !host.has_program("useradd") {
        return Err(Error::new(
            Code::NotSupported,
            format!("--create-user: users are not made with useradd here, and {name} is none"),
            "make that user by hand, or name one: --run-as USER",
        ));
    }
    // Nobody has that number yet.
    let uid = user.map_or(u32::MAX, |user| user.uid);
    let db = &service.config.db;
    if let Ok(meta) = std::fs::metadata(db)
        && ![uid, 0].contains(&meta.uid())
    {
        let owner = host.name_of(meta.uid()).unwrap_or_else(|| meta.uid().to_string());
        return Err(Error::new(
            Code::InsecurePermissions,
            format!("{} belongs to {owner}, and the service runs as {name}", db.display()),
            format!("chown -R {name}: {}, or --run-as {owner}", file::folder(db).display()),
        ));
    }
    let of_jobs = service.jobs.iter().filter_map(|job| job.argv.first()).map(PathBuf::from);
    let mut programs = of_jobs.chain([service.record.bin.clone()]);
    programs.try_for_each(|program| {
        let shut = shut_to(&program, uid, &[]);
        shut.map_or(Ok(()), |shut| Err(no_program(name, &program, shut)))
    })?;
    let to_give = if uid == 0 { vec![] } else { roots_files(db) };
    let shut = shut_to(file::folder(db), uid, &to_give);
    match shut.filter(|_| db.exists()) {
        Some(shut) => Err(no_store(name, db, shut)),
        None => Ok((user.is_none(), to_give)),
    }
}

/// A store that root has seeded, and what lies beside it by its name. Its folder
/// too, where that is root's alone.
fn roots_files(db: &Path) -> Vec<PathBuf> {
    let name = db.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_roots = |path: &Path| std::fs::metadata(path).is_ok_and(|meta| meta.uid() == 0);
    let is_shut = |path: &Path| std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o077 == 0);
    let place = file::folder(db);
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&name))
        .map(|entry| entry.path())
        .chain([place.to_owned()].into_iter().filter(|place| is_shut(place)))
        .filter(|path| is_roots(path))
        .collect();
    files.sort();
    if is_roots(db) { files } else { vec![] }
}

/// The folders that it is to write in are folders, and its own, where they are there.
fn check_folders(host: &Host, service: &Service) -> Result<()> {
    let user = service.record.run_as.as_deref().and_then(|name| host.user(name).ok());
    let uid = user.map_or(host.uid, |user| user.uid);
    let written = service.jobs.iter().flat_map(|job| &job.writes).map(|path| (path, true));
    // systemd opens the logs of the machine's services itself, as root.
    let by_root = service.record.scope == Scope::System;
    let logs = service.record.log_dir.iter().map(|path| (path, !by_root));
    for (path, by_itself) in written.chain(logs) {
        let Ok(meta) = std::fs::metadata(path) else { continue };
        if !meta.is_dir() {
            let what = format!("{} is no folder", path.display());
            return Err(Error::usage(what, "name a folder, or one that is to be made"));
        }
        if by_itself && uid != 0 && meta.uid() != uid && meta.mode() & 0o002 == 0 {
            let name = host.name_of(uid).unwrap_or_else(|| uid.to_string());
            return Err(Error::new(
                Code::InsecurePermissions,
                format!("{name} cannot write in {}: it is another user's", path.display()),
                format!("sudo chown {name}: {}, or name another folder", quoted(path)),
            ));
        }
    }
    Ok(())
}

/// What of a path keeps a user out who will not own it: somebody's home, say.
fn shut_to<'a>(path: &'a Path, uid: u32, to_own: &[PathBuf]) -> Option<&'a Path> {
    let is_shut = |path: &&Path| {
        let is_open = |meta: &std::fs::Metadata| {
            let own = meta.uid() == uid && meta.mode() & 0o100 != 0;
            uid == 0 || own || meta.mode() & 0o001 != 0
        };
        !to_own.iter().any(|own| own == path)
            && std::fs::metadata(path).is_ok_and(|meta| !is_open(&meta))
    };
    path.ancestors().find(is_shut)
}

fn no_program(name: &str, program: &Path, shut: &Path) -> Error {
    Error::new(
        Code::InsecurePermissions,
        format!("{name} cannot run {}: {} is shut to it", program.display(), shut.display()),
        "install it for everybody: sudo install heph heph-ops hephd /usr/local/bin/",
    )
}

fn no_store(name: &str, db: &Path, shut: &Path) -> Error {
    Error::new(
        Code::InsecurePermissions,
        format!("{name} cannot reach {}: {} is shut to it", db.display(), shut.display()),
        format!("let it pass: chmod o+x {}", quoted(shut)),
    )
}

/// A device has all that it needs to know at its hub; a hub has not.
fn missing(service: &Service) -> Error {
    let mut error = hephd::store::missing(&service.config.db);
    if service.config.hub_url.is_some() {
        error.hint = format!(
            "mount its disk; or have all from the hub again: heph-ops uninstall-service {0}, then install {0}",
            service.label()
        );
    }
    error
}

/// One store, one service.
fn refuse_anothers_store(host: &Host, service: &Service) -> Result<()> {
    let others = Service::all(host).into_iter().flatten();
    let mut others = others.filter(|other| other.label() != service.label());
    match others.find(|other| other.config.db == service.config.db) {
        Some(other) => Err(Error::new(
            Code::StoreInUse,
            format!("{} is the store of {}", service.config.db.display(), other.label()),
            "give this service a store of its own: --db PATH; see heph-ops seed",
        )),
        None => Ok(()),
    }
}

/// The old manager would still have the service.
fn refuse_other_manager(service: &Service, recorded: Option<&Record>) -> Result<()> {
    let other = recorded.filter(|r| r.installed && r.manager != service.record.manager);
    let Some(other) = other else { return Ok(()) };
    let (label, manager) = (service.label(), other.manager.as_str());
    Err(Error::new(
        Code::UnitForeign,
        format!("{label} is run by {manager}"),
        format!("uninstall it there first: heph-ops uninstall-service {label}"),
    ))
}

/// A port that somebody else has is found out before anything is touched. The
/// port that the service has already is its own to listen on otherwise.
fn check_port(service: &Service, recorded: Option<&Record>, running: &Running) -> Result<()> {
    let before = recorded.and_then(|record| record.flags.check(record.role.mode()).ok());
    let same = before.is_some_and(|b| b.http_addr.port() == service.config.http_addr.port());
    if service.record.role == Role::Hub && !(same && running.pid.is_some()) {
        hephd::port::listen(service.config.http_addr)?;
    }
    Ok(())
}
