//! The loss on a router's logits: sequences are independent of each other, their positions are not.

use pleach_plan::RouterLoss;

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

fn number(name: &str, operands: [&Item; 2], loss: &RouterLoss) -> Number {
    let [balance, z, scale] = [loss.balance, loss.z, loss.scale].map(f64::to_bits);
    let attributes = [balance, z, scale, u64::from(loss.scaled)];
    Number::of(name, &attributes, &operands.map(|operand| operand.number))
}

/// What the report gains from `(logits, choice)`.
pub fn forward(operands: [&Item; 2], loss: &RouterLoss, replicas: u64, site: &Site) -> Item {
    let plain = RouterLoss {
        scaled: false,
        ..*loss
    };
    let number = number("router loss", operands, &plain).over(replicas);
    let [gain] = site.results(operands, [number], |_, states| match states {
        [State::Whole, State::Whole] => Some([State::Whole]),
        [State::Shard(0), State::Shard(0)] => Some([State::Sum]),
        _ => None,
    });
    gain
}

/// `(logits, choice) -> dlogits`.
pub fn backward(operands: [&Item; 2], loss: &RouterLoss, site: &Site) -> [Item; 1] {
    let number = number("router loss gradient", operands, loss);
    site.results(operands, [number], |_, states| match states {
        [State::Whole, State::Whole] => Some([State::Whole]),
        [State::Shard(0), State::Shard(0)] => Some([State::Shard(0)]),
        _ => None,
    })
}
