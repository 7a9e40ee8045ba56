//! What each operation makes of its operands: the number of the result and its state on each axis, one file for each family.
//!
//! These rules are the judge over the planner's sharding strategies and share nothing with them. A rule lists which states of
//! operands are right and what state follows; whatever it does not list has no meaning ([`State::Odd`]). Axes are independent:
//! each rule is asked once for dp and once for tp. Along an axis of one rank everything is whole.

mod activation;
mod attention;
mod bias;
mod cap;
mod collective;
mod columns;
mod combine;
mod convolution;
mod cross_entropy;
mod dispatch;
mod dropout;
mod embedding;
mod expert_linear;
mod flat;
mod gated;
mod head_norm;
mod layer_norm;
mod linear;
mod norm;
mod positions;
mod rms_norm;
mod route;
mod router_loss;
mod scale;
mod scan;
mod slice;
mod split_heads;
mod tokens;
mod update;

pub use collective::{Reach, reduce_over};
pub use flat::apply_flat;

use pleach_plan::{Activation, Axis, Op};

use super::held::{Item, Sizes, State};
use super::number::Number;

/// Where an operation runs.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Ranks on the axes of a stage.
    pub sizes: Sizes,
    /// Stages.
    pub stages: u64,
    /// The micro-batch of the call.
    pub micro_batch: u32,
}

/// What an operation does to names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// New values of its updates.
    pub updates: Vec<Item>,
    /// Its results.
    pub outs: Vec<Item>,
}

impl Effect {
    fn outs(outs: impl Into<Vec<Item>>) -> Self {
        Effect {
            updates: Vec::new(),
            outs: outs.into(),
        }
    }

    fn updates(updates: impl Into<Vec<Item>>) -> Self {
        Effect {
            updates: updates.into(),
            outs: Vec::new(),
        }
    }
}

impl Site {
    /// The axis of a stage that an attribute names; none where it has one rank.
    fn axis(&self, axis: Axis) -> Option<usize> {
        let index = usize::from(axis == Axis::Tp);
        (axis != Axis::Pp && self.sizes.ranks[index] > 1).then_some(index)
    }

    /// Results with these numbers, in the states that a rule derives from its operands' on each axis.
    fn results<const I: usize, const O: usize>(
        &self,
        operands: [&Item; I],
        numbers: [Number; O],
        rule: impl Fn(usize, [State; I]) -> Option<[State; O]>,
    ) -> [Item; O] {
        let mut items = numbers.map(Item::whole);
        for axis in 0..2 {
            let states = operands.map(|operand| operand.states[axis]);
            let derived = match self.sizes.ranks[axis] {
                _ if states.contains(&State::Odd) => None,
                1 => Some([State::Whole; O]),
                _ => rule(axis, states),
            };
            match derived {
                Some(derived) => items
                    .iter_mut()
                    .zip(derived)
                    .for_each(|(item, state)| item.states[axis] = state),
                None => return items.map(|item| Item::odd(Number::of("odd", &[], &[item.number]))),
            }
        }
        items
    }

    /// An accumulator after a contribution.
    fn accumulate(&self, sum: &Item, contribution: Item) -> Item {
        sum.plus(contribution, self.sizes)
    }
}

