//! Carrying out a plan, step by step. Nothing else in heph-ops writes.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use hephd::{
    error::{Error, Result, file},
    store::{
        Store,
        file::{Folders, StoreLock, beside, folder, make_private_folder},
    },
};

use super::{Host, write_atomically};
use crate::plan::{Plan, Step};

impl Host {
    /// Carries out a plan, step by step.
    ///
    /// # Errors
    /// The first step's that fails; the steps before it are done.
    pub fn apply(&self, plan: &Plan) -> Result<()> {
        self.apply_noting(plan, &mut 0)
    }

    /// The same; `done` counts the steps that are done.
    ///
    /// # Errors
    /// As [`Host::apply`].
    pub fn apply_noting(&self, plan: &Plan, done: &mut usize) -> Result<()> {
        plan.steps.iter().try_for_each(|step| {
            self.step(step)?;
            *done += 1;
            Ok(())
        })
    }

    /// Carries out all of a plan that can be: whoever puts things back goes on
    /// where one of them fails.
    ///
    /// # Errors
    /// The first step's that failed.
    pub fn apply_all(&self, plan: &Plan) -> Result<()> {
        let results: Vec<Result<()>> = plan.steps.iter().map(|step| self.step(step)).collect();
        results.into_iter().collect()
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
            Step::RemoveEmptyFolder(path) => std::fs::remove_dir(path).or(Ok(())),
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
