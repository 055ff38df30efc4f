//! The receipt: what was copied from where, and what was found equal, in a
//! file beside the copy, for whoever wants to prove it again.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{Becoming, SeededFrom, own::Fresh};
use crate::{
    clock::rfc3339,
    error::{Code, Error, Result, file},
    hlc::TRUSTED_AHEAD_MS,
    id::{OwnerId, hex},
    report::Warning,
    store::{
        file::{User, beside, folder, sync_to_medium},
        proof::{Proof, TableProof},
        snapshot::{Judged, Proved, name_of},
    },
};

/// What a receipt is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A seed: `DB.seeded.json`.
    Seed,
    /// A restore: `DB.restored.json`.
    Restore,
    /// A backup: beside it, `.json` in place of `.db.zst`.
    Backup,
}

/// What was copied, as a receipt holds it. Fields are only added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Of this document.
    pub schema_version: u32,
    /// What was made.
    pub kind: Kind,
    /// The program that wrote it.
    pub version: String,
    /// Where the data came from.
    pub source: String,
    /// What was made of it.
    pub target: String,
    /// When.
    pub at: String,
    /// Whose data it is.
    pub owner_id: OwnerId,
    /// The source's origin; a store that had been reset by hand has none.
    pub old_origin: Option<String>,
    /// The copy's origin.
    pub new_origin: Option<String>,
    /// The copy's epoch.
    pub epoch: Option<String>,
    /// Every table of the new store.
    pub tables: Vec<TableReceipt>,
    /// The digest of the schema's text, equal on both sides.
    pub schema: String,
    /// `PRAGMA user_version`, equal on both sides.
    pub user_version: i32,
    /// `PRAGMA application_id`, equal on both sides.
    pub application_id: i32,
    /// The keys of `meta` that differ from the source's.
    pub meta_changed: Vec<String>,
    /// How many ops there are, where there is a table of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op_count: Option<u64>,
    /// The last entry of each chain, where there is a table of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<Vec<HeadReceipt>>,
    /// SHA-256 of the store's file; of a backup's, before it was compressed.
    pub sha256: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The file that a backup is, compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed: Option<Compressed>,
    /// Where the store is that stood there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
    /// How long copying and proving took.
    pub seconds: f64,
    /// What to know besides.
    pub warnings: Vec<Warning>,
}

/// A backup's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compressed {
    /// Its SHA-256.
    pub sha256: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A table of the new store, against the source's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReceipt {
    /// What it holds.
    #[serde(flatten)]
    pub proof: TableProof,
    /// It holds what the source's holds. Only `meta` may differ.
    pub equal: bool,
}

/// The last entry of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadReceipt {
    /// Whose chain it is.
    pub origin: String,
    /// Its place in it.
    pub seq: u64,
    /// Its hash, in hexadecimal.
    pub hash: String,
}

/// Where a store's receipt is.
#[must_use]
pub fn receipt_path(db: &Path, kind: Kind) -> PathBuf {
    beside(db, kind.suffix())
}

impl Kind {
    /// What stands behind the name of the copy.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Seed => ".seeded.json",
            Self::Restore => ".restored.json",
            Self::Backup => ".json",
        }
    }
}

impl Receipt {
    /// Of a proved copy that is a replica of its own, and still open.
    pub(super) fn of_seed(
        proved: &Proved,
        fresh: &Fresh<'_>,
        copy: &Connection,
        to: &Path,
    ) -> Self {
        let kind = match fresh.becoming {
            Becoming::Hub { .. } | Becoming::Device => Kind::Seed,
            Becoming::Restored { .. } => Kind::Restore,
        };
        let mut receipt = Self::of(kind, proved, &fresh.mark, copy);
        receipt.target = name_of(to);
        receipt.new_origin = Some(fresh.origin.to_string());
        receipt.epoch = Some(fresh.epoch.clone());
        receipt
    }

    /// Of a proved copy, which is still open.
    pub(in crate::store) fn of(
        kind: Kind,
        proved: &Proved,
        mark: &SeededFrom,
        copy: &Connection,
    ) -> Self {
        let SeededFrom { source, owner, origin, at, .. } = mark.clone();
        Self {
            schema_version: 1,
            kind,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            source,
            target: String::new(),
            at,
            owner_id: owner,
            new_origin: origin.clone(),
            old_origin: origin,
            epoch: None,
            tables: tables(proved),
            schema: proved.copy.schema.clone(),
            user_version: proved.copy.user_version,
            application_id: proved.copy.application_id,
            meta_changed: proved.meta_changed.clone(),
            op_count: proved.copy.table("ops").map(|ops| ops.rows),
            heads: heads(copy),
            sha256: proved.sha256.clone(),
            bytes: proved.bytes,
            compressed: None,
            replaced: None,
            seconds: 0.0,
            warnings: Vec::new(),
        }
    }

    /// Whether both are of copies of one store.
    #[must_use]
    pub fn is_of_the_store_of(&self, other: &Self) -> bool {
        self.owner_id == other.owner_id && self.source == other.source
    }

