//! Writes that wait at the same time become durable together, and each of
//! them can still fail alone.

use std::{path::Path, sync::Arc};

use hephd::{
    error::{Code, Result},
    id::{EntityId, OwnerId},
    machine::Machine,
    node::Change,
    replica::Replica,
    store::{Birth, Store},
};
use serde_json::json;
use tokio::sync::oneshot;

fn owner() -> OwnerId {
    "the-owner".parse().unwrap()
}

fn replica(db: &Path) -> Arc<Replica> {
    let machine = Machine::this();
    Store::create(db, &Birth::Owned(owner()), &machine.entropy).unwrap();
    let store = Store::open(db, &machine).unwrap();
    Arc::new(Replica::start(store, db, &machine).unwrap())
}

fn write(store: &mut Store, name: &str, title: &str) -> Result<u64> {
    let id: EntityId = name.parse().unwrap();
    let set = json!({ "kind": "doc", "title": title }).as_object().cloned().unwrap_or_default();
    let change = Change::Node { id: Some(id), set, deleted: None };
    Ok(store.write(&owner(), &[change])?.ops)
}

/// What another program sees in the file.
fn committed(db: &Path) -> Vec<String> {
    let conn = rusqlite::Connection::open(db).unwrap();
    let mut read = conn.prepare("SELECT id FROM nodes WHERE kind = 'doc' ORDER BY id").unwrap();
    read.query_map([], |row| row.get(0)).unwrap().map(std::result::Result::unwrap).collect()
}

/// Holds the writer, so that what is asked meanwhile waits.
async fn held(replica: &Arc<Replica>) -> oneshot::Sender<()> {
    let (go, wait) = oneshot::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let replica = Arc::clone(replica);
    tokio::spawn(async move {
        replica
            .write(move |_| {
                let _ = begun.send(());
                let _ = wait.blocking_recv();
                Ok(())
            })
            .await
    });
    has_begun.await.unwrap();
    go
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_before_all_of_it_is_durable() {
    let home = tempfile::tempdir().unwrap();
    let db = home.path().join("heph.db");
    let replica = replica(&db);
    let go = held(&replica).await;
    let (first, second, file) = (Arc::clone(&replica), Arc::clone(&replica), db.clone());
    let one = tokio::spawn(async move { first.write(|store| write(store, "one", "first")).await });
    while replica.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    let seen = tokio::spawn(async move { second.write(move |_| Ok(committed(&file))).await });
    while replica.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    let in_the_file = seen.await.unwrap().unwrap();
    assert!(in_the_file.is_empty(), "the first is done and not durable yet: {in_the_file:?}");
    assert_eq!(one.await.unwrap().unwrap(), 4);
    assert_eq!(committed(&db), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_or_panics_leaves_the_others_whole() {
    let home = tempfile::tempdir().unwrap();
    let db = home.path().join("heph.db");
    let replica = replica(&db);
    let go = held(&replica).await;
    let mut asked = Vec::new();
    for n in 0..9 {
        let replica = Arc::clone(&replica);
        asked.push(tokio::spawn(async move {
            replica
                .write(move |store| match n {
                    3 => {
                        write(store, "undone", "half of a job")?;
                        write(store, "too-large", &"x".repeat(2 << 20))
                    }
                    5 => {
                        write(store, "undone", "half of a job")?;
                        panic!("planted")
                    }
                    _ => write(store, &format!("doc-{n}"), "whole"),
                })
                .await
        }));
    }
    while replica.waiting() < 9 {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    let mut codes = Vec::new();
    for one in asked {
        codes.extend(one.await.unwrap().err().map(|error| error.code));
    }
    assert_eq!(codes, [Code::ValueTooLarge, Code::Internal]);
    let docs = [0, 1, 2, 4, 6, 7, 8].map(|n| format!("doc-{n}"));
    assert_eq!(committed(&db), docs, "and of the two not even a half");
}
