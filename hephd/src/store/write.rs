//! What a person changes becomes ops.

use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::{Store, intake::Intake, transaction::Work, values};
use crate::{
    error::{Code, Error, Result},
    hlc::Ticker,
    id::{EntityId, Origin, OwnerId},
    machine::Machine,
    merge::{DELETED, Entity},
    node::{Change, Link, Written},
    op::{Head, MAX_OP_BYTES, Op, Set, Target},
};

impl Store {
    /// Writes changes in one durable transaction, all or none.
    ///
    /// # Errors
    /// `value_too_large`, `node_not_found`, `usage`; SQLite's.
    pub fn write(&mut self, owner: &OwnerId, changes: &[Change]) -> Result<Written> {
        let origin = self.origin()?;
        let work = Work::begin(&self.conn)?;
        let mut pen = Pen::new(&work, owner, origin, &mut self.ticker, &self.machine)?;
        let ids = changes.iter().map(|change| pen.change(change)).collect::<Result<Vec<_>>>()?;
        let ops = pen.finish()?;
        work.commit()?;
        Ok(Written { ids, ops })
    }
}

/// Appends ops to one chain within one transaction.
pub(super) struct Pen<'a> {
    owner: &'a OwnerId,
    origin: Origin,
    ticker: &'a mut Ticker,
    machine: &'a Machine,
    intake: Intake<'a>,
    ops: u64,
}

impl<'a> Pen<'a> {
    /// A pen at the end of a chain.
    pub(super) fn new(
        conn: &'a Connection,
        owner: &'a OwnerId,
        origin: Origin,
        ticker: &'a mut Ticker,
        machine: &'a Machine,
    ) -> Result<Self> {
        let intake = Intake::new(conn, owner)?;
        Ok(Self { owner, origin, ticker, machine, intake, ops: 0 })
    }

    /// Works out what is shown of all that was written; gives how many ops
    /// that were.
    pub(super) fn finish(self) -> Result<u64> {
        self.intake.finish()?;
        Ok(self.ops)
    }

    fn change(&mut self, change: &Change) -> Result<EntityId> {
        match change {
            Change::Node { id, set, deleted } => self.node(id.as_ref(), set, *deleted),
            Change::Link { link, deleted } => self.link(link, *deleted),
        }
    }

    fn node(
        &mut self,
        id: Option<&EntityId>,
        set: &Map<String, Value>,
        deleted: Option<bool>,
    ) -> Result<EntityId> {
        values::check(set)?;
        let id = id.cloned().unwrap_or_else(|| EntityId::draw(&self.machine.entropy));
        let target = Target::Node(id.clone());
        let node = self.known(&target)?;
        if node.shown("kind").is_none() && !set.contains_key("kind") {
            return Err(Error::new(
                Code::NodeNotFound,
                format!("there is no node {id}"),
                "list what there is: heph task list, heph doc list",
            ));
        }
        for (field, value) in set {
            self.set(&target, &node, field, value)?;
        }
        match deleted {
            Some(deleted) => self.delete(&target, deleted)?,
            None if !set.is_empty() && node.hidden() => self.delete(&target, false)?,
            None => {}
        }
        Ok(id)
    }

    fn link(&mut self, link: &Link, deleted: bool) -> Result<EntityId> {
        let id = EntityId::of_link(self.owner, &link.from, &link.to, &link.kind);
        let target = Target::Link(id.clone());
        let known = self.known(&target)?;
        if !deleted {
            self.set(&target, &known, "ends", &json!(link))?;
        }
        if deleted != known.hidden() && known.shown("ends").is_some() {
            self.delete(&target, deleted)?;
        }
        Ok(id)
    }

    fn known(&mut self, target: &Target) -> Result<Entity> {
        Ok(self.intake.entity(target)?.clone())
    }

    /// A new version that supersedes all current ones, unless they say the
    /// same already.
    fn set(&mut self, target: &Target, entity: &Entity, field: &str, value: &Value) -> Result<()> {
        let current = entity.versions(field);
        let same = current.iter().all(|version| version.value == *value);
        if same && (!current.is_empty() || value.is_null()) {
            return Ok(());
        }
        let seen = current.iter().map(|version| version.id).collect();
        self.append(target.clone(), field, value.clone(), seen)
    }

    /// A deletion names all that it has seen of the whole node.
    fn delete(&mut self, target: &Target, deleted: bool) -> Result<()> {
        let entity = self.known(target)?;
        let stays_deleted = deleted && entity.hidden();
        let stays = !deleted && entity.versions(DELETED).is_empty();
        if stays_deleted || stays {
            return Ok(());
        }
        let value = if deleted { entity.deletion() } else { json!(false) };
        let seen = entity.versions(DELETED).iter().map(|version| version.id).collect();
        self.append(target.clone(), DELETED, value, seen)
    }

    /// One op, at the end of the replica's own chain. The first op of a chain
    /// is preceded by those of its device's node.
    fn append(
        &mut self,
        target: Target,
        field: &str,
        value: Value,
        seen: Vec<crate::hlc::Hlc>,
    ) -> Result<()> {
        if self.intake.head(&self.origin)? == Head::NONE {
            self.introduce_device()?;
        }
        self.append_one(target, field, value, seen)
    }

    pub(super) fn introduce_device(&mut self) -> Result<()> {
        let device = Target::Node(EntityId::of_device(&self.origin));
        self.append_one(device.clone(), "kind", json!("device"), Vec::new())?;
        self.append_one(device, "title", json!(self.machine.name), Vec::new())
    }

    fn append_one(
        &mut self,
        target: Target,
        field: &str,
        value: Value,
        seen: Vec<crate::hlc::Hlc>,
    ) -> Result<()> {
        let id = self.ticker.tick(self.machine.clock.now_ms());
        let owner = self.owner.clone();
        let set = Set { id, owner, target, field: field.to_owned(), value, seen };
        let bytes = set.encode().map_err(|size| too_large(field, size))?;
        let n = self.intake.add(&Op::Set(set), &bytes)?;
        self.ops += 1;
        // Nobody else mints ids of this process's actor.
        self.deliver(n.ok_or_else(|| Error::internal(format!("op {id} is there already")))?, &bytes)
    }

    /// The next entry of the chain names an op that is here.
    pub(super) fn deliver(&mut self, op: i64, bytes: &str) -> Result<()> {
        let hash = self.intake.head(&self.origin)?.hash.then(bytes);
        self.intake.deliver(&self.origin, op, hash)
    }
}

fn too_large(field: &str, size: usize) -> Error {
    Error::new(
        Code::ValueTooLarge,
        format!("{field} is too large: {size} bytes, {MAX_OP_BYTES} are the most"),
        "split it into several documents",
    )
}
