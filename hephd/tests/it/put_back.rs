//! Disks that are put back to an older copy of themselves: real files, copied
//! while nobody has them open.

use std::{fs, path::Path, sync::Arc};

use hephd::{
    error::Code,
    op::Heads,
    store::{Birth, Store},
    sync::{Answer, Ask},
};
use serde_json::json;

use crate::world::{self, Dice, Ended, Peer, Trip, Way, Weather, cycle, export, machine};

fn open(db: &Path, seed: u64) -> Peer {
    let clock = Arc::default();
    let machine = machine("on disk", Arc::clone(&clock), seed);
    if !db.exists() {
        let owner = Birth::Owned("the-owner".parse().unwrap());
        Store::create(db, &owner, &machine.entropy).unwrap();
    }
    let peer = Peer { store: Store::open(db, &machine).unwrap().into(), clock };
    peer.set_clock(world::TODAY);
    peer
}

/// So many edits that each change something.
fn edits(peer: &mut Peer, count: usize, dice: &Dice) {
    for _ in 0..count {
        while world::random_edit(peer, 8, dice) == 0 {}
    }
}

fn sync(spoke: &mut Peer, hub: &mut Peer, dice: &Dice) {
    assert_eq!(cycle(spoke, hub, Weather::FAIR, dice).unwrap(), Ended::Whole);
}

