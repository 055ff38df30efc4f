//! Many lives, on all cores, and what is said when one of them fails.

use std::{
    any::Any,
    fmt::Write,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use super::{check::live, coverage::Coverage, faults::Fault, plan::Plan, shrink::shortest};

/// What plays one seed again.
const AGAIN: &str = "cargo test -p hephd sim::whatever -- --nocapture";

/// How a plan ends; a panic is a failure like any other.
pub fn outcome(plan: &Plan, planted: Option<Fault>) -> Result<Coverage, String> {
    match catch_unwind(AssertUnwindSafe(|| live(plan, planted))) {
        Ok(lived) => lived.map_err(|error| error.to_string()),
        Err(panic) => Err(words(panic.as_ref())),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("a panic without words").to_owned()
}

/// Plays all of them; stops at the first that fails, and says all of it.
pub fn all(seeds: &Range<u64>) -> Coverage {
    let (began, next) = (Instant::now(), AtomicU64::new(seeds.start));
    let (seen, failed) = (Mutex::new(Coverage::default()), Mutex::new(None::<(Plan, String)>));
    let work = || {
        let mut mine = Coverage::default();
        while let Some(plan) = take(&next, seeds) {
            match outcome(&plan, None) {
                Ok(lived) => mine.add(&lived),
                Err(why) => {
                    next.store(seeds.end, Ordering::Relaxed);
                    failed.lock().unwrap().get_or_insert((plan, why));
                }
            }
        }
        seen.lock().unwrap().add(&mine);
    };
    thread::scope(|scope| {
        (0..cores()).for_each(|_| drop(scope.spawn(work)));
    });
    if let Some((plan, why)) = failed.into_inner().unwrap() {
        panic!("{}", report(&plan, why));
    }
    let (count, took) = (seeds.end - seeds.start, began.elapsed());
    let each = took.as_secs_f64() * 1e3 / count as f64;
    let seen = seen.into_inner().unwrap();
    let from = seeds.start;
    eprintln!(
        "{count} schedules from seed {from}, {:.0} s, {each:.2} ms each: {seen}",
        took.as_secs_f64()
    );
    seen
}

fn take(next: &AtomicU64, seeds: &Range<u64>) -> Option<Plan> {
    let seed = next.fetch_add(1, Ordering::Relaxed);
    seeds.contains(&seed).then(|| Plan::new(seed))
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// All that is needed to see it happen again.
fn report(plan: &Plan, why: String) -> String {
    let seed = plan.seed;
    let mut text = format!("seed {seed} failed: {why}\n\n{}", expanded(plan));
    let (short, why) = shortest(plan, None, why);
    let _ = write!(
        text,
        "\nThe shortest beginning or part of it that fails: {why}\n{}",
        expanded(&short)
    );
    let _ = write!(text, "\nTo run it alone, at {}: HEPH_SEED={seed} {AGAIN}", commit());
    text
}

fn expanded(plan: &Plan) -> String {
    let mut text = format!("seed {}: {:?}\n", plan.seed, plan.options);
    for (n, step) in plan.steps.iter().enumerate() {
        let _ = writeln!(text, "{n:4} {:?}, chance {:#x}", step.what, step.salt);
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "a failing run names what it ran")]
fn commit() -> String {
    let told = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let told = told.ok().and_then(|out| String::from_utf8(out.stdout).ok());
    told.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "no commit".to_owned())
}
