//! What a GPT-NeoX model consists of, read off a plan.
//!
//! In comes a plan; out come its model's dimensions and choices: shapes from the parameters, the rest from the instructions that
//! will run, so that the exported model is the one that was trained and not the one that somebody meant.

use pleach_plan::{Body, BodyKind, Op, Plan, Scores, Split};

use crate::export::ExportError;

/// The dimensions and choices of a GPT-NeoX model.
#[derive(Clone, Debug, PartialEq)]
pub struct HfModel {
    /// Layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Attention heads.
    pub heads: u64,
    /// Width between the two matrices of the feed-forward half.
    pub ffn: u64,
    /// Vocabulary rows.
    pub vocab: u64,
    /// Positions.
    pub sequence: u64,
    /// Rotated entries of each head.
    pub rotary: u64,
    /// Base of the rotation frequencies.
    pub rotary_base: f64,
    /// Added to the variance in norms.
    pub eps: f64,
    /// Whether attention and feed-forward both read the layer's input.
    pub parallel_residual: bool,
    /// Whether they read it through one norm; it is then written twice.
    pub shared_norm: bool,
    /// Whether embedding and head are one table.
    pub tied: bool,
}

/// The norms of a layer.
struct Norms {
    eps: f64,
    /// Both halves read through one norm.
    shared: bool,
    /// Both halves read the layer's input.
    parallel: bool,
}

/// How attention cuts its heads.
struct Heads {
    width: u64,
    rotary: u64,
    base: f64,
}

impl HfModel {
    /// Reads the model off a plan.
    ///
    /// # Errors
    /// Something that GPT-NeoX does not have.
    pub fn of(plan: &Plan) -> Result<HfModel, ExportError> {
        let forward = forward(plan)?;
        halves(forward)?;
        let (norms, heads) = (norms(forward)?, heads(forward)?);
        biases(plan)?;
        foreign(plan, norms.eps)?;
        nonlinearity(forward)?;
        let embedding = matrix(plan, "embedding.weight")?;
        let attended = matrix(plan, "layers.{layer}.attention.output.weight")?[1];
        let [vocab, hidden] = embedding;
        if attended != hidden {
            return inexpressible(format!(
                "its heads together are {attended} wide, its residual stream {hidden}"
            ));
        }
        Ok(HfModel {
            layers: plan.layer_count().into(),
            hidden,
            heads: hidden / heads.width,
            ffn: matrix(plan, "layers.{layer}.mlp.up.weight")?[0],
            vocab,
            sequence: longest(plan),
            rotary: heads.rotary,
            rotary_base: heads.base,
            eps: norms.eps,
            parallel_residual: norms.parallel,
            shared_norm: norms.shared,
            tied: !plan
                .parameters
                .iter()
                .any(|parameter| parameter.name == "head.weight"),
        })
    }
}

/// GPT-NeoX's layers attend, and have one feed-forward half.
fn halves(forward: &Body) -> Result<(), ExportError> {
    let what = |op: &Op| match op {
        Op::Route(_) => Some("it has a mixture of experts"),
        Op::Scan {} => Some("it has a state space"),
        _ => None,
    };
    let found = forward.code.iter().find_map(|instr| what(&instr.op));
    found.map_or(Ok(()), |what| inexpressible(what.to_owned()))
}

/// GPT-NeoX's feed-forward half has an exact GELU.
fn nonlinearity(forward: &Body) -> Result<(), ExportError> {
    let other = forward
        .code
        .iter()
        .find(|instr| matches!(instr.op, Op::Activation { .. } | Op::Gated { .. }));
    match other {
        Some(other) => inexpressible(format!(
            "its nonlinearity is `{}`, not `gelu`",
            other.op.name()
        )),
        None => Ok(()),
    }
}

