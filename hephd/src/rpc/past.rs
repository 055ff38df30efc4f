//! Methods about what a node was and what became of it: `node.get`,
//! `history`, `conflicts.list`, `conflicts.resolve`.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{INVALID_PARAMS, RpcError, data::Data};
use crate::{
    error::{Code, Error, Result},
    history::Resolved,
    hlc::Hlc,
    id::{EntityId, OwnerId},
    merge::DELETED,
    node::{Change, Node},
    store::Store,
};

/// How many events or conflicts are told where no number is asked for.
const USUAL_PAGE: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GetParams {
    id: EntityId,
    /// As it was when this was the last op.
    until: Option<Hlc>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryParams {
    id: EntityId,
    after: Option<Hlc>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConflictsParams {
    /// Of this node only.
    id: Option<EntityId>,
    after: Option<EntityId>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResolveParams {
    id: EntityId,
    field: String,
    /// The value; of `deleted` whether the node is to be.
    value: Value,
    /// The versions that were looked at, if the answer is to hold for these
    /// only.
    versions: Option<BTreeSet<Hlc>>,
    /// What follows from it, in the same transaction.
    #[serde(default)]
    changes: Vec<Change>,
}

impl Data<'_> {
    pub(super) async fn get(&self, GetParams { id, until }: GetParams) -> Result<Value, RpcError> {
        self.show(move |store, owner| match until {
            Some(until) => store.node_until(owner, &id, until),
            None => {
                let node = store.node(owner, &id)?;
                node.map(|node| Ok(Node { tags: Some(store.tags_of(owner, &id)?), ..node }))
                    .transpose()
            }
        })
        .await
    }

    pub(super) async fn history(&self, asked: HistoryParams) -> Result<Value, RpcError> {
        let HistoryParams { id, after, limit } = asked;
        let limit = limit.unwrap_or(USUAL_PAGE);
        self.show(move |store, owner| store.history(owner, &id, after, limit)).await
    }

    pub(super) async fn conflicts(&self, asked: ConflictsParams) -> Result<Value, RpcError> {
        let ConflictsParams { id, after, limit } = asked;
        let limit = limit.unwrap_or(USUAL_PAGE);
        self.show(move |store, owner| match id {
            Some(id) => store.conflicts_of(owner, &[id]),
            None => store.conflicts_page(owner, after.as_ref(), limit),
        })
        .await
    }

    /// On the writer's thread, so that nothing comes between looking and
    /// writing.
    pub(super) async fn resolve(&self, asked: ResolveParams) -> Result<Value, RpcError> {
        let owner = self.owner().await?;
        let answer = asked.answer()?;
        let settle = move |store: &mut Store| asked.settle(store, &owner, answer);
        Ok(json!(self.replica.add(settle, |resolved| resolved.ops > 0).await?))
    }
}

impl ResolveParams {
    /// The write that is the answer.
    fn answer(&self) -> Result<Change, RpcError> {
        let (mut set, mut deleted) = (Map::new(), None);
        match (self.field.as_str(), &self.value) {
            (DELETED, Value::Bool(delete)) => deleted = Some(*delete),
            (DELETED, _) => {
                let message = "the arguments: value: whether to delete is true or false";
                return Err(RpcError::protocol(INVALID_PARAMS, message.to_owned()));
            }
            (field, value) => drop(set.insert(field.to_owned(), value.clone())),
        }
        Ok(Change::Node { id: Some(self.id.clone()), set, deleted })
    }

    fn settle(self, store: &mut Store, owner: &OwnerId, answer: Change) -> Result<Resolved> {
        let disputes = store.disputes_of(owner, &self.id)?;
        let Some(dispute) = disputes.into_iter().find(|dispute| dispute.field == self.field) else {
            return Ok(Resolved { resolved: false, ops: 0 });
        };
        let now: BTreeSet<Hlc> = dispute.versions.iter().map(|version| version.id).collect();
        if self.versions.is_some_and(|seen| seen != now) {
            return Err(Error::new(
                Code::ConflictChanged,
                format!("{} of {} was written again meanwhile", self.field, self.id),
                "look at it once more: heph conflicts",
            ));
        }
        let changes: Vec<Change> = [answer].into_iter().chain(self.changes).collect();
        Ok(Resolved { resolved: true, ops: store.write(owner, &changes)?.ops })
    }
}
