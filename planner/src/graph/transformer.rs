//! Lowers a decoder-only transformer to blocks.
//!
//! In comes the experiment's model with the size of a micro-batch, out come the forward operations of embedding, layer and head.

use pleach_dsl::experiment::{Experiment, Model, Norm, Precision};
use pleach_plan::op::Tokens;
use pleach_plan::{Charge, Init, Op};

use super::layer::layer;
use super::{Block, Dim, Kind, ModelGraph, ValueId, weights};
use crate::support;

/// Named sizes of a model and its micro-batch.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Sequences of a micro-batch.
    pub batch: Dim,
    /// Positions.
    pub sequence: Dim,
    /// Width of the residual stream.
    pub hidden: Dim,
    /// Vocabulary rows.
    pub vocab: Dim,
}

impl Sizes {
    /// The sizes of a model under a micro-batch.
    pub fn of(model: &Model, micro_batch: u64) -> Sizes {
        let dim = |name, size| Dim { name, size };
        Sizes {
            batch: dim("batch", micro_batch),
            sequence: dim("sequence", model.context),
            hidden: dim("hidden", model.hidden),
            vocab: dim("vocab", model.vocab),
        }
    }

    /// Rows of this width: batch, positions, width.
    pub fn rows(&self, last: Dim) -> [Dim; 3] {
        [self.batch, self.sequence, last]
    }
}

/// How the loss of a step is made from its targets.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// What a token is charged with.
    pub charge: Charge,
    /// Whether targets have weights: those that do not count have none.
    pub is_weighted: bool,
}

impl Loss {
    /// The loss that an experiment asks for.
    pub fn of(experiment: &Experiment) -> Loss {
        let tokens = experiment.train.global_batch * experiment.model.context;
        let loss = experiment.train.loss;
        let rows = match loss.label_smoothing {
            0.0 => 0,
            _ => experiment.model.vocab,
        };
        Loss {
            charge: Charge {
                scale: 1.0 / tokens as f64,
                z_loss: loss.z_loss,
                smoothing: loss.label_smoothing,
                rows,
                scaled: is_scaled(experiment.train.precision),
            },
            is_weighted: support::is_weighted(&experiment.data),
        }
    }

    /// All targets count, with this factor.
    pub fn plain(scale: f64) -> Loss {
        Loss {
            charge: Charge::plain(scale),
            is_weighted: false,
        }
    }
}

/// Whether the loss is multiplied before gradients are taken: where they are in a format of small range.
pub fn is_scaled(precision: Precision) -> bool {
    matches!(precision, Precision::Fp16(_))
}

/// The forward graph of a model.
pub fn lower(model: &Model, micro_batch: u64, loss: Loss) -> ModelGraph {
    let charge = &loss.charge;
    let order = model.order.clone();
    let sizes = Sizes::of(model, micro_batch);
    let others = model.kinds.iter().enumerate().skip(1);
    ModelGraph {
        embedding: embedding(model, &sizes),
        layer: layer(model, &model.kinds[0], &sizes, charge),
        others: others
            .map(|(kind, other)| Block {
                kind,
                ..layer(model, other, &sizes, charge)
            })
            .collect(),
        stores: stores(model),
        order,
        head: head(model, &sizes, loss),
    }
}

/// For each kind of layers the first one that has the same parameters.
pub fn stores(model: &Model) -> Vec<usize> {
    let all: Vec<_> = model
        .kinds
        .iter()
        .map(|kind| weights::layer(model, kind))
        .collect();
    let first = |own| all.iter().position(|other| other == own);
    all.iter().map(|own| first(own).unwrap_or(0)).collect()
}

fn embedding(model: &Model, sizes: &Sizes) -> Block {
    let mut block = Block::new("embedding");
    let dims = [sizes.vocab, sizes.hidden];
    let table = block.matrix("weight", &dims, model.init.weights);
    block.tied = model.tied.then_some(table);
    let ids = block.declare("ids", &[sizes.batch, sizes.sequence], Kind::Ids);
    block.forward_into(
        Op::Tokens {
            which: Tokens::Inputs,
        },
        &[],
        &[],
        &[ids],
    );
    let out = block.forward(
        Op::Embedding { vocab: None },
        &[ids, table],
        "hidden",
        &sizes.rows(sizes.hidden),
    );
    let out = scaled(&mut block, model.embedding.scale, out);
    let out = positioned(&mut block, model, sizes, out);
    let out = norm(&mut block, model.embedding.norm, sizes, "norm", out);
    block.output = Some(out);
    block
}

/// The embedding's rows times a number.
fn scaled(block: &mut Block, by: f64, input: ValueId) -> ValueId {
    if by == 1.0 {
        return input;
    }
    let dims = block.value(input).dims.clone();
    block.forward(Op::Scale { by }, &[input], "scaled", &dims)
}

