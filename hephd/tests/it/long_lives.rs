//! Two spokes and a hub over a thousand edits each, with long absences and
//! clocks that went wrong; and a hub that never moves.

use std::collections::BTreeSet;

use hephd::{
    node::{Change, Wanted},
    store::Birth,
    sync::{Ask, PushBody},
};
use serde_json::{Map, json};

use crate::{
    model,
    world::{self, Dice, Ended, Peer, TODAY, Weather, YEAR_2099, cycle, export, for_seeds, full},
};

#[test]
fn two_spokes_and_a_hub_end_equal_after_a_thousand_edits_each_and_long_absences() {
    for_seeds(full(1, 50), |seed| {
        let dice = Dice::new(seed);
        let owner = Birth::Owned("the-owner".parse().unwrap());
        let mut hub = Peer::new("hub", &owner, &dice);
        let mut spokes = [Peer::new("one", &owner, &dice), Peer::new("two", &owner, &dice)];
        let mut away = [0; 2];
        let mut clocks = [0, YEAR_2099, TODAY - 86_400_000, TODAY].into_iter().cycle();
        for n in 0..1_000 {
            edit(&mut hub, &dice);
            for (spoke, away) in spokes.iter_mut().zip(&mut away) {
                edit(spoke, &dice);
                if dice.percent(1) {
                    spoke.set_clock(clocks.next().unwrap());
                    *spoke = spoke.next_process(dice.roll());
                }
                spoke.pass_time(dice.roll() % 60_000);
                if dice.percent(1) {
                    *away = n + dice.below(300);
                }
                if n >= *away && dice.percent(10) {
                    cycle(spoke, &mut hub, Weather::foul(&dice), &dice).unwrap();
                }
            }
            hub.pass_time(dice.roll() % 60_000);
        }
        let [one, two] = spokes;
        let mut late = Peer::new("late", &Birth::Joining, &dice);
        let mut all = [one, two];
        let written: BTreeSet<String> =
            all.iter().chain([&hub]).flat_map(|peer| peer.ops().into_keys()).collect();
        for _ in 0..2 {
            for spoke in all.iter_mut().chain([&mut late]) {
                assert_eq!(cycle(spoke, &mut hub, Weather::FAIR, &dice).unwrap(), Ended::Whole);
            }
        }
        let meant = model::export(hub.ops().values());
        for peer in all.iter().chain([&late, &hub]) {
            assert_eq!(peer.heads(), hub.heads());
            assert_eq!(export(peer), meant);
            let held = peer.ops();
            assert!(written.iter().all(|id| held.contains_key(id)));
        }
        assert!(written.len() >= 3_000, "{} ops", written.len());
        assert!(written.first().unwrap() < &"0000000100000".to_owned(), "somebody lived in 1970");
        assert!(written.last().unwrap() > &YEAR_2099.to_string(), "somebody lived in 2099");
    });
}

/// An edit that changes something.
fn edit(peer: &mut Peer, dice: &Dice) {
    while world::random_edit(peer, 60, dice) == 0 {}
}

#[test]
fn a_cycle_whose_hub_never_moves_ends() {
    let dice = Dice::new(1);
    let owner = Birth::Owned("the-owner".parse().unwrap());
    let (mut spoke, mut hub) = (Peer::new("spoke", &owner, &dice), Peer::new("hub", &owner, &dice));
    let change = Change::Node {
        id: None,
        set: Map::from_iter([("kind".to_owned(), json!("doc"))]),
        deleted: None,
    };
    spoke.write(&[change]);
    let mut cycle = hephd::sync::Cycle::default();
    for _ in 0..100 {
        match cycle.next(&spoke.store) {
            Ok(Some(ask)) => {
                // It takes nothing, and says that all is well.
                let ask = match ask {
                    Ask::Push(_) => Ask::Push(PushBody { entries: Vec::new() }),
                    other => other,
                };
                let answer = world::answer(&mut hub, &ask, 10).unwrap();
                if cycle.take(&mut spoke.store, answer).is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
    assert_eq!(hub.store.nodes(&hub.owner(), &Wanted::default()).unwrap().len(), 0);
    panic!("the cycle pushes the same batch for ever");
}
