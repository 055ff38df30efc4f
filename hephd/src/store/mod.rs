//! The only owner of a SQLite connection.
//!
//! One transaction writes the op, its chain entry and the state worked out
//! from it; nothing is acknowledged before it is durable. Every call names
//! the owner whose data it is about: ops of one owner are invisible to
//! another.
//!
//! - [`file`]: where a store may lie, who holds it, how one comes into being
//! - [`schema`]: its tables
//! - [`copy`]: whole stores in memory, as the next process finds them
//! - `oplog`: ops, chains, heads; taking entries in and giving them out
//! - `intake`: ops on their way into the tables; `transaction`: all or none;
//!   `log`: what is durable and not yet in the file; `names`: the numbers that
//!   stand for names
//! - `state`: the versions, nodes and links that the ops mean
//! - [`fork`]: a chain that went on in two ways
//! - `write`: what a person changes becomes ops
//! - [`devices`]: who asked this hub, and when last
//! - [`subjects`]: who may act for whom
//! - `query`, `asked`: what there is to see, and how it is found
//! - `history`: what became of a node, and what it was; `disputes`: what is in
//!   conflict
//! - [`snapshot`]: a copy as of one moment, and its [`proof`]
//! - [`seed`]: a copy becomes a store of its own, and nothing is lost
//! - [`backup`]: copies for later, and the way back
//! - [`verify`], [`check`]: whether a store holds what it held, and can be used

mod asked;
pub mod backup;
pub mod check;
pub mod copy;
pub mod devices;
mod disputes;
pub mod file;
pub mod fork;
pub mod history;
mod intake;
mod log;
pub mod meaning;
mod names;
pub mod oplog;
pub mod proof;
pub mod query;
pub mod schema;
pub mod seed;
pub mod snapshot;
mod state;
pub mod subjects;
mod transaction;
mod values;
pub mod verify;
pub mod write;

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, OptionalExtension, config::DbConfig};

use self::file::Nursery;
use crate::{
    clock::Entropy,
    config::Config,
    error::{Code, Error, Result},
    hlc::{Hlc, TRUSTED_AHEAD_MS, Ticker},
    id::{Origin, OwnerId, draw_hex},
    machine::Machine,
};

const PUT_META: &str = "INSERT INTO meta (key, value) VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// How long another program that holds the file is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// A replica's file, open.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    machine: Machine,
    ticker: Ticker,
    log_due: log::LogDue,
}

/// What a store is born as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Birth {
    /// With this owner.
    Owned(OwnerId),
    /// With this owner, who is bound to a `sub` once an issuer is known.
    Promised(OwnerId, String),
    /// With an owner of its own, drawn now.
    Minting,
    /// Without one: it adopts its hub's at the first authorised exchange.
    Joining,
}

impl Birth {
    /// What a daemon's flags make of a store that is not there yet.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        match (&config.owner_id, &config.hub_url) {
            (Some(owner), _) => Self::Owned(owner.clone()),
            (None, Some(_)) => Self::Joining,
            (None, None) => Self::Minting,
        }
    }
}

impl Store {
    /// Makes a new store file, whole or not at all.
    ///
    /// # Errors
    /// `target_not_empty` when the file exists, `target_sidecar_left` where
    /// another store's log lies; whatever [`file::check_place`] refuses.
    pub fn create(db: &Path, birth: &Birth, entropy: &Entropy) -> Result<()> {
        file::check_place(db)?;
        file::refuse_sidecars(db)?;
        let nursery = Nursery::enter(db, entropy)?;
        nursery.create()?;
        let conn = Connection::open(nursery.staging())?;
        lay_out(&conn, birth, entropy)?;
        conn.close().map_err(|(_, error)| error)?;
        nursery.publish()
    }

