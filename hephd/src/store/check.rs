//! Whether this version can work with a store: what an update tries a new
//! binary with. The store itself is only read; what opening one changes is
//! changed in a copy.

use std::path::Path;

use super::{
    Store, file,
    proof::flaws,
    snapshot::{Reader, copy_to, damaged, reading, real_file},
};
use crate::{error::Result, machine::Machine};

/// Opens, checks and, on a copy, migrates a store.
///
/// # Errors
/// Why it could not be worked with: `store_missing`, `not_a_heph_store`,
/// `schema_newer`, `schema_older`, `store_corrupt`.
pub fn check(db: &Path, machine: &Machine) -> Result<()> {
    file::check_place(db)?;
    if !db.exists() {
        return Err(super::missing(db));
    }
    let db = file::full(db);
    let spool = file::Spool::near(&db, &machine.entropy)?;
    let copy = spool.path("copy.db");
    let source = Reader::open_source(&real_file(&db)?, &spool.path("source.db"))?;
    let conn = source.conn().map_err(reading(&db))?;
    if let Some(flaw) = flaws(conn).map_err(reading(&db))? {
        return Err(damaged(&db, &flaw));
    }
    drop(copy_to(conn, &db, &copy)?);
    let store = Store::open(&copy, machine)?;
    store.check_integrity()
}
