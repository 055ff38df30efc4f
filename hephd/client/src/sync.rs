//! `heph sync` and `heph status`: how this device stands with its hub.

use hephd::{
    clock::Clock,
    error::Result,
    report::{Report, Warning},
    rpc::status::SyncStatus,
};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    everywhere::Everywhere,
    session::{LONG, SHORT, Session},
    table::{clean, count, thousands},
};

/// Whether to do it or to look.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do nothing; show how it stands
    #[arg(long)]
    status: bool,
}

/// Syncs, or shows how sync stands.
///
/// # Errors
/// `hub_unreachable`, `auth_failed`; the daemon's others.
pub fn run(args: &Args, everywhere: &Everywhere) -> Result<Report> {
    let mut session = Session::open(everywhere.socket.as_deref(), LONG)?;
    let before = session.sync_status()?;
    if args.status {
        return Ok(status(&before));
    }
    let after = session.sync_now()?;
    let changed = before.heads != after.heads || before.hub_heads != after.hub_heads;
    let hub = after.hub_url.as_deref().map(clean).unwrap_or_default();
    let line = match after.equal {
        Some(true) => format!("✓ synced with {hub}: equal"),
        _ => format!("✓ synced with {hub}: what came meanwhile follows"),
    };
    let report = Report::new("synced", changed, json!(after)).line(line);
    Ok(Report { warnings: warnings(&after), ..report })
}

/// One line: how well this device is in step.
///
/// # Errors
/// `not_ready` when no daemon answers.
pub fn line(everywhere: &Everywhere) -> Result<Report> {
    let status = Session::open(everywhere.socket.as_deref(), SHORT)?.sync_status()?;
    let (word, sign) = sign(&status, now());
    Ok(Report::new(word, false, json!(status)).line(sign))
}

/// A word for scripts, a sign for people. The first that is true is said.
fn sign(status: &SyncStatus, now: i64) -> (&'static str, String) {
    let unreachable = |code: &str| matches!(code, "hub_unreachable" | "not_ready");
    match (&status.hub_url, &status.last_error) {
        (Some(_), _) if status.auth_failure => ("auth", "⚠ auth".to_owned()),
        (Some(_), Some(error)) if unreachable(&error.code) => ("offline", "⚠ offline".to_owned()),
        (Some(_), Some(error)) => ("failing", format!("⚠ {}", clean(&error.code))),
        _ if status.pending_conflicts > 0 => {
            ("conflicts", format!("⚠ {}", conflicts(status.pending_conflicts)))
        }
        (Some(_), None) => match ago(status.last_success.as_deref(), now) {
            Some(ago) => ("synced", format!("⟳ {ago}")),
            None => ("not_synced_yet", "⟳ not yet".to_owned()),
        },
        (None, _) if status.mode == "server" => ("hub", "hub".to_owned()),
        (None, _) => ("local", "local".to_owned()),
    }
}

fn status(status: &SyncStatus) -> Report {
    let entries = status.heads.entries();
    let mut rows = Vec::new();
    let mut row = |name: &str, text: String| rows.push(format!("{name:<11}{text}"));
    row(
        "hub",
        status.hub_url.as_deref().map_or("none: this device is on its own".to_owned(), clean),
    );
    if status.hub_url.is_some() {
        let ago = ago(status.last_success.as_deref(), now());
        row("last sync", ago.map_or("not yet".to_owned(), |ago| format!("{ago} ago")));
        row(
            "equal",
            match status.equal {
                Some(true) => "yes".to_owned(),
                Some(false) => "no".to_owned(),
                None => "not known".to_owned(),
            },
        );
        row("unsent", thousands(usize::try_from(status.unsent_ops).unwrap_or(usize::MAX)));
    }
    row("ops", thousands(usize::try_from(entries).unwrap_or(usize::MAX)));
    if let Some(owner) = &status.owner_id {
        row("owner", clean(owner));
    }
    let (word, _) = sign(status, now());
    let mut report = Report::new(word, false, json!(status));
    report.lines = rows;
    report.warnings = warnings(status);
    report
}

/// What is not as it should be, in the daemon's words.
fn warnings(status: &SyncStatus) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(error) = &status.last_error {
        let since = status.last_success.as_deref().unwrap_or("never");
        let message = format!("the last sync failed: {}; last good one: {since}", error.message);
        warnings.push(Warning::new(&clean(&error.code), clean(&message)));
    }
    if status.pending_conflicts > 0 {
        let message = format!("{}: both versions are kept", conflicts(status.pending_conflicts));
        warnings.push(Warning::new("conflicts", message));
    }
    warnings
}

fn conflicts(n: u64) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX), "conflict")
}

fn now() -> i64 {
    i64::try_from(Clock::System.now_ms() / 1000).unwrap_or(i64::MAX)
}

/// How long ago a time was: `12s`, `3m`, `2h`, `5d`.
fn ago(time: Option<&str>, now: i64) -> Option<String> {
    let time: Timestamp = time?.parse().ok()?;
    let seconds = (now - time.as_second()).max(0);
    Some(match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m", seconds / 60),
        3_600..=86_399 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    })
}

#[cfg(test)]
mod tests {
    use hephd::rpc::status::SyncError;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn spoke() -> SyncStatus {
        SyncStatus {
            hub_url: Some("http://hub:8787".to_owned()),
            last_success: Some(Timestamp::from_second(NOW - 12).unwrap().to_string()),
            ..SyncStatus::default()
        }
    }

    fn failing(code: &str) -> SyncStatus {
        let error = SyncError { code: code.to_owned(), message: String::new() };
        SyncStatus { last_error: Some(error), auth_failure: code == "auth_failed", ..spoke() }
    }

    #[test]
    fn the_worst_is_what_is_said() {
        for (status, expected) in [
            (spoke(), "⟳ 12s"),
            (SyncStatus { last_success: None, ..spoke() }, "⟳ not yet"),
            (SyncStatus { pending_conflicts: 3, ..spoke() }, "⚠ 3 conflicts"),
            (failing("auth_failed"), "⚠ auth"),
            (failing("hub_unreachable"), "⚠ offline"),
            (failing("owner_mismatch"), "⚠ owner_mismatch"),
            (SyncStatus { pending_conflicts: 3, ..failing("hub_unreachable") }, "⚠ offline"),
            (SyncStatus::default(), "local"),
            (SyncStatus { pending_conflicts: 1, ..SyncStatus::default() }, "⚠ 1 conflict"),
            (SyncStatus { mode: "server".to_owned(), ..SyncStatus::default() }, "hub"),
        ] {
            assert_eq!(sign(&status, NOW).1, expected);
        }
    }

    #[test]
    fn spans_are_short() {
        let ago = |s| ago(Some(&Timestamp::from_second(NOW - s).unwrap().to_string()), NOW);
        assert_eq!(
            [-5, 59, 60, 7200, 200_000].map(|s| ago(s).unwrap()),
            ["0s", "59s", "1m", "2h", "2d"]
        );
    }
}
