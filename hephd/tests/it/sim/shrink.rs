//! A plan that fails is shortened for as long as it still fails: first to a
//! beginning of it, then by leaving out steps.

use super::{faults::Fault, plan::Plan, run::outcome};

/// How many lives may be spent on it.
const PATIENCE: usize = 1_500;

/// The shortest plan that was found to fail, and how it does.
pub fn shortest(plan: &Plan, planted: Option<Fault>, why: String) -> (Plan, String) {
    let mut best = (plan.clone(), why);
    let mut patience = PATIENCE;
    while shorten(&mut best, planted, &mut patience) {}
    best
}

/// Tries ends and pieces, large ones first; whether anything could go.
fn shorten(best: &mut (Plan, String), planted: Option<Fault>, patience: &mut usize) -> bool {
    let before = best.0.steps.len();
    let mut size = before.div_ceil(2);
    while size > 0 {
        let mut at = best.0.steps.len().saturating_sub(size);
        loop {
            if let Some(shorter) = without(&best.0, at, size) {
                *patience = patience.saturating_sub(1);
                if let Err(why) = outcome(&shorter, planted) {
                    *best = (shorter, why);
                }
            }
            if at == 0 || *patience == 0 {
                break;
            }
            at = at.min(best.0.steps.len()).saturating_sub(size);
        }
        size /= 2;
    }
    best.0.steps.len() < before && *patience > 0
}

/// The plan without some of its steps.
fn without(plan: &Plan, at: usize, size: usize) -> Option<Plan> {
    let to = plan.steps.len().min(at + size);
    let mut shorter = plan.clone();
    (at < to).then(|| shorter.steps.drain(at..to).count())?;
    Some(shorter)
}
