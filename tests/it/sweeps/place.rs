//! Where a command is run, again and again, each time as if for the first.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use hephd::store::file::beside;
use serde_json::Value;

use super::{Sandbox, Stand, Subject};
use crate::sandbox::{Ended, program};

/// As many places are tried at once.
const AT_ONCE: usize = 2;

/// What every run begins from. It is copied and never changed.
pub struct Stock {
    subject: &'static Subject,
    sandbox: Sandbox,
}

impl Stock {
    pub fn of(subject: &'static Subject) -> Self {
        let sandbox = Sandbox::new();
        let stock = Self { subject, sandbox };
        std::fs::create_dir(stock.folder()).unwrap();
        (subject.prepare)(&stock.sandbox, &stock.folder());
        stock
    }

    fn folder(&self) -> PathBuf {
        self.sandbox.path("stock")
    }

    pub fn place(&self) -> Place<'_> {
        let place = Place { stock: self, sandbox: Sandbox::new() };
        place.lay();
        place
    }

    /// Tries every point, each from the beginning, and fails with what went
    /// wrong at any of them. `begin` makes what tries them in one place.
    #[track_caller]
    pub fn try_each<P: Sync, A: Fn(&Place<'_>, &P) -> Result<(), String>>(
        &self,
        points: &[P],
        name: impl Fn(&P) -> String + Sync,
        begin: impl Fn(&Place<'_>) -> A + Sync,
    ) {
        let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            let place = self.place();
            let attempt = begin(&place);
            while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                place.lay();
                if let Err(what) = attempt(&place, point) {
                    wrong.lock().unwrap().push(format!("{}: {what}", name(point)));
                }
            }
        };
        std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
        let wrong = wrong.into_inner().unwrap();
        let told = wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
        assert!(wrong.is_empty(), "{} of {} points are wrong:\n{told}", wrong.len(), points.len());
    }
}

/// A copy of the stock, and a home beside it.
pub struct Place<'a> {
    stock: &'a Stock,
    pub sandbox: Sandbox,
}

impl Place<'_> {
    pub fn path(&self) -> PathBuf {
        self.sandbox.path("place")
    }

    pub fn target(&self) -> PathBuf {
        self.path().join(self.stock.subject.target)
    }

    /// Everything is as it was before the first run.
    pub fn lay(&self) {
        if self.path().exists() {
            std::fs::remove_dir_all(self.path()).unwrap();
        }
        copy_folder(&self.stock.folder(), &self.path());
    }

    fn words(&self) -> Vec<String> {
        (self.stock.subject.words)(&self.path())
    }

    pub fn run(&self) -> Ended {
        self.sandbox.command(program("heph-ops")).args(self.words()).output().unwrap().into()
    }

    /// The command under another program, at the end of that one's words.
    pub fn run_under(&self, mut other: Command) -> Output {
        other.arg(program("heph-ops")).args(self.words()).output().unwrap()
    }

    /// The command under strace.
    pub fn traced(&self, options: &[&str]) -> Command {
        let _ = std::fs::remove_file(self.sandbox.path("trace"));
        let mut strace = self.sandbox.command("strace");
        strace.args(["-f", "-qq", "-o"]).arg(self.sandbox.path("trace")).args(options);
        strace.arg(program("heph-ops")).args(self.words());
        strace
    }

    /// What strace has seen so far.
    pub fn trace(&self) -> String {
        std::fs::read_to_string(self.sandbox.path("trace")).unwrap_or_default()
    }

    pub fn run_traced(&self, options: &[&str]) -> (Output, String) {
        let output = self.traced(options).output().unwrap();
        (output, self.trace())
    }

    /// Which of the two stands there now; the source is as it was.
    pub fn look(&self) -> Result<Stand, String> {
        self.check_source()?;
        (self.stock.subject.look)(self)
    }

    /// The next run succeeds, says what is true, and leaves nothing lying
    /// about.
    pub fn heals(&self, stand: Stand) -> Result<(), String> {
        let again = self.run();
        let said = || format!("the next run: exit {}: {}{}", again.code, again.out, again.err);
        let answer: Value = serde_json::from_str(&again.out).map_err(|_| said())?;
        let may_say = (self.stock.subject.again)(stand);
        if again.code != 0 || !may_say.iter().any(|status| answer["status"] == *status) {
            return Err(format!("{stand:?} stood there, and {}", said()));
        }
        match self.look()? {
            Stand::Old => Err(format!("{}, and nothing is there", said())),
            Stand::New => self.check_staging(),
        }
    }

    /// What a reader leaves beside it counts as absent while it is empty.
    fn check_source(&self) -> Result<(), String> {
        let before = self.stock.folder().join(self.stock.subject.source);
        let now = self.path().join(self.stock.subject.source);
        let bytes = |db: &Path, suffix: &str| {
            std::fs::read(beside(db, suffix)).ok().filter(|bytes| !bytes.is_empty())
        };
        let differs = |suffix: &&&str| bytes(&before, suffix) != bytes(&now, suffix);
        match ["", "-wal", "-journal"].iter().find(differs) {
            None => Ok(()),
            Some(suffix) => Err(format!("the source's file {suffix:?} was changed")),
        }
    }

    /// No staging file anywhere.
    pub fn check_staging(&self) -> Result<(), String> {
        let left = files_below(&self.path()).into_iter().find(|name| name.contains(".new-"));
        left.map_or(Ok(()), |left| Err(format!("{left} is left")))
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match from.is_dir() {
            true => copy_folder(&from, &to),
            false => drop(std::fs::copy(&from, &to).unwrap()),
        }
    }
}

fn files_below(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| match path.is_dir() {
        true => files_below(&path),
        false => vec![path.display().to_string()],
    };
    entries.flat_map(below).collect()
}
