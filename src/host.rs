//! The one door outside: who and where we are, running programs, and carrying
//! out plans. Nothing else in heph-ops writes, starts or stops anything.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::{
        fs::{MetadataExt, OpenOptionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use hephd::{
    error::{Code, Error, Result, file},
    machine::Machine,
    paths,
    record::Scope,
    store::{
        Store,
        file::{Folders, StoreLock, User, beside, folder, make_private_folder, sync_to_medium},
    },
};

use rustix::fs::{FlockOperation, flock};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag,
};

use crate::{
    guard,
    paths::Paths,
    plan::{Plan, Step},
};

mod supervised;

/// How long a person's systemd takes to come up.
const LINGER_DEADLINE: Duration = Duration::from_secs(10);

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
        self.runtime_dir.iter().chain([&usual]).find(|folder| is_ours(folder)).cloned()
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

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn command(&self, argv: &[String]) -> Result<Command> {
        let [program, args @ ..] = argv else { return Err(Error::internal("an empty command")) };
        if self.under_test {
            guard::refuse_real(argv)?;
        }
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        if let Some(dir) = self.runtime_dir() {
            command.env("XDG_RUNTIME_DIR", dir);
        }
        Ok(command)
    }

    /// Runs a program to its end and gives what it printed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, argv: &[String]) -> Result<Output> {
        let output = self.command(argv)?.output();
        Ok(output.with_context(|| format!("cannot run {}", argv.join(" ")))?)
    }

    /// The same of a program that has been seen to hang; none where it does.
    ///
    /// # Errors
    /// As [`Host::run`].
    pub fn run_within(&self, argv: &[String], deadline: Duration) -> Result<Option<Output>> {
        let mut command = self.command(argv)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("cannot run {}", argv.join(" ")))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (out, err) = (read_beside(out), read_beside(err));
        let Some(status) = self.poll(deadline, || child.try_wait().ok().flatten()) else {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        };
        let text = |reader: JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
        Ok(Some(Output { status, stdout: text(out), stderr: text(err) }))
    }

    /// Starts a program that is fed a text; its output is the caller's to read.
    ///
    /// # Errors
    /// When it cannot be started.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn pipe_through(&self, argv: &[String], text: String) -> Result<Child> {
        let [program, args @ ..] = argv else { return Err(Error::internal("an empty command")) };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A signal from the terminal is ours to tell, not the program's.
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| {
            Error::new(
                Code::SourceUnreachable,
                format!("cannot run {program}: {error}"),
                format!("install {program} on this machine"),
            )
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that has ended already says why by its exit.
            std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        }
        Ok(child)
    }

    /// Starts a program beside this one; what it prints goes into a file. Its
    /// standard input ends when this process does, however that ends.
    ///
    /// # Errors
    /// When it cannot be started.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn start(&self, argv: &[String], log: &Path) -> Result<Child> {
        let [program, args @ ..] = argv else { return Err(Error::internal("an empty command")) };
        let mut options = OpenOptions::new();
        let log =
            options.create(true).append(true).mode(0o600).open(log).map_err(file(log, "open"))?;
        let (stdin, stderr) = (Stdio::piped(), log.try_clone().map_err(Error::internal)?);
        let mut command = Command::new(program);
        command.args(args).stdin(stdin).stdout(log).stderr(stderr).process_group(0);
        Ok(command.spawn().with_context(|| format!("cannot run {program}"))?)
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
        let here = self.this_program().map(|me| me.with_file_name("hephd")).ok();
        let found = here.filter(|path| path.is_file()).or_else(|| which::which("hephd").ok());
        found.ok_or_else(|| {
            let what = "there is no hephd on this machine";
            Error::new(Code::SourceNotFound, what, "name it: --bin PATH")
        })
    }

    /// A user of this machine, by name.
    ///
    /// # Errors
    /// `usage` for a name that there is not; `insecure_permissions` where this
    /// process may give nothing to that user.
    pub fn user(&self, name: &str) -> Result<User> {
        let no_such = || {
            let hint = "name a user of this machine: getent passwd, or dscl . -list /Users";
            Error::usage(format!("--run-as {name}: there is no such user"), hint)
        };
        let number = |what: &str| {
            let asked = self.run(&["id", what, "--", name].map(str::to_owned))?;
            let said = String::from_utf8_lossy(&asked.stdout).trim().parse::<u32>();
            said.map_err(|_| no_such())
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(no_such());
        }
        let user = User { uid: number("-u")?, gid: number("-g")? };
        if self.uid == 0 || self.uid == user.uid {
            return Ok(user);
        }
        Err(Error::new(
            Code::InsecurePermissions,
            format!("--run-as {name}: only root can give files to another user"),
            format!("run it with sudo, or as {name}"),
        ))
    }

    /// The name of a user, by number.
    #[must_use]
    pub fn name_of(&self, uid: u32) -> Option<String> {
        self.entry(|user| user.get(2) == Some(&uid.to_string().as_str()), 0)
    }

    /// A user's home.
    ///
    /// # Errors
    /// `usage` where there is no such user.
    pub fn home_of(&self, name: &str) -> Result<String> {
        self.entry(|user| user.first() == Some(&name), 5).ok_or_else(|| {
            Error::usage(format!("{name} has no home"), "run it as that person, without sudo")
        })
    }

    /// One field of a user that is known here.
    fn entry(&self, is_it: impl Fn(&[&str]) -> bool, field: usize) -> Option<String> {
        let asked = || self.run(&["getent", "passwd"].map(str::to_owned)).ok();
        let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let find = |text: &str| {
            let mut users = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
            users.find(|user| is_it(user)).and_then(|user| user.get(field).map(|f| (*f).to_owned()))
        };
        find(&file).or_else(|| find(&String::from_utf8_lossy(&asked()?.stdout)))
    }

    /// Lets a person's services run without a login, where they do not yet;
    /// gives whether it was this that did it.
    #[must_use]
    pub fn let_linger(&self, name: &str, user: User) -> bool {
        let has_logins = Path::new("/run/systemd/seats").is_dir();
        if !has_logins || Path::new("/var/lib/systemd/linger").join(name).exists() {
            return false;
        }
        let told = self.run(&["loginctl", "enable-linger", name].map(str::to_owned));
        let bus = PathBuf::from(format!("/run/user/{}/systemd/private", user.uid));
        told.is_ok_and(|output| output.status.success())
            && self.poll(LINGER_DEADLINE, || bus.exists().then_some(())).is_some()
    }

    /// Becomes a person, and starts this very program anew with more words. It
    /// comes back only with the reason why it could not.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub fn become_person(
        &self,
        name: &str,
        user: User,
        home: &str,
        more: &[OsString],
    ) -> std::io::Error {
        let me = match std::env::current_exe() {
            Ok(me) => me,
            Err(error) => return error,
        };
        let kept = ["PATH", "TERM", "LANG", "LC_ALL", "NO_COLOR", "HEPH_UNDER_TEST"];
        let kept = kept.iter().filter_map(|key| Some((*key, std::env::var_os(key)?)));
        Command::new(me)
            .args(std::env::args_os().skip(1))
            .args(more)
            .env_clear()
            .envs(kept.collect::<Vec<_>>())
            .envs([("HOME", home), ("USER", name), ("LOGNAME", name)])
            .env("XDG_RUNTIME_DIR", format!("/run/user/{}", user.uid))
            .current_dir("/")
            .gid(user.gid)
            .uid(user.uid)
            .exec()
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

    /// Carries out a plan, step by step.
    ///
    /// # Errors
    /// The first step's that fails; the steps before it are done.
    pub fn apply(&self, plan: &Plan) -> Result<()> {
        plan.steps.iter().try_for_each(|step| self.step(step))
    }

    fn step(&self, step: &Step) -> Result<()> {
        match step {
            Step::MakeFolder { path, owner } => self.make_folder(path, owner.as_deref()),
            Step::MakeFile { path, mode, owner } => self.make_file(path, *mode, owner.as_deref()),
            Step::Write { path, mode, after, .. } => write_atomically(path, *mode, after),
            Step::Note { path, text } => write_atomically(path, 0o600, text),
            Step::Unnote(path) | Step::Remove { path, .. } => match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(file(path, "remove")(error))
                }
                _ => Ok(()),
            },
            Step::CreateStore { db, birth, user } => {
                Store::create(db, birth, &self.machine.entropy)?;
                self.give(user.as_deref(), &[db.clone(), beside(db, ".lock")])
            }
            Step::RemoveEmptyStore(db) => self.remove_empty_store(db),
            Step::Give { paths, owner } => self.give(Some(owner), paths),
            Step::Run(argv) => self.run_well(argv),
            Step::Try(argv) => self.run(argv).map(drop).or(Ok(())),
            Step::Launchctl(act) => act.carry_out(self),
            Step::Spawn(spawn) => self.spawn(spawn),
            Step::Terminate { label, pid_file, log, .. } => self.terminate(label, pid_file, log),
        }
    }

    fn make_folder(&self, path: &Path, owner: Option<&str>) -> Result<()> {
        let mut folders = Folders::make(path)?;
        let user = owner.map(|name| self.user(name)).transpose()?;
        user.map_or(Ok(()), |user| folders.give_to(user))?;
        folders.sync()?;
        folders.keep();
        Ok(())
    }

    fn make_file(&self, path: &Path, mode: u32, owner: Option<&str>) -> Result<()> {
        make_private_folder(folder(path))?;
        let made = OpenOptions::new().append(true).create_new(true).mode(mode).open(path);
        match made {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(file(path, "create")(error)),
            Ok(_) => self.give(owner, &[path.to_owned()]),
        }
    }

    /// Gives files to a user, as far as they are there.
    fn give(&self, owner: Option<&str>, paths: &[PathBuf]) -> Result<()> {
        let Some(user) = owner.map(|name| self.user(name)).transpose()? else { return Ok(()) };
        paths.iter().filter(|path| path.exists()).try_for_each(|path| user.give(path))
    }

    fn remove_empty_store(&self, db: &Path) -> Result<()> {
        let Ok(_lock) = StoreLock::take(db) else { return Ok(()) };
        let store = Store::open_reader(db, &self.machine)?;
        if store.is_empty()? {
            drop(store);
            for suffix in ["", "-wal", "-shm", ".lock"] {
                let _ = std::fs::remove_file(beside(db, suffix));
            }
        }
        Ok(())
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
        let taken = || flock(&lock, FlockOperation::NonBlockingLockExclusive).ok();
        if self.poll(ALONE_DEADLINE, taken).is_some() {
            return Ok(Some(lock));
        }
        Err(Error::new(
            Code::NotReady,
            format!("another heph-ops is at work on {label}"),
            "wait until it is done, then run it again",
        ))
    }

    fn run_well(&self, argv: &[String]) -> Result<()> {
        let output = self.run(argv)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("it said nothing").to_owned();
        Err(Error::internal(format!("{} failed: {said}", argv.join(" "))))
    }
}

/// Reads to the end beside whoever waits for the program.
fn read_beside(from: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut all);
        }
        all
    })
}

/// Beside its final name, synced, then renamed: whoever reads it sees the old
/// text or the new one.
///
/// # Errors
/// The operating system's, naming the file.
pub(crate) fn write_atomically(path: &Path, mode: u32, text: &str) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let staged = path.with_file_name(format!(".{name}.new"));
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
