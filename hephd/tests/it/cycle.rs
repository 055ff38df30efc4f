//! One cycle, driven by hand: how it begins, how much it sends, what it does
//! when the hub takes less or is not where it was said to be.

use hephd::{
    error::Code,
    id::EntityId,
    op::{Hash, Heads},
    store::Birth,
    sync::{Answer, Ask, Cycle, PAGE},
};
use serde_json::json;

use crate::world::{self, Dice, Peer, set};

fn pair() -> (Peer, Peer) {
    let dice = Dice::new(1);
    let owner = Birth::Owned("the-owner".parse().unwrap());
    (Peer::new("spoke", &owner, &dice), Peer::new("hub", &owner, &dice))
}

fn write(peer: &mut Peer, count: usize) {
    for n in 0..count {
        let id: EntityId = format!("node-{n}").parse().unwrap();
        let change = set(peer, &id, "title", &json!(format!("title {n}")));
        peer.write(&[change]);
    }
}

/// Carries a cycle to its end, with a hub of one's own; gives what was asked.
fn carry(
    mut cycle: Cycle,
    spoke: &mut Peer,
    mut hub: impl FnMut(&Ask, usize) -> Answer,
) -> hephd::error::Result<Vec<&'static str>> {
    let mut asked = Vec::new();
    while let Some(ask) = cycle.next(&spoke.store)? {
        asked.push(match &ask {
            Ask::Heads(_) => "heads",
            Ask::Pull(_) => "pull",
            Ask::Push(_) => "push",
            Ask::Chain(..) => "chain",
        });
        assert!(asked.len() < 10_000, "the cycle does not end");
        let answer = hub(&ask, cycle.page());
        cycle.take(&mut spoke.store, answer)?;
    }
    Ok(asked)
}

#[test]
fn a_batch_that_is_too_large_is_halved_until_it_is_taken_and_none_is_lost() {
    let (mut spoke, mut hub) = pair();
    write(&mut spoke, 100);
    let mut sizes = Vec::new();
    carry(Cycle::default(), &mut spoke, |ask, page| match ask {
        Ask::Push(body) if body.entries.len() > 7 => {
            sizes.push(body.entries.len());
            Answer::TooLarge
        }
        ask => world::answer(&mut hub, ask, page).unwrap(),
    })
    .unwrap();
    assert_eq!(hub.heads(), spoke.heads());
    assert_eq!(sizes, [202, 101, 50, 25, 12], "it is not tried again with more");
}

#[test]
fn a_hub_that_takes_not_even_one_entry_is_named_and_nothing_is_lost() {
    let (mut spoke, mut hub) = pair();
    write(&mut spoke, 3);
    let before = spoke.heads();
    let refused = carry(Cycle::default(), &mut spoke, |ask, page| match ask {
        Ask::Push(_) => Answer::TooLarge,
        ask => world::answer(&mut hub, ask, page).unwrap(),
    });
    assert_eq!(refused.unwrap_err().code, Code::ValueTooLarge);
    assert_eq!(spoke.heads(), before);
}

#[test]
fn what_gets_through_doubles_what_is_sent_next() {
    let (mut spoke, mut hub) = pair();
    write(&mut hub, 100);
    let mut pages = Vec::new();
    carry(Cycle::default().with_page(1), &mut spoke, |ask, page| {
        if let Ask::Pull(_) = ask {
            pages.push(page);
        }
        world::answer(&mut hub, ask, page).unwrap()
    })
    .unwrap();
    assert_eq!(pages, [1, 2, 4, 8, 16, 32, 64, 128]);
    assert_eq!(hub.heads(), spoke.heads());
    assert_eq!(Cycle::default().with_page(usize::MAX).page(), PAGE);
}

#[test]
fn a_device_that_was_told_pulls_at_once_and_is_done() {
    let (mut spoke, mut hub) = pair();
    write(&mut hub, 3);
    let digest = hub.heads().digest(&hub.owner());
    let answer = |ask: &Ask, page| world::answer(&mut hub, ask, page).unwrap();
    let asked = carry(Cycle::told(digest), &mut spoke, answer).unwrap();
    assert_eq!(asked, ["pull"]);
    assert_eq!(hub.heads(), spoke.heads());
}

#[test]
fn a_device_that_knows_its_hub_pushes_at_once_and_is_done() {
    let (mut spoke, mut hub) = pair();
    write(&mut spoke, 3);
    let known = hub.heads();
    let answer = |ask: &Ask, page| world::answer(&mut hub, ask, page).unwrap();
    let asked = carry(Cycle::knowing(known), &mut spoke, answer).unwrap();
    assert_eq!(asked, ["push"]);
    assert_eq!(hub.heads(), spoke.heads());
}

#[test]
fn what_was_told_wrongly_costs_a_comparison_and_nothing_else() {
    for n in 0..5 {
        let (mut spoke, mut hub) = pair();
        write(&mut hub, 3);
        write(&mut spoke, 5);
        let wrong: Heads = spoke.heads();
        write(&mut spoke, 7);
        let cycle = match n {
            0 => Cycle::told(Hash::of("nobody's heads")),
            1 => Cycle::told(spoke.heads().digest(&spoke.owner())),
            2 => Cycle::knowing(wrong),
            // What a hub had before it was put back.
            3 => Cycle::knowing({
                let mut lost = Peer::on("lost", &Birth::Owned(hub.owner()), 77);
                write(&mut lost, 2);
                lost.heads()
            }),
            _ => Cycle::knowing(spoke.heads()),
        };
        let answer = |ask: &Ask, page| world::answer(&mut hub, ask, page).unwrap();
        carry(cycle, &mut spoke, answer).unwrap();
        let answer = |ask: &Ask, page| world::answer(&mut hub, ask, page).unwrap();
        carry(Cycle::default(), &mut spoke, answer).unwrap();
        assert_eq!(hub.heads(), spoke.heads(), "case {n}");
    }
}
