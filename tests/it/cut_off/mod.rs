//! `install-service` and `uninstall-service`, killed in the middle: before each
//! call that changes something, and before and after each child is started.
//! Whatever the point, the old service is there or the new one, at most one
//! daemon runs, the store is whole, what to go back to is not lost, and the
//! next run comes to its end.

#![allow(clippy::print_stderr, reason = "how many points were tried, and how to try them again")]

mod strace;
mod under_systemd;

use std::os::unix::fs::PermissionsExt;

use self::strace::{Point, cut_off, points};
use super::{
    keeper::{Keeper, LABEL, Wrong, has_interval, hold, seed, words},
    sandbox::program,
    sweeps::{asked::full, dice::Dice},
};

/// How many points are tried in a usual run: of our own supervisors, and of
/// launchd, which takes its time. Of all sweeps together they are 100 and more.
const FEW: [u64; 2] = [40, 3];

/// What a command that is cut off goes from, what it leads to, and its words.
struct Cut {
    /// The record as it stood; none where there was none.
    before: Option<String>,
    /// The interval of the service that stood; none where none did.
    old: Option<u32>,
    /// The interval of the one that was to come.
    new: Option<u32>,
    words: Vec<String>,
    /// A task that was written before.
    task: Option<String>,
}

/// A home, and the interval of the service in it.
struct Life {
    keeper: Keeper,
    interval: Option<u32>,
    task: Option<String>,
    dice: Dice,
}

impl Life {
    fn new(keeper: Keeper, test: &str) -> Self {
        Self { keeper, interval: None, task: None, dice: Dice::new(seed(test)) }
    }

    /// A service runs, and holds a task.
    fn installed(&mut self) -> u32 {
        let interval = self.interval.unwrap_or(10);
        self.keeper.ops(&self.keeper.install(interval, &["--bin", &hephd()])).expect(0);
        self.interval = Some(interval);
        self.task.get_or_insert_with(|| self.keeper.write("from before"));
        interval
    }

    fn cut(&self, new: Option<u32>, words: Vec<String>) -> Cut {
        let (before, task) = (self.keeper.record_text(), self.task.clone());
        Cut { before, old: self.interval, new, words, task }
    }

    /// The service that stands after a run that came to its end.
    fn stands(&mut self, interval: Option<u32>, cut: &Cut) -> Wrong {
        self.interval = interval;
        match interval {
            Some(interval) => self.keeper.runs_with(interval)?,
            None => self.keeper.is_gone()?,
        }
        self.keeper.is_tidy()?;
        match &cut.task {
            Some(task) if interval.is_some() => self.keeper.has(task),
            _ => self.keeper.store_is_whole(cut.task.is_some()),
        }
    }

    fn run(&self, words: &[String], code: i32) -> Result<serde_json::Value, String> {
        let ended = self.keeper.ops(words);
        let said = || format!("{words:?}: exit {}: {}{}", ended.code, ended.out, ended.err);
        hold(ended.code == code, said)?;
        serde_json::from_str(&ended.out).map_err(|_| said())
    }
}

fn hephd() -> String {
    program("hephd").display().to_string()
}

