//! A hub in this process, over real sockets, with limits of the test's own:
//! waiting five minutes for an idle connection to end is nobody's idea of a
//! test.

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hephd::{
    hub::{self, Hub, guard::Guard},
    machine::Machine,
    replica::Replica,
    rpc::{methods::Daemon, status::Health},
    stopping::{self, Stop, Stopping},
    store::{Birth, Store},
};

use super::running::Home;

/// It stops when it goes.
pub struct Served {
    pub port: u16,
    _home: Home,
    stop: Stop,
    served: Option<std::thread::JoinHandle<Duration>>,
}

impl Served {
    pub fn plain() -> Self {
        Self::with(|hub| hub)
    }

    /// A hub that a test has changed.
    pub fn with(change: impl FnOnce(Hub) -> Hub) -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into(), change)
    }

    /// The same on some address of this machine.
    pub fn on(ip: IpAddr, change: impl FnOnce(Hub) -> Hub) -> Self {
        let home = Home::new();
        let db = home.folder("hub").join("heph.db");
        let (stop, stopping) = stopping::channel();
        let (hub, feed) = new_hub(&db, stopping.clone());
        let hub = Arc::new(change(hub));
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || serve(listener, hub, feed, stopping));
        Self { port, _home: home, stop, served: Some(served) }
    }

    /// Tells it to stop; how long that took.
    pub fn stop(mut self) -> Duration {
        self.stop.say();
        self.served.take().unwrap().join().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.say();
        if let Some(served) = self.served.take() {
            let _ = served.join();
        }
    }
}

fn new_hub(db: &Path, stopping: Stopping) -> (Hub, impl Future<Output = ()> + Send + use<>) {
    let machine = Machine::this();
    Store::create(db, &Birth::Minting, &machine.entropy).unwrap();
    let store = Store::open(db, &machine).unwrap();
    let replica = Arc::new(Replica::start(store, db, &machine).unwrap());
    let health = Health {
        instance: "test".to_owned(),
        version: "0".to_owned(),
        pid: std::process::id(),
        mode: "server".to_owned(),
        db: db.display().to_string(),
        http_addr: None,
        started: "2026-01-01T00:00:00Z".to_owned(),
    };
    let daemon =
        Arc::new(Daemon { replica, spoke: None, health, devices: Arc::default(), gate: None });
    let (events, feed) = hub::events::start(Arc::clone(&daemon.replica), stopping);
    let guard = Guard { machine: machine.name, exposed: false };
    (Hub::new(daemon, machine.clock, guard, events), feed)
}

fn serve(
    listener: TcpListener,
    hub: Arc<Hub>,
    feed: impl Future<Output = ()> + Send + 'static,
    stopping: Stopping,
) -> Duration {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut told = stopping.clone();
    runtime.spawn(feed);
    runtime.block_on(async move {
        let serving =
            tokio::spawn(async move { hub::serve(listener, hub, stopping.clone()).await });
        told.heard().await;
        let begun = Instant::now();
        serving.await.unwrap().unwrap();
        begun.elapsed()
    })
}
