//! The router: tokens choose by themselves; backward is linear in the gradient it gets.

use pleach_plan::Route;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

fn attributes(route: &Route) -> [u64; 2] {
    [route.active, u64::from(route.normalised)]
}

/// `(logits) -> (weights, choice)`.
pub fn forward(logits: &Item, route: &Route, site: &Site) -> [Item; 2] {
    let number = |name| Number::of(name, &attributes(route), &[logits.number]);
    // Which experts are chosen does not depend on how their weights are scaled.
    let choice = Number::of("choice", &[route.active], &[logits.number]);
    let numbers = [number("expert weights"), choice];
    site.results([logits], numbers, |_, [logits]| match logits {
        State::Whole | State::Shard(0 | 1) => Some([logits; 2]),
        _ => None,
    })
}

/// `(dweights, logits, choice) -> dlogits`.
pub fn backward(operands: [&Item; 3], route: &Route, site: &Site) -> [Item; 1] {
    let numbers = operands.map(|operand| operand.number);
    let number = Number::of("expert weight gradient", &attributes(route), &numbers);
    site.results(operands, [number], |_, states| match states {
        [dw @ (State::Whole | State::Sum), State::Whole, State::Whole] => Some([dw]),
        [dw @ State::Shard(0 | 1), logits, choice] if logits == dw && choice == dw => Some([dw]),
        _ => None,
    })
}
