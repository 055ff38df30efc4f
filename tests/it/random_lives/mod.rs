//! Random lives of a service: it is installed, changed, started, stopped and
//! removed, what runs is killed, the machine is started anew. After each deed
//! the machine is as the report said, and as a small model says.

#![allow(clippy::print_stderr, reason = "how to play a life again")]

mod model;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
};

use rustix::process::Pid;

use self::model::{Is, Model};
use super::{
    keeper::{Keeper, LABEL, Wrong, has_interval, hold, seed, words},
    sandbox::{kill, wait_for},
    supervised::living,
    sweeps::{asked::full, dice::Dice},
    under_launchd::Mac,
};

/// Something that happens to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Install(u32),
    Start,
    Stop,
    Restart,
    Uninstall,
    KillDaemon,
    KillSupervisor,
    Reboot,
    Login,
    Logout,
}

/// As often as they stand here, so often they happen.
const DEEDS: [Deed; 14] = [
    Deed::Install(10),
    Deed::Install(11),
    Deed::Install(12),
    Deed::Start,
    Deed::Start,
    Deed::Stop,
    Deed::Stop,
    Deed::Restart,
    Deed::Uninstall,
    Deed::KillDaemon,
    Deed::KillSupervisor,
    Deed::Reboot,
    Deed::Login,
    Deed::Logout,
];

/// Deeds in one life. launchd takes its time.
fn long(launchd: bool) -> u64 {
    if launchd { full(3, 8) } else { full(5, 8) }
}

struct Life {
    keeper: Keeper,
    model: Model,
    dice: Dice,
    /// What has been done.
    past: Vec<Deed>,
}

impl Life {
    fn new(launchd: bool, seed: u64) -> Self {
        let dice = Dice::new(seed);
        // On some Macs nobody sits at the screen, at first.
        let login = !launchd || dice.percent(60);
        let keeper = match (launchd, login) {
            (false, _) => Keeper::process(),
            (true, true) => Keeper::launchd(),
            (true, false) => Keeper::Launchd(Mac::headless()),
        };
        Self { keeper, model: Model::new(launchd, login), dice, past: vec![] }
    }

    fn next(&self) -> Deed {
        // There is little to be seen before it is installed.
        if self.past.is_empty() && self.dice.percent(90) {
            return Deed::Install(10);
        }
        loop {
            let deed = *self.dice.pick(&DEEDS);
            if self.model.allows(deed) {
                return deed;
            }
        }
    }

    fn live(&mut self) -> Wrong {
        for _ in 0..long(self.model.launchd) {
            let deed = self.next();
            self.past.push(deed);
            match self.words(deed) {
                Some(words) => self.say(deed, &words)?,
                None => self.befall(deed),
            }
            self.stands()?;
        }
        self.keeper.store_is_whole(false)
    }

    /// The command of a deed, if it is one.
    fn words(&self, deed: Deed) -> Option<Vec<String>> {
        Some(match deed {
            Deed::Install(interval) => self.keeper.install(interval, &[]),
            Deed::Start => words(&["start", LABEL, "--settle-ms", "50", "--json"]),
            Deed::Restart => words(&["restart", LABEL, "--settle-ms", "50", "--json"]),
            Deed::Stop => words(&["stop", LABEL, "--json"]),
            Deed::Uninstall => words(&["uninstall-service", LABEL, "--json"]),
            _ => return None,
        })
    }

    /// A command foretells what it does, does it, and finds it done.
    fn say(&mut self, deed: Deed, words: &[String]) -> Wrong {
        if self.dice.percent(50) {
            let (before, check) = (tree(&self.keeper), ["--check".to_owned()]);
            self.answers(deed, &[words, &check].concat())?;
            let after = tree(&self.keeper);
            hold(before == after, || format!("--check has changed files: {before:?}, {after:?}"))?;
        }
        self.answers(deed, words)?;
        self.model.follow(deed);
        if self.dice.percent(50) && deed != Deed::Restart {
            let before = self.keeper.daemons();
            self.answers(deed, words).map_err(|what| format!("the second time: {what}"))?;
            let after = self.keeper.daemons();
            hold(before == after, || format!("the second time: {before:?}, then {after:?}"))?;
        }
        Ok(())
    }

    /// It says what the model says.
    fn answers(&self, deed: Deed, words: &[String]) -> Wrong {
        let (code, status, changed) = self.model.answer(deed).unwrap();
        let ended = self.keeper.ops(words);
        let said: serde_json::Value = serde_json::from_str(&ended.out).unwrap_or_default();
        let fine = ended.code == code && said["status"] == status && said["changed"] == changed;
        hold(fine, || {
            let (out, err) = (&ended.out, &ended.err);
            format!("not {status} {changed}: {words:?}: exit {}: {out}{err}", ended.code)
        })
    }

