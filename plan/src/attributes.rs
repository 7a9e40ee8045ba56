//! Attributes of operations: what is chosen once for each instruction and is no operand.

use serde::{Deserialize, Serialize};

use crate::{Axis, Op};

/// How a collective combines values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduce {
    /// Sum over the members.
    Sum,
    /// Maximum over the members.
    Max,
}

/// Which half of a sample an instruction reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tokens {
    /// The tokens at positions `0..S`.
    Inputs,
    /// The tokens at positions `1..=S`: what the model should say.
    Targets,
    /// How much each target weighs in the loss: nothing, or the tokens of the global batch over those of its targets that count.
    Weights,
}

/// Whether a token of a sample counts as a target. One that does not stands there as its complement, which is below zero.
pub fn counts(token: i64) -> bool {
    token >= 0
}

/// The id of a token of a sample, whether it counts or not.
pub fn plain(token: i64) -> i64 {
    if counts(token) { token } else { !token }
}

/// A nonlinearity that works entry by entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x Φ(x)`, by the error function.
    Gelu,
    /// GELU's approximation by tanh.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `x / (1 + exp(-x))`.
    Silu,
}

impl Activation {
    /// The operation that applies it; exact GELU is one of its own.
    pub fn forward(self) -> Op {
        match self {
            Activation::Gelu => Op::Gelu {},
            kind => Op::Activation { kind },
        }
    }

    /// The operation of its derivative.
    pub fn backward(self) -> Op {
        match self {
            Activation::Gelu => Op::GeluBackward {},
            kind => Op::ActivationBackward { kind },
        }
    }
}

/// How packed columns become heads. A row holds, for each head of keys and values, the heads of queries that share it, then that
/// head's key and value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Width `D` of a head.
    pub head_dim: u64,
    /// Rotated entries of a head, even; 0 for none.
    pub rotary: u64,
    /// Base of the rotation frequencies.
    pub base: f64,
    /// What positions are divided by before they rotate.
    #[serde(default = "unit", skip_serializing_if = "is_unit")]
    pub scale: f64,
    /// Heads of queries that share a head of keys and values.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub group: u64,
}

/// The norm of queries and keys in packed columns, which lie as [`Split`] says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadNorm {
    /// Width `D` of a head.
    pub head_dim: u64,
    /// Heads of queries that share a head of keys and values.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub group: u64,
    /// Added to the mean square.
    pub eps: f64,
}

/// What attention looks at, beside that it is causal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Heads of queries that share a head of keys and values.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub group: u64,
    /// How many positions a query looks at, its own and those just before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// Scores that fall with distance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alibi: Option<Alibi>,
}

impl Scores {
    /// Heads that share nothing, no window, no slopes.
    pub const PLAIN: Scores = Scores {
        group: 1,
        window: None,
        alibi: None,
    };
}

/// ALiBi (arXiv:2108.12409): a head's slope times the key's position is added to its scores, which falls with the distance from the
/// query but for a number that is the same over a row, and so nothing to a softmax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alibi {
    /// Heads of queries on all ranks together.
    pub heads: u64,
    /// The axis over which heads are sharded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Axis>,
}

impl Alibi {
    /// The slope of a head, counted over all ranks: powers of one root, by the paper's rule where the heads are no power of two.
    pub fn slope(&self, head: u64) -> f64 {
        let whole = match self.heads.is_power_of_two() {
            true => self.heads,
            false => self.heads.next_power_of_two() / 2,
        };
        let (step, of) = match head < whole {
            true => (head + 1, whole),
            false => (2 * (head - whole) + 1, 2 * whole),
        };
        libm::exp2(-8.0 * step as f64 / of as f64)
    }
}

fn one() -> u64 {
    1
}

fn is_one(number: &u64) -> bool {
    *number == 1
}

fn unit() -> f64 {
    1.0
}

fn is_unit(number: &f64) -> bool {
    *number == 1.0
}

/// How a router chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Experts that each token is sent to.
    pub active: u64,
    /// Whether the weights of the chosen experts are divided by their sum.
    pub normalised: bool,
}

/// What a router's logits are charged with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouterLoss {
    /// Weight of the balancing loss: a sequence whose experts are evenly loaded is charged with this.
    pub balance: f64,
    /// Weight of the square of the logits' log-sum-exp.
    pub z: f64,
    /// One over the tokens of the global batch.
    pub scale: f64,
    /// Whether its gradient is multiplied by the step's loss scale.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scaled: bool,
}

impl RouterLoss {
    /// The same with the gradient of a step whose loss has a scale.
    pub fn at_scale(self, loss_scale: f64) -> RouterLoss {
        RouterLoss {
            scale: times(self.scale, self.scaled, loss_scale),
            ..self
        }
    }
}

fn times(scale: f64, is_scaled: bool, loss_scale: f64) -> f64 {
    match is_scaled {
        true => scale * loss_scale,
        false => scale,
    }
}

/// What a token is charged with: with `lse` the logarithm of the softmax's denominator and `z` the logits, the cross entropy
/// `lse - (1 - smoothing) * z[target] - smoothing * mean(z)`, and `z_loss * lse²`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    /// One over the tokens of the global batch.
    pub scale: f64,
    /// Weight of the square of the logits' log-sum-exp.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub z_loss: f64,
    /// Share of the target that is spread over all rows of the vocabulary.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub smoothing: f64,
    /// Rows of the whole vocabulary, where the target is spread over them.
    #[serde(default, skip_serializing_if = "is_none")]
    pub rows: u64,
    /// Whether its gradient is multiplied by the step's loss scale.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scaled: bool,
}

impl Charge {
    /// The cross entropy alone.
    pub fn plain(scale: f64) -> Charge {
        Charge {
            scale,
            z_loss: 0.0,
            smoothing: 0.0,
            rows: 0,
            scaled: false,
        }
    }

    /// The same with the gradient of a step whose loss has a scale.
    pub fn at_scale(self, loss_scale: f64) -> Charge {
        Charge {
            scale: times(self.scale, self.scaled, loss_scale),
            ..self
        }
    }

    /// Whether a part of the target is spread over all rows.
    pub fn is_smoothed(&self) -> bool {
        self.smoothing != 0.0
    }

    /// Whether the square of the log-sum-exp is charged, for which the largest logit must be known.
    pub fn is_squared(&self) -> bool {
        self.z_loss != 0.0
    }

    /// The part of the target that its own row keeps, and that of every row.
    pub fn shares(&self) -> [f64; 2] {
        match self.is_smoothed() {
            true => [1.0 - self.smoothing, self.smoothing / self.rows as f64],
            false => [1.0, 0.0],
        }
    }

    /// Splits the operands behind the terms: the largest logits where they are read, and the weights where there are any.
    pub fn split<'t, T>(&self, rest: &'t [T]) -> Option<[Option<&'t T>; 2]> {
        let (max, weights) = rest.split_at_checked(usize::from(self.is_squared()))?;
        (weights.len() < 2).then(|| [max.first(), weights.first()])
    }
}

/// Whether a number is not written.
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// Whether a count is not written.
fn is_none(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_paper_also_between_powers_of_two() {
        let slopes = |heads| {
            let alibi = Alibi { heads, over: None };
            (0..heads).map(|head| alibi.slope(head)).collect::<Vec<_>>()
        };
        assert_eq!(slopes(2), [1.0 / 16.0, 1.0 / 256.0]);
        assert_eq!(slopes(3), [1.0 / 16.0, 1.0 / 256.0, 0.25]);
    }
}
