//! What a decoder-only model consists of, read off a plan.
//!
//! In comes a plan; out come its model's dimensions and choices: shapes from the parameters, the rest from the instructions that
//! will run, so that the exported model is the one that was trained and not the one that somebody meant.

use pleach_plan::{Activation, Body, BodyKind, Instr, Op, Plan, Split, TensorId};

use super::ExportError;

/// The dimensions and choices of a decoder-only model whose layers are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoder {
    /// Layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Attention heads.
    pub heads: u64,
    /// Heads of keys and values.
    pub kv_heads: u64,
    /// Width of a head.
    pub head_dim: u64,
    /// Width between the matrices of the feed-forward half.
    pub ffn: u64,
    /// What stands between them.
    pub activation: Activation,
    /// Whether it is one operand of a product.
    pub is_gated: bool,
    /// Vocabulary rows.
    pub vocab: u64,
    /// Tokens of the longest sequence that it was trained on.
    pub sequence: u64,
    /// How positions enter.
    pub positions: Positions,
    /// How many positions attention looks at.
    pub window: Option<u64>,
    /// Whether norms subtract the mean (and have a bias).
    pub has_means: bool,
    /// Added to the variance, or to the mean square, in every norm.
    pub eps: f64,
    /// Whether a norm stands behind the embedding.
    pub embedding_norm: bool,
    /// How the halves of a layer meet.
    pub residual: Residual,
    /// Which matrices have a bias.
    pub biases: Biases,
    /// Whether embedding and head are one table.
    pub tied: bool,
}

/// How positions enter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Positions {
    /// Not at all.
    None,
    /// The first entries of each head are rotated.
    Rotary {
        /// How many.
        entries: u64,
        /// Base of the frequencies.
        base: f64,
        /// What positions are divided by.
        scale: f64,
    },
    /// A table of so many rows.
    Learned(u64),
    /// Scores that fall with distance.
    Alibi,
}

/// How the halves of a layer meet the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// One behind the other.
    Sequential,
    /// Side by side, each with its norm.
    ParallelSeparate,
    /// Side by side behind one norm.
    ParallelShared,
}

/// Which matrices of a layer have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// Attention's output.
    pub output: bool,
    /// Those of the feed-forward half.
    pub mlp: bool,
}

impl Biases {
    /// All or none.
    pub const fn all(is: bool) -> Biases {
        Biases {
            qkv: is,
            output: is,
            mlp: is,
        }
    }
}

impl Decoder {
    /// Reads the model off a plan.
    ///
    /// # Errors
    /// Something that no family of `transformers` has.
    pub fn of(plan: &Plan) -> Result<Decoder, ExportError> {
        let forward = forward(plan)?;
        foreign(plan)?;
        let (split, scores) = attention(forward)?;
        let [vocab, hidden] = matrix(plan, "embedding.weight")?;
        let wide = matrix(plan, "layers.{layer}.attention.output.weight")?[1];
        let head_dim = split.head_dim;
        let (activation, is_gated) = nonlinearity(forward)?;
        let (has_means, eps) = norms(plan)?;
        Ok(Decoder {
            layers: plan.layer_count().into(),
            hidden,
            heads: wide / head_dim,
            kv_heads: wide / head_dim / split.group.max(1),
            head_dim,
            ffn: matrix(plan, "layers.{layer}.mlp.up.weight")?[0],
            activation,
            is_gated,
            vocab,
            sequence: longest(plan),
            positions: positions(plan, &split, scores.alibi.is_some())?,
            window: scores.window,
            has_means,
            eps,
            embedding_norm: has(plan, "embedding.norm.weight"),
            residual: residual(forward)?,
            biases: Biases {
                qkv: has(plan, "layers.{layer}.attention.qkv.bias"),
                output: has(plan, "layers.{layer}.attention.output.bias"),
                mlp: has(plan, "layers.{layer}.mlp.up.bias"),
            },
            tied: !has(plan, "head.weight"),
        })
    }
}

