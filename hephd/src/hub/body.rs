//! The body of a request: bounded in bytes and in time, and JSON.
//!
//! A body that nobody reads is taken off the line for a while all the same:
//! a peer that is still sending would else have its connection reset, and
//! never see why it was refused.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Hub,
    limits::{BODY_BYTES_PER_SECOND, MAX_BODY_BYTES},
    reply::{self, Failure},
};
use crate::json;

/// A body that is JSON: see [`json::check`].
pub(super) struct JsonBody(pub(super) Bytes);

impl FromRequest<Arc<Hub>> for JsonBody {
    type Rejection = Failure;

    async fn from_request(request: Request, hub: &Arc<Hub>) -> Result<Self, Failure> {
        check_head(request.headers())?;
        let body = read(request.into_body(), hub.limits.body).await?;
        json::check(&body).map_err(|refused| match refused {
            json::Refused::Unreadable { .. } => reply::bad_request(&refused.to_string()),
            json::Refused::Meaningless { .. } => reply::malformed(&refused.to_string()),
        })?;
        Ok(Self(body))
    }
}

/// A page of another site can send a form without asking, but no JSON; and
/// what is compressed could unfold to anything.
fn check_head(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text(header::CONTENT_LENGTH).parse().is_ok_and(|bytes: usize| bytes > MAX_BODY_BYTES) {
        return Err(reply::too_large());
    }
    let kind = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(reply::unsupported("the body must be application/json"));
    }
    match text(header::CONTENT_ENCODING) {
        "" | "identity" => Ok(()),
        _ => Err(reply::unsupported("the body must not be compressed")),
    }
}

async fn read(mut body: Body, patience: Duration) -> Result<Bytes, Failure> {
    let (begun, mut bytes) = (Instant::now(), Vec::new());
    loop {
        let earned = Duration::from_secs((bytes.len() / BODY_BYTES_PER_SECOND) as u64);
        let frame = timeout_at(begun + patience + earned, body.frame()).await;
        let Some(frame) = frame.map_err(|_| reply::too_slow())? else { break };
        let cut = |_| reply::bad_request("the body was cut off");
        let Ok(data) = frame.map_err(cut)?.into_data() else { continue };
        if bytes.len() + data.len() > MAX_BODY_BYTES {
            return Err(reply::too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

/// A body as it comes off the line.
pub(super) struct Arriving {
    body: Option<Incoming>,
    linger: Duration,
}

impl Arriving {
    pub(super) fn new(body: Incoming, linger: Duration) -> Self {
        Self { body: Some(body), linger }
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(rest) = self.body.take().filter(|body| !body.is_end_stream())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(timeout(self.linger, discard(rest)));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut left = 2 * MAX_BODY_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let Some(fewer) = left.checked_sub(bytes) else { return };
        left = fewer;
    }
}
