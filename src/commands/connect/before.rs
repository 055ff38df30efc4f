//! What is on this machine before anything is done, what is refused because of
//! it, and the way back to it.

use std::{path::Path, time::Duration};

use hephd::{
    config::parse_hub_url,
    error::{Code, Error, Result},
    id::OwnerId,
    paths::quoted,
    record::{Record, Role},
    rpc::{auth::AuthStatus, client::Client, status::SyncStatus},
    store::{Store, file},
};
use serde_json::{Value, json};

use super::hub::Hub;
use crate::{
    commands::{How, install_service, uninstall_service},
    host::Host,
    service::Service,
};

/// No single question to the daemon takes longer.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// What is there.
pub(super) struct Before {
    /// The service as it is wanted.
    pub(super) service: Service,
    recorded: Option<Record>,
    /// What a daemon that runs says of its login and its sync.
    running: Option<(AuthStatus, SyncStatus)>,
}

impl Before {
    /// Looks.
    ///
    /// # Errors
    /// `unit_foreign` where the service syncs with another hub.
    pub(super) fn look(args: &install_service::Args, host: &Host) -> Result<Self> {
        let (service, recorded) = install_service::foresee(args, host)?;
        let before = Self { running: ask(&service.config.socket).ok(), service, recorded };
        before.refuse_another_hub()?;
        Ok(before)
    }

    fn installed(&self) -> Option<&Record> {
        self.recorded.as_ref().filter(|record| record.installed)
    }

    fn refuse_another_hub(&self) -> Result<()> {
        let there = self.installed().and_then(|record| record.flags.hub_url.as_deref());
        let there = there.map(parse_hub_url).transpose()?;
        let wanted = self.service.config.hub_url.as_ref();
        match (there, wanted) {
            (Some(there), Some(wanted)) if there != *wanted => Err(Error::new(
                Code::UnitForeign,
                format!("{} syncs with {there}", self.service.label()),
                format!(
                    "if its hub has moved: heph-ops install-service --role spoke --label {} \
                     --hub-url {wanted}",
                    self.service.label()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Where the hub tells whose it is, a store of somebody else's is found out
    /// before anything is touched.
    ///
    /// # Errors
    /// `owner_mismatch`.
    pub(super) fn refuse_another_owner(&self, hub: &Hub, host: &Host) -> Result<()> {
        let Some(theirs) = &hub.owner else { return Ok(()) };
        match self.owner(host) {
            Some(ours) if ours != *theirs => Err(self.another_owner(&hub.url)),
            _ => Ok(()),
        }
    }

    /// What cannot be read now is for the daemon to judge.
    fn owner(&self, host: &Host) -> Option<OwnerId> {
        let db = &self.service.config.db;
        Store::open_reader(db, &host.machine).ok()?.owner().ok()?
    }

    /// A person will have to log in, as far as that can be told. A token file
    /// is the daemon's to read; that there is one says enough.
    pub(super) fn wants_login(&self, hub: &Hub) -> bool {
        let token = self.service.token_file();
        hub.issuer.is_some()
            && match &self.running {
                Some((login, sync)) => !login.logged_in || sync.auth_failure,
                None => !token.is_some_and(|path| path.is_file()),
            }
    }

    /// The device has notes of its own, and they are not the hub's.
    pub(super) fn another_owner(&self, hub: &url::Url) -> Error {
        let db = &self.service.config.db;
        Error::new(
            Code::OwnerMismatch,
            format!("{} is not of the owner of {hub}: it was begun apart from it", db.display()),
            format!(
                "keep its notes with heph export DIR, then {}move {} away, connect again, and \
                 heph import DIR",
                match self.installed() {
                    Some(record) => format!("heph-ops uninstall-service {}, ", record.label),
                    None => String::new(),
                },
                quoted(file::folder(db))
            ),
        )
    }

    /// The service is again as it was.
    ///
    /// # Errors
    /// As the commands that do it by hand.
    pub(super) fn put_back(&self, host: &Host) -> Result<()> {
        let how = How::default();
        let Some(record) = self.installed() else {
            let label = Some(self.service.label().to_owned());
            let args = uninstall_service::Args { label, purge_config: self.recorded.is_none() };
            return uninstall_service::run(&args, how, host).map(drop);
        };
        let mut args = install_service::Args::new(Role::Spoke);
        args.exact = true;
        args.label = Some(record.label.clone());
        args.bin = Some(record.bin.clone());
        args.run_as.clone_from(&record.run_as);
        args.hardening = record.hardening;
        args.log_dir.clone_from(&record.log_dir);
        args.keyring = record.keyring;
        args.env = record.env.clone().into_iter().collect();
        args.backup_dir = record.backups.as_ref().map(|backups| backups.dir.clone());
        args.backup_every = record.backups.as_ref().map(|backups| backups.every.clone());
        args.flags = record.flags.clone();
        install_service::run(&args, how, host).map(drop)
    }
}

/// How a daemon's login and its sync stand.
///
/// # Errors
/// `not_ready` where none answers.
pub(super) fn ask(socket: &Path) -> Result<(AuthStatus, SyncStatus)> {
    let mut client = Client::connect(socket, ANSWER_DEADLINE)?;
    let login = client.call("auth.status", &json!({}))?;
    Ok((login, client.call("sync.status", &Value::Null)?))
}
