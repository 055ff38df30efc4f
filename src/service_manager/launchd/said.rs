//! What `launchctl print` says. Its text is for people and changes from one
//! macOS to the next, so only single lines of it are looked at.

use super::Running;
use crate::unit::EDITION;

/// How a loaded service stands.
pub(super) fn service(text: &str) -> Running {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.trim().split_once(" = "));
        lines.find(|(name, _)| *name == key).map(|(_, value)| value.trim())
    };
    let pid = value("pid").and_then(|pid| pid.parse().ok()).filter(|pid| *pid > 1);
    let runs: u32 = value("runs").and_then(|runs| runs.parse().ok()).unwrap_or(0);
    let ended =
        value("last exit code").filter(|code| code.starts_with(|c: char| c.is_ascii_digit()));
    let failed = ended.filter(|code| code.split(':').next() != Some("0"));
    let signal = value("last terminating signal").filter(|text| !text.starts_with('('));
    let state = match (pid, value("state").unwrap_or_default()) {
        (Some(_), _) => "active",
        // It counts the seconds to the next try.
        (None, state) if state.contains("scheduled") || state.contains("throttle") => "failing",
        // It is loaded, and nobody has tried to run it.
        (None, _) if runs == 0 => "waiting",
        (None, _) if failed.is_some() || signal.is_some() => "failed",
        (None, _) => "inactive",
    };
    Running {
        pid,
        state: state.to_owned(),
        restarts: runs.saturating_sub(1),
        result: failed.map(|code| format!("exit code {code}")).or(signal.map(str::to_owned)),
        edition: edition(text),
        ..Running::default()
    }
}

fn edition(text: &str) -> Option<String> {
    let mut pairs = text.lines().filter_map(|line| line.trim().split_once(" => "));
    pairs.find(|(name, _)| *name == EDITION).map(|(_, value)| value.trim().to_owned())
}

/// Somebody has turned it off: it does not start, also not after a reboot.
pub(super) fn is_disabled(text: &str, label: &str) -> bool {
    let mut pairs = text.lines().filter_map(|line| line.trim().split_once(" => "));
    let is_it = |name: &str| name.trim_matches('"') == label;
    pairs.any(|(name, value)| is_it(name) && matches!(value.trim(), "disabled" | "true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "gui/501/heph-hub = {\n\tactive count = 1\n\tpath = /x.plist\n\
        \tstate = running\n\n\targuments = {\n\t\t/bin/hephd\n\t}\n\n\tenvironment = {\n\
        \t\tHEPH_UNIT => 3f\n\t\tPATH => /bin\n\t}\n\n\truns = 2\n\tpid = 42\n\
        \tlast exit code = (never exited)\n}\n";

    #[test]
    fn a_running_service_is_read() {
        let running = service(PRINTED);
        assert_eq!(
            (running.pid, running.restarts, running.state.as_str()),
            (Some(42), 1, "active")
        );
        assert_eq!((running.edition.as_deref(), running.result), (Some("3f"), None));
    }

    #[test]
    fn one_that_fails_or_never_spawned_is_told_apart() {
        let gone = PRINTED.replace("\tpid = 42\n", "");
        let failing = gone.replace("state = running", "state = spawn scheduled");
        assert_eq!(service(&failing).state, "failing");
        let failed = gone
            .replace("(never exited)", "78: EX_CONFIG")
            .replace("state = running", "state = not running");
        assert_eq!(service(&failed).state, "failed");
        assert_eq!(service(&failed).result.as_deref(), Some("exit code 78: EX_CONFIG"));
        let never =
            gone.replace("runs = 2", "runs = 0").replace("state = running", "state = not running");
        assert_eq!(service(&never).state, "waiting");
        assert!(!service(&never).is_over());
    }

    #[test]
    fn both_ways_of_saying_that_it_is_turned_off_are_read() {
        for said in ["disabled", "true"] {
            let text = format!(
                "disabled services = {{\n\t\"heph-hub\" => {said}\n\t\"b\" => enabled\n}}\n"
            );
            assert!(is_disabled(&text, "heph-hub") && !is_disabled(&text, "b"));
            assert!(!is_disabled(&text, "heph"));
        }
    }
}
