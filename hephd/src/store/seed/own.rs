//! What makes a copy a replica of its own.

use rusqlite::{Connection, ErrorCode};

use super::{Becoming, SeededFrom};
use crate::{
    clock::rfc3339,
    error::{Error, Result},
    id::{Origin, draw_hex},
    machine::Machine,
    store::{
        snapshot::{Taken, copying, digests_of_meta, is_our_failure, name_of, reading, stranger},
        subjects::promise,
    },
};

/// What is the copy's own.
pub(super) struct Fresh<'a> {
    pub(super) mark: SeededFrom,
    pub(super) origin: Origin,
    pub(super) epoch: String,
    pub(super) becoming: Becoming<'a>,
    /// Rows of `meta` that a store in its place had, and it has too.
    kept: &'a [(String, String)],
}

impl<'a> Fresh<'a> {
    pub(super) fn draw(
        taken: &Taken,
        becoming: Becoming<'a>,
        kept: &'a [(String, String)],
        Machine { clock, entropy, .. }: &Machine,
    ) -> Self {
        let mark = SeededFrom {
            source: name_of(&taken.from),
            owner: taken.judged.owner.clone(),
            origin: taken.judged.origin.clone(),
            at: rfc3339(clock.now_ms()),
            sha256: becoming.backup().map(str::to_owned),
        };
        let (origin, epoch) = (Origin::draw(entropy), draw_hex::<8>(entropy));
        Self { mark, origin, epoch, becoming, kept }
    }

    /// Whether a key of `meta` may differ from the source's.
    pub(super) fn may_change(&self, key: &str) -> bool {
        self.becoming.replaces(key) || self.kept.iter().any(|(kept, _)| kept == key)
    }

    /// The rows of `meta` that it gets.
    fn rows(&self) -> Result<Vec<(&str, String)>> {
        let mark = serde_json::to_string(&self.mark).map_err(Error::internal)?;
        let mut rows = vec![
            ("origin", self.origin.to_string()),
            ("epoch", self.epoch.clone()),
            (self.becoming.mark(), mark),
        ];
        if let Becoming::Hub { owner_sub: Some(sub) } = self.becoming {
            let (key, sub) = promise(sub);
            rows.push((key, sub.to_owned()));
        }
        rows.extend(self.kept.iter().map(|(key, value)| (key.as_str(), value.clone())));
        Ok(rows)
    }
}

/// Takes out of `meta` what belongs to the source alone and puts in what is
/// the copy's own.
pub(super) fn make_own(taken: &mut Taken, fresh: &Fresh<'_>) -> Result<()> {
    let (rows, from, staging) = (fresh.rows()?, &taken.from, &taken.staging);
    let changed = change_meta(&mut taken.copy, fresh.becoming, &rows);
    changed.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => reading(from)(error),
        _ if is_our_failure(&error) => copying(staging)(error),
        _ => stranger(from, &format!("its table meta cannot be changed: {error}")),
    })
}

fn change_meta(
    copy: &mut Connection,
    becoming: Becoming<'_>,
    rows: &[(&str, String)],
) -> rusqlite::Result<()> {
    let change = copy.transaction()?;
    for key in digests_of_meta(&change)?.into_keys().filter(|key| becoming.replaces(key)) {
        change.execute("DELETE FROM meta WHERE CAST(key AS TEXT) = ?1", [key])?;
    }
    for (key, value) in rows {
        change.execute("DELETE FROM meta WHERE CAST(key AS TEXT) = ?1", [key])?;
        change.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", [key, value.as_str()])?;
    }
    change.commit()
}
