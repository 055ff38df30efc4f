//! `sudo … --scope user --run-as NAME`: root becomes that person, and does what
//! that person would have done. Every file is then theirs, and their systemd is
//! the one that is asked.

use std::ffi::OsString;

use hephd::{
    error::{Code, Error, Result},
    record::Scope,
    store::file::User,
};

use super::Args;
use crate::{host::Host, service_manager::linger};

/// Somebody whom root is to become.
pub(super) struct Person {
    name: String,
    home: String,
    user: User,
}

/// The person, where root asked for one.
///
/// # Errors
/// `no_user_bus` where root, by sudo, would install a service for itself and
/// most likely does not mean to.
pub(super) fn asked_for(args: &Args, host: &Host) -> Result<Option<Person>> {
    if host.uid != 0 || args.scope != Some(Scope::User) {
        return Ok(None);
    }
    match (&args.run_as, &host.sudo_user) {
        (Some(name), _) if *name != host.user_name() => {
            let (user, home) = (host.user(name)?, host.home_of(name)?);
            Ok(Some(Person { name: name.clone(), home, user }))
        }
        (None, Some(caller)) if caller != "root" => Err(Error::new(
            Code::NoUserBus,
            format!("by sudo, --scope user means root's own services, and not {caller}'s"),
            format!("leave sudo out, or add --run-as {caller}"),
        )),
        _ => Ok(None),
    }
}

impl Person {
    /// Becomes that person and starts anew. It comes back only with the reason
    /// why it could not.
    pub(super) fn go_on(&self, host: &Host, check: bool) -> Error {
        let mut more: Vec<OsString> = Vec::new();
        if !check && linger::wake(host, &self.name, self.user.uid) {
            more.push("--enabled-linger".into());
        }
        let error = host.become_person(&self.name, self.user, &self.home, &more);
        Error::new(
            Code::InsecurePermissions,
            format!("cannot go on as {}: {error}", self.name),
            format!("install heph-ops where {} may run it: /usr/local/bin", self.name),
        )
    }
}
