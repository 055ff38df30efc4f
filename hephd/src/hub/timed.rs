//! A connection's time: a peer that has begun a head must end it, and one
//! that gets an answer must take it.
//!
//! hyper's own time for a head runs while a connection idles, so it stands
//! for idling, and a head's time is kept here. A body's time is its reader's
//! business (`body`).

use std::{
    io::{Error, ErrorKind, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

use super::limits::Limits;

/// The requests of one connection: how many have begun, how many have ended.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Exchange {
    /// A head has come; the request ends with the body of its answer.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a request is being answered.
    pub(super) fn serving(&self) -> bool {
        self.begun.load(Ordering::Relaxed) != self.ended.load(Ordering::Relaxed)
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }
}

/// The body of an answer; when it goes, the request has ended.
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) exchange: Arc<Exchange>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.exchange.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream that fails with `TimedOut` when its peer takes too long.
pub(super) struct Timed {
    stream: TcpStream,
    exchange: Arc<Exchange>,
    head: Deadline,
    /// The head that has its deadline, by the requests begun before it.
    awaited: Option<u64>,
    write: Deadline,
    stalled: bool,
}

impl Timed {
    pub(super) fn new(stream: TcpStream, exchange: Arc<Exchange>, limits: &Limits) -> Self {
        let (head, write) = (Deadline::after(limits.head), Deadline::after(limits.stalled));
        Self { stream, exchange, head, awaited: Some(0), write, stalled: false }
    }

    /// What came belongs to a head, unless a request is under way.
    fn note_arrival(&mut self) {
        let begun = self.exchange.begun();
        if !self.exchange.serving() && self.awaited != Some(begun) {
            self.awaited = Some(begun);
            self.head.restart();
        }
    }

    fn check_head(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.exchange.serving() || self.awaited != Some(self.exchange.begun()) {
            return Poll::Pending;
        }
        self.head.poll(cx)
    }

    /// What became of an attempt to write.
    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<std::io::Result<T>>,
    ) -> Poll<std::io::Result<T>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            self.write.restart();
        }
        ready!(self.write.poll(cx))?;
        Poll::Pending
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            if buf.filled().len() > before {
                self.note_arrival();
            }
            return Poll::Ready(read);
        }
        self.check_head(cx)
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A time that can be set again.
struct Deadline {
    after: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    fn after(after: Duration) -> Self {
        Self { after, sleep: Box::pin(sleep(after)) }
    }

    fn restart(&mut self) {
        self.sleep.as_mut().reset(Instant::now() + self.after);
    }

    /// Pending until then, and an error from then on.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(Err(Error::from(ErrorKind::TimedOut)))
    }
}
