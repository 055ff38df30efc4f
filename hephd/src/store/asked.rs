//! What a list asks SQLite for: a question whose answer is found by going
//! along an index, from the place where the page before it ended. It only
//! writes the question; `query` asks it.

use rusqlite::types::Value as Sql;

use crate::{
    id::OwnerId,
    node::{Linked, Order, Wanted},
};

/// The columns of a listed node. `done` and `due` are told as the index
/// `nodes_by_due` has them.
const LISTED: &str = "id, kind, title, fields, updated, hidden, conflicts";
const DONE: &str = "coalesce(json_type(fields, '$.done') = 'true', 0)";
const DUE: &str = "coalesce(nullif(CASE json_type(fields, '$.due') WHEN 'text'
    THEN json_extract(fields, '$.due') END, ''), '~')";

/// A part of what lies behind a place: SQLite goes along an index of
/// expressions only where all but the last of them are held fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch {
    /// All of it.
    Whole,
    /// As deleted, as done and due as the place.
    SameDay,
    /// As deleted and as done, and due later.
    LaterDay,
    /// Deleted, or done, where the place is not.
    Rest,
}

impl Stretch {
    /// Those that follow each other.
    pub(super) fn of(wanted: &Wanted) -> &'static [Self] {
        match (wanted.order, &wanted.after) {
            (Order::Due, Some(_)) => &[Self::SameDay, Self::LaterDay, Self::Rest],
            _ => &[Self::Whole],
        }
    }
}

/// A question, with only those conditions that it has: each then finds the
/// index that serves it.
pub(super) struct Asked {
    pub(super) sql: String,
    pub(super) values: Vec<Sql>,
}

impl Asked {
    /// At most so many rows: where no index has the order, SQLite sorts, and
    /// then keeps no more than these.
    pub(super) fn new(owner: &OwnerId, wanted: &Wanted, stretch: Stretch, most: usize) -> Self {
        let tasks_by_due = wanted.order == Order::Due && wanted.kind.as_deref() == Some("task");
        let index = if tasks_by_due { "INDEXED BY nodes_by_due" } else { "" };
        let sql = format!(
            "SELECT {LISTED} FROM nodes {index} WHERE owner = (SELECT n FROM owners WHERE id = ?)
             AND kind IS NOT NULL"
        );
        let mut asked = Self { sql, values: vec![text(owner.as_str())] };
        asked.and_what(wanted);
        asked.and_links(wanted);
        match wanted.order {
            Order::Title => asked.by_title(wanted),
            Order::Due => asked.by_due(wanted, stretch),
        }
        asked.sql.push_str(" LIMIT ?");
        asked.values.push(Sql::Integer(i64::try_from(most).unwrap_or(i64::MAX)));
        asked
    }

    fn and<const N: usize>(&mut self, condition: &str, values: [Sql; N]) {
        self.sql.push_str(&format!(" AND {condition}"));
        self.values.extend(values);
    }

    fn and_what(&mut self, wanted: &Wanted) {
        match wanted.kind.as_deref() {
            // Said in the words of the index `nodes_by_due`.
            Some("task") => self.and("kind = 'task'", []),
            Some(kind) => self.and("kind = ?", [text(kind)]),
            None => {}
        }
        if let Some(path) = &wanted.path {
            self.and("path = ?", [text(path)]);
        }
        if let Some(prefix) = &wanted.id_prefix {
            // '~' comes after whatever an id may have.
            self.and("id BETWEEN ? AND ? || '~'", [text(prefix), text(prefix)]);
        }
        if !wanted.deleted {
            self.and("hidden = 0", []);
        }
        if let Some(done) = wanted.done {
            self.and(&format!("{DONE} = {}", u8::from(done)), []);
        }
    }

    fn and_links(&mut self, wanted: &Wanted) {
        // Looked up node by node: a tag may be on more than fits in memory.
        let links = "EXISTS (SELECT 1 FROM links l INDEXED BY links_from
            WHERE l.owner = nodes.owner AND l.source = nodes.id AND l.kind = ? AND NOT l.hidden";
        if let Some(Linked { kind, to }) = &wanted.linked {
            self.and(&format!("{links} AND l.target = ?)"), [text(kind), text(to.as_str())]);
        }
        if let Some(kind) = &wanted.unlinked {
            self.and(&format!("NOT {links})"), [text(kind)]);
        }
    }

    /// `hidden` is left out where it is held fast already.
    fn by_title(&mut self, wanted: &Wanted) {
        let (keys, marks) =
            if wanted.deleted { ("hidden, title, id", "?, ?, ?") } else { ("title, id", "?, ?") };
        if let Some(place) = &wanted.after {
            self.and(&format!("({keys}) > ({marks})"), []);
            self.values.extend(wanted.deleted.then(|| flag(place.deleted)));
            self.values.extend([text(&place.title), text(place.id.as_str())]);
        }
        self.sql.push_str(&format!(" ORDER BY {keys}"));
    }

