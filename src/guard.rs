//! A wall for tests. One that goes wrong must not stop the services of the
//! machine that it runs on: a peer's once did. Where `HEPH_UNDER_TEST` is set,
//! the machine's own service managers may be asked and not told. A program that
//! a test put in their place may be told all.

use std::path::{Path, PathBuf};

use hephd::error::{Code, Error, Result};

/// Programs that tell a service manager something.
const MANAGERS: [&str; 6] =
    ["systemctl", "launchctl", "loginctl", "systemd-run", "useradd", "userdel"];

/// What only looks.
const LOOKS: [&str; 12] = [
    "show",
    "show-user",
    "status",
    "cat",
    "is-active",
    "is-enabled",
    "list-units",
    "print",
    "print-disabled",
    "list",
    "managername",
    "version",
];

/// Refuses what would change the machine's own services.
///
/// # Errors
/// `not_supported`, with the command.
pub fn refuse_real(argv: &[String]) -> Result<()> {
    let [program, words @ ..] = argv else { return Ok(()) };
    if is_look(program, words) || !is_the_machines(which::which(program).ok()) {
        return Ok(());
    }
    Err(Error::new(
        Code::NotSupported,
        format!("under test, this is not for the machine's own manager: {}", argv.join(" ")),
        "run it in the lab: tests/lab/user-manager, tests/lab/twin-host",
    ))
}

fn is_look(program: &str, words: &[String]) -> bool {
    let name = Path::new(program).file_name().unwrap_or_default();
    let verb = words.iter().find(|word| !word.starts_with('-'));
    // What has no verb makes or removes something.
    let has_verbs = MANAGERS[..3].iter().any(|manager| name == *manager);
    !MANAGERS.iter().any(|manager| name == *manager)
        || (has_verbs && verb.is_none_or(|verb| LOOKS.contains(&verb.as_str())))
}

/// Debian's, Apple's, and whatever links to one of them.
fn is_the_machines(program: Option<PathBuf>) -> bool {
    let real = program.map(|path| path.canonicalize().unwrap_or(path));
    let folders = ["/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/lib/systemd"];
    real.is_some_and(|path| folders.iter().any(|folder| path.starts_with(folder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_machines_own_managers_may_be_asked_and_not_told() {
        for told in [
            "systemctl --user stop heph-hub.service",
            "systemctl daemon-reload",
            "loginctl enable-linger me",
            "useradd --system heph",
        ] {
            assert!(refuse_real(&words(told)).is_err(), "{told}");
        }
        for asked in ["systemctl --user show --property=Version", "ls -l", "launchctl print gui/1"]
        {
            assert!(refuse_real(&words(asked)).is_ok(), "{asked}");
        }
    }

    #[test]
    fn a_program_that_stands_in_for_one_may_be_told_all() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("launchctl");
        std::os::unix::fs::symlink("/bin/true", &program).unwrap();
        assert!(is_the_machines(Some(program)), "a link to one of the machine's is the machine's");
        assert!(!is_the_machines(Some(folder.path().join("systemctl"))));
    }
}
