//! Lingering: a person's systemd that is there from boot to shutdown, and not
//! only while that person is logged in.

use std::{path::Path, time::Duration};

use crate::{host::Host, plan::Step};

/// How long a person's systemd takes to come up.
const UP: Duration = Duration::from_secs(10);

/// Logins are kept by systemd here, and this person's services end with them.
#[must_use]
pub fn is_off(host: &Host) -> bool {
    is_off_for(&host.user_name())
}

fn is_off_for(person: &str) -> bool {
    let has_logins = Path::new("/run/systemd/seats").is_dir();
    has_logins && !Path::new("/var/lib/systemd/linger").join(person).exists()
}

fn words(person: &str, verb: &str) -> Vec<String> {
    ["loginctl", "--no-ask-password", verb, person].map(str::to_owned).to_vec()
}

/// Turns it on; where only root may, a warning says so afterwards.
#[must_use]
pub fn turn_on(host: &Host) -> Step {
    Step::Try(words(&host.user_name(), "enable-linger"))
}

/// Turns it off again.
#[must_use]
pub fn turn_off(host: &Host) -> Step {
    Step::Try(words(&host.user_name(), "disable-linger"))
}

/// What a person can do about it.
#[must_use]
pub fn advice(host: &Host) -> String {
    format!(
        "its services end when {0} logs out, and do not start at boot: sudo loginctl enable-linger {0}",
        host.user_name()
    )
}

/// Turns it on for a person where it is off, and waits until their systemd is
/// there. So it comes up after `su`, from cron, and through ssh without a
/// session. Gives whether it was this that turned it on.
#[must_use]
pub fn wake(host: &Host, person: &str, uid: u32) -> bool {
    let told = || host.run(&words(person, "enable-linger"));
    let bus = Path::new("/run/user").join(uid.to_string()).join("systemd/private");
    is_off_for(person)
        && told().is_ok_and(|output| output.status.success())
        && host.poll(UP, || bus.exists().then_some(())).is_some()
}
