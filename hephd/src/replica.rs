//! A store shared by everything in the daemon: one thread writes, a few read.
//!
//! Each thread owns its connection, so there is no lock to hold and nothing
//! to poison: a job that panics loses its work and its answer, and the thread
//! goes on. Writing jobs that wait at the same time become durable together,
//! with one flush of the disk, and only then are they answered. A reading job
//! sees one state of the store from beginning to end.
//!
//! What sync reads is short and bounded. What people ask may take long, so it
//! has readers of its own: nobody's history keeps a device from syncing.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    error::{Code, Error, Result},
    id::OwnerId,
    machine::Machine,
    store::{Store, file},
};

/// How many jobs may wait for a thread before their callers do.
const WAITING_JOBS: usize = 256;
/// How many may become durable together.
const GROUP: usize = 128;
/// For sync, and as many for people.
const READERS: usize = 2;

/// Work on the store, or word that there can be none: whether it went well,
/// and how to tell its caller, which is not done before it is durable.
type Job = Box<dyn FnOnce(Result<&mut Store>) -> (bool, Told) + Send>;

/// Tells a caller how it ended, given whether it is durable.
type Told = Box<dyn FnOnce(Result<()>) + Send>;

/// The store's threads.
#[derive(Debug)]
pub struct Replica {
    writer: Worker,
    readers: Vec<Worker>,
    browsers: Vec<Worker>,
    owner: OnceLock<OwnerId>,
    path: PathBuf,
    identity: Option<(u64, u64)>,
    moved: watch::Sender<()>,
}

impl Replica {
    /// Takes a store, and opens it again for the readers.
    ///
    /// # Errors
    /// As [`Store::open_reader`].
    pub fn start(store: Store, db: &Path, machine: &Machine) -> Result<Self> {
        let start = |n: usize, what: &str| {
            Worker::start(Store::open_reader(db, machine)?, &format!("{what}-{n}"), read)
        };
        Ok(Self {
            readers: (0..READERS).map(|n| start(n, "read")).collect::<Result<_>>()?,
            browsers: (0..READERS).map(|n| start(n, "browse")).collect::<Result<_>>()?,
            owner: OnceLock::new(),
            writer: Worker::start(store, "write", write_together)?,
            path: db.to_owned(),
            identity: file::identity(db),
            moved: watch::Sender::new(()),
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
        self.check_in_place()?;
        self.writer.run(job, |_| ()).await
    }

    /// Runs a job on the writer's connection that may add ops. `then` is called
    /// once they are durable, also where nobody waits for the answer any more;
    /// whether it says that there are new ones is told to all who hear.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn add<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Store) -> Result<T> + Send + 'static,
        then: impl FnOnce(&T) -> bool + Send + 'static,
    ) -> Result<T> {
        self.check_in_place()?;
        let moved = self.moved.clone();
        let then = move |value: &T| {
            if then(value) {
                moved.send_replace(());
            }
        };
        self.writer.run(job, then).await
    }

    /// Runs a job on a reader's connection: a short one, as those behind it wait.
    ///
    /// # Errors
    /// The job's own.
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        least_busy(&self.readers)?.run(move |store| job(store), |_| ()).await
    }

