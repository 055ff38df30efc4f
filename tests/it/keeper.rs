//! A home whose device is kept by a manager that is always there: our own
//! supervisors, or the model of launchd. What was installed is looked at from
//! outside: files, processes, what `status` says.

#![allow(clippy::print_stderr, reason = "how to play it again")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use hephd::record::Record;
use serde_json::Value;

use super::{
    sandbox::{DEADLINE, Ended, Sandbox, add_task, program},
    sweeps::asked,
    under_launchd::Mac,
};

/// The service that all of this is about.
pub const LABEL: &str = "heph-spoke";

/// A home, and who keeps its services.
pub enum Keeper {
    Process(Sandbox),
    Launchd(Mac),
}

/// Something is not as it has to be.
pub type Wrong = Result<(), String>;

/// What holds, or what is wrong.
pub fn hold(holds: bool, wrong: impl FnOnce() -> String) -> Wrong {
    if holds { Ok(()) } else { Err(wrong()) }
}

/// The seed that was asked for, or one that no run has played.
pub fn seed(test: &str) -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let new = u64::from(time.subsec_nanos()) ^ u64::from(std::process::id());
    let asked = std::env::var_os("HEPH_SEED").map(|_| asked::seeds(1).start);
    let seed = asked.unwrap_or(new);
    eprintln!("{test}: to play it again: HEPH_SEED={seed}");
    seed
}

impl Keeper {
    pub fn process() -> Self {
        Self::Process(Sandbox::new())
    }

    pub fn launchd() -> Self {
        Self::Launchd(Mac::new())
    }

