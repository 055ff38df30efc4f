//! How answers look. The only user of `StatusCode`.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    limits::{MAX_BODY_BYTES, MAX_FIELD_BYTES},
    newcomers::MAX_A_DAY,
};
use crate::{
    error::{Code, Error},
    op::Hash,
    store::oplog::{Appended, MAX_ENTRIES},
};

/// An answer, or the failure that stands in its place.
pub type Reply = Result<Response, Failure>;

/// A failure on its way out.
#[derive(Debug)]
pub struct Failure(Box<Response>);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// 200 with a JSON body. It is written out as it is: on the way through a
/// [`Value`] an op's bytes would be put in another order, and its hash would
/// not hold.
pub fn ok<T: Serialize>(body: &T) -> Reply {
    Ok((StatusCode::OK, Json(body)).into_response())
}

/// 200 with a JSON body that stays the same while the tag does.
pub fn tagged<T: Serialize>(tag: &Hash, body: &T) -> Reply {
    Ok((StatusCode::OK, [(header::ETAG, etag(tag))], Json(body)).into_response())
}

/// 304: nothing has changed.
pub fn not_modified(tag: &Hash) -> Reply {
    Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(tag))]).into_response())
}

fn etag(tag: &Hash) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

fn failure(status: StatusCode, code: &str, message: &str, more: Value) -> Failure {
    let mut body = json!({ "error": { "code": code, "message": message } });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    Failure(Box::new(response))
}

/// 400: the request cannot be read.
pub fn bad_request(message: &str) -> Failure {
    failure(StatusCode::BAD_REQUEST, "bad_request", message, Value::Null)
}

/// 400 for a head that two readers could read differently: nothing after it
/// on this connection can be trusted.
pub fn bad_framing(message: &str) -> Failure {
    closing(bad_request(message))
}

/// 413, with the limit in bytes.
pub fn too_large() -> Failure {
    beyond(MAX_BODY_BYTES, "bytes")
}

/// 413, with the limit in entries: the device splits what it has, as for
/// bytes. Any other status it would take for a hub that it does not understand.
pub fn too_many_entries() -> Failure {
    beyond(MAX_ENTRIES, "entries")
}

fn beyond(limit: usize, what: &str) -> Failure {
    let message = format!("send fewer entries: at most {limit} {what} at a time");
    failure(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &message, json!({ "limit": limit }))
}

/// 408: the body does not come.
pub fn too_slow() -> Failure {
    let message = "the body did not arrive in time";
    closing(failure(StatusCode::REQUEST_TIMEOUT, "too_slow", message, Value::Null))
}

/// 431: a head is no place for data.
pub fn head_too_large() -> Failure {
    let limit = json!({ "limit": MAX_FIELD_BYTES });
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    failure(status, "head_too_large", "a header is too large", limit)
}

/// 422: it can be read, and means nothing.
pub fn malformed(message: &str) -> Failure {
    failure(StatusCode::UNPROCESSABLE_ENTITY, "malformed", message, Value::Null)
}

fn closing(mut failure: Failure) -> Failure {
    failure.0.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    failure
}

/// 204: done, and there is nothing to say.
pub fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// 304 for a file.
pub fn file_not_modified() -> Response {
    StatusCode::NOT_MODIFIED.into_response()
}

/// 200 with what Prometheus reads.
pub fn metrics(text: String) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// 429: more new origins than a day may bring.
pub fn too_many_origins(until_tomorrow: Duration) -> Failure {
    let message = format!("more than {MAX_A_DAY} origins are new today");
    let status = StatusCode::TOO_MANY_REQUESTS;
    after(until_tomorrow, failure(status, "too_many_origins", &message, Value::Null))
}

/// Not before so long, in whole seconds.
fn after(wait: Duration, mut failure: Failure) -> Failure {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    failure.0.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    failure
}

/// 503 with a reason.
pub fn not_ready(message: &str) -> Failure {
    failure(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message, Value::Null)
}

