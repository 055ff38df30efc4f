//! Connections: taken in, counted, and each brought to its end.
//!
//! Accepting never waits for a connection, and no lock is shared between
//! them: the counts belong to the one task that accepts.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{Id, JoinSet},
    time::{sleep, timeout},
};

use super::{
    Hub,
    body::Arriving,
    limits::{Limits, MAX_HEAD_BYTES},
    metrics::Metrics,
    timed::{Answer, Exchange, Timed},
};
use crate::{
    error::{Error, Result},
    stopping::Stopping,
};

/// So long nobody is accepted when the system has no descriptors to give.
const BREATH: Duration = Duration::from_millis(100);

/// A head that is half here when the daemon stops has so long to be whole.
const LAST_CALL: Duration = Duration::from_millis(500);

/// At most so many are told that there is no room; more are just closed.
const TOLD: usize = 64;

/// Serves until told to stop, then finishes what is in flight.
///
/// # Errors
/// The operating system's.
pub async fn serve(listener: TcpListener, hub: Arc<Hub>, mut stopping: Stopping) -> Result<()> {
    listener.set_nonblocking(true).map_err(Error::internal)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::internal)?;
    let mut crowd = Crowd::new(&hub, stopping.clone());
    let mut complained = false;
    loop {
        tokio::select! {
            () = stopping.heard() => break,
            () = crowd.one_leaves() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    complained = false;
                    crowd.meet(stream, peer.ip());
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut complained, true) {
                        tracing::warn!("nobody can be let in: {error}");
                    }
                    sleep(BREATH).await;
                }
            },
        }
    }
    drop(listener);
    crowd.all_leave().await;
    Ok(())
}

/// Whose request it is, as far as the connection tells. Behind a proxy it is
/// the proxy's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(IpAddr);

impl Peer {
    pub(super) fn of<B>(request: &Request<B>) -> IpAddr {
        request.extensions().get::<Self>().map_or(Ipv4Addr::LOCALHOST.into(), |peer| peer.0)
    }
}

/// Somebody who went away before they were let in.
fn is_the_peers(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Everybody who is connected.
struct Crowd {
    router: Router,
    limits: Limits,
    metrics: Metrics,
    stopping: Stopping,
    conversations: JoinSet<()>,
    refusals: JoinSet<()>,
    whose: HashMap<Id, IpAddr>,
    from: HashMap<IpAddr, usize>,
}

impl Crowd {
    fn new(hub: &Arc<Hub>, stopping: Stopping) -> Self {
        Self {
            router: super::router(Arc::clone(hub)),
            limits: hub.limits.clone(),
            metrics: hub.metrics.clone(),
            stopping,
            conversations: JoinSet::new(),
            refusals: JoinSet::new(),
            whose: HashMap::new(),
            from: HashMap::new(),
        }
    }

    fn meet(&mut self, stream: TcpStream, peer: IpAddr) {
        let site = site_of(peer);
        let here = self.from.get(&site).copied().unwrap_or(0);
        if self.conversations.len() >= self.limits.connections {
            self.turn_away(stream, "all");
        } else if here >= self.limits.per_address && !site.is_loopback() {
            self.turn_away(stream, "address");
        } else {
            self.let_in(stream, site);
        }
    }

    fn let_in(&mut self, stream: TcpStream, site: IpAddr) {
        let (router, limits) = (self.router.clone(), self.limits.clone());
        let conversation = converse(stream, Peer(site), router, limits, self.stopping.clone());
        let id = self.conversations.spawn(conversation).id();
        self.whose.insert(id, site);
        *self.from.entry(site).or_default() += 1;
        self.metrics.connections(self.conversations.len());
    }

    fn turn_away(&mut self, stream: TcpStream, limit: &'static str) {
        self.metrics.refused(limit);
        while self.refusals.try_join_next().is_some() {}
        if self.refusals.len() < TOLD {
            self.refusals.spawn(timeout_of(self.limits.linger, say_no_room(stream)));
        }
    }

    /// Waits until a conversation ends; for ever where there is none.
    async fn one_leaves(&mut self) {
        let Some(left) = self.conversations.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let id = left.map_or_else(|failed| failed.id(), |(id, ())| id);
        if let Some(site) = self.whose.remove(&id)
            && let Some(count) = self.from.get_mut(&site)
        {
            *count -= 1;
            if *count == 0 {
                self.from.remove(&site);
            }
        }
        self.metrics.connections(self.conversations.len());
    }

    async fn all_leave(mut self) {
        self.refusals.abort_all();
        while self.conversations.join_next().await.is_some() {}
    }
}

/// Who counts as one: an address, or a whole network of IPv6 as one machine
/// gets it.
fn site_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        ip => ip,
    }
}

async fn timeout_of(patience: Duration, work: impl Future<Output = ()>) {
    let _ = timeout(patience, work).await;
}

/// Written before anything is read. What the peer has sent is taken all the
/// same: closing over it would reset the connection, and the answer be lost.
async fn say_no_room(mut stream: TcpStream) {
    let body = r#"{"error":{"code":"too_many","message":"too many connections at once"}}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    let mut left = [0; 4096];
    while matches!(stream.read(&mut left).await, Ok(1..)) {}
}

/// One connection, until either side has enough.
async fn converse(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    limits: Limits,
    mut stopping: Stopping,
) {
    let _ = stream.set_nodelay(true);
    let exchange = Arc::new(Exchange::default());
    let io = TokioIo::new(Timed::new(stream, Arc::clone(&exchange), &limits));
    let (service, requests) = (TowerToHyperService::new(router), Arc::clone(&exchange));
    let answer = service_fn(|request: Request<Incoming>| {
        requests.begin();
        let mut request = request.map(|body| Body::new(Arriving::new(body, limits.linger)));
        request.extensions_mut().insert(peer);
        let answered = hyper::service::Service::call(&service, request);
        let exchange = Arc::clone(&requests);
        async move {
            let response = answered.await?;
            Ok::<_, Infallible>(response.map(|body| Answer { body, exchange }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_header_size(MAX_HEAD_BYTES)
        .serve_connection(io, answer);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopping.heard() => connection.as_mut().graceful_shutdown(),
    }
    while timeout(LAST_CALL, connection.as_mut()).await.is_err() {
        if !exchange.serving() {
            return;
        }
    }
}