    /// What a stretch holds fast is said as a literal and left out of the
    /// order: only then does SQLite go along the index.
    fn by_due(&mut self, wanted: &Wanted, stretch: Stretch) {
        let mut keys = vec!["hidden", DONE, DUE, "title", "id"];
        if let Some(place) = &wanted.after {
            let (deleted, done) = (u8::from(place.deleted), u8::from(place.done));
            let due = text(if place.due.is_empty() { "~" } else { &place.due });
            match stretch {
                Stretch::Rest if wanted.deleted => {
                    self.and(&format!("(hidden, {DONE}) > ({deleted}, {done})"), []);
                }
                Stretch::Rest => {
                    self.and(&format!("{DONE} > {done}"), []);
                    keys.drain(..1);
                }
                _ => {
                    self.and(&format!("hidden = {deleted} AND {DONE} = {done}"), []);
                    let same = stretch == Stretch::SameDay;
                    self.and(&format!("{DUE} {} ?", if same { "=" } else { ">" }), [due]);
                    keys.drain(..if same { 3 } else { 2 });
                }
            }
            if stretch == Stretch::SameDay {
                let rest = [text(&place.title), text(place.id.as_str())];
                self.and("(title, id) > (?, ?)", rest);
            }
        } else if !wanted.deleted {
            keys.drain(..if wanted.done.is_some() { 2 } else { 1 });
        }
        self.sql.push_str(&format!(" ORDER BY {}", keys.join(", ")));
    }
}

fn flag(is_so: bool) -> Sql {
    Sql::Integer(is_so.into())
}

fn text(text: &str) -> Sql {
    Sql::Text(text.to_owned())
}

#[cfg(test)]
mod tests {
    use rusqlite::params_from_iter;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        clock::{Clock, Entropy},
        machine::Machine,
        store::{Birth, Store},
    };

    /// What SQLite does for each question of a list.
    fn plans(wanted: &Value) -> Vec<String> {
        let machine =
            Machine { clock: Clock::System, entropy: Entropy::System, name: "test".to_owned() };
        let owner: OwnerId = "me".parse().unwrap();
        let store = Store::in_memory(&Birth::Owned(owner.clone()), &machine).unwrap();
        let wanted: Wanted = serde_json::from_value(wanted.clone()).unwrap();
        let plan = |stretch: &Stretch| {
            let asked = Asked::new(&owner, &wanted, *stretch, 10);
            let sql = format!("EXPLAIN QUERY PLAN {}", asked.sql);
            let mut read = store.conn.prepare(&sql).unwrap();
            let lines = read.query_map(params_from_iter(asked.values), |row| row.get(3)).unwrap();
            let lines: Vec<String> = lines.collect::<rusqlite::Result<_>>().unwrap();
            let told =
                |line: &String| !line.contains("SCALAR SUBQUERY") && !line.contains("owners");
            lines.into_iter().filter(told).collect::<Vec<_>>().join("; ")
        };
        Stretch::of(&wanted).iter().map(plan).collect()
    }

    /// Else every page would cost as much as all that come before it.
    #[test]
    fn a_page_is_found_by_going_along_an_index() {
        let by_kind = "SEARCH nodes USING INDEX nodes_by_kind (owner=? AND kind=? AND ";
        let by_due = "SEARCH nodes USING INDEX nodes_by_due (owner=? AND kind=? AND hidden=? AND ";
        let (title, due) = (json!({ "title": "t", "id": "x" }), json!({ "due": "d", "id": "x" }));
        let wanted = json!({ "kind": "task", "order": "due", "after": due });
        for (wanted, plan) in [
            (
                json!({ "kind": "doc", "after": title }),
                format!("{by_kind}hidden=? AND (title,id)>(?,?))"),
            ),
            (
                json!({ "kind": "doc", "deleted": true, "after": title }),
                format!("{by_kind}(hidden,title,id)>(?,?,?))"),
            ),
            (
                json!({ "kind": "task", "order": "due", "done": false }),
                format!("{by_due}<expr>=?)"),
            ),
        ] {
            assert_eq!(plans(&wanted), [plan]);
        }
        let plans = plans(&wanted);
        assert!(plans.iter().all(|plan| !plan.contains("TEMP B-TREE")), "{plans:?}");
        assert_eq!(plans[0], format!("{by_due}<expr>=? AND <expr>=? AND (title,id)>(?,?))"));
        assert_eq!(plans[1], format!("{by_due}<expr>=? AND <expr>>?)"));
    }

    #[test]
    fn links_are_looked_up_node_by_node() {
        let linked = json!({ "kind": "tag", "to": "x" });
        for wanted in [
            json!({ "kind": "doc", "linked": linked }),
            json!({ "kind": "doc", "unlinked": "tag" }),
        ] {
            let plan = plans(&wanted).concat();
            assert!(plan.contains("INDEX links_from (owner=? AND source=? AND kind=?)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