/// What no family has: experts, state spaces, and what may stand around embedding and head.
fn foreign(plan: &Plan) -> Result<(), ExportError> {
    let what = |op: &Op, reads: usize| match op {
        Op::Route(_) => Some("it has a mixture of experts"),
        Op::Scan {} => Some("it has a state space"),
        Op::Scale { .. } => Some("its embedding is scaled"),
        Op::Cap { .. } => Some("its logits are capped"),
        Op::HeadNorm(_) => Some("its queries and keys have a norm"),
        Op::LayerNorm { .. } if reads == 2 => Some("its norms have no bias"),
        _ => None,
    };
    if let Some(what) = code(plan).find_map(|instr| what(&instr.op, instr.ins.len())) {
        return inexpressible(what.to_owned());
    }
    if has(plan, "head.bias") {
        return inexpressible("its logits have a bias".to_owned());
    }
    if !has(plan, "head.norm.weight") {
        return inexpressible("it has no norm in front of its head".to_owned());
    }
    Ok(())
}

/// Every instruction of forward.
fn code(plan: &Plan) -> impl Iterator<Item = &Instr> {
    let forward = |body: &&Body| body.kind == BodyKind::Forward;
    let bodies = plan.bodies.iter().filter(forward);
    bodies.flat_map(|body| &body.code)
}

/// The code of a layer's forward.
fn forward(plan: &Plan) -> Result<&Body, ExportError> {
    let layer = |body: &&Body| body.kind == BodyKind::Forward && body.block.starts_with("layer");
    let mut layers = plan.bodies.iter().filter(layer);
    match (layers.next(), layers.next()) {
        (Some(body), None) => Ok(body),
        (Some(_), Some(_)) => inexpressible("its layers differ".into()),
        _ => inexpressible("it has no layers".into()),
    }
}

/// Whether all norms subtract the mean, and the number that all of them add.
fn norms(plan: &Plan) -> Result<(bool, f64), ExportError> {
    let norm = |instr: &Instr| match instr.op {
        Op::LayerNorm { eps } => Some((true, eps)),
        Op::RmsNorm { eps } => Some((false, eps)),
        _ => None,
    };
    let mut found = code(plan).filter_map(norm);
    let Some(first) = found.next() else {
        return inexpressible("it has no norms".into());
    };
    match found.find(|other| *other != first) {
        None => Ok(first),
        Some((has_means, _)) if has_means != first.0 => {
            inexpressible("some of its norms subtract the mean and others do not".into())
        }
        Some((_, other)) => inexpressible(format!("its norms add {} and {other}", first.1)),
    }
}

/// Two norms of one input are a parallel residual, two of different inputs a sequential one. A placement may gather what norms read.
fn residual(forward: &Body) -> Result<Residual, ExportError> {
    let before = |read: TensorId| {
        let whole = |instr: &&Instr| matches!(instr.op, Op::AllGather { .. });
        let mut gathers = forward.code.iter().filter(whole);
        let made = gathers.find(|instr| instr.outs.contains(&read));
        made.and_then(|instr| instr.ins.first().copied())
            .unwrap_or(read)
    };
    let norm = |instr: &Instr| match instr.op {
        Op::LayerNorm { .. } | Op::RmsNorm { .. } => Some(instr.ins.first().copied().map(before)),
        _ => None,
    };
    let found: Vec<_> = forward.code.iter().filter_map(norm).collect();
    let input = forward.ins.first().map(|port| port.tensor);
    if found.first().is_some_and(|read| *read != input) {
        return inexpressible("its norms stand behind a half".to_owned());
    }
    match found[..] {
        [_] => Ok(Residual::ParallelShared),
        [first, second] if first == second => Ok(Residual::ParallelSeparate),
        [_, _] => Ok(Residual::Sequential),
        _ => inexpressible(format!("a layer has {} norms", found.len())),
    }
}