/// A row of learned positions added to each position, where the model has them.
fn positioned(block: &mut Block, model: &Model, sizes: &Sizes, input: ValueId) -> ValueId {
    let Some(size) = model.embedding.positions else {
        return input;
    };
    let rows = Dim { name: "rows", size };
    let table = block.matrix("positions", &[rows, sizes.hidden], model.init.weights);
    let dims = block.value(input).dims.clone();
    let op = Op::Positions { over: None };
    block.forward(op, &[input, table], "positioned", &dims)
}

fn head(model: &Model, sizes: &Sizes, loss: Loss) -> Block {
    let mut block = Block::new("head");
    let input = block.declare("input", &sizes.rows(sizes.hidden), Kind::Activation);
    block.input = Some(input);
    let normed = norm(&mut block, model.head.norm, sizes, "norm", input);
    let dims = [sizes.vocab, sizes.hidden];
    let weight = if model.tied {
        block.declare("weight", &dims, Kind::Tied)
    } else {
        block.matrix("weight", &dims, model.init.weights)
    };
    block.tied = model.tied.then_some(weight);
    let logits = block.forward(
        Op::Linear {},
        &[normed, weight],
        "logits",
        &sizes.rows(sizes.vocab),
    );
    let logits = bent(&mut block, model, sizes, logits);
    let targets = of_data(&mut block, sizes, "targets", Tokens::Targets);
    let max = block.declare("max", &[sizes.batch, sizes.sequence], Kind::Statistic);
    block.forward_into(Op::CrossEntropyMax {}, &[logits], &[], &[max]);
    let (charge, replicas) = (loss.charge, 1);
    let count = |size| Dim {
        name: "terms",
        size,
    };
    let smoothed = charge.is_smoothed();
    let terms = block.declare(
        "terms",
        &[count(2 + u64::from(smoothed)), sizes.batch, sizes.sequence],
        Kind::Statistic,
    );
    let vocab = None;
    block.forward_into(
        Op::CrossEntropyTerms { vocab, smoothed },
        &[logits, targets, max],
        &[],
        &[terms],
    );
    let report = block.declare("report", &[count(2)], Kind::Report);
    let weights = loss
        .is_weighted
        .then(|| of_data(&mut block, sizes, "weights", Tokens::Weights));
    let max = charge.is_squared().then_some(max);
    let ins: Vec<ValueId> = [terms].into_iter().chain(max).chain(weights).collect();
    block.forward_into(
        Op::CrossEntropyLoss { charge, replicas },
        &ins,
        &[report],
        &[],
    );
    block
}

/// What the data says of each position.
fn of_data(block: &mut Block, sizes: &Sizes, name: &str, which: Tokens) -> ValueId {
    let kind = match which {
        Tokens::Weights => Kind::Statistic,
        Tokens::Inputs | Tokens::Targets => Kind::Ids,
    };
    let value = block.declare(name, &[sizes.batch, sizes.sequence], kind);
    block.forward_into(Op::Tokens { which }, &[], &[], &[value]);
    value
}

/// Logits with their bias and below their limit, where the head has these.
fn bent(block: &mut Block, model: &Model, sizes: &Sizes, mut logits: ValueId) -> ValueId {
    let dims = sizes.rows(sizes.vocab);
    if model.head.bias {
        let bias = block.parameter("bias", &[sizes.vocab], Init::Zeros);
        logits = block.forward(Op::Bias {}, &[logits, bias], "logits.biased", &dims);
    }
    match model.head.cap {
        Some(limit) => block.forward(Op::Cap { limit }, &[logits], "logits.capped", &dims),
        None => logits,
    }
}

/// A norm of rows; where there is none, the rows themselves.
pub(super) fn norm(
    block: &mut Block,
    kind: Norm,
    sizes: &Sizes,
    name: &str,
    input: ValueId,
) -> ValueId {
    if kind == Norm::None {
        return input;
    }
    let mut vector = |what: &str, init| {
        let name = format!("{name}.{what}");
        block.parameter(&name, &[sizes.hidden], init)
    };
    let weight = vector("weight", Init::Ones);
    let bias = match kind {
        Norm::LayerNorm { bias: true, .. } => Some(vector("bias", Init::Zeros)),
        _ => None,
    };
    let rows = sizes.rows(sizes.hidden);
    let out = block.declare(format!("{name}.out"), &rows, Kind::Activation);
    let mut statistic = |what: &str| {
        let dims = [sizes.batch, sizes.sequence];
        block.declare(format!("{name}.{what}"), &dims, Kind::Statistic)
    };
    let ins: Vec<ValueId> = [input, weight].into_iter().chain(bias).collect();
    let (op, outs) = match kind {
        Norm::LayerNorm { eps, .. } => {
            let outs = vec![out, statistic("mean"), statistic("rstd")];
            (Op::LayerNorm { eps }, outs)
        }
        norm => (Op::RmsNorm { eps: eps(norm) }, vec![out, statistic("rstd")]),
    };
    block.forward_into(op, &ins, &[], &outs);
    out
}

/// What a norm adds below the root.
pub(super) fn eps(norm: Norm) -> f64 {
    match norm {
        Norm::LayerNorm { eps, .. } | Norm::RmsNorm { eps } => eps,
        Norm::None => 0.0,
    }
}
