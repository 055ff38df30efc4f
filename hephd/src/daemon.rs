//! One daemon's life: take the store, bind, say that it is ready, serve,
//! stop without losing anything.

mod hub;

use std::{
    net::TcpListener,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::{
    fs::Mode as FileMode,
    process::{Resource, Rlimit, getrlimit, setrlimit, umask},
};
use sd_notify::NotifyState;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};

use crate::{
    args::Mode,
    clock::rfc3339,
    config::Config,
    devices::Devices,
    error::{Code, Error, Result},
    hub::door::Door,
    id::{OwnerId, draw_hex},
    login::{Login, desk::Desk},
    machine::Machine,
    port,
    proxy::Proxy,
    replica::Replica,
    rpc::{self, methods::Daemon, server::Callee, status::Health},
    spoke::{self, wire::Wire},
    stopping::{self, Stop},
    store::{Birth, Store, file},
    vigil,
};

/// Files that a daemon has open with some connections.
const FEWEST_FILES: u64 = 64;

/// What is in flight when the daemon is told to stop has this long.
const FINISH_DEADLINE: Duration = Duration::from_secs(10);

/// All that a daemon holds before it starts to serve.
struct Bound {
    config: Config,
    machine: Machine,
    store: Store,
    socket: UnixListener,
    placed: Placed,
    http: Option<TcpListener>,
    door: Option<Door>,
}

/// The socket's file, which goes with the daemon.
struct Placed(PathBuf);

impl Drop for Placed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Everything that keeps it from starting, each naming its thing.
pub fn run(config: Config) -> Result<()> {
    check_file_limit()?;
    // What is in memory, a token among it, is for no core file.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    umask(FileMode::from_raw_mode(0o077));
    config.check_files()?;
    if config.mode == Mode::Client {
        return run_proxy(&config);
    }
    if config.existing_store && !config.db.exists() {
        return Err(crate::store::missing(&config.db));
    }
    let runtime = runtime()?;
    // One that comes while it starts is heard too.
    let signals = runtime.block_on(Signals::listen())?;
    let door = runtime.block_on(hub::door(&config))?;
    let (bound, _lock) = bind(config, door)?;
    let (ended, replica) = runtime.block_on(serve(bound, signals))?;
    // With the runtime goes whatever still held the store.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Some(replica) = Arc::into_inner(replica) {
        replica.close();
    }
    tracing::info!("stopped");
    ended
}

/// A daemon that runs out of files in the middle of its work can neither
/// accept nor write; better that it says so first.
fn check_file_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile).current;
    match limit {
        Some(files) if files < FEWEST_FILES => Err(Error::new(
            Code::TooFewFiles,
            format!("hephd may open {files} files at a time, and needs {FEWEST_FILES}"),
            "ulimit -n 1024, or LimitNOFILE=1024 in its unit",
        )),
        _ => Ok(()),
    }
}

/// Without a replica there is a socket and nothing else.
fn run_proxy(config: &Config) -> Result<()> {
    let machine = Machine::this();
    let runtime = runtime()?;
    let signals = runtime.block_on(Signals::listen())?;
    let socket = rpc::server::bind(&config.socket)?;
    let placed = Placed(config.socket.clone());
    let ended = runtime.block_on(serve_proxy(config, &machine, socket, signals));
    drop(placed);
    runtime.shutdown_timeout(Duration::from_secs(1));
    tracing::info!("stopped");
    ended
}

async fn serve_proxy(
    config: &Config,
    machine: &Machine,
    socket: UnixListener,
    signals: Signals,
) -> Result<()> {
    let Some(hub_url) = config.hub_url.clone() else { return Ok(()) };
    let (stop, stopping) = stopping::channel();
    let desk = Desk::of(config, &machine.clock);
    let login = desk.login().cloned();
    let wire = Wire::new(hub_url, config.hub_ca.as_deref())?
        .in_the_clear(config.allow_plaintext)
        .with(login.clone());
    let health = Health { db: String::new(), ..health(config, machine) };
    let proxy = Proxy { wire, health, clock: machine.clock.clone() };
    let proxy = Callee::Hub(Box::new(proxy));
    let mut tasks = JoinSet::new();
    tasks.spawn(rpc::server::serve(socket, proxy, desk, stopping));
    announce(config);
    let ended = wait_for_the_end(signals, &mut tasks).await;
    wind_down(&stop, tasks).await;
    settle(login).await;
    ended
}