    /// Opens an existing store for reading and writing. A store without an
    /// origin gets a fresh one, which keeps the hand-made seed working.
    ///
    /// # Errors
    /// `store_missing`, `not_a_heph_store`, `schema_newer`, `store_corrupt`.
    pub fn open(db: &Path, machine: &Machine) -> Result<Self> {
        file::check_place(db)?;
        if !db.exists() {
            return Err(missing(db));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(db, flags)?;
        let store = Self::over(conn, machine.clone(), &db.display().to_string())?;
        store.conn.execute_batch("PRAGMA journal_mode = WAL")?;
        store.ensure_origin()?;
        Ok(store)
    }

    /// A second connection to a store, for reading only: it never waits for
    /// the writer.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_reader(db: &Path, machine: &Machine) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(db, flags)?;
        Self::over(conn, machine.clone(), &db.display().to_string())
    }

    /// A store in memory, for tests and simulations.
    ///
    /// # Errors
    /// SQLite's.
    pub fn in_memory(birth: &Birth, machine: &Machine) -> Result<Self> {
        let conn = Connection::open_in_memory()?;
        // Trees as deep as those of much larger stores, and copied faster.
        conn.execute_batch("PRAGMA page_size = 1024")?;
        lay_out(&conn, birth, &machine.entropy)?;
        let store = Self::over(conn, machine.clone(), ":memory:")?;
        store.ensure_origin()?;
        Ok(store)
    }

    fn over(conn: Connection, machine: Machine, name: &str) -> Result<Self> {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        // What is bound never changes a plan: without this, some statements are
        // compiled anew for each value.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.execute_batch(
            "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON;
             PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;",
        )?;
        conn.busy_timeout(BUSY)?;
        conn.set_prepared_statement_cache_capacity(64);
        schema::check(&conn, name)?;
        Self::started(conn, machine)
    }

    /// A process starts on what a connection reads.
    fn started(conn: Connection, machine: Machine) -> Result<Self> {
        let actor = u64::from_le_bytes(machine.entropy.bytes());
        let mut store =
            Self { conn, machine, ticker: Ticker::new(actor), log_due: log::LogDue::default() };
        store.observe_known_ids()?;
        Ok(store)
    }

    /// Ids rise above all that is known here and lies at a believable time.
    fn observe_known_ids(&mut self) -> Result<()> {
        let now = self.machine.clock.now_ms();
        let limit = format!("{:013}-g", now.saturating_add(TRUSTED_AHEAD_MS));
        let Some(owner) = self.owner()? else { return Ok(()) };
        let mut read = self.conn.prepare_cached(
            "SELECT max(id) FROM ops
             WHERE owner = (SELECT n FROM owners WHERE id = ?1) AND id < ?2",
        )?;
        let last: Option<String> = read.query_row([owner.as_str(), &limit], |row| row.get(0))?;
        drop(read);
        if let Some(id) = last.and_then(|text| text.parse::<Hlc>().ok()) {
            self.ticker.observe(id, now);
        }
        Ok(())
    }

    fn ensure_origin(&self) -> Result<()> {
        if self.meta("origin")?.is_none() {
            self.set_meta("origin", Origin::draw(&self.machine.entropy).as_str())?;
        }
        Ok(())
    }

    /// A value of `meta`.
    ///
    /// # Errors
    /// SQLite's.
    pub fn meta(&self, key: &str) -> Result<Option<String>> {
        let mut read = self.conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(read.query_row([key], |row| row.get(0)).optional()?)
    }

    /// Sets a value of `meta`, durably.
    ///
    /// # Errors
    /// SQLite's.
    pub fn set_meta(&self, key: &str, value: &str) -> Result<()> {
        self.conn.prepare_cached(PUT_META)?.execute([key, value])?;
        Ok(())
    }

    /// Whose data this is; none until a joining store has met its hub.
    ///
    /// # Errors
    /// `store_corrupt` when the owner in the file is no owner id.
    pub fn owner(&self) -> Result<Option<OwnerId>> {
        self.meta("owner_id")?
            .map(|text| text.parse().map_err(|e| damaged("owner_id", &e)))
            .transpose()
    }

    /// Adopts the hub's owner. Harmless when it is this one already.
    ///
    /// # Errors
    /// `owner_mismatch` when the store has another.
    pub fn adopt(&self, owner: &OwnerId) -> Result<()> {
        match self.owner()? {
            None => self.set_meta("owner_id", owner.as_str()),
            Some(mine) if mine == *owner => Ok(()),
            Some(mine) => Err(Error::new(
                Code::OwnerMismatch,
                format!("this store belongs to {mine}, the other side to {owner}"),
                "sync with the hub of the same owner, or start with an empty store",
            )),
        }
    }

    /// The chain that this replica appends to.
    ///
    /// # Errors
    /// `store_corrupt` when the origin in the file is no origin.
    pub fn origin(&self) -> Result<Origin> {
        let text = self.meta("origin")?.unwrap_or_default();
        text.parse().map_err(|e| damaged("origin", &e))
    }

    /// Whether nothing was ever written here.
    ///
    /// # Errors
    /// SQLite's.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.conn.query_row("SELECT NOT EXISTS (SELECT 1 FROM ops)", [], |row| row.get(0))?)
    }

    /// Shows that a write can be made durable now.
    ///
    /// # Errors
    /// SQLite's: a full disk, a file that became read-only.
    pub fn probe_write(&self) -> Result<()> {
        self.set_meta("device_probe", &self.machine.clock.now_ms().to_string())
    }

    /// Checks the file itself, page by page.
    ///
    /// # Errors
    /// `store_corrupt` with SQLite's first words on it.
    pub fn check_integrity(&self) -> Result<()> {
        let word: String =
            self.conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if word == "ok" { Ok(()) } else { Err(damaged("integrity check", &word)) }
    }
}

