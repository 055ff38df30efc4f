//! Which node a person means: by an id or its beginning, by a tag's name, by
//! a journal's day.

use hephd::{
    error::{Code, Error, Result},
    id::{EntityId, OwnerId},
    node::Node,
};
use jiff::civil::Date;

use crate::{session::Session, tags};

/// The id of a day's journal, the same on every device of the owner.
#[must_use]
pub fn journal_id(owner: &OwnerId, day: Date) -> EntityId {
    EntityId::derived(owner, "journal", &day.to_string())
}

/// A day as it is written here.
///
/// # Errors
/// For what is no day.
pub fn day(text: &str) -> Result<Date, String> {
    match text.parse::<Date>() {
        // Only this way of writing a day sorts as the days do.
        Ok(date) if date.to_string() == text => Ok(date),
        _ => Err("not a day; write it as 2027-01-31".to_owned()),
    }
}

impl Session {
    /// The one node that is meant, whatever it is; also a deleted one if they
    /// are asked for.
    ///
    /// # Errors
    /// `node_not_found`; `usage` for a beginning that is too short or that
    /// several ids have.
    pub fn meant(&mut self, given: &str, deleted: bool) -> Result<Node> {
        let derived = match day(given) {
            Ok(day) => Some(journal_id(&self.owner()?, day)),
            Err(_) if given.starts_with('#') => {
                Some(tags::tag_id(&self.owner()?, &tags::name(given)?))
            }
            Err(_) => None,
        };
        let Some(id) = derived else { return self.find_any(None, given, deleted) };
        let node = self.get(&id)?.filter(|node| deleted || !node.deleted);
        node.ok_or_else(|| {
            let (what, list) = match given.strip_prefix('#') {
                Some(tag) => (format!("tag {tag:?}"), "heph tag list"),
                None => (format!("journal of {given}"), "heph journal list"),
            };
            let hint = format!("list what there is: {list}");
            Error::new(Code::NodeNotFound, format!("there is no {what}"), hint)
        })
    }
}