/// A renewal that is under way ends well: its answer cannot be had twice.
async fn settle(login: Option<Login>) {
    if let Some(login) = login {
        let _ = tokio::time::timeout(FINISH_DEADLINE, login.settled()).await;
    }
}

fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().map_err(Error::internal)
}

/// Takes everything that there is to take; the lock outlives all the rest.
fn bind(config: Config, door: Option<Door>) -> Result<(Bound, file::StoreLock)> {
    let machine = Machine::this();
    if config.db_is_default {
        file::make_private_folder(file::folder(&config.db))?;
    }
    file::check_place(&config.db)?;
    file::check_access(&config.db)?;
    let mut lock = file::StoreLock::take(&config.db)?;
    // The store comes last: what is refused before it leaves none behind.
    let socket = rpc::server::bind(&config.socket)?;
    let placed = Placed(config.socket.clone());
    let http = match config.mode {
        // hephd itself is restarted until the port is free: exit 1.
        Mode::Server => Some(port::listen(config.http_addr).map_err(Error::after_attempt)?),
        _ => None,
    };
    let store = open_or_create(&config, &mut lock, &machine)
        .map_err(|error| of_store(&config.db, error))?;
    Ok((Bound { config, machine, store, socket, placed, http, door }, lock))
}

/// The same failure, with the store's name, and that of whoever holds it.
fn of_store(db: &Path, mut error: Error) -> Error {
    let name = db.display().to_string();
    if error.code == Code::StoreInUse && !error.message.contains(&name) {
        error.message = format!("{name} is held by {}", file::holder(db));
    } else if !error.message.contains(&name) {
        error.message = format!("{name}: {}", error.message);
    }
    error
}

fn open_or_create(config: &Config, lock: &mut file::StoreLock, machine: &Machine) -> Result<Store> {
    if !config.db.exists() {
        lock.refuse_successor(&config.db)?;
        Store::create(&config.db, &Birth::of(config), &machine.entropy)?;
    }
    let store = Store::open(&config.db, machine)?;
    lock.note_store()?;
    if let Some(owner) = &config.owner_id {
        store.adopt(owner).map_err(|_| other_owner(&config.db, owner, &store))?;
    }
    if config.mode == Mode::Server {
        hub::settle_owner(&store, config)?;
        store.set_meta("role", "hub")?;
    }
    Ok(store)
}

fn other_owner(db: &Path, wanted: &OwnerId, store: &Store) -> Error {
    let has = store.owner().ok().flatten().map_or_else(String::new, |owner| owner.to_string());
    Error::new(
        Code::OwnerMismatch,
        format!("{} belongs to {has}, not to {wanted}", db.display()),
        "leave --owner-id out, or give another --db",
    )
}