fn lay_out(conn: &Connection, birth: &Birth, entropy: &Entropy) -> Result<()> {
    schema::create(conn)?;
    let owner = match birth {
        Birth::Owned(owner) | Birth::Promised(owner, _) => Some(owner.clone()),
        Birth::Minting => Some(OwnerId::draw(entropy)),
        Birth::Joining => None,
    };
    let mut put = conn.prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)")?;
    put.execute(["epoch", &draw_hex::<8>(entropy)])?;
    put.execute(["origin", Origin::draw(entropy).as_str()])?;
    if let Some(owner) = owner {
        put.execute(["owner_id", owner.as_str()])?;
    }
    if let Birth::Promised(_, sub) = birth {
        let (key, sub) = subjects::promise(sub);
        put.execute([key, sub])?;
    }
    Ok(())
}

/// `--existing-store`, and nothing is there.
#[must_use]
pub fn missing(db: &Path) -> Error {
    Error::new(
        Code::StoreMissing,
        format!("there is no store at {}", db.display()),
        "mount its disk, or make it: heph-ops seed --from SOURCE, or heph-ops restore --from BACKUP",
    )
}

fn damaged(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new(
        Code::StoreCorrupt,
        format!("the store is damaged: {what}: {why}"),
        "stop here and restore a backup, or seed again from another device",
    )
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Sqlite;
        match error.sqlite_error_code() {
            Some(Sqlite::DatabaseCorrupt) => damaged("SQLite", &error),
            Some(Sqlite::NotADatabase) => Self::new(
                Code::NotAHephStore,
                "the file is not a SQLite database",
                "give the path of a device's or a hub's heph.db",
            ),
            Some(Sqlite::DiskFull) => {
                Self::new(Code::NoSpace, format!("the disk is full: {error}"), "free some space")
            }
            Some(Sqlite::SystemIoFailure) => Self::new(
                Code::DiskFailed,
                format!("the disk failed: {error}"),
                "look at its health before anything else",
            ),
            Some(Sqlite::DatabaseBusy | Sqlite::DatabaseLocked) => Self::new(
                Code::StoreInUse,
                format!("another program holds the store: {error}"),
                "close the program that has it open, then try again",
            ),
            Some(Sqlite::ReadOnly | Sqlite::CannotOpen | Sqlite::PermissionDenied) => Self::new(
                Code::InsecurePermissions,
                format!("the store cannot be opened for writing: {error}"),
                "look at its owner and mode: it and its folder must be the daemon's own",
            ),
            _ => Self::internal(format!("SQLite: {error}")),
        }
    }
}
