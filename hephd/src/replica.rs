//! A store shared by everything in the daemon: one thread writes, a few read.
//!
//! Each thread owns its connection, so there is no lock to hold and nothing
//! to poison: a job that panics loses its transaction and its answer, and the
//! thread goes on.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread::JoinHandle,
};

use tokio::sync::{Notify, mpsc, oneshot};

use crate::{
    error::{Code, Error, Result},
    id::OwnerId,
    machine::Machine,
    store::{Store, file},
};

/// How many jobs may wait for a thread before their callers do.
const WAITING_JOBS: usize = 256;
const READERS: usize = 2;

type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// The store's threads.
#[derive(Debug)]
pub struct Replica {
    writer: Worker,
    readers: Vec<Worker>,
    next_reader: AtomicUsize,
    path: PathBuf,
    identity: Option<(u64, u64)>,
    /// Told after each local write: there is something to push.
    pub written: Notify,
}

impl Replica {
    /// Takes a store, and opens it again for the readers.
    ///
    /// # Errors
    /// As [`Store::open_reader`].
    pub fn start(store: Store, db: &Path, machine: &Machine) -> Result<Self> {
        let readers = (0..READERS)
            .map(|n| Worker::start(Store::open_reader(db, machine)?, &format!("read-{n}")))
            .collect::<Result<_>>()?;
        Ok(Self {
            writer: Worker::start(store, "write")?,
            readers,
            next_reader: AtomicUsize::new(0),
            path: db.to_owned(),
            identity: file::identity(db),
            written: Notify::new(),
        })
    }

    /// Runs a job on the writer's connection.
    ///
    /// # Errors
    /// `store_missing` when the file is not at its path any more; the job's
    /// own.
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // SQLite would go on writing to a file that nobody finds any more.
        if !self.in_place() {
            return Err(Error::new(
                Code::StoreMissing,
                format!("{} is no longer the store that is open", self.path.display()),
                "put it back and restart; what was acknowledged before is in that file",
            ));
        }
        self.writer.run(job).await
    }

    /// Runs a job on a reader's connection.
    ///
    /// # Errors
    /// The job's own.
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let n = self.next_reader.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        self.readers[n].run(move |store| job(store)).await
    }

    /// Whose data this is.
    ///
    /// # Errors
    /// `no_owner_yet` until a joining store has met its hub.
    pub async fn owner(&self) -> Result<OwnerId> {
        self.read(Store::owner).await?.ok_or_else(no_owner_yet)
    }

    /// Whether the open file is still the one at its path.
    #[must_use]
    fn in_place(&self) -> bool {
        self.identity.is_some() && file::identity(&self.path) == self.identity
    }

    /// The store's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finishes what waits, moves the log into the file, closes.
    pub fn close(self) {
        self.readers.into_iter().for_each(Worker::stop);
        self.writer.stop();
    }
}

/// A store that is asked for its data before it has met its hub.
#[must_use]
pub fn no_owner_yet() -> Error {
    Error::new(
        Code::NoOwnerYet,
        "this device has not met its hub yet, so it has no owner",
        "wait until the hub answers: heph sync --status",
    )
}

/// One thread with one connection.
#[derive(Debug)]
struct Worker {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn start(mut store: Store, name: &str) -> Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING_JOBS);
        let work = move || {
            while let Some(job) = waiting.blocking_recv() {
                if catch_unwind(AssertUnwindSafe(|| job(&mut store))).is_err() {
                    tracing::error!("a job on the store panicked; its transaction is undone");
                }
            }
            // Only the writer can; for a reader there is nothing to do.
            let _ = store.checkpoint();
        };
        let thread = std::thread::Builder::new().name(format!("store-{name}")).spawn(work);
        Ok(Self { jobs, thread: thread.map_err(Error::internal)? })
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            let _ = answer.send(job(store));
        });
        let gone = || Error::internal("the store's thread gave no answer");
        self.jobs.send(job).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    fn stop(self) {
        drop(self.jobs);
        let _ = self.thread.join();
    }
}
