//! What the same machine does at the same time without any of our code but
//! the tables: plain inserts, durable commits, flushes of the disk.

use std::{
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, types::Value};

/// All rows of a table.
struct Table {
    insert: String,
    rows: Vec<Vec<Value>>,
}

/// Inserts a store's rows into an empty file with the same tables, in so many
/// durable transactions.
pub fn plain_inserts(db: &Path, to: &Path, transactions: usize) -> Duration {
    let source = Connection::open(db).unwrap();
    let tables = tables(&source);
    let mut copy = durable(to);
    for sql in schema(&source) {
        copy.execute_batch(&sql).unwrap();
    }
    let begun = Instant::now();
    for n in 0..transactions {
        let work = copy.transaction().unwrap();
        for Table { insert, rows } in &tables {
            let mut insert = work.prepare_cached(insert).unwrap();
            let slice = rows.len() * n / transactions..rows.len() * (n + 1) / transactions;
            for row in &rows[slice] {
                insert.execute(rusqlite::params_from_iter(row)).unwrap();
            }
        }
        work.commit().unwrap();
    }
    begun.elapsed()
}

fn schema(source: &Connection) -> Vec<String> {
    let mut read = source
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, rowid")
        .unwrap();
    read.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn tables(source: &Connection) -> Vec<Table> {
    let mut read = source.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let names = read.query_map([], |row| row.get::<_, String>(0)).unwrap();
    names.map(|name| table(source, &name.unwrap())).collect()
}

fn table(source: &Connection, name: &str) -> Table {
    let mut read = source.prepare(&format!("SELECT * FROM {name}")).unwrap();
    let columns = read.column_count();
    let places = vec!["?"; columns].join(", ");
    let cells = |row: &rusqlite::Row<'_>| (0..columns).map(|n| row.get(n)).collect();
    let rows = read.query_map([], cells).unwrap().map(Result::unwrap).collect();
    Table { insert: format!("INSERT INTO {name} VALUES ({places})"), rows }
}

/// A database as ours are: every commit is on the medium.
pub fn durable(db: &Path) -> Connection {
    let conn = Connection::open(db).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF",
    )
    .unwrap();
    conn
}

/// How long one durable commit of one row takes.
pub fn commit(conn: &Connection, n: usize) -> Duration {
    let begun = Instant::now();
    conn.execute("INSERT INTO one VALUES (?1, 'a line of text')", [n]).unwrap();
    begun.elapsed()
}

/// How long it takes to write 4 KiB and flush them, 200 times.
pub fn flushes(dir: &Path) -> Vec<Duration> {
    let mut file = File::create(dir.join("flushes")).unwrap();
    (0..200)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[7; 4096]).unwrap();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect()
}
