//! Lingering: a person's systemd that is there from boot to shutdown, and not
//! only while that person is logged in.

use std::{path::Path, time::Duration};

use super::systemd::Systemd;
use crate::{host::Host, plan::Step};

/// How long a person's systemd takes to come up.
const UP: Duration = Duration::from_secs(10);

/// Logins are kept by systemd here, and this person's services end with them.
#[must_use]
pub fn is_off(host: &Host) -> bool {
    let has_logins = Path::new("/run/systemd/seats").is_dir();
    has_logins && !Path::new("/var/lib/systemd/linger").join(host.user_name()).exists()
}

fn words(host: &Host, verb: &str) -> Vec<String> {
    ["loginctl", "--no-ask-password", verb, &host.user_name()].map(str::to_owned).to_vec()
}

/// Turns it on; where only root may, a warning says so afterwards.
#[must_use]
pub fn turn_on(host: &Host) -> Step {
    Step::Try(words(host, "enable-linger"))
}

/// Turns it off again.
#[must_use]
pub fn turn_off(host: &Host) -> Step {
    Step::Try(words(host, "disable-linger"))
}

/// What a person can do about it.
#[must_use]
pub fn advice(host: &Host) -> String {
    format!(
        "its services end when {0} logs out, and do not start at boot: sudo loginctl enable-linger {0}",
        host.user_name()
    )
}

/// Brings a person's systemd up where there is none: after `su`, from cron,
/// through ssh without a session. Gives whether it was this that helped.
#[must_use]
pub fn wake(host: &Host, user_systemd_wanted: bool) -> bool {
    use hephd::record::Scope::User;
    if !user_systemd_wanted || !is_off(host) || Systemd::find(host, User).is_ok() {
        return false;
    }
    let told = host.run(&words(host, "enable-linger"));
    told.is_ok_and(|output| output.status.success())
        && host.poll(UP, || Systemd::find(host, User).ok()).is_some()
}