/// 404 for whatever there is not.
pub fn nothing_here() -> Response {
    let message = "there is nothing at this path";
    failure(StatusCode::NOT_FOUND, "not_found", message, Value::Null).into_response()
}

/// An answer, or our own words for a file that went away meanwhile.
pub fn unless_missing(response: Response) -> Response {
    if response.status() == StatusCode::NOT_FOUND { nothing_here() } else { response }
}

/// 405 for a file.
pub fn only_to_read() -> Response {
    let mut response = wrong_method();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn wrong_method() -> Response {
    let message = "this path does not take that method";
    failure(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message, Value::Null)
        .into_response()
}

/// 405: there is something, but not for this method.
pub async fn method_not_allowed() -> Response {
    wrong_method()
}

/// 403: not from there.
pub fn forbidden(message: &str) -> Failure {
    failure(StatusCode::FORBIDDEN, "forbidden", message, Value::Null)
}

/// 401: data is for those who bring a token.
pub fn wants_token() -> Failure {
    let message = "this hub wants a token: log in with heph auth login";
    unauthorized("Bearer realm=\"heph\"".to_owned(), message)
}

/// 401: the token does not count, and why (RFC 6750, 3.1).
pub fn bad_token(why: &str) -> Failure {
    // What stands between quotes in a header.
    let plain = |c: &char| (' '..='~').contains(c) && !matches!(c, '"' | '\\');
    let described: String = why.chars().filter(plain).collect();
    let challenge = format!(
        "Bearer realm=\"heph\", error=\"invalid_token\", error_description=\"{described}\""
    );
    unauthorized(challenge, &format!("the token does not count: {why}"))
}

fn unauthorized(challenge: String, message: &str) -> Failure {
    let code = Code::AuthFailed.as_str();
    let mut failure = failure(StatusCode::UNAUTHORIZED, code, message, Value::Null);
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        failure.0.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    failure
}

/// 403: somebody is who they say, and nothing here is theirs.
pub fn owns_nothing() -> Failure {
    let message = "whoever is logged in owns nothing on this hub";
    failure(StatusCode::FORBIDDEN, Code::AuthFailed.as_str(), message, Value::Null)
}

/// 503: nobody knows whether a token is good before the provider has said.
pub fn provider_down(wait: Duration) -> Failure {
    let message = "the OpenID provider cannot be reached, so nobody can be let in";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    after(wait, failure(status, Code::NotReady.as_str(), message, Value::Null))
}

/// 429: too many tokens from there did not count.
pub fn too_many_attempts(wait: Duration) -> Failure {
    let message = "too many tokens from this address did not count";
    after(wait, failure(StatusCode::TOO_MANY_REQUESTS, "too_many", message, Value::Null))
}

/// 415: only plain JSON is read.
pub fn unsupported(message: &str) -> Failure {
    failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported", message, Value::Null)
}

/// What the protocol refuses, as the spoke understands it.
pub fn refused(outcome: Appended) -> Failure {
    match outcome {
        Appended::NotNext { origin, head } => failure(
            StatusCode::CONFLICT,
            "not_next",
            "the entry does not extend the chain that is known here",
            json!({ "origin": origin, "head": head }),
        ),
        Appended::IdReused(id) => failure(
            StatusCode::CONFLICT,
            "id_reused",
            &format!("op {id} is known here with other bytes"),
            Value::Null,
        ),
        Appended::OwnerMismatch(owner) => failure(
            StatusCode::CONFLICT,
            "owner_mismatch",
            &format!("an op belongs to {owner}"),
            Value::Null,
        ),
        Appended::Malformed(why) => malformed(&why),
        Appended::Done { .. } => Error::internal("a batch was taken and refused").into(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.code {
            Code::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
            Code::NoOwnerYet
            | Code::StoreInUse
            | Code::StoreMissing
            | Code::DiskFailed
            | Code::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Code::OwnerMismatch => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        tracing::warn!(code = error.code.as_str(), "{}", error.message);
        failure(status, error.code.as_str(), &error.message, Value::Null)
    }
}
