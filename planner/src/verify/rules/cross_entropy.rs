//! Cross-entropy: the vocabulary may be spread; the maximum must then be that of all ranks, the terms a finished sum.

use pleach_plan::{Axis, Charge};

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// `(logits) -> max`.
pub fn max(logits: &Item, site: &Site) -> [Item; 1] {
    site.results(
        [logits],
        [Number::of("largest logit", &[], &[logits.number])],
        |_, [logits]| match logits {
            State::Whole | State::Shard(0 | 1) => Some([logits]),
            State::Shard(2) => Some([State::Largest]),
            _ => None,
        },
    )
}

/// `(logits, targets, max) -> terms`.
pub fn terms(operands: [&Item; 3], vocab: Option<Axis>, smoothed: bool, site: &Site) -> [Item; 1] {
    let number = Number::of(
        "cross-entropy terms",
        &[u64::from(smoothed)],
        &operands.map(|operand| operand.number),
    );
    let rows = vocab.and_then(|axis| site.axis(axis));
    site.results(operands, [number], |axis, states| {
        match (states, rows == Some(axis)) {
            ([State::Shard(2), State::Whole, State::Whole], true) => Some([State::Sum]),
            ([State::Whole, State::Whole, State::Whole], false) => Some([State::Whole]),
            ([State::Shard(dim @ (0 | 1)), targets, max], false)
                if targets == states[0] && max == states[0] =>
            {
                Some([State::Shard(dim + 1)])
            }
            _ => None,
        }
    })
}

/// What tells charges apart; only gradients are scaled.
fn bits(charge: &Charge) -> [u64; 4] {
    let Charge {
        scale,
        z_loss,
        smoothing,
        rows,
        ..
    } = *charge;
    let [scale, z_loss, smoothing] = [scale, z_loss, smoothing].map(f64::to_bits);
    [scale, z_loss, smoothing, rows]
}

/// What the report gains from `terms`, and where they are read from the largest logits and the weights of targets.
pub fn loss<const N: usize>(
    operands: [&Item; N],
    charge: &Charge,
    replicas: u64,
    site: &Site,
) -> Item {
    let numbers = operands.map(|operand| operand.number);
    let number = Number::of("loss", &bits(charge), &numbers).over(replicas);
    let [gain] = site.results(operands, [number], |_, states| {
        let others = &states[1..];
        let all = |wanted| others.iter().all(|&state| state == wanted);
        match states[0] {
            State::Whole if all(State::Whole) => Some([State::Whole]),
            State::Shard(moved @ (1 | 2)) if all(State::Shard(moved - 1)) => Some([State::Sum]),
            _ => None,
        }
    });
    gain
}

/// `(logits, targets, max, terms, weights) -> dlogits`.
pub fn weighted_backward(
    [logits, targets, max, terms, weights]: [&Item; 5],
    charge: &Charge,
    vocab: Option<Axis>,
    site: &Site,
) -> [Item; 1] {
    let [plain] = backward([logits, targets, max, terms], charge, vocab, site);
    let numbers = [plain.number, weights.number];
    let number = Number::of("weighted logit gradient", &[], &numbers);
    site.results([&plain, weights], [number], |_, states| match states {
        [State::Whole | State::Shard(2), State::Whole] => Some([states[0]]),
        [State::Shard(0 | 1), weights] if weights == states[0] => Some([states[0]]),
        _ => None,
    })
}

/// `(logits, targets, max, terms) -> dlogits`.
pub fn backward(
    operands: [&Item; 4],
    charge: &Charge,
    vocab: Option<Axis>,
    site: &Site,
) -> [Item; 1] {
    let attributes = [&bits(charge)[..], &[u64::from(charge.scaled)]].concat();
    let number = Number::of(
        "logit gradient",
        &attributes,
        &operands.map(|operand| operand.number),
    );
    let rows = vocab.and_then(|axis| site.axis(axis));
    site.results(operands, [number], |axis, states| {
        match (states, rows == Some(axis)) {
            ([State::Shard(2), State::Whole, State::Whole, State::Whole], true) => {
                Some([State::Shard(2)])
            }
            ([State::Whole, State::Whole, State::Whole, State::Whole], false) => {
                Some([State::Whole])
            }
            (
                [
                    State::Shard(dim @ (0 | 1)),
                    targets,
                    max,
                    State::Shard(moved),
                ],
                false,
            ) if targets == states[0] && max == states[0] && moved == dim + 1 => Some([states[0]]),
            _ => None,
        }
    })
}
