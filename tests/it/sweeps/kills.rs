//! A command is killed at each of its calls that change a disk.

use std::os::unix::process::ExitStatusExt;

use super::{
    Place, Subject,
    place::Stock,
    strace::{Call, calls},
};

pub fn sweep(subject: &'static Subject) {
    let stock = Stock::of(subject);
    let mut points = calls(&stock.place());
    points.retain(Call::changes_something);
    assert!(points.len() >= 20, "only {} points", points.len());
    eprintln!("{} points", points.len());
    stock.try_each(&points, |point| format!("killed at {}", point.text), |_| kill);
}

fn kill(place: &Place<'_>, point: &Call) -> Result<(), String> {
    // With a filter in the kernel strace would be quicker, and lose the signal.
    let [trace, inject] = point.inject("signal=KILL");
    let (output, trace) = place.run_traced(&[&trace, &inject]);
    if output.status.signal() != Some(9) {
        return Err(format!("it was not killed:\n{trace}"));
    }
    let stand = place.look()?;
    place.heals(stand)
}