/// Serves until the end; gives how that came, and the store to close.
async fn serve(bound: Bound, signals: Signals) -> Result<(Result<()>, Arc<Replica>)> {
    let Bound { config, machine, store, socket, placed, http, door } = bound;
    let (stop, stopping) = stopping::channel();
    let origin = store.origin()?;
    let devices = Arc::new(match http {
        Some(_) => Devices::knowing(store.devices()?),
        None => Devices::default(),
    });
    let replica = Arc::new(Replica::start(store, &config.db, &machine)?);
    let health = health(&config, &machine);
    let mut tasks = JoinSet::new();

    let desk = Desk::of(&config, &machine.clock);
    let login = desk.login().cloned();
    let mut spoke = None;
    if let Some(url) = &config.hub_url {
        let settings = spoke::Settings {
            hub_url: url.clone(),
            hub_ca: config.hub_ca.clone(),
            interval: config.sync_interval,
            origin,
            login: login.clone(),
            allow_plaintext: config.allow_plaintext,
        };
        let (asked, cycles) =
            spoke::start(Arc::clone(&replica), &settings, &machine, stopping.clone())?;
        tasks.spawn(cycles);
        spoke = Some(asked);
    }
    let gate = http.is_some().then(|| hub::gate(&config, door.as_ref()));
    let daemon = Arc::new(Daemon { replica: Arc::clone(&replica), spoke, health, devices, gate });
    if let Some(listener) = http {
        let serving = hub::Serving { listener, door, daemon: Arc::clone(&daemon) };
        tasks.spawn(hub::serve(serving, config.clone(), machine.clone(), stopping.clone()));
    }
    tasks.spawn(vigil::keep(Arc::clone(&replica), stopping.clone()));
    tasks.spawn(rpc::server::serve(socket, Callee::Replica(Arc::clone(&daemon)), desk, stopping));

    announce(&config);
    for (_, warning) in daemon.warnings().await {
        tracing::warn!("{warning}");
    }
    drop(daemon);
    let ended = wait_for_the_end(signals, &mut tasks).await;
    wind_down(&stop, tasks).await;
    settle(login).await;
    drop(placed);
    Ok((ended, replica))
}

fn health(config: &Config, machine: &Machine) -> Health {
    Health {
        instance: draw_hex::<16>(&machine.entropy),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        mode: config.mode.as_str().to_owned(),
        db: config.db.display().to_string(),
        http_addr: (config.mode == Mode::Server).then(|| config.http_addr.to_string()),
        started: rfc3339(machine.clock.now_ms()),
    }
}

/// Says to stop, and waits until all has; but nobody outside can hold it up.
async fn wind_down(stop: &Stop, mut tasks: JoinSet<Result<()>>) {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    stop.say();
    let finish = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH_DEADLINE, finish).await.is_err() {
        tracing::warn!("somebody did not end their request; it is cut off");
        tasks.shutdown().await;
    }
}

fn announce(config: &Config) {
    let what = match config.mode {
        Mode::Server => format!("hub on {}", config.http_addr),
        Mode::Client => {
            let hub = config.hub_url.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("window on the hub {hub}")
        }
        Mode::Local => config
            .hub_url
            .as_ref()
            .map_or("device without a hub".to_owned(), |url| format!("device of the hub {url}")),
    };
    let db = (config.mode != Mode::Client).then(|| tracing::field::display(config.db.display()));
    tracing::info!(db, socket = %config.socket.display(), "ready: {what}");
    for (flag, what) in &config.not_yet {
        tracing::warn!("--{flag}: this version does not {what} yet");
    }
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&what)]);
}

/// SIGXFSZ, on Linux and macOS.
const TOO_LONG: i32 = 25;

/// The signals that mean: stop.
struct Signals {
    term: Signal,
    int: Signal,
    /// Never waited for. Where files may grow no longer (`ulimit -f`), a write is
    /// then refused like any other, and is not the end of the daemon.
    _too_long: Signal,
}

impl Signals {
    #[allow(clippy::unused_async, reason = "the runtime hears them, so only within it")]
    async fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(Error::internal);
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
            _too_long: listen(SignalKind::from_raw(TOO_LONG))?,
        })
    }
}

/// A signal, or a task that should not have ended. Meanwhile the service
/// manager's watchdog is fed.
async fn wait_for_the_end(mut signals: Signals, tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    let feed = sd_notify::watchdog_enabled().map_or(Duration::from_secs(3600), |limit| limit / 2);
    let mut feeding = tokio::time::interval(feed);
    loop {
        tokio::select! {
            _ = signals.term.recv() => return Ok(()),
            _ = signals.int.recv() => return Ok(()),
            _ = feeding.tick() => {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            }
            Some(ended) = tasks.join_next() => return ended.map_err(Error::internal)?,
        }
    }
}

/// `--check-store`: opens, checks and, on a copy, migrates.
///
/// # Errors
/// As [`crate::store::check::check`].
pub fn check_store(db: &Path) -> Result<()> {
    crate::store::check::check(db, &Machine::this())
}
