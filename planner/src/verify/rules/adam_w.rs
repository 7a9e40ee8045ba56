//! The update: entry by entry over weight, moments and gradient, which must be spread alike.

use pleach_plan::Op;

use super::Site;
use super::norm::unit;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(factor; weight, m, v, gradient)`: the new values of the four.
pub fn adam_w(op: &Op, factor: &Item, state: [&Item; 4], site: &Site) -> [Item; 4] {
    let Op::AdamW {
        beta1,
        beta2,
        eps,
        weight_decay,
    } = *op
    else {
        return state.map(|item| Item::odd(item.number));
    };
    let attributes = [beta1, beta2, eps, weight_decay].map(f64::to_bits);
    let [weight, m, v, gradient] = state;
    let operands = [factor, weight, m, v, gradient];
    let zero = state.iter().all(|item| item.number == Number::ZERO);
    let scaled = match gradient.number {
        number if number == Number::ZERO || factor.number == unit() => number,
        number => Number::of("scaled gradient", &[], &[factor.number, number]),
    };
    let numbers = match zero {
        true => [Number::ZERO; 4],
        false => [
            Number::of(
                "updated weight",
                &attributes,
                &[weight.number, m.number, v.number, scaled],
            ),
            Number::of("first moment", &attributes[..1], &[m.number, scaled]),
            Number::of("second moment", &attributes[1..2], &[v.number, scaled]),
            scaled,
        ],
    };
    let absent = gradient.number == Number::ZERO;
    site.results(
        operands,
        numbers,
        |_, [factor, weight, m, v, gradient]| match weight {
            _ if factor != State::Whole
                || m != weight
                || v != weight
                || (gradient != weight && !absent) =>
            {
                None
            }
            State::Whole | State::Shard(_) => Some([weight; 4]),
            _ => None,
        },
    )
}
