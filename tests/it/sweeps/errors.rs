//! A call of a command fails, once, with an error that the system gives there.
//! Either that does no harm, or the command is refused and nothing has changed.

use serde_json::Value;

use super::{
    Place, Stand, Subject,
    asked::{for_seeds, full},
    dice::Dice,
    place::Stock,
    strace::{Call, calls},
};
use crate::sandbox::Ended;

const ERRORS: [&str; 6] = ["ENOSPC", "EIO", "EDQUOT", "EROFS", "EMFILE", "EACCES"];

/// Where what fails.
#[derive(Clone)]
struct Point {
    call: Call,
    error: &'static str,
}

/// Errors at calls chosen by chance, or all of them at all.
pub fn sweep(subject: &'static Subject) {
    let stock = Stock::of(subject);
    let all = points(&calls(&stock.place()), |call| !call.seeks_library());
    for_seeds(1, |seed| {
        let mut points = all.clone();
        Dice::new(seed).shuffle(&mut points);
        points.truncate(usize::try_from(full(250, u64::MAX)).unwrap());
        eprintln!("{} points of {}: HEPH_SEED={seed}", points.len(), all.len());
        stock.try_each(&points, name, |_| fail);
    });
}

/// Every error at every sync.
pub fn sweep_syncs(subject: &'static Subject) {
    let stock = Stock::of(subject);
    let points = points(&calls(&stock.place()), Call::syncs);
    assert!(!points.is_empty(), "nothing is synced");
    stock.try_each(&points, name, |_| fail);
}

fn name(point: &Point) -> String {
    format!("{} at {}", point.error, point.call.text)
}

fn points(calls: &[Call], wanted: impl Fn(&Call) -> bool) -> Vec<Point> {
    let each = |call: &Call| ERRORS.map(|error| Point { call: call.clone(), error });
    calls.iter().filter(|call| wanted(call)).flat_map(each).collect()
}

fn fail(place: &Place<'_>, point: &Point) -> Result<(), String> {
    let [trace, inject] = point.call.inject(&format!("error={}", point.error));
    let (output, trace) = place.run_traced(&["--seccomp-bpf", &trace, &inject]);
    if trace.matches("(INJECTED)").count() != 1 {
        return Err(format!("it did not fail once:\n{trace}"));
    }
    let ended = Ended::from(output);
    let stand = place.look()?;
    let told = format!("exit {}, {stand:?}: {}{}", ended.code, ended.out, ended.err);
    check_answer(&point.call, &ended, stand).map_err(|what| format!("{what}: {told}"))?;
    // What cannot be removed stays for the next one.
    if ended.code != 0 && !REMOVES.contains(&point.call.name.as_str()) {
        place.check_staging()?;
    }
    place.heals(stand)
}

const REMOVES: [&str; 3] = ["unlink", "unlinkat", "rmdir"];

/// The exit code, the answer and what stands there say the same.
fn check_answer(call: &Call, ended: &Ended, stand: Stand) -> Result<(), &'static str> {
    let answer = serde_json::from_str::<Value>(&ended.out).unwrap_or_default();
    let because = answer["error"]["code"].as_str();
    match ended.code {
        // All is done; that it could not be said is told by the code.
        1 if call.is_to(1) && stand == Stand::New => Ok(()),
        0 if call.syncs() => Err("what may not be on the disk counts as done"),
        0 if stand == Stand::New && because.is_none() && answer.is_object() => Ok(()),
        1 | 4 if because == Some("internal") => Err("an error that has no name"),
        1 | 4 if because == Some("store_corrupt") => Err("nothing is damaged"),
        1 | 4 if because.is_some() && stand == Stand::Old => Ok(()),
        _ => Err("neither success nor a refusal"),
    }
}
