//! What every request passes before its route, and every answer after it:
//! the head's limits, who may ask, and the headers that tell a browser what
//! it may do with the answer.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    Hub,
    limits::{MAX_FIELD_BYTES, MAX_FIELDS_BYTES},
    reply::{self, Failure},
};

/// What a page may do with a hub that asks for a token: without one it gets
/// nothing, and a browser never adds one by itself.
const CORS: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, OPTIONS"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, if-none-match"),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

pub(super) async fn pass(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("other", MatchedPath::as_str).to_owned();
    let mut response = match refuse(&hub, &request) {
        Err(failure) => failure.into_response(),
        Ok(()) if request.method() == Method::OPTIONS => reply::no_content(),
        Ok(()) => next.run(request).await,
    };
    hub.metrics.answered(&route, response.status().as_u16());
    dress(&hub, &route, response.headers_mut());
    response
}

fn refuse(hub: &Hub, request: &Request) -> Result<(), Failure> {
    check_fields(request.headers())?;
    match &hub.door {
        None => hub.guard.check(request),
        Some(_) => Ok(()),
    }
}

fn check_fields(headers: &HeaderMap) -> Result<(), Failure> {
    let bytes = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    let largest = headers.iter().map(bytes).max().unwrap_or(0);
    if largest > MAX_FIELD_BYTES || headers.iter().map(bytes).sum::<usize>() > MAX_FIELDS_BYTES {
        return Err(reply::head_too_large());
    }
    // Where a proxy and a hub count a body differently, the second half of one
    // request is the first of another's. So there is one way to count.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(reply::bad_framing("a body comes with its Content-Length, not in chunks"));
    }
    for once in [header::HOST, header::CONTENT_TYPE, header::AUTHORIZATION] {
        if headers.get_all(&once).iter().nth(1).is_some() {
            return Err(reply::bad_framing(&format!("there are two of the header {once}")));
        }
    }
    Ok(())
}

/// Headers that an answer has already are its own. What replicas exchange is
/// no page, and travels without what only pages need.
fn dress(hub: &Hub, route: &str, headers: &mut HeaderMap) {
    let mut put = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    if !route.starts_with("/sync/") {
        put(header::CONTENT_SECURITY_POLICY, hub.content_policy.clone());
        put(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    put(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    put(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if hub.door.is_some() {
        CORS.into_iter().for_each(|(name, value)| put(name, HeaderValue::from_static(value)));
    }
}

/// What a page of this hub's may load, and whom it may talk to.
pub(super) fn content_policy(issuer: Option<&url::Url>) -> HeaderValue {
    let origin = issuer.map(|issuer| issuer.origin().ascii_serialization());
    let issuer = origin.map(|origin| format!(" {origin}")).unwrap_or_default();
    let policy = format!(
        "default-src 'self'; script-src 'self'; connect-src 'self'{issuer}; \
         frame-ancestors 'none'; object-src 'none'; base-uri 'none'"
    );
    // A URL's origin is ASCII without blanks.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}
