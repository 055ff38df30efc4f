//! What `systemctl show` says of a unit.

use std::collections::BTreeMap;

use super::Running;

/// What is shown of one unit.
pub(super) struct Shown<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Shown<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        Self(text.lines().filter_map(|line| line.split_once('=')).collect())
    }

    pub(super) fn value(&self, key: &str) -> &'a str {
        self.0.get(key).copied().unwrap_or_default()
    }
}

/// How it stands.
pub(super) fn parse(shown: &Shown<'_>, booted: Option<u64>) -> Running {
    let value = |key: &str| shown.value(key);
    let number = |key: &str| value(key).parse::<u32>().unwrap_or_default();
    let state = match (value("ActiveState"), value("SubState")) {
        ("activating", "auto-restart") => "failing",
        ("activating", _) => "starting",
        // It was told to start, and has not begun yet.
        ("inactive" | "failed", _) if number("Job") > 0 => "starting",
        (state, _) => state,
    };
    let pid = Some(number("MainPID")).filter(|pid| *pid > 1);
    let result = match value("Result") {
        "" | "success" => None,
        "exit-code" => Some(format!("exit code {}", value("ExecMainStatus"))),
        other => Some(other.to_owned()),
    };
    Running {
        pid,
        state: state.to_owned(),
        restarts: number("NRestarts"),
        result,
        enabled: value("UnitFileState").starts_with("enabled"),
        since: pid.and(booted).and_then(|booted| {
            let after: u64 = value("ExecMainStartTimestampMonotonic").parse().ok()?;
            Some(booted + after / 1_000_000)
        }),
        ..Running::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_between_two_crashes_is_failing() {
        let shown = "MainPID=0\nNRestarts=3\nActiveState=activating\nSubState=auto-restart\n\
                     Result=exit-code\nExecMainStatus=1\nUnitFileState=enabled\n";
        let running = parse(&Shown::parse(shown), None);
        assert_eq!((running.state.as_str(), running.pid, running.restarts), ("failing", None, 3));
        assert_eq!(running.result.as_deref(), Some("exit code 1"));
        assert!(running.enabled && !running.is_over());
    }
}