    pub fn sandbox(&self) -> &Sandbox {
        match self {
            Self::Process(sandbox) => sandbox,
            Self::Launchd(mac) => &mac.sandbox,
        }
    }

    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self {
            Self::Process(sandbox) => sandbox.command(program),
            Self::Launchd(mac) => mac.command(program),
        }
    }

    pub fn ops(&self, words: &[String]) -> Ended {
        self.command(program("heph-ops")).args(words).output().unwrap().into()
    }

    /// The words of an install with this interval.
    pub fn install(&self, interval: u32, more: &[&str]) -> Vec<String> {
        let manager: &[&str] = match self {
            Self::Process(_) => &["--manager", "process"],
            Self::Launchd(_) => &["--manager", "launchd", "--scope", "user"],
        };
        let interval = interval.to_string();
        let usual = ["install-service", "--role", "spoke", "--settle-ms", "50", "--json"];
        let flag = ["--sync-interval-secs", &interval];
        words(&[&usual[..], manager, &flag, more].concat())
    }

    pub fn record_path(&self) -> PathBuf {
        self.sandbox().path(".config/heph/heph-spoke.toml")
    }

    pub fn record_text(&self) -> Option<String> {
        std::fs::read_to_string(self.record_path()).ok()
    }

    /// The record of what is installed.
    pub fn record(&self) -> Option<Record> {
        let text = self.record_text()?;
        Some(Record::parse(&text, &self.record_path()).unwrap()).filter(|record| record.installed)
    }

    /// What to go back to, as an install that was cut off has noted it.
    pub fn note(&self) -> Option<String> {
        std::fs::read_to_string(self.sandbox().path(".config/heph/.heph-spoke.before")).ok()
    }

    /// The file that its manager reads, where there is such a thing.
    pub fn unit(&self) -> Option<String> {
        std::fs::read_to_string(self.sandbox().path("Library/LaunchAgents/heph-spoke.plist")).ok()
    }

    /// The words of each hephd that lives here, by pid.
    pub fn daemons(&self) -> Vec<(u64, Vec<String>)> {
        let home = format!("HOME={}", self.sandbox().home().display());
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| daemon(&entry.path(), home.as_bytes())).collect()
    }

    /// What `status` says of it; null where it is not installed.
    pub fn status(&self) -> Value {
        let ended = self.ops(&words(&["status", LABEL, "--json"]));
        let said: Value = serde_json::from_str(&ended.out).unwrap_or_default();
        said["data"]["services"][0].clone()
    }

    /// It is installed with this interval, it alone runs, and everybody agrees.
    pub fn runs_with(&self, interval: u32) -> Wrong {
        let daemons = self.daemons();
        let status = self.status();
        let [(pid, argv)] = daemons.as_slice() else {
            return Err(format!("it alone is to run: {daemons:?}\n{status}"));
        };
        hold(has_interval(argv, interval), || format!("not {interval}: {argv:?}"))?;
        let fine = status["pid"] == *pid && status["state"] == "active";
        hold(fine && status["health"] == "ok", || format!("process {pid}, and {status}"))?;
        self.is_recorded_with(interval)
    }

    /// It is installed with this interval, whether it runs or not.
    pub fn is_recorded_with(&self, interval: u32) -> Wrong {
        let recorded = self.record().and_then(|record| record.flags.sync_interval_secs);
        hold(recorded == Some(interval.to_string()), || format!("recorded is {recorded:?}"))?;
        let in_unit = |unit: String| unit.contains(&format!("<string>{interval}</string>"));
        let fits = self.unit().is_none_or(in_unit);
        let is_there = self.unit().is_some() == matches!(self, Self::Launchd(_));
        hold(fits && is_there, || format!("the unit is not of {interval}: {:?}", self.unit()))
    }

    /// Nothing of it is installed or runs.
    pub fn is_gone(&self) -> Wrong {
        let daemons = self.daemons();
        hold(daemons.is_empty(), || format!("{daemons:?}"))?;
        hold(self.record().is_none() && self.unit().is_none(), || {
            "its files are there".to_owned()
        })?;
        let status = self.status();
        hold(status.is_null(), || format!("status has {status}"))
    }

    /// Whoever came to an end leaves no note, and no file that was not finished.
    pub fn is_tidy(&self) -> Wrong {
        hold(self.note().is_none(), || "the note is left behind".to_owned())?;
        let folders = [".config/heph", ".local/state/heph", "Library/LaunchAgents"];
        let names = folders.iter().flat_map(|folder| names(&self.sandbox().path(folder)));
        let left: Vec<String> = names.filter(|name| name.ends_with(".new")).collect();
        hold(left.is_empty(), || format!("left behind: {left:?}"))
    }

    /// The store is whole, if there has to be one.
    pub fn store_is_whole(&self, has_to_be: bool) -> Wrong {
        let db = self.sandbox().device_db();
        if !has_to_be && !db.exists() {
            return Ok(());
        }
        let checked = self.sandbox().hephd(&["--check-store", db.to_str().unwrap()]);
        hold(checked.code == 0, || format!("--check-store: {}{}", checked.out, checked.err))
    }

    /// Writes a task.
    pub fn write(&self, title: &str) -> String {
        add_task(&mut self.sandbox().connect(".local/share/heph/hephd.sock"), title)
    }

    /// A task that was written before is there.
    pub fn has(&self, id: &str) -> Wrong {
        let socket = self.sandbox().path(".local/share/heph/hephd.sock");
        let client = hephd::rpc::client::Client::connect(&socket, DEADLINE);
        let got = client.and_then(|mut client| {
            client.call::<Value>("node.get", &serde_json::json!({ "id": id }))
        });
        got.map(drop).map_err(|error| format!("task {id}: {error}"))
    }
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub fn has_interval(argv: &[String], interval: u32) -> bool {
    let flag = ["--sync-interval-secs".to_owned(), interval.to_string()];
    argv.windows(2).any(|pair| pair == flag)
}

/// A process's pid and words, if it is a hephd of that home.
fn daemon(process: &Path, home: &[u8]) -> Option<(u64, Vec<String>)> {
    let pid = process.file_name()?.to_str()?.parse().ok()?;
    let environ = std::fs::read(process.join("environ")).ok()?;
    environ.split(|byte| *byte == 0).find(|pair| *pair == home)?;
    let line = std::fs::read_to_string(process.join("cmdline")).ok()?;
    let argv: Vec<String> = line.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
    let is_daemon = argv[0].ends_with("/hephd") && argv.get(1)? == "--mode";
    is_daemon.then_some((pid, argv))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