fn sidecars(db: &Path) -> Vec<String> {
    let files = fs::read_dir(db.parent().unwrap()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let name = db.file_name().unwrap().to_str().unwrap();
    names.filter(|other| other.starts_with(name) && other != name).collect()
}

#[test]
fn a_hub_put_back_to_an_older_file_gets_back_what_came_later_of_any_origin() {
    let (dice, home) = (Dice::new(1), tempfile::tempdir().unwrap());
    let (db, copy) = (home.path().join("heph.db"), home.path().join("copy.db"));
    let (one_db, two_db) = (home.path().join("one.db"), home.path().join("two.db"));
    let mut hub = open(&db, 1);
    let (mut one, mut two) = (open(&one_db, 2), open(&two_db, 3));
    for peer in [&mut hub, &mut one, &mut two] {
        edits(peer, 10, &dice);
    }
    sync(&mut one, &mut hub, &dice);
    sync(&mut two, &mut hub, &dice);

    drop(hub);
    assert_eq!(sidecars(&db), Vec::<String>::new(), "a store that is closed is one file");
    fs::copy(&db, &copy).unwrap();
    let mut hub = open(&db, 4);
    for peer in [&mut hub, &mut one, &mut two] {
        edits(peer, 10, &dice);
    }
    sync(&mut two, &mut hub, &dice);
    sync(&mut one, &mut hub, &dice);
    let (before, shown) = (hub.heads(), export(&hub));

    drop(hub);
    fs::rename(&copy, &db).unwrap();
    let mut hub = open(&db, 5);
    let gone = before.beyond(&hub.heads());
    assert!(gone > 15, "{gone} entries are gone from the hub");
    // The spoke that pulled last has all of it: the hub's own, the other
    // spoke's and its own.
    sync(&mut one, &mut hub, &dice);
    assert_eq!((hub.heads(), export(&hub)), (before, shown));
    assert_eq!(one.heads(), hub.heads());
    sync(&mut two, &mut hub, &dice);
    assert_eq!(export(&two), export(&hub));
}

#[test]
fn a_hub_that_wrote_after_it_was_put_back_keeps_both_branches_ops() {
    let (dice, home) = (Dice::new(2), tempfile::tempdir().unwrap());
    let (db, copy) = (home.path().join("heph.db"), home.path().join("copy.db"));
    let mut hub = open(&db, 1);
    let mut one = open(&home.path().join("one.db"), 2);
    edits(&mut hub, 10, &dice);
    drop(hub);
    fs::copy(&db, &copy).unwrap();
    let mut hub = open(&db, 3);
    edits(&mut hub, 10, &dice);
    sync(&mut one, &mut hub, &dice);
    let lost = hub.ops();
    drop(hub);
    fs::rename(&copy, &db).unwrap();
    let mut hub = open(&db, 4);
    edits(&mut hub, 10, &dice);
    let anew = hub.ops();
    sync(&mut one, &mut hub, &dice);
    assert_eq!(one.heads(), hub.heads());
    assert_eq!(export(&one), export(&hub));
    let all = hub.ops();
    assert!(lost.keys().chain(anew.keys()).all(|id| all.contains_key(id)));
    assert_eq!(one.store.forks_healed().unwrap(), 1);
}

#[test]
fn a_device_put_back_pulls_its_own_later_ops_and_writes_on() {
    let (dice, home) = (Dice::new(3), tempfile::tempdir().unwrap());
    let (db, copy) = (home.path().join("one.db"), home.path().join("copy.db"));
    let mut hub = open(&home.path().join("heph.db"), 1);
    let mut one = open(&db, 2);
    edits(&mut one, 10, &dice);
    drop(one);
    fs::copy(&db, &copy).unwrap();
    let mut one = open(&db, 3);
    edits(&mut one, 10, &dice);
    sync(&mut one, &mut hub, &dice);
    let before = one.ops();
    drop(one);
    fs::rename(&copy, &db).unwrap();
    let mut one = open(&db, 4);
    sync(&mut one, &mut hub, &dice);
    edits(&mut one, 10, &dice);
    sync(&mut one, &mut hub, &dice);
    let after = hub.ops();
    assert!(before.keys().all(|id| after.contains_key(id)) && after.len() > before.len());
    assert_eq!(export(&one), export(&hub));
    assert_eq!(one.store.forks_healed().unwrap(), 0);
}

/// The manual Path A: a copy whose `meta.origin` was deleted.
#[test]
fn a_copy_without_an_origin_gets_one_of_its_own_and_keeps_every_op() {
    let (dice, home) = (Dice::new(4), tempfile::tempdir().unwrap());
    let (db, copy) = (home.path().join("one.db"), home.path().join("heph.db"));
    let mut one = open(&db, 1);
    edits(&mut one, 20, &dice);
    let (origin, ops) = (one.store.origin().unwrap(), one.ops());
    drop(one);
    fs::copy(&db, &copy).unwrap();
    let conn = rusqlite::Connection::open(&copy).unwrap();
    conn.execute("DELETE FROM meta WHERE key = 'origin'", []).unwrap();
    drop(conn);
    let (mut one, mut hub) = (open(&db, 2), open(&copy, 3));
    assert_ne!(hub.store.origin().unwrap(), origin);
    assert_eq!(hub.ops(), ops);
    edits(&mut one, 10, &dice);
    edits(&mut hub, 10, &dice);
    sync(&mut one, &mut hub, &dice);
    assert_eq!(export(&one), export(&hub));
    assert_eq!(one.store.forks_healed().unwrap(), 0);
}

/// Two cycles of one spoke: while one waits for its page, the other heals a
/// fork. The page that comes then does not fit any more, and nobody's store
/// is damaged.
#[test]
fn a_page_that_arrives_after_a_fork_was_healed_blames_nobody() {
    let dice = Dice::new(5);
    let owner = Birth::Owned("the-owner".parse().unwrap());
    let (mut hub, mut one) = (Peer::new("hub", &owner, &dice), Peer::new("one", &owner, &dice));
    edits(&mut one, 10, &dice);
    let disk = one.next_process(0);
    edits(&mut one, 20, &dice);
    sync(&mut one, &mut hub, &dice);
    one = disk.next_process(dice.roll());
    edits(&mut one, 1, &dice);

    let mut waits = Trip::default();
    while !matches!(waits.way, Way::Answered(Answer::Page(_))) {
        assert!(waits.step(&mut one, &mut hub, Weather::FAIR, &dice).unwrap().is_none());
    }
    let mut heals = Trip::default();
    while heals.cycle.healed.is_empty() {
        assert!(heals.step(&mut one, &mut hub, Weather::FAIR, &dice).unwrap().is_none());
    }
    while waits.step(&mut one, &mut hub, Weather::FAIR, &dice).unwrap().is_none() {}
    assert_eq!(export(&one), export(&hub));
}

#[test]
fn a_device_of_another_owner_moves_nothing() {
    let dice = Dice::new(6);
    let mut hub = Peer::new("hub", &Birth::Minting, &dice);
    let mut other = Peer::new("other", &Birth::Minting, &dice);
    edits(&mut hub, 5, &dice);
    edits(&mut other, 5, &dice);
    let before = (export(&hub), export(&other));
    let refused = cycle(&mut other, &mut hub, Weather::FAIR, &dice).unwrap_err();
    assert_eq!(refused.code, Code::OwnerMismatch);
    assert_eq!((export(&hub), export(&other)), before);
}

#[test]
fn a_device_without_an_owner_asks_without_a_digest_and_takes_the_hubs() {
    let dice = Dice::new(7);
    let mut hub = Peer::new("hub", &Birth::Minting, &dice);
    let mut fresh = Peer::new("fresh", &Birth::Joining, &dice);
    edits(&mut hub, 5, &dice);
    let mut trip = Trip::default();
    trip.step(&mut fresh, &mut hub, Weather::FAIR, &dice).unwrap();
    assert!(matches!(trip.way, Way::Asked(Ask::Heads(None))), "{trip:?}");
    assert_eq!(fresh.heads(), Heads::default());
    while trip.step(&mut fresh, &mut hub, Weather::FAIR, &dice).unwrap().is_none() {}
    assert_eq!(fresh.owner(), hub.owner());
    assert_eq!(export(&fresh), export(&hub));
    assert_eq!(json!(fresh.heads()), json!(hub.heads()));
}
