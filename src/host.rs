//! The one door outside: who and where we are, running programs, and carrying
//! out plans. Nothing else in heph-ops writes, starts or stops anything.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hephd::{
    error::{Code, Error, Result, file},
    machine::Machine,
    paths,
    record::Scope,
    store::file::{folder, make_private_folder, sync_to_medium},
};
use rustix::fs::{FlockOperation, flock};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag,
};

use crate::paths::Paths;

mod people;
mod programs;
mod steps;
mod supervised;

/// How long to wait for another heph-ops that changes the same service.
const ALONE_DEADLINE: Duration = Duration::from_secs(120);

/// This machine, as one person sees it.
#[derive(Debug, Clone)]
pub struct Host {
    /// The person's home.
    pub home: PathBuf,
    /// The person.
    pub uid: u32,
    /// Time, chance and name.
    pub machine: Machine,
    /// Who called sudo.
    pub sudo_user: Option<String>,
    runtime_dir: Option<PathBuf>,
    under_test: bool,
    signal: Arc<AtomicUsize>,
}

impl Host {
    /// The machine we run on.
    ///
    /// # Errors
    /// `config_invalid` where `HOME` is unset.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn this() -> Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let sudo_user = std::env::var_os("SUDO_USER").and_then(|name| name.into_string().ok());
        let under_test = std::env::var_os("HEPH_UNDER_TEST").is_some();
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGHUP, SIGINT, SIGTERM] {
            let value = usize::try_from(number).unwrap_or_default();
            flag::register_usize(number, Arc::clone(&signal), value).map_err(Error::internal)?;
        }
        // A file that may not grow is an error like any other, and no end.
        flag::register(SIGXFSZ, Arc::default()).map_err(Error::internal)?;
        let (home, machine) = (paths::home()?, Machine::this());
        Ok(Self { home, uid, machine, sudo_user, runtime_dir, under_test, signal })
    }

    /// The signal that came, told once: whoever hears of it ends in order.
    #[must_use]
    pub fn interrupted(&self) -> Option<Error> {
        let code = match i32::try_from(self.signal.swap(0, Ordering::Relaxed)) {
            Ok(SIGINT) => Code::Interrupted,
            Ok(SIGHUP | SIGTERM) => Code::Terminated,
            _ => return None,
        };
        Some(Error::new(code, "interrupted; nothing is half done", "run it again"))
    }

    /// Where the things of a scope lie.
    #[must_use]
    pub fn paths(&self, scope: Scope) -> Paths<'_> {
        Paths::of(&self.home, scope)
    }

    /// Whose services this process may look after: a person's own; root's too
    /// are those of the machine.
    #[must_use]
    pub fn scopes(&self) -> &'static [Scope] {
        if self.uid == 0 { &[Scope::System, Scope::User] } else { &[Scope::User] }
    }

    /// There are services of the machine, which only root sees.
    #[must_use]
    pub fn hides_services(&self) -> bool {
        self.uid != 0 && self.paths(Scope::System).records().is_dir()
    }

    /// Where logs and pid files of the process manager lie.
    #[must_use]
    pub fn state_folder(&self) -> PathBuf {
        self.paths(Scope::User).state()
    }

    /// The person's runtime folder, where a user's systemd has its sockets.
    /// Under sudo, su, cron and Ansible nobody names it, or another person's.
    #[must_use]
    pub fn runtime_dir(&self) -> Option<PathBuf> {
        let usual = PathBuf::from(format!("/run/user/{}", self.uid));
        let is_ours = |folder: &PathBuf| {
            std::fs::metadata(folder).is_ok_and(|meta| meta.is_dir() && meta.uid() == self.uid)
        };
        let mut ours: Vec<&PathBuf> =
            self.runtime_dir.iter().chain([&usual]).filter(|folder| is_ours(folder)).collect();
        ours.sort_by_key(|folder| !folder.join("systemd/private").exists());
        ours.first().map(|folder| (*folder).clone())
    }

    /// The person's name; the number where there is none.
    #[must_use]
    pub fn user_name(&self) -> String {
        self.name_of(self.uid).unwrap_or_else(|| self.uid.to_string())
    }

    /// A program is here.
    #[must_use]
    pub fn has_program(&self, name: &str) -> bool {
        which::which(name).is_ok()
    }

    /// When the machine was booted, seconds since 1970, where the system tells.
    #[must_use]
    pub fn booted_at(&self) -> Option<u64> {
        let text = std::fs::read_to_string("/proc/uptime").ok()?;
        let up: f64 = text.split(' ').next()?.parse().ok()?;
        Some((self.machine.clock.now_ms() / 1000).saturating_sub(up as u64))
    }

    /// The machine was booted by systemd.
    #[must_use]
    pub fn booted_by_systemd(&self) -> bool {
        Path::new("/run/systemd/system").is_dir()
    }

    /// A file's text; none where there is no file.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, path: &Path) -> Result<Option<String>> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file(path, "read")(error)),
        }
    }

    /// The words that a process was started with, where the system tells.
    #[must_use]
    pub fn command_line(&self, pid: u32) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        Some(text.trim_end_matches('\0').split('\0').map(str::to_owned).collect())
    }

    /// A variable that a process was started with, where the system tells.
    #[must_use]
    pub fn variable_of(&self, pid: u32, name: &str) -> Option<String> {
        let all = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mark = format!("{name}=");
        let mut words = all.split(|byte| *byte == 0);
        let found = words.find_map(|word| word.strip_prefix(mark.as_bytes()))?;
        Some(String::from_utf8_lossy(found).into_owned())
    }

    /// Where this program lies.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn this_program(&self) -> Result<PathBuf> {
        std::env::current_exe().map_err(Error::internal)
    }

    /// The daemon that lies beside this program, or that is on the path.
    ///
    /// # Errors
    /// `source_not_found` where there is none.
    pub fn hephd(&self) -> Result<PathBuf> {
        self.beside("hephd").ok_or_else(|| {
            let what = "there is no hephd on this machine";
            Error::new(Code::SourceNotFound, what, "name it: --bin PATH")
        })
    }

    /// The person's program that lies beside this one, or that is on the path.
    ///
    /// # Errors
    /// `source_not_found` where there is none.
    pub fn heph(&self) -> Result<PathBuf> {
        self.beside("heph").ok_or_else(|| {
            let what = "there is no heph on this machine";
            Error::new(Code::SourceNotFound, what, "install heph beside heph-ops, or on the PATH")
        })
    }

    fn beside(&self, name: &str) -> Option<PathBuf> {
        let here = self.this_program().map(|me| me.with_file_name(name)).ok();
        here.filter(|path| path.is_file()).or_else(|| which::which(name).ok())
    }

    /// Waits a moment between two looks at something that takes its time.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Looks again and again until there is an answer or the time is up.
    pub fn poll<T>(&self, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let begun = Instant::now();
        loop {
            if let Some(answer) = look() {
                return Some(answer);
            }
            if begun.elapsed() >= deadline {
                return None;
            }
            self.pause(Duration::from_millis(25));
        }
    }

    /// Keeps a second heph-ops from changing the same service meanwhile, for
    /// as long as what it gives lives. With `--check` nothing changes, so
    /// nothing is locked.
    ///
    /// # Errors
    /// `not_ready` when the other one does not end.
    pub fn alone_with(&self, scope: Scope, label: &str, check: bool) -> Result<Option<File>> {
        if check {
            return Ok(None);
        }
        let folder = self.paths(scope).state();
        make_private_folder(&folder)?;
        let path = folder.join(format!("{label}.ops"));
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let lock = lock.map_err(file(&path, "open"))?;
        let taken = || match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Some(Ok(())),
            Err(_) => self.interrupted().map(Err),
        };
        if let Some(taken) = self.poll(ALONE_DEADLINE, taken) {
            return taken.map(|()| Some(lock));
        }
        Err(Error::new(
            Code::NotReady,
            format!("another heph-ops is at work on {label}"),
            "wait until it is done, then run it again",
        ))
    }
}

/// Beside its final name, synced, then renamed: whoever reads it sees the old
/// text or the new one.
///
/// # Errors
/// The operating system's, naming the file.
pub(crate) fn write_atomically(path: &Path, mode: u32, text: &str) -> Result<()> {
    let staged = staged(path);
    let _ = std::fs::remove_file(&staged);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&staged)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| sync_to_medium(&file)))
        .and_then(|()| std::fs::rename(&staged, path))
        .and_then(|()| sync_to_medium(&File::open(folder(path))?));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&staged);
        file(path, "write")(error)
    })
}

/// Where the text of a file lies until it is whole. It may hold what the file
/// does, so it does not stay where a write was cut off.
#[must_use]
pub fn staged(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!(".{name}.new"))
}