    /// Runs a job that may take long: nothing waits for it but others of its
    /// kind.
    ///
    /// # Errors
    /// The job's own.
    pub async fn browse<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        least_busy(&self.browsers)?.run(move |store| job(store), |_| ()).await
    }

    /// Hears of ops that were added from now on.
    #[must_use]
    pub fn hear_moved(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    /// Whose data this is. A store has its owner for good, so it is read once.
    ///
    /// # Errors
    /// `no_owner_yet` until a joining store has met its hub.
    pub async fn owner(&self) -> Result<OwnerId> {
        if let Some(owner) = self.owner.get() {
            return Ok(owner.clone());
        }
        let owner = self.read(Store::owner).await?.ok_or_else(no_owner_yet)?;
        Ok(self.owner.get_or_init(|| owner).clone())
    }

    /// Whether the open file is still the one at its path.
    ///
    /// # Errors
    /// `store_missing` when it is not.
    pub fn check_in_place(&self) -> Result<()> {
        if self.identity.is_some() && file::identity(&self.path) == self.identity {
            return Ok(());
        }
        Err(Error::new(
            Code::StoreMissing,
            format!("{} is no longer the store that is open", self.path.display()),
            "put it back and restart; what was acknowledged before is in that file",
        ))
    }

    /// Writing jobs that wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.writer.jobs.max_capacity() - self.writer.jobs.capacity()
    }

    /// The store's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finishes what waits, moves the log into the file, closes.
    pub fn close(self) {
        self.readers.into_iter().chain(self.browsers).for_each(Worker::stop);
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

/// Whoever has the fewest jobs before a new one.
fn least_busy(workers: &[Worker]) -> Result<&Worker> {
    let busy = |worker: &&Worker| worker.busy.load(Ordering::Relaxed);
    workers.iter().min_by_key(busy).ok_or_else(|| Error::internal("the store has no readers"))
}

/// One thread with one connection.
#[derive(Debug)]
struct Worker {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
    /// Jobs that it was given and has not ended.
    busy: Arc<AtomicUsize>,
}

impl Worker {
    fn start(
        mut store: Store,
        name: &str,
        work: fn(&mut Store, Job, &mut Waiting),
    ) -> Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING_JOBS);
        let work = move || {
            while let Some(job) = waiting.blocking_recv() {
                work(&mut store, job, &mut waiting);
            }
            // Only the writer can; for a reader there is nothing to do.
            let _ = store.checkpoint();
        };
        let thread = std::thread::Builder::new().name(format!("store-{name}")).spawn(work);
        Ok(Self { jobs, thread: thread.map_err(Error::internal)?, busy: Arc::default() })
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Store) -> Result<T> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let busy = Busy::one_more(&self.busy);
        let job: Job = Box::new(move |store| {
            let done = store.and_then(job);
            let well = done.is_ok();
            let told: Told = Box::new(move |durable: Result<()>| {
                let ended = done.and_then(|value| durable.map(|()| value));
                if let Ok(value) = &ended {
                    then(value);
                }
                drop(busy);
                let _ = answer.send(ended);
            });
            (well, told)
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

type Waiting = mpsc::Receiver<Job>;

/// A job that counts until it has ended, in whatever way.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn one_more(jobs: &Arc<AtomicUsize>) -> Self {
        jobs.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(jobs))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A reading job, in a transaction that fixes what it sees.
fn read(store: &mut Store, job: Job, _: &mut Waiting) {
    let begun = store.begin_reading();
    if let Some((_, told)) = survive(begun.map(|()| &mut *store), job) {
        told(Ok(()));
    }
    store.end_reading();
}

/// A writing job and those that wait behind it.
fn write_together(store: &mut Store, first: Job, waiting: &mut Waiting) {
    if let Err(held) = store.begin_group() {
        refuse(first, waiting, &held);
        return;
    }
    let (mut next, mut done) = (Some(first), Vec::new());
    while let Some(job) = next {
        done.extend(one_of_a_group(store, job));
        if !store.in_group() {
            break; // The disk failed, and all that was done together is undone.
        }
        next = if done.len() < GROUP { waiting.try_recv().ok() } else { None };
    }
    let durable = store.end_group();
    done.into_iter().for_each(|told| told(durable.clone()));
    if let Err(error) = store.shorten_log() {
        tracing::warn!(code = error.code.as_str(), "the log stays long: {}", error.message);
    }
}

/// Somebody holds the store, and has been waited for. All who wait are told at
/// once, or the last of them would wait for as long as all together.
fn refuse(first: Job, waiting: &mut Waiting, held: &Error) {
    let mut next = Some(first);
    while let Some(job) = next {
        if let Some((_, told)) = survive(Err(held.clone()), job) {
            told(Ok(()));
        }
        next = waiting.try_recv().ok();
    }
}

/// A job that fails or panics leaves nothing behind; where that cannot be, the
/// whole group is undone.
fn one_of_a_group(store: &mut Store, job: Job) -> Option<Told> {
    let begun = store.begin_part();
    let ended = survive(begun.map(|()| &mut *store), job);
    let well = ended.as_ref().is_some_and(|(well, _)| *well);
    if store.end_part(well).is_err() {
        store.undo_group();
    }
    ended.map(|(_, told)| told)
}

fn survive(store: Result<&mut Store>, job: Job) -> Option<(bool, Told)> {
    let ended = catch_unwind(AssertUnwindSafe(|| job(store)));
    ended.inspect_err(|_| tracing::error!("a job on the store panicked; its work is undone")).ok()
}
