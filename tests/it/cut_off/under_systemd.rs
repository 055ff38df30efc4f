//! The same under a real `systemd --user`: a few points of each run.

use serde_json::Value;

use super::{Point, seed};
use crate::{sandbox::Sandbox, sweeps::asked::full, under_systemd::under_systemd};

/// `cut SEED COUNT CALLS WORDS…` cuts an install with these words off at some of
/// its points. After each, `after` prints how things stand.
const FUNCTIONS: &str = r#"
ops() { heph-ops "$@" --json || true; }
install() { ops install-service --scope user --settle-ms 100 --role spoke "$@"; }
points() {
  strace -qq -o ~/trace -e "trace=$1" heph-ops install-service --scope user --settle-ms 100 --role spoke "${@:2}" >/dev/null 2>&1 || true
  awk -F'(' '{ n[$1]++ } alone && ($1 != "openat" || /O_CREAT/) && $1 != "wait4" { print $1, n[$1] } /\.ops"/ { alone = 1 }' ~/trace
}
cut_off() {
  strace -qq -o /dev/null "--trace=$1" "--inject=$1:signal=KILL:when=$2" \
    heph-ops install-service --scope user --settle-ms 100 --role spoke "${@:3}" >/dev/null 2>&1 || true
}
stands() {
  local pid; pid=$(systemctl --user show heph-spoke --property MainPID --value)
  jq --null-input --compact-output --arg at "$1" --arg words "$(tr '\0' ' ' <"/proc/$pid/cmdline")" \
    --argjson pid "$pid" --argjson daemons "$(pgrep --count --exact hephd || true)" \
    --arg left "$(ls -A ~/.config/heph ~/.config/systemd/user | grep -e before -e new || true)" \
    '{ at: $at, words: $words, pid: $pid, daemons: $daemons, left: $left }' 2>/dev/null
}
"#;

#[test]
fn a_change_with_systemd_that_is_cut_off_is_finished_by_the_next() {
    let sandbox = Sandbox::new();
    let (seed, count) = (seed("change, systemd"), full(4, 100_000));
    let script = format!(
        "{FUNCTIONS}
        cd ~
        install --sync-interval-secs 10 >/dev/null
        points '{calls}' --sync-interval-secs 11 | shuf --random-source=<(yes {seed}) >points
        old=11 new=10
        head --lines {count} points | while read -r call n; do
          cut_off $call $n --sync-interval-secs $new
          stands \"$call $n, cut off, $old $new\"
          install --sync-interval-secs $new
          stands \"$call $n, finished, $new $new\"
          ops status
          last=$new new=$old old=$last
        done",
        calls = Point::CALLS,
    );
    let said = under_systemd(&sandbox, &script);
    assert!(said.len() >= 16 && said.len().is_multiple_of(4), "{said:?}");
    for point in said.chunks(4) {
        is_old_or_new(&point[0]);
        assert!(point[1]["error"].is_null(), "{point:?}");
        is_finished(&point[2], &point[3]);
    }
    eprintln!("change, systemd: {} points", said.len() / 4);
}

#[test]
fn a_change_with_systemd_that_fails_and_is_cut_off_can_still_go_back() {
    let sandbox = Sandbox::new();
    let (seed, count) = (seed("fails, systemd"), full(2, 100_000));
    let script = format!(
        "{FUNCTIONS}
        cd ~
        printf '#!/bin/sh\nexit 4\n' >broken; chmod +x broken
        bad=\"--sync-interval-secs 11 --bin $PWD/broken\"
        install --sync-interval-secs 10 >/dev/null
        points '{calls}' $bad | shuf --random-source=<(yes {seed}) >points
        head --lines {count} points | while read -r call n; do
          cut_off $call $n $bad
          stands \"$call $n, cut off, 10 11\"
          install $bad
          stands \"$call $n, put back, 10 10\"
          ops status
        done",
        calls = Point::CALLS,
    );
    let said = under_systemd(&sandbox, &script);
    assert!(said.len() >= 8 && said.len().is_multiple_of(4), "{said:?}");
    for point in said.chunks(4) {
        is_old_or_new(&point[0]);
        let message = point[1]["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("put back, and it runs"), "{point:?}");
        is_finished(&point[2], &point[3]);
    }
    eprintln!("fails, systemd: {} points", said.len() / 4);
}

/// At most one daemon, with the old words or the new ones.
#[track_caller]
fn is_old_or_new(stands: &Value) {
    let at = stands["at"].as_str().unwrap();
    let words = stands["words"].as_str().unwrap();
    let mut known = at.rsplit(' ').take(2);
    // In brackets stands what systemd has begun, and what is not hephd yet.
    let fits = words.is_empty() || words.starts_with('(') || known.any(|one| has(words, one));
    assert!(stands["daemons"].as_u64() <= Some(1) && fits, "{stands}");
}

/// One daemon, with those words, and nothing is left of what was cut off.
#[track_caller]
fn is_finished(stands: &Value, status: &Value) {
    let (at, words) = (stands["at"].as_str().unwrap(), stands["words"].as_str().unwrap());
    let fits = has(words, at.rsplit(' ').next().unwrap());
    assert!(fits && stands["daemons"] == 1 && stands["left"] == "", "{stands}");
    let service = &status["data"]["services"][0];
    let agrees = service["pid"] == stands["pid"] && service["state"] == "active";
    assert!(agrees && status["status"] == "ok", "{stands}\n{status}");
}

fn has(words: &str, interval: &str) -> bool {
    words.contains(&format!("--sync-interval-secs {interval} "))
}
