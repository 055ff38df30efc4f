//! How answers look. The only user of `StatusCode`.

use axum::{
    Json,
    extract::{Request, rejection::BytesRejection},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::MAX_BODY_BYTES;
use crate::{
    error::{Code, Error},
    op::Hash,
    store::oplog::Appended,
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

/// The body could not be taken: too large, or cut off.
pub fn bad_body(rejected: &BytesRejection) -> Failure {
    match rejected.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => bad_request(&rejected.body_text()),
    }
}

fn too_large() -> Failure {
    let limit = json!({ "limit": MAX_BODY_BYTES });
    failure(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "send fewer entries", limit)
}

/// A body that is announced as too large is refused before it is sent.
pub async fn refuse_large_bodies(request: Request, next: Next) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let bytes = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if bytes.is_some_and(|bytes| bytes > MAX_BODY_BYTES) {
        return too_large().into_response();
    }
    next.run(request).await
}

/// 503 with a reason.
pub fn not_ready(message: &str) -> Failure {
    failure(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message, Value::Null)
}

/// 404 for whatever there is not.
pub async fn not_found() -> Failure {
    failure(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path", Value::Null)
}

/// 405: there is something, but not for this method.
pub async fn method_not_allowed() -> Failure {
    let message = "this path does not take that method";
    failure(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message, Value::Null)
}

/// 403: not from there.
pub fn forbidden(message: &str) -> Failure {
    failure(StatusCode::FORBIDDEN, "forbidden", message, Value::Null)
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
        Appended::Malformed(why) => {
            failure(StatusCode::UNPROCESSABLE_ENTITY, "malformed", &why, Value::Null)
        }
        Appended::Done { .. } => Error::internal("a batch was taken and refused").into(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.code {
            Code::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
            Code::NoOwnerYet | Code::StoreInUse | Code::StoreMissing => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Code::OwnerMismatch => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        tracing::warn!(code = error.code.as_str(), "{}", error.message);
        failure(status, error.code.as_str(), &error.message, Value::Null)
    }
}
