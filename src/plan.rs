//! What will be done to the machine: pure data that can be printed, compared
//! and counted. Only [`crate::host::Host::apply`] carries it out.

use std::{collections::BTreeMap, path::PathBuf};

use hephd::store::Birth;
use serde::{Deserialize, Serialize};

use crate::service_manager::launchd::act::Act;

/// One act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Makes a folder and its parents, 0700.
    MakeFolder {
        /// Which.
        path: PathBuf,
        /// Whose what was made shall be, by name; else ours.
        owner: Option<String>,
    },
    /// Makes an empty file, where there is none.
    MakeFile {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Whose it shall be, by name; else ours.
        owner: Option<String>,
    },
    /// Writes a file, atomically.
    Write {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What stands there; none where there is no file.
        before: Option<String>,
        /// What will.
        after: String,
    },
    /// Notes what stands, for whoever has to go back to it. No file of the
    /// machine's, so no part of what changes there.
    Note {
        /// Where.
        path: PathBuf,
        /// What stands; empty where nothing does.
        text: String,
    },
    /// Forgets such a note.
    Unnote(PathBuf),
    /// Removes a file.
    Remove {
        /// Which.
        path: PathBuf,
        /// What stands there.
        before: String,
    },
    /// Gives files to a user.
    Give {
        /// Which.
        paths: Vec<PathBuf>,
        /// Whose they shall be, by name.
        owner: String,
    },
    /// Makes the store of a new device.
    CreateStore {
        /// Where.
        db: PathBuf,
        /// With an owner, or to adopt its hub's.
        birth: Birth,
        /// The user whose file it shall be, by name; else ours.
        user: Option<String>,
    },
    /// Removes a folder, if nothing is in it.
    RemoveEmptyFolder(PathBuf),
    /// Removes a store that was made a moment ago, if nothing was written to
    /// it yet.
    RemoveEmptyStore(PathBuf),
    /// Tells the service manager something.
    Run(Vec<String>),
    /// The same, where it does no harm if it does not work.
    Try(Vec<String>),
    /// Tells launchd something, and waits until it is so.
    Launchctl(Act),
    /// Starts a service that a supervisor keeps.
    Spawn(Spawn),
    /// Ends such a service with its supervisor, and waits until both are gone.
    Terminate {
        /// The service's name.
        label: String,
        /// Its process; none between two tries.
        pid: Option<u32>,
        /// Where it is remembered.
        pid_file: PathBuf,
        /// Where to look when it does not end.
        log: PathBuf,
    },
}

/// A process to start, and to start again when it crashes. It may hold secrets,
/// so it travels by pipes, never as somebody's command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawn {
    /// Its command line.
    pub argv: Vec<String>,
    /// What its environment has beside ours.
    pub env: BTreeMap<String, String>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Where it is remembered.
    pub pid_file: PathBuf,
}

impl Spawn {
    /// What it is started with, as one text to compare.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        serde_json::json!({ "argv": self.argv, "env": self.env }).to_string()
    }
}

impl Step {
    /// The step in words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::MakeFolder { path, .. } => format!("make the folder {}", path.display()),
            Self::MakeFile { path, .. } => format!("make the file {}", path.display()),
            Self::Note { path, .. } => format!("note in {} what stands", path.display()),
            Self::Unnote(path) => format!("remove the note {}", path.display()),
            Self::Write { path, before: None, .. } => format!("write {}", path.display()),
            Self::Write { path, .. } => format!("rewrite {}", path.display()),
            Self::Give { paths, owner } => {
                let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
                format!("give to {owner}: {}", names.join(" "))
            }
            Self::Remove { path, .. } => format!("remove {}", path.display()),
            Self::CreateStore { db, .. } => format!("make an empty store at {}", db.display()),
            Self::RemoveEmptyFolder(path) => {
                format!("remove the folder {}, if it is empty", path.display())
            }
            Self::RemoveEmptyStore(db) => format!("remove the empty store {}", db.display()),
            Self::Run(argv) | Self::Try(argv) => format!("run {}", argv.join(" ")),
            Self::Launchctl(act) => act.describe(),
            Self::Spawn(spawn) => format!("start {}", spawn.argv.join(" ")),
            Self::Terminate { label, pid: Some(pid), .. } => {
                format!("stop {label} (process {pid})")
            }
            Self::Terminate { label, .. } => format!("stop {label}"),
        }
    }
}

/// Steps in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What will be done.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Nothing is to be done.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Adds steps.
    pub fn extend(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.steps.extend(steps);
    }

    /// Makes a folder of our own.
    pub fn make_folder(&mut self, path: PathBuf) {
        self.steps.push(Step::MakeFolder { path, owner: None });
    }

    /// Makes a file hold a text, unless it does.
    pub fn write(&mut self, path: PathBuf, mode: u32, before: Option<String>, after: String) {
        if before.as_ref() != Some(&after) {
            self.steps.push(Step::Write { path, mode, before, after });
        }
    }

    /// The files that change, before and after, one below the other.
    #[must_use]
    pub fn diff(&self) -> (String, String) {
        let (mut old, mut new) = (String::new(), String::new());
        for step in &self.steps {
            let (path, before, after) = match step {
                Step::Write { path, before, after, .. } => {
                    (path, before.as_deref(), after.as_str())
                }
                Step::Remove { path, before } => (path, Some(before.as_str()), ""),
                _ => continue,
            };
            old.push_str(&format!("# {}\n{}", path.display(), before.unwrap_or_default()));
            new.push_str(&format!("# {}\n{after}", path.display()));
        }
        (old, new)
    }

    /// The line that stands before a file's text.
    fn is_name(&self, line: &str) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Write { path, .. } | Step::Remove { path, .. } => {
                line.strip_prefix("# ").is_some_and(|name| *name == *path.display().to_string())
            }
            _ => false,
        })
    }

    /// Lines for `--diff`: what goes, what comes.
    #[must_use]
    pub fn diff_lines(&self) -> Vec<String> {
        let (old, new) = self.diff();
        let diff = similar::TextDiff::from_lines(&old, &new);
        let mut lines = Vec::new();
        for change in diff.iter_all_changes() {
            let text = change.value().trim_end();
            match change.tag() {
                similar::ChangeTag::Delete => lines.push(format!("-   {text}")),
                similar::ChangeTag::Insert => lines.push(format!("+   {text}")),
                similar::ChangeTag::Equal if self.is_name(text) => {
                    lines.push(format!("  {}", text.trim_start_matches("# ")));
                }
                similar::ChangeTag::Equal => {}
            }
        }
        lines
    }
}
