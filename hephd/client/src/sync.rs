//! `heph sync` and `heph status`: how this device stands with its hub.

use hephd::{
    clock::{Clock, ago},
    error::Result,
    report::{Report, Warning, thousands},
    rpc::status::{Access, SyncStatus},
};
use serde_json::json;

use crate::{
    everywhere::Everywhere,
    session::{LONG, SHORT, Session},
    table::{clean, count},
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

/// A word for scripts, a sign for people.
fn sign(status: &SyncStatus, now_ms: u64) -> (&'static str, String) {
    let word = status.word();
    let sign = match word {
        "failing" => {
            let code = status.last_error.as_ref().map_or("", |error| error.code.as_str());
            format!("⚠ {}", clean(code))
        }
        "conflicts" => format!("⚠ {}", conflicts(status.pending_conflicts)),
        "synced" => {
            let last = status.last_success.as_deref().and_then(|at| ago(at, now_ms));
            format!("⟳ {}", last.unwrap_or_default())
        }
        "not_synced_yet" => "⟳ not yet".to_owned(),
        "auth" | "offline" => format!("⚠ {word}"),
        _ => word.to_owned(),
    };
    (word, sign)
}

fn status(status: &SyncStatus) -> Report {
    let entries = status.heads.entries();
    let mut rows = Vec::new();
    let mut row = |name: &str, text: String| rows.push(format!("{name:<11}{text}"));
    let none = match status.mode.as_str() {
        "server" => "this is one",
        _ => "none: this device is on its own",
    };
    row("hub", status.hub_url.as_deref().map_or(none.to_owned(), clean));
    if status.hub_url.is_some() {
        let ago = status.last_success.as_deref().and_then(|at| ago(at, now()));
        row("last sync", ago.map_or("not yet".to_owned(), |ago| format!("{ago} ago")));
        row(
            "equal",
            match status.equal {
                Some(true) => "yes".to_owned(),
                Some(false) => "no".to_owned(),
                None => "not known".to_owned(),
            },
        );
        // Nothing is known of the hub before it was asked.
        let unsent = thousands(status.unsent_ops);
        row("unsent", if status.hub_heads.is_some() { unsent } else { "not known".to_owned() });
    }
    row("ops", thousands(entries));
    if status.forks_healed > 0 {
        row("forks", format!("{} healed", thousands(status.forks_healed)));
    }
    if status.unknown_ops > 0 {
        let ops = count(usize::try_from(status.unknown_ops).unwrap_or(usize::MAX), "op");
        row("unknown", format!("{ops} of a later version, kept and passed on"));
    }
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
        let message = format!("the last sync failed: {}; last good one: {since}", error.told());
        warnings.push(Warning::new(&clean(&error.code), clean(&message)));
    }
    let access = status.access.iter().flat_map(Access::warnings);
    warnings.extend(access.map(|(code, message)| Warning::new(code, message)));
    if let Some(message) = status.clock_is_off() {
        warnings.push(Warning::new("clock_off", message));
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

fn now() -> u64 {
    Clock::System.now_ms()
}

#[cfg(test)]
mod tests {
    use hephd::{clock::rfc3339, rpc::status::SyncError};

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn spoke() -> SyncStatus {
        SyncStatus {
            hub_url: Some("http://hub:8787".to_owned()),
            last_success: Some(rfc3339(NOW - 12_000)),
            ..SyncStatus::default()
        }
    }

    fn failing(code: &str) -> SyncStatus {
        let error = SyncError { code: code.to_owned(), message: String::new(), hint: None };
        SyncStatus { last_error: Some(error), auth_failure: code == "auth_failed", ..spoke() }
    }

    #[test]
    fn a_clock_that_is_off_is_told_and_one_that_is_nearly_right_is_not() {
        let off = |secs: f64| {
            let status = SyncStatus { clock_offset_secs: Some(secs), ..spoke() };
            warnings(&status).pop().map(|warning| warning.message)
        };
        assert!(off(7200.0).unwrap().contains("2h 0m behind"));
        assert!(off(-86_400.0 * 3.0).unwrap().contains("3d 0h ahead of"));
        assert_eq!(off(-299.0), None);
    }

    #[test]
    fn ops_of_a_later_version_are_told_where_there_are_any() {
        let told = |unknown_ops| {
            let lines = status(&SyncStatus { unknown_ops, ..spoke() }).lines;
            lines.into_iter().find(|line| line.starts_with("unknown"))
        };
        assert_eq!(told(0), None);
        assert_eq!(told(1).unwrap(), "unknown    1 op of a later version, kept and passed on");
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
}