    /// What it says that the copy held.
    #[must_use]
    pub fn proof(&self) -> Proof {
        Proof {
            tables: self.tables.iter().map(|table| table.proof.clone()).collect(),
            schema: self.schema.clone(),
            user_version: self.user_version,
            application_id: self.application_id,
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// `source_not_found`; `config_invalid` for what is none.
    pub fn load(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(
                    Code::SourceNotFound,
                    format!("there is no receipt at {}", path.display()),
                    "give the one that was written beside the copy",
                ));
            }
            other => other.map_err(file(path, "read"))?,
        };
        serde_json::from_str(&text).map_err(|error| {
            Error::new(
                Code::ConfigInvalid,
                format!("{} is not a receipt: {error}", path.display()),
                "give the one that was written beside the copy",
            )
        })
    }

    /// Writes it beside its store, whole or not at all. It is there before
    /// the store is, so that a whole store always has one; `staging` is a
    /// name that the next seed would clear away.
    pub(in crate::store) fn write(
        &self,
        db: &Path,
        staging: &Path,
        user: Option<User>,
    ) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(Error::internal)? + "\n";
        let (staged, path) = (beside(staging, ".receipt.json"), receipt_path(db, self.kind));
        let written = write_synced(&staged, text.as_bytes()).map_err(file(&path, "write"));
        let written = written
            .and_then(|()| user.map_or(Ok(()), |user| user.give(&staged)))
            .and_then(|()| put(&staged, &path).map_err(file(&path, "write")));
        written.inspect_err(|_| drop(std::fs::remove_file(&staged)))
    }
}

fn put(staged: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::rename(staged, path)?;
    sync_to_medium(&File::open(folder(path))?)
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut receipt = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    receipt.write_all(bytes)?;
    sync_to_medium(&receipt)
}

/// The tables of a proved copy, each beside the source's.
fn tables(proved: &Proved) -> Vec<TableReceipt> {
    let equal = |table: &TableProof| proved.source.table(&table.name) == Some(table);
    let tables = proved.copy.tables.iter();
    tables.map(|table| TableReceipt { equal: equal(table), proof: table.clone() }).collect()
}

/// The heads, where a store keeps them as ours does.
fn heads(conn: &Connection) -> Option<Vec<HeadReceipt>> {
    let mut read = conn.prepare("SELECT origin, seq, hash FROM heads ORDER BY origin").ok()?;
    let heads = read.query_map([], |row| {
        let hash: Vec<u8> = row.get(2)?;
        Ok(HeadReceipt { origin: row.get(0)?, seq: row.get(1)?, hash: hex(&hash) })
    });
    heads.ok()?.collect::<rusqlite::Result<_>>().ok()
}

/// Whether each chain that a receipt names goes on in a store: it has that entry.
/// A store of another schema has no chains to tell.
pub(in crate::store) fn goes_on(then: &Receipt, conn: &Connection) -> rusqlite::Result<bool> {
    const ENTRY: &str = "SELECT count(*) FROM heads h JOIN chains c ON c.chain = h.n
         WHERE h.origin = ?1 AND c.seq = ?2 AND lower(hex(c.hash)) = ?3";
    let (Some(heads), Ok(mut entry)) = (&then.heads, conn.prepare(ENTRY)) else { return Ok(true) };
    for HeadReceipt { origin, seq, hash } in heads {
        let found: u64 = entry.query_row((origin, seq, hash), |row| row.get(0))?;
        if found == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses a source that has fewer ops than the receipt beside it counted when
/// it was made: what is missing may have been in a log that is gone.
///
/// # Errors
/// `store_corrupt` with both figures.
pub(in crate::store) fn refuse_shrunk(db: &Path, conn: &Connection) -> Result<()> {
    let then = [Kind::Restore, Kind::Seed].map(|kind| Receipt::load(&receipt_path(db, kind)).ok());
    let origin =
        conn.query_row("SELECT value FROM meta WHERE key = 'origin'", [], |row| row.get(0));
    let origin: Option<String> = origin.ok();
    // One of a store that was there before says nothing of this one.
    let ours = then.iter().flatten().filter(|receipt| receipt.new_origin == origin);
    let most = ours.filter_map(|receipt| receipt.op_count).max();
    let now = conn.query_row("SELECT count(*) FROM ops", [], |row| row.get::<_, u64>(0));
    let (Some(most), Ok(now)) = (most, now) else { return Ok(()) };
    if now >= most {
        return Ok(());
    }
    Err(Error::new(
        Code::StoreCorrupt,
        format!("{} has {now} ops, and had {most} when its receipt was written", db.display()),
        "look for what is missing: a lost heph.db-wal, a backup; nothing was made of it",
    ))
}

/// Whoever makes a hub by hand takes the origin away: such a copy was meant to
/// become a replica of its own already.
pub(super) fn origin_missing(source: &Judged) -> Option<Warning> {
    let text = "the source has no origin: it was reset already; the copy gets its own";
    source.origin.is_none().then(|| Warning::new("origin_missing", text))
}

/// An op that was stamped in the far future: harmless, and worth knowing,
/// because some device's clock is or was wrong.
pub(super) fn op_ahead(conn: &Connection, now: u64) -> Option<Warning> {
    const LAST: &str = "SELECT max(CAST(ops.id AS TEXT)) FROM ops";
    let id: String = conn.query_row(LAST, [], |row| row.get(0)).ok()?;
    let stamped: u64 = id.get(..13)?.parse().ok()?;
    (stamped > now.saturating_add(TRUSTED_AHEAD_MS)).then(|| {
        let origin = origin_of(conn, &id).map(|o| format!(", delivered by origin {o}"));
        let when = rfc3339(stamped);
        let from = origin.unwrap_or_default();
        Warning::new(
            "op_ahead",
            format!("op {id} is stamped {when}{from}: that device's clock is off"),
        )
    })
}

fn origin_of(conn: &Connection, op: &str) -> Option<String> {
    const ORIGIN: &str = "SELECT heads.origin FROM heads JOIN chains ON chains.chain = heads.n
         JOIN ops ON chains.op = ops.n WHERE ops.id = ?1";
    conn.query_row(ORIGIN, [op], |row| row.get(0)).ok()
}
