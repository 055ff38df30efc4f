//! `GET /sync/pull`: the entries that a cursor lacks. `POST` takes the same
//! question as a body: a cursor of thousands of origins is too long for a URL.

use std::sync::Arc;

use axum::extract::{Query, State, rejection::QueryRejection};
use serde::Deserialize;

use super::{
    Hub,
    body::JsonBody,
    door::Acting,
    reply::{self, Reply},
};
use crate::{
    cursor::Cursor,
    error::Result,
    id::OwnerId,
    store::Store,
    sync::{PAGE, PageBody},
};

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    after: String,
    limit: Option<usize>,
}

/// A page for a cursor.
///
/// # Errors
/// SQLite's.
pub fn answer(store: &Store, owner: &OwnerId, after: &Cursor, limit: usize) -> Result<PageBody> {
    let (entries, more) = store.entries_after(owner, &|origin| after.of(origin), limit)?;
    let mut cursor = after.clone();
    entries.iter().for_each(|entry| cursor.advance(&entry.origin, entry.seq));
    Ok(PageBody { entries, cursor: cursor.encode(), more })
}

pub(super) async fn handle(
    State(hub): State<Arc<Hub>>,
    acting: Acting,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Reply {
    let Query(asked) = asked.map_err(|e| reply::bad_request(&e.body_text()))?;
    page(&hub, acting, &asked).await
}

pub(super) async fn handle_body(
    State(hub): State<Arc<Hub>>,
    acting: Acting,
    JsonBody(body): JsonBody,
) -> Reply {
    let asked = serde_json::from_slice(&body).map_err(|e| reply::bad_request(&e.to_string()))?;
    page(&hub, acting, &asked).await
}

async fn page(hub: &Hub, acting: Acting, asked: &Asked) -> Reply {
    let after = Cursor::decode(&asked.after).map_err(|e| reply::bad_request(&e.to_string()))?;
    let limit = asked.limit.unwrap_or(PAGE);
    reply::ok(&hub.read(acting, move |store, owner| answer(store, owner, &after, limit)).await?)
}
