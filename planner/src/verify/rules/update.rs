//! The update: entry by entry over weight, moments and gradient, which must be spread alike.

use pleach_plan::Op;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// What an optimizer does beside scaling the gradient: its name, and the constants that weights and each moment depend on.
fn meaning(op: &Op) -> Option<(&'static str, Vec<u64>, Vec<f64>)> {
    let (constants, moments) = match *op {
        Op::AdamW {
            beta1,
            beta2,
            eps,
            weight_decay,
        } => (vec![beta1, beta2, eps, weight_decay], vec![beta1, beta2]),
        // The moments see the decay.
        Op::Adam {
            beta1,
            beta2,
            eps,
            weight_decay,
        } => (vec![beta1, beta2, eps, weight_decay], vec![beta1, beta2]),
        Op::Lion {
            beta1,
            beta2,
            weight_decay,
        } => (vec![beta1, beta2, weight_decay], vec![beta2]),
        Op::Sgd {
            momentum,
            nesterov,
            weight_decay,
        } => {
            let leads = f64::from(u8::from(nesterov));
            (vec![momentum, leads, weight_decay], vec![momentum])
        }
        _ => return None,
    };
    let bits = constants.into_iter().map(f64::to_bits).collect();
    Some((op.name(), bits, moments))
}

/// What a moment's new value is made of beside itself and the gradient: where decay is part of the gradient, the weight.
fn seen(op: &Op, weight: &Item) -> Vec<(u64, Number)> {
    match *op {
        Op::Adam { weight_decay, .. } | Op::Sgd { weight_decay, .. } if weight_decay != 0.0 => {
            vec![(weight_decay.to_bits(), weight.number)]
        }
        _ => Vec::new(),
    }
}

/// `(factor; weight, moments, gradient)`: the new values of all but the factor. None where it is no update of so many moments.
pub fn update(op: &Op, factor: &Item, state: &[&Item], site: &Site) -> Option<Vec<Item>> {
    let (name, constants, decays) = meaning(op)?;
    let [weight, moments @ .., gradient] = state else {
        return None;
    };
    if moments.len() != decays.len() {
        return None;
    }
    let zero = state.iter().all(|item| item.number == Number::ZERO);
    let scaled = match gradient.number {
        number if number == Number::ZERO => number,
        number => Number::of("scaled gradient", &[], &[factor.number, number]),
    };
    let numbers = match zero {
        true => vec![Number::ZERO; state.len()],
        false => {
            let all = state[..=moments.len()].iter().map(|item| item.number);
            let all: Vec<Number> = all.chain([scaled]).collect();
            let also = seen(op, weight);
            let moment = |(index, (moment, decay)): (usize, (&&Item, &f64))| {
                let own = [index as u64, decay.to_bits()].into_iter();
                let bits: Vec<u64> = own.chain(also.iter().map(|&(bits, _)| bits)).collect();
                let own = [moment.number, scaled].into_iter();
                let read: Vec<Number> = own.chain(also.iter().map(|&(_, read)| read)).collect();
                Number::of("moment", &bits, &read)
            };
            let updated = Number::of(name, &constants, &all);
            let pairs = moments.iter().zip(&decays).enumerate();
            let moments = pairs.map(moment);
            [updated]
                .into_iter()
                .chain(moments)
                .chain([scaled])
                .collect()
        }
    };
    Some(spread(factor, state, numbers, site))
}

/// New values lie as the weight does, if everything that they are made of lies so too.
fn spread(factor: &Item, state: &[&Item], numbers: Vec<Number>, site: &Site) -> Vec<Item> {
    let (weight, last) = (state[0], state.len() - 1);
    let absent = state[last].number == Number::ZERO;
    let alike = |axis: usize| {
        let own = weight.states[axis];
        let same = |(index, item): (usize, &&Item)| {
            item.states[axis] == own || (index == last && absent && item.states[axis] != State::Odd)
        };
        match site.sizes.ranks[axis] {
            _ if own == State::Odd => None,
            1 => Some(State::Whole),
            _ if factor.states[axis] != State::Whole || !state.iter().enumerate().all(same) => None,
            _ => matches!(own, State::Whole | State::Shard(_)).then_some(own),
        }
    };
    let odd_operand = |axis: usize| {
        let mut operands = state.iter().copied().chain([factor]);
        operands.any(|item| item.states[axis] == State::Odd)
    };
    let states = [0, 1].map(|axis| alike(axis).filter(|_| !odd_operand(axis)));
    let place = |number: Number| match states {
        [Some(dp), Some(tp)] => Item {
            states: [dp, tp],
            ..Item::whole(number)
        },
        _ => Item::odd(Number::of("odd", &[], &[number])),
    };
    numbers.into_iter().map(place).collect()
}