/// A hephd that refuses to start.
fn broken(keeper: &Keeper) -> String {
    let path = keeper.sandbox().path("broken");
    if !path.exists() {
        std::fs::write(&path, "#!/bin/sh\nexit 4\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    path.display().to_string()
}

/// Old or new, at most one, the store whole; what runs is recorded, and what to go
/// back to is noted.
fn nothing_is_lost(keeper: &Keeper, cut: &Cut) -> Wrong {
    let daemons = keeper.daemons();
    let known = |argv: &[String]| {
        [cut.old, cut.new].into_iter().flatten().any(|interval| has_interval(argv, interval))
    };
    let fine = daemons.len() <= 1 && daemons.iter().all(|(_, argv)| known(argv));
    hold(fine, || format!("these run: {daemons:?}"))?;
    let recorded = keeper.record().and_then(|record| record.flags.sync_interval_secs);
    let runs_new = |(_, argv): &(u64, Vec<String>)| {
        cut.new != cut.old && cut.new.is_some_and(|new| has_interval(argv, new))
    };
    let new = cut.new.map(|new| new.to_string());
    hold(recorded == new || !daemons.iter().any(runs_new), || {
        format!("what runs is not what is recorded: {recorded:?}, {daemons:?}")
    })?;
    let is_old = keeper.record_text() == cut.before;
    if !is_old && cut.new.is_some() {
        let note = keeper.note();
        let noted = note.as_deref() == Some(cut.before.as_deref().unwrap_or_default());
        hold(noted, || format!("the record is another, and noted is {note:?}"))?;
    }
    // A status that is asked in the middle answers, and names no other process.
    let status = keeper.status();
    let pids: Vec<u64> = keeper.daemons().into_iter().chain(daemons).map(|(pid, _)| pid).collect();
    let told = status["pid"].as_u64().filter(|_| status["health"] == "ok");
    hold(told.is_none_or(|pid| pids.contains(&pid)), || format!("{pids:?}, and {status}"))?;
    keeper.store_is_whole(cut.task.is_some())
}

/// Cuts a command off at some of its points, and judges what comes of each.
fn sweep(
    begin: fn() -> Keeper,
    test: &str,
    lay: fn(&mut Life) -> Cut,
    mend: fn(&mut Life, &Cut) -> Wrong,
) {
    let mut life = Life::new(begin(), test);
    let cut = lay(&mut life);
    let mut all = points(&life.keeper, &cut.words);
    mend(&mut life, &cut).unwrap();
    let of_manager = usize::from(matches!(life.keeper, Keeper::Launchd(_)));
    let count = usize::try_from(full(FEW[of_manager], 100_000)).unwrap().min(all.len());
    life.dice.shuffle(&mut all);
    let (mut wrong, mut killed) = (Vec::new(), 0);
    for point in &all[..count] {
        match try_point(&mut life, point, lay, mend) {
            Ok(was_killed) => killed += usize::from(was_killed),
            Err(what) => {
                wrong.push(format!("cut off at {}: {what}", point.text));
                life = Life::new(begin(), test);
            }
        }
    }
    eprintln!("{test}: {count} of {} points, {killed} killed, {} wrong", all.len(), wrong.len());
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(killed * 2 > count, "of {count} only {killed} were killed");
}

fn try_point(
    life: &mut Life,
    point: &Point,
    lay: fn(&mut Life) -> Cut,
    mend: fn(&mut Life, &Cut) -> Wrong,
) -> Result<bool, String> {
    let cut = lay(life);
    let killed = cut_off(&life.keeper, &cut.words, point);
    // One that came to its end is judged by what comes after.
    if killed {
        nothing_is_lost(&life.keeper, &cut)?;
    }
    mend(life, &cut)?;
    Ok(killed)
}

/// Nothing is there, not even a store.
fn before_the_first(life: &mut Life) -> Cut {
    let keeper = &life.keeper;
    keeper.ops(&words(&["uninstall-service", LABEL, "--purge-config"])).expect(0);
    for folder in [".config", ".local"] {
        let _ = std::fs::remove_dir_all(keeper.sandbox().path(folder));
    }
    (life.interval, life.task) = (None, None);
    life.cut(Some(10), life.keeper.install(10, &[]))
}

fn before_a_change(life: &mut Life) -> Cut {
    let old = life.interval.unwrap_or_else(|| life.installed());
    let new = if old == 10 { 11 } else { 10 };
    life.cut(Some(new), life.keeper.install(new, &[]))
}

fn before_an_uninstall(life: &mut Life) -> Cut {
    life.installed();
    life.cut(None, words(&["uninstall-service", LABEL, "--json"]))
}

/// The change is refused by hephd, and what was there is put back.
fn before_what_does_not_start(life: &mut Life) -> Cut {
    let old = life.interval.unwrap_or_else(|| life.installed());
    let bin = broken(&life.keeper);
    life.cut(Some(old + 10), life.keeper.install(old + 10, &["--bin", &bin]))
}

fn the_same_again(life: &mut Life, cut: &Cut) -> Wrong {
    let said = life.run(&cut.words, 0)?;
    life.stands(cut.new, cut).map_err(|what| format!("{what}\nafter {said}"))
}

/// The good one comes up, the bad one is put back to what was there at first, or
/// it is uninstalled.
fn something_else(life: &mut Life, cut: &Cut) -> Wrong {
    match life.dice.below(5) {
        0 | 1 => {
            let good = life.keeper.install(12, &["--bin", &hephd()]);
            let said = life.run(&good, 0)?;
            life.stands(Some(12), cut).map_err(|what| format!("{what}\nafter the good {said}"))
        }
        2 | 3 => {
            let said = life.run(&cut.words, 1)?;
            let now = life.keeper.record_text();
            hold(now == cut.before, || format!("the record is not as it was: {now:?}"))?;
            life.stands(cut.old, cut).map_err(|what| format!("{what}\nafter the bad {said}"))
        }
        _ => {
            life.run(&words(&["uninstall-service", LABEL, "--json"]), 0)?;
            life.stands(None, cut).map_err(|what| format!("{what}\nafter an uninstall"))
        }
    }
}

#[test]
fn a_first_install_that_is_cut_off_is_finished_by_the_next() {
    sweep(Keeper::process, "first, process", before_the_first, the_same_again);
}

#[test]
fn a_change_that_is_cut_off_is_finished_by_the_next() {
    sweep(Keeper::process, "change, process", before_a_change, the_same_again);
}

#[test]
fn a_change_that_fails_and_is_cut_off_can_still_go_back() {
    sweep(Keeper::process, "fails, process", before_what_does_not_start, something_else);
}

#[test]
fn an_uninstall_that_is_cut_off_is_finished_by_the_next() {
    sweep(Keeper::process, "uninstall, process", before_an_uninstall, the_same_again);
}

#[test]
fn a_first_install_with_launchd_that_is_cut_off_is_finished_by_the_next() {
    sweep(Keeper::launchd, "first, launchd", before_the_first, the_same_again);
}

#[test]
fn a_change_with_launchd_that_is_cut_off_is_finished_by_the_next() {
    sweep(Keeper::launchd, "change, launchd", before_a_change, the_same_again);
}

#[test]
fn a_change_with_launchd_that_fails_and_is_cut_off_can_still_go_back() {
    sweep(Keeper::launchd, "fails, launchd", before_what_does_not_start, something_else);
}

#[test]
fn an_uninstall_with_launchd_that_is_cut_off_is_finished_by_the_next() {
    sweep(Keeper::launchd, "uninstall, launchd", before_an_uninstall, the_same_again);
}