/// How attention cuts its heads, and what it looks at.
fn attention(forward: &Body) -> Result<(Split, pleach_plan::Scores), ExportError> {
    let mut code = forward.code.iter();
    let split = code.find_map(|instr| match instr.op {
        Op::SplitHeads(split) if split.head_dim > 0 => Some(split),
        _ => None,
    });
    let scores = code.find_map(|instr| match instr.op {
        Op::Attention(scores) => Some(scores),
        _ => None,
    });
    match (split, scores) {
        (Some(split), Some(scores)) => Ok((split, scores)),
        _ => inexpressible("its layers have no attention".into()),
    }
}

/// The one way in which positions enter.
fn positions(plan: &Plan, split: &Split, is_sloped: bool) -> Result<Positions, ExportError> {
    let rows = has(plan, "embedding.positions").then(|| matrix(plan, "embedding.positions"));
    match (rows.transpose()?, split.rotary, is_sloped) {
        (None, 0, false) => Ok(Positions::None),
        (None, 0, true) => Ok(Positions::Alibi),
        (None, entries, false) => Ok(Positions::Rotary {
            entries,
            base: split.base,
            scale: split.scale,
        }),
        (Some([rows, _]), 0, false) => Ok(Positions::Learned(rows)),
        _ => inexpressible("positions enter it in more than one way".into()),
    }
}

fn nonlinearity(forward: &Body) -> Result<(Activation, bool), ExportError> {
    let found = forward.code.iter().find_map(|instr| match instr.op {
        Op::Gelu {} => Some((Activation::Gelu, false)),
        Op::Activation { kind } => Some((kind, false)),
        Op::Gated { kind } => Some((kind, true)),
        _ => None,
    });
    found.map_or_else(
        || inexpressible("its layers have no feed-forward half".into()),
        Ok,
    )
}

/// Positions of the longest phase: a model that was trained on short samples first has to see the long ones too.
fn longest(plan: &Plan) -> u64 {
    let sequences = plan.phases().map(|phase| phase.training.sequence);
    sequences.max().unwrap_or(plan.training.sequence)
}

fn has(plan: &Plan, name: &str) -> bool {
    plan.parameters
        .iter()
        .any(|parameter| parameter.name == name)
}

/// The logical shape of a matrix.
fn matrix(plan: &Plan, name: &str) -> Result<[u64; 2], ExportError> {
    let parameter = plan
        .parameters
        .iter()
        .find(|parameter| parameter.name == name);
    match parameter.map(|parameter| parameter.dims.as_slice()) {
        Some(&[rows, columns]) => Ok([rows, columns]),
        _ => inexpressible(format!("it has no matrix `{name}`")),
    }
}

fn inexpressible<T>(what: String) -> Result<T, ExportError> {
    Err(ExportError::Inexpressible { what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_plan::{BodyId, Port, Wire};

    fn layer(norms: &[u32]) -> Body {
        let norm = |&input: &u32| Instr {
            op: Op::LayerNorm { eps: 1e-5 },
            ins: vec![TensorId(input)],
            updates: Vec::new(),
            outs: Vec::new(),
            frees: Vec::new(),
            workspace: 0,
        };
        Body {
            id: BodyId(0),
            name: "layer.forward".into(),
            kind: BodyKind::Forward,
            block: "layer".into(),
            ins: vec![Port {
                wire: Wire::Hidden,
                tensor: TensorId(1),
            }],
            outs: Vec::new(),
            saves: Vec::new(),
            takes: Vec::new(),
            code: norms.iter().map(norm).collect(),
        }
    }

    #[test]
    fn residuals_are_told_apart_by_what_norms_read() {
        let kind = |read: &[u32]| residual(&layer(read));
        assert_eq!(kind(&[1, 1]).unwrap(), Residual::ParallelSeparate);
        assert_eq!(kind(&[1, 2]).unwrap(), Residual::Sequential);
        assert_eq!(kind(&[1]).unwrap(), Residual::ParallelShared);
        let behind = kind(&[4, 5]).unwrap_err().to_string();
        assert!(behind.contains("behind a half"), "{behind}");
        assert!(kind(&[]).unwrap_err().to_string().contains("0 norms"));
    }
}