/// What a local operation does to tensors; none where its operands are not those it takes.
pub fn apply(op: &Op, ins: &[Item], updates: &[Item], site: &Site) -> Option<Effect> {
    Some(match (op, ins, updates) {
        (Op::Tokens { which }, [], []) => Effect::outs(tokens::tokens(*which, site)),
        (Op::Embedding { vocab }, [ids, table], []) => {
            Effect::outs(embedding::forward(ids, table, *vocab, site))
        }
        (Op::EmbeddingBackward { vocab }, [dy, ids], [sum]) => {
            Effect::updates([site.accumulate(sum, embedding::backward(dy, ids, *vocab, site))])
        }
        (Op::Linear {}, [x, weight], []) => Effect::outs(linear::forward(x, weight, site)),
        (Op::Linear {}, [x, weight, row], []) => {
            let [product] = linear::forward(x, weight, site);
            Effect::outs([bias::forward(&product, row, site)])
        }
        (Op::LinearBackwardInput {}, [dy, weight], []) => {
            Effect::outs(linear::backward_input(dy, weight, site))
        }
        (Op::LinearBackwardWeight {}, [dy, x], [sum]) => {
            Effect::updates([site.accumulate(sum, linear::backward_weight(dy, x, site))])
        }
        (Op::Bias {}, [x, row], []) => Effect::outs([bias::forward(x, row, site)]),
        (Op::BiasBackward {}, [dy], [sum]) => {
            Effect::updates([site.accumulate(sum, bias::backward(dy, site))])
        }
        (Op::Add {}, [first, others @ ..], []) => Effect::outs([others
            .iter()
            .fold(*first, |sum, term| sum.plus(*term, site.sizes))]),
        (Op::Cast {}, [source], [_]) => Effect::updates([*source]),
        (Op::Cast {}, [source], []) => Effect::outs([*source]),
        (Op::Accumulate {}, [x], [y]) => Effect::updates([y.plus(*x, site.sizes)]),
        (Op::Zero {}, [], [_]) => Effect::updates([Item::whole(Number::ZERO)]),
        (op, ins, updates) => return apply_norms(op, ins, updates, site),
    })
}

/// Norms, and what stands around the layers.
fn apply_norms(op: &Op, ins: &[Item], updates: &[Item], site: &Site) -> Option<Effect> {
    let gain = |sums: &[&Item], gains: &[Item]| {
        let pairs = sums.iter().zip(gains);
        pairs
            .map(|(sum, gain)| site.accumulate(sum, *gain))
            .collect::<Vec<Item>>()
    };
    let both = |updates, dx| Effect {
        updates,
        outs: vec![dx],
    };
    Some(match (op, ins, updates) {
        (Op::LayerNorm { eps }, [x, weight, bias @ ..], []) if bias.len() < 2 => {
            Effect::outs(layer_norm::forward([x, weight], bias.first(), *eps, site))
        }
        (Op::LayerNormBackward {}, [dy, x, weight, mean, rstd], [dweight, dbias @ ..])
            if dbias.len() < 2 =>
        {
            let [dx, gains @ ..] = layer_norm::backward([dy, x, weight, mean, rstd], site);
            let sums: Vec<&Item> = std::iter::once(dweight).chain(dbias).collect();
            both(gain(&sums, &gains), dx)
        }
        (Op::RmsNorm { eps }, [x, weight], []) => {
            Effect::outs(rms_norm::forward([x, weight], *eps, site))
        }
        (Op::RmsNormBackward {}, [dy, x, weight, rstd], [dweight]) => {
            let [dx, gains @ ..] = rms_norm::backward([dy, x, weight, rstd], site);
            both(gain(&[dweight], &gains), dx)
        }
        (Op::HeadNorm(norm), [x, queries, keys], []) => {
            Effect::outs(head_norm::forward([x, queries, keys], norm, site))
        }
        (Op::HeadNormBackward(norm), [dy, x, queries, keys, rstd], [to_queries, to_keys]) => {
            let operands = [dy, x, queries, keys, rstd];
            let [dx, gains @ ..] = head_norm::backward(operands, norm, site);
            both(gain(&[to_queries, to_keys], &gains), dx)
        }
        (Op::Positions { over }, [x, table], []) => {
            Effect::outs(positions::forward(x, table, *over, site))
        }
        (Op::PositionsBackward { over }, [dy], [sum]) => {
            Effect::updates([site.accumulate(sum, positions::backward(dy, *over, site))])
        }
        (Op::Scale { by }, [x], []) => Effect::outs(scale::scale(x, *by, site)),
        (
            Op::Dropout {
                share,
                site: which,
                over,
            },
            [x],
            [],
        ) => Effect::outs(dropout::dropout(x, [share.to_bits(), *which], *over, site)),
        (Op::Cap { limit }, [x], []) => Effect::outs(cap::forward(x, *limit, site)),
        (Op::CapBackward { limit }, [dy, y], []) => {
            Effect::outs(cap::backward(dy, y, *limit, site))
        }
        (op, ins, updates) => return apply_larger(op, ins, updates, site),
    })
}