/// GPT-NeoX has nothing between its embedding and its layers, one layer norm between them and its head, and nothing behind that.
fn foreign(plan: &Plan, eps: f64) -> Result<(), ExportError> {
    let what = |op: &Op, reads: usize| match op {
        Op::Positions { .. } => Some("it has learned positions"),
        Op::Scale { .. } => Some("its embedding is scaled"),
        Op::Cap { .. } => Some("its logits are capped"),
        Op::HeadNorm(_) => Some("its queries and keys have a norm"),
        Op::RmsNorm { .. } => Some("it has norms without a mean"),
        Op::LayerNorm { .. } if reads == 2 => Some("its norms have no bias"),
        Op::LayerNorm { eps: other } if *other != eps => Some("its last norm adds another number"),
        _ => None,
    };
    let forward = |body: &&Body| body.kind == BodyKind::Forward;
    let code = plan
        .bodies
        .iter()
        .filter(forward)
        .flat_map(|body| &body.code);
    let mut found = code.filter_map(|instr| what(&instr.op, instr.ins.len()));
    if let Some(what) = found.next() {
        return inexpressible(what.to_owned());
    }
    let there = |name: &str| plan.parameters.iter().any(|found| found.name == name);
    if there("head.bias") {
        return inexpressible("its logits have a bias".to_owned());
    }
    if !there("head.norm.bias") {
        return inexpressible("it has no norm in front of its head".to_owned());
    }
    Ok(())
}

/// GPT-NeoX has a bias behind every matrix of a layer, and no norm behind its embedding.
fn biases(plan: &Plan) -> Result<(), ExportError> {
    let there = |name: &str| plan.parameters.iter().any(|found| found.name == name);
    if there("embedding.norm.weight") {
        return inexpressible("it has a norm behind its embedding".into());
    }
    for matrix in ["attention.qkv", "attention.output", "mlp.up", "mlp.down"] {
        if !there(&format!("layers.{{layer}}.{matrix}.bias")) {
            return inexpressible(format!("its `{matrix}` has no bias"));
        }
    }
    Ok(())
}

fn inexpressible<T>(what: String) -> Result<T, ExportError> {
    Err(ExportError::Inexpressible { what })
}

/// The code of a layer's forward.
fn forward(plan: &Plan) -> Result<&Body, ExportError> {
    let layer = |body: &&Body| body.kind == BodyKind::Forward && body.block == "layer";
    let mut layers = plan.bodies.iter().filter(layer);
    match (layers.next(), layers.next()) {
        (Some(body), None) => Ok(body),
        (Some(_), Some(_)) => inexpressible("its layers differ".into()),
        _ => inexpressible("it has no layers".into()),
    }
}

/// Two norms of one input are a parallel residual, two of different inputs a sequential one.
fn norms(forward: &Body) -> Result<Norms, ExportError> {
    let norm = |instr: &pleach_plan::Instr| match instr.op {
        Op::LayerNorm { eps } => Some((eps, instr.ins.first().copied())),
        _ => None,
    };
    let found: Vec<_> = forward.code.iter().filter_map(norm).collect();
    let input = forward.ins.first().map(|port| port.tensor);
    if found.first().is_some_and(|(_, read)| *read != input) {
        return inexpressible("its norms stand behind a half".to_owned());
    }
    match found[..] {
        [(eps, _)] => Ok(Norms {
            eps,
            shared: true,
            parallel: true,
        }),
        [(eps, first), (other, second)] if eps == other => Ok(Norms {
            eps,
            shared: false,
            parallel: first == second,
        }),
        [(eps, _), (other, _)] => {
            inexpressible(format!("its norms add {eps} and {other} to the variance"))
        }
        _ => inexpressible(format!("a layer has {} layer norms", found.len())),
    }
}

fn heads(forward: &Body) -> Result<Heads, ExportError> {
    let heads = forward.code.iter().find_map(|instr| match instr.op {
        Op::SplitHeads(split) if split.head_dim > 0 => Some(split),
        _ => None,
    });
    plain(forward)?;
    match heads {
        Some(Split { group, .. }) if group > 1 => {
            inexpressible(format!("{group} of its heads share keys and values"))
        }
        Some(Split { scale, .. }) if scale != 1.0 => {
            inexpressible(format!("its positions are divided by {scale}"))
        }
        Some(split) => Ok(Heads {
            width: split.head_dim,
            rotary: split.rotary,
            base: split.base,
        }),
        None => inexpressible("its layers have no attention".into()),
    }
}

