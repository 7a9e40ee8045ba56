//! Cross-entropy: the vocabulary may be spread; the maximum must then be that of all ranks, the terms a finished sum.

use pleach_plan::Axis;

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
pub fn terms(operands: [&Item; 3], vocab: Option<Axis>, site: &Site) -> [Item; 1] {
    let number = Number::of(
        "cross-entropy terms",
        &[],
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

/// What the report gains from `terms` by the weights of their targets.
pub fn weighted_loss(operands: [&Item; 2], scale: f64, replicas: u64, site: &Site) -> Item {
    let numbers = operands.map(|operand| operand.number);
    let number = Number::of("weighted loss", &[scale.to_bits()], &numbers).over(replicas);
    let [gain] = site.results(operands, [number], |_, states| match states {
        [State::Whole, State::Whole] => Some([State::Whole]),
        [State::Shard(moved @ (1 | 2)), State::Shard(dim)] if moved == dim + 1 => {
            Some([State::Sum])
        }
        _ => None,
    });
    gain
}

/// What the report gains from `terms`.
pub fn loss(terms: &Item, scale: f64, replicas: u64, site: &Site) -> Item {
    let number = Number::of("loss", &[scale.to_bits()], &[terms.number]).over(replicas);
    let [gain] = site.results([terms], [number], |_, [terms]| match terms {
        State::Whole => Some([State::Whole]),
        State::Shard(1 | 2) => Some([State::Sum]),
        _ => None,
    });
    gain
}

/// `(logits, targets, max, terms, weights) -> dlogits`.
pub fn weighted_backward(
    [logits, targets, max, terms, weights]: [&Item; 5],
    scale: f64,
    vocab: Option<Axis>,
    site: &Site,
) -> [Item; 1] {
    let [plain] = backward([logits, targets, max, terms], scale, vocab, site);
    let numbers = [plain.number, weights.number];
    let number = Number::of("weighted logit gradient", &[], &numbers);
    site.results([&plain, weights], [number], |_, states| match states {
        [State::Whole | State::Shard(2), State::Whole] => Some([states[0]]),
        [State::Shard(0 | 1), weights] if weights == states[0] => Some([states[0]]),
        _ => None,
    })
}

/// `(logits, targets, max, terms) -> dlogits`.
pub fn backward(operands: [&Item; 4], scale: f64, vocab: Option<Axis>, site: &Site) -> [Item; 1] {
    let number = Number::of(
        "logit gradient",
        &[scale.to_bits()],
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