/// Nonlinearities.
fn apply_bent(op: &Op, ins: &[Item], updates: &[Item], site: &Site) -> Option<Effect> {
    let exact = Activation::Gelu;
    Some(match (op, ins, updates) {
        (Op::Gelu {}, [x], []) => Effect::outs(activation::forward(exact, x, site)),
        (Op::GeluBackward {}, [dy, x], []) => {
            Effect::outs(activation::backward(exact, dy, x, site))
        }
        (Op::Activation { kind }, [x], []) => Effect::outs(activation::forward(*kind, x, site)),
        (Op::ActivationBackward { kind }, [dy, x], []) => {
            Effect::outs(activation::backward(*kind, dy, x, site))
        }
        (Op::Gated { kind }, [gate, up], []) => Effect::outs(gated::forward(*kind, gate, up, site)),
        (Op::GatedBackward { kind }, [dy, gate, up], []) => {
            Effect::outs(gated::backward(*kind, [dy, gate, up], site))
        }
        (op, ins, updates) => return apply_experts(op, ins, updates, site),
    })
}

/// The mixture of experts.
fn apply_experts(op: &Op, ins: &[Item], updates: &[Item], site: &Site) -> Option<Effect> {
    Some(match (op, ins, updates) {
        (Op::Route(how), [logits], []) => Effect::outs(route::forward(logits, how, site)),
        (Op::RouteBackward(how), [dweights, logits, choice], []) => {
            Effect::outs(route::backward([dweights, logits, choice], how, site))
        }
        (Op::RouterLoss { loss, replicas }, [logits, choice], [report]) => {
            let gain = router_loss::forward([logits, choice], loss, *replicas, site);
            Effect::updates([site.accumulate(report, gain)])
        }
        (Op::RouterLossBackward(loss), [logits, choice], []) => {
            Effect::outs(router_loss::backward([logits, choice], loss, site))
        }
        (Op::Dispatch {}, [x, choice], []) => Effect::outs(dispatch::forward(x, choice, site)),
        (Op::DispatchBackward {}, [drows, choice], []) => {
            Effect::outs(dispatch::backward(drows, choice, site))
        }
        (Op::ExpertLinear {}, [rows, weight, choice], []) => {
            Effect::outs(expert_linear::forward([rows, weight, choice], site))
        }
        (Op::ExpertLinearBackwardInput {}, [dy, weight, choice], []) => {
            Effect::outs(expert_linear::backward_input([dy, weight, choice], site))
        }
        (Op::ExpertLinearBackwardWeight {}, [dy, rows, choice], [sum]) => {
            let gain = expert_linear::backward_weight([dy, rows, choice], site);
            Effect::updates([site.accumulate(sum, gain)])
        }
        (Op::Combine {}, [rows, weights, choice], []) => {
            Effect::outs(combine::forward([rows, weights, choice], site))
        }
        (Op::CombineBackward {}, [dy, rows, weights, choice], []) => {
            Effect::outs(combine::backward([dy, rows, weights, choice], site))
        }
        (op, ins, updates) => return apply_state_space(op, ins, updates, site),
    })
}