    /// What nobody asked heph-ops for.
    fn befall(&mut self, deed: Deed) {
        let was = self.keeper.daemons();
        match (deed, &self.keeper) {
            (Deed::KillDaemon, _) => kill(pid(was[0].0)),
            (Deed::KillSupervisor, keeper) => kill(keeper.sandbox().processes(LABEL)[0]),
            (Deed::Reboot, Keeper::Launchd(mac)) => {
                mac.launchctl(&["model-reboot"]).expect(0);
            }
            (Deed::Reboot, keeper) => end_all(keeper),
            (Deed::Login, Keeper::Launchd(mac)) => drop(mac.launchctl(&["model-login"]).expect(0)),
            (Deed::Logout, Keeper::Launchd(mac)) => {
                drop(mac.launchctl(&["model-logout"]).expect(0));
            }
            (deed, _) => panic!("{deed:?} is a command"),
        }
        self.model.follow(deed);
        let Some(interval) = self.model.installed else { return };
        if let Is::Up(_) = self.model.is {
            wait_for("it to run again", || {
                (deed != Deed::KillDaemon || self.keeper.daemons() != was)
                    && self.keeper.runs_with(interval).is_ok()
            });
        } else if self.model.is == Is::Down {
            wait_for("it to be down", || self.keeper.daemons().is_empty());
        }
    }

    /// Everything is as the model has it.
    fn stands(&self) -> Wrong {
        let Some(interval) = self.model.installed else { return self.keeper.is_gone() };
        self.keeper.is_tidy()?;
        match self.model.is {
            Is::Up(_) => return self.keeper.runs_with(interval),
            _ => self.keeper.is_recorded_with(interval)?,
        }
        let (status, daemons) = (self.keeper.status(), self.keeper.daemons());
        let said = || format!("{:?}, and {status} {daemons:?}", self.model.is);
        let one = matches!(daemons.as_slice(), [(_, argv)] if has_interval(argv, interval));
        match self.model.is {
            Is::Down => {
                let down = status["state"] == "inactive" && status["pid"].is_null();
                hold(daemons.is_empty() && down, said)
            }
            Is::Orphan => hold(one && status["state"] == "unsupervised", said),
            // The second one finds the store in use, and tries again and again.
            _ => hold(!daemons.is_empty(), said),
        }
    }
}

/// As when the machine goes down: whoever would start it again is first.
fn end_all(keeper: &Keeper) {
    let daemons: Vec<u64> = keeper.daemons().into_iter().map(|(number, _)| number).collect();
    let all = living(keeper.sandbox()).into_iter().filter_map(|number| number.try_into().ok());
    let supervisors = all.filter(|number| !daemons.contains(number));
    supervisors.collect::<Vec<u64>>().into_iter().map(pid).for_each(kill);
    daemons.iter().copied().map(pid).for_each(kill);
}

fn pid(number: u64) -> Pid {
    i32::try_from(number).ok().and_then(Pid::from_raw).unwrap()
}

/// The files that heph-ops writes, by name.
fn tree(keeper: &Keeper) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in [".config", ".local/state", "Library/LaunchAgents"] {
        add_below(&keeper.sandbox().path(folder), &mut files);
    }
    files.retain(|path, _| path.extension().is_none_or(|extension| extension != "log"));
    files
}

fn add_below(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => add_below(&path, files),
            path => drop(files.insert(path.clone(), std::fs::read(&path).unwrap())),
        }
    }
}

/// Lives as many lives, each from a seed of its own.
fn lives(launchd: bool, count: u64, test: &str) {
    let first = seed(test);
    let count = if std::env::var_os("HEPH_SEED").is_some() { 1 } else { count };
    for seed in first..first + count {
        let mut life = Life::new(launchd, seed);
        let lived = catch_unwind(AssertUnwindSafe(|| life.live()));
        let told = || format!("{test}: HEPH_SEED={seed} plays it again: {:?}", life.past);
        match lived {
            Ok(lived) => assert_eq!(lived, Ok(()), "{}", told()),
            Err(panic) => {
                eprintln!("{}", told());
                resume_unwind(panic);
            }
        }
    }
    eprintln!("{test}: {count} lives");
}

#[test]
fn a_life_with_our_own_supervisors_is_always_as_it_was_said() {
    lives(false, full(34, 400), "lives, process");
}

#[test]
fn a_life_with_launchd_is_always_as_it_was_said() {
    lives(true, full(6, 100), "lives, launchd");
}