/// Positions of the longest phase: a model that was trained on short samples first has to see the long ones too.
fn longest(plan: &Plan) -> u64 {
    let sequences = plan.phases().map(|phase| phase.training.sequence);
    sequences.max().unwrap_or(plan.training.sequence)
}

/// GPT-NeoX's attention sees the whole sequence, and positions by rotation only.
fn plain(forward: &Body) -> Result<(), ExportError> {
    let other = |instr: &pleach_plan::Instr| matches!(instr.op, Op::Attention(scores) if scores != Scores::PLAIN);
    match forward.code.iter().any(other) {
        true => inexpressible("its attention is grouped, in a window or sloped".into()),
        false => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_plan::{BodyId, Instr, Port, TensorId, Wire};

    const SPLIT: Split = Split {
        head_dim: 64,
        rotary: 16,
        base: 1e4,
        scale: 1.0,
        group: 1,
    };

    fn instr(op: Op, input: u32) -> Instr {
        let ins = vec![TensorId(input)];
        Instr {
            op,
            ins,
            updates: Vec::new(),
            outs: Vec::new(),
            frees: Vec::new(),
            workspace: 0,
        }
    }

    fn layer(norms: &[(f64, u32)]) -> Body {
        let norms = norms
            .iter()
            .map(|&(eps, input)| instr(Op::LayerNorm { eps }, input));
        let split = instr(Op::SplitHeads(SPLIT), 9);
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
            code: norms.chain([split]).collect(),
        }
    }

    #[test]
    fn residuals_are_told_apart_by_what_norms_read() {
        let kind =
            |read: &[(f64, u32)]| norms(&layer(read)).map(|norms| (norms.shared, norms.parallel));
        assert_eq!(kind(&[(1e-5, 1), (1e-5, 1)]).unwrap(), (false, true));
        assert_eq!(kind(&[(1e-5, 1), (1e-5, 2)]).unwrap(), (false, false));
        assert_eq!(kind(&[(1e-5, 1)]).unwrap(), (true, true));
        let behind = kind(&[(1e-5, 4), (1e-5, 5)]).unwrap_err().to_string();
        assert!(behind.contains("behind a half"), "{behind}");
        let error = kind(&[(1e-5, 1), (1e-6, 1)]).unwrap_err().to_string();
        assert!(error.contains("0.00001 and 0.000001"), "{error}");
        assert!(kind(&[]).unwrap_err().to_string().contains("0 layer norms"));
    }

    #[test]
    fn shared_keys_and_windows_are_refused() {
        let with = |op| Body {
            code: vec![instr(op, 1)],
            ..layer(&[])
        };
        let grouped = with(Op::SplitHeads(Split { group: 4, ..SPLIT }));
        let error = heads(&grouped).err().unwrap().to_string();
        assert!(error.contains("4 of its heads share"), "{error}");
        let window = Some(128);
        let near = with(Op::Attention(Scores {
            window,
            ..Scores::PLAIN
        }));
        let error = plain(&near).unwrap_err().to_string();
        assert!(error.contains("in a window"), "{error}");
    }

    #[test]
    fn experts_and_state_spaces_are_refused() {
        assert!(halves(&layer(&[])).is_ok());
        let route = Op::Route(pleach_plan::Route {
            active: 2,
            normalised: true,
        });
        for (op, what) in [(route, "experts"), (Op::Scan {}, "state space")] {
            let body = Body {
                code: vec![instr(op, 1)],
                ..layer(&[])
            };
            let error = halves(&body).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn another_nonlinearity_is_refused() {
        assert!(nonlinearity(&layer(&[])).is_ok());
        let kind = pleach_plan::Activation::Silu;
        let gated = Body {
            code: vec![instr(Op::Gated { kind }, 1)],
            ..layer(&[])
        };
        let error = nonlinearity(&gated).unwrap_err().to_string();
        assert!(error.contains("`gated`"), "{error}");
    }

    #[test]
    fn heads_come_from_the_instruction_that_cuts_them() {
        let heads = heads(&layer(&[(1e-5, 1)])).ok().unwrap();
        assert_eq!((heads.width, heads.rotary, heads.base), (64, 16, 1e4));
        assert!(
            super::heads(&Body {
                code: Vec::new(),
                ..layer(&[])
            })
            .is_err()
        );
    }
}