/// The state space.
fn apply_state_space(op: &Op, ins: &[Item], updates: &[Item], site: &Site) -> Option<Effect> {
    Some(match (op, ins, updates) {
        (Op::Convolution {}, [x, weight], []) => {
            Effect::outs(convolution::forward(x, weight, site))
        }
        (Op::ConvolutionBackward {}, [dy, x, weight], [sum]) => {
            let [dx, gain] = convolution::backward([dy, x, weight], site);
            Effect {
                updates: vec![site.accumulate(sum, gain)],
                outs: vec![dx],
            }
        }
        (Op::Columns { widths }, [x], []) => Effect::outs(columns::forward(x, *widths, site)),
        (Op::ColumnsBackward { widths }, [a, b, c], []) => {
            Effect::outs(columns::backward([a, b, c], *widths, site))
        }
        (Op::Scan {}, [x, step, decay, write, read, skip], []) => {
            Effect::outs(scan::forward([x, step, decay, write, read, skip], site))
        }
        (Op::ScanBackward {}, [dy, x, step, decay, write, read, skip], [to_decay, to_skip]) => {
            let operands = [dy, x, step, decay, write, read, skip];
            let [outs @ .., decays, skips] = scan::backward(operands, site);
            let outs: [Item; 4] = outs;
            Effect {
                updates: vec![
                    site.accumulate(to_decay, decays),
                    site.accumulate(to_skip, skips),
                ],
                outs: outs.into(),
            }
        }
        _ => return None,
    })
}

fn apply_larger(op: &Op, ins: &[Item], updates: &[Item], site: &Site) -> Option<Effect> {
    Some(match (op, ins, updates) {
        (Op::SplitHeads(split), [qkv], []) => Effect::outs(split_heads::forward(qkv, split, site)),
        (Op::SplitHeadsBackward(split), [dq, dk, dv], []) => {
            Effect::outs(split_heads::backward([dq, dk, dv], split, site))
        }
        (Op::Attention(scores), [q, k, v], []) => {
            Effect::outs(attention::forward([q, k, v], scores, site))
        }
        (Op::AttentionBackward(scores), [grad, q, k, v, out, lse], []) => {
            let operands = [grad, q, k, v, out, lse];
            Effect::outs(attention::backward(operands, scores, site))
        }
        (Op::CrossEntropyMax {}, [logits], []) => Effect::outs(cross_entropy::max(logits, site)),
        (Op::CrossEntropyTerms { vocab, smoothed }, [logits, targets, max], []) => Effect::outs(
            cross_entropy::terms([logits, targets, max], *vocab, *smoothed, site),
        ),
        (Op::CrossEntropyLoss { charge, replicas }, [terms, rest @ ..], [report]) => {
            let gain = match charge.split(rest)? {
                [Some(a), Some(b)] => cross_entropy::loss([terms, a, b], charge, *replicas, site),
                [Some(a), None] | [None, Some(a)] => {
                    cross_entropy::loss([terms, a], charge, *replicas, site)
                }
                [None, None] => cross_entropy::loss([terms], charge, *replicas, site),
            };
            Effect::updates([site.accumulate(report, gain)])
        }
        (Op::CrossEntropyBackward { charge, vocab }, [logits, targets, max, terms], []) => {
            Effect::outs(cross_entropy::backward(
                [logits, targets, max, terms],
                charge,
                *vocab,
                site,
            ))
        }
        (
            Op::CrossEntropyBackward { charge, vocab },
            [logits, targets, max, terms, weights],
            [],
        ) => {
            let operands = [logits, targets, max, terms, weights];
            Effect::outs(cross_entropy::weighted_backward(
                operands, charge, *vocab, site,
            ))
        }
        (Op::Slice { axis, dim }, [x], []) => Effect::outs(slice::slice(x, *axis, *dim, site)),
        (Op::SumSquares { replicas }, [x], [report]) => {
            Effect::updates([site.accumulate(report, norm::sum_squares(x, *replicas, site))])
        }
        (Op::ClipFactor { max_norm, scaled }, [report], [_]) => {
            Effect::updates(norm::clip_factor(report, *max_norm, *scaled, site))
        }
        (op, [factor], state) if op.is_update() => {
            let state: Vec<&Item> = state.iter().collect();
            Effect {
                updates: update::update(op, factor, &state, site)?,
                outs: Vec::new(),
            }
        }
        (op, ins, updates) => return apply_bent(op, ins, updates, site),
    })
}
