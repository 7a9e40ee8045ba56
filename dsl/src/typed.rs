//! Values to the typed experiment. By now every mistake has been reported; a value that is missing here was one of them.

use std::collections::BTreeMap;

use num_rational::BigRational;
use num_traits::ToPrimitive;

use crate::evaluate::Value;
use crate::experiment::{
    AdamW, Checkpoints, Cluster, Component, Dataset, Experiment, Init, LearningRate, Mlp, Model,
    Norm, Positions, Precision, Residual, Train, Wishes,
};
use crate::origin::Origin;
use crate::quantity::to_f64;
use crate::resolve::{Content, Resolver, Share};
use crate::wish::{Objective, Requirement};

/// Builds the experiment.
pub fn build(
    resolver: &mut Resolver,
    mix: &[Share],
    requirements: Vec<Requirement>,
    objectives: Vec<Objective>,
    hash: String,
) -> Option<Experiment> {
    Some(Experiment {
        name: resolver.kind("")?,
        seed: count(resolver, "seed")?,
        model: model(resolver)?,
        data: dataset(resolver, mix)?,
        train: train(resolver)?,
        checkpoints: checkpoints(resolver)?,
        cluster: cluster(resolver)?,
        plan: wishes(resolver, requirements, objectives)?,
        hash,
        origins: origins(resolver),
    })
}

/// A whole number.
fn count(resolver: &mut Resolver, path: &str) -> Option<u64> {
    resolver.known(path)?.count()
}

/// A number.
fn real(resolver: &mut Resolver, path: &str) -> Option<f64> {
    resolver.known(path)?.number().map(to_f64)
}

/// A word or string.
fn text(resolver: &mut Resolver, path: &str) -> Option<String> {
    resolver.known(path)?.text().map(str::to_string)
}

fn model(resolver: &mut Resolver) -> Option<Model> {
    Some(Model {
        layers: count(resolver, "model.layers")?,
        hidden: count(resolver, "model.hidden")?,
        heads: count(resolver, "model.heads")?,
        head_dim: count(resolver, "model.head_dim")?,
        context: count(resolver, "model.context")?,
        vocab: count(resolver, "model.vocab")?,
        positions: positions(resolver)?,
        residual: residual(resolver)?,
        norm: Norm::LayerNorm {
            eps: real(resolver, "model.norm.eps")?,
        },
        mlp: Mlp::Gelu {
            width: count(resolver, "model.mlp.width")?,
        },
        tied: resolver.known("model.tied")?.value == Value::Truth(true),
        init: init(resolver)?,
    })
}

fn positions(resolver: &mut Resolver) -> Option<Positions> {
    match resolver.kind("model.positions")?.as_str() {
        "rotary" => Some(Positions::Rotary {
            fraction: real(resolver, "model.positions.fraction")?,
            base: real(resolver, "model.positions.base")?,
        }),
        _ => Some(Positions::None),
    }
}

fn residual(resolver: &mut Resolver) -> Option<Residual> {
    if resolver.kind("model.residual")? == "sequential" {
        return Some(Residual::Sequential);
    }
    let shared = text(resolver, "model.residual.norms")? == "shared";
    Some(if shared {
        Residual::ParallelShared
    } else {
        Residual::ParallelSeparate
    })
}

/// Standard deviations, computed from width and depth where the kind says so.
fn init(resolver: &mut Resolver) -> Option<Init> {
    if resolver.kind("model.init")? == "normal" {
        return Some(Init {
            weights: real(resolver, "model.init.std")?,
            output: real(resolver, "model.init.output")?,
        });
    }
    let hidden = real(resolver, "model.hidden")?;
    let layers = real(resolver, "model.layers")?;
    let weights = libm::sqrt(2.0 / (5.0 * hidden));
    let wang = text(resolver, "model.init.output")? == "wang_init";
    Some(Init {
        weights,
        output: if wang {
            2.0 / (layers * libm::sqrt(hidden))
        } else {
            weights
        },
    })
}

fn dataset(resolver: &mut Resolver, mix: &[Share]) -> Option<Dataset> {
    Some(Dataset {
        name: resolver.kind("data")?,
        source: text(resolver, "data.source")?,
        tokenizer: text(resolver, "data.tokenizer")?,
        mix: mix.iter().map(component).collect::<Option<Vec<_>>>()?,
    })
}

fn component(share: &Share) -> Option<Component> {
    Some(Component {
        name: share.name.clone(),
        files: share.files.clone(),
        weight: fraction(&share.weight)?,
        size: share
            .size
            .as_ref()
            .and_then(|size| size.floor().to_integer().to_u64()),
    })
}

/// An exact share as two numbers.
pub fn fraction(share: &BigRational) -> Option<[u64; 2]> {
    Some([share.numer().to_u64()?, share.denom().to_u64()?])
}

fn train(resolver: &mut Resolver) -> Option<Train> {
    let context = resolver.known("model.context")?;
    let batch = resolver.known("train.global_batch")?;
    Some(Train {
        steps: count(resolver, "train.steps")?,
        global_batch: (batch.number()? / context.number()?)
            .to_integer()
            .to_u64()?,
        optimizer: optimizer(resolver)?,
        lr: learning_rate(resolver)?,
        clip: resolver.known("train.clip")?.number().map(to_f64),
        precision: match text(resolver, "train.precision")?.as_str() {
            "fp64" => Precision::Fp64,
            "fp32" => Precision::Fp32,
            "bf16" => Precision::Bf16,
            _ => Precision::Fp16,
        },
    })
}

fn optimizer(resolver: &mut Resolver) -> Option<AdamW> {
    let Value::List(betas) = resolver.known("train.optimizer.betas")?.value else {
        return None;
    };
    let beta = |index: usize| match betas.get(index) {
        Some(Value::Number(number)) => Some(number.to_f64()),
        _ => None,
    };
    Some(AdamW {
        betas: [beta(0)?, beta(1)?],
        eps: real(resolver, "train.optimizer.eps")?,
        weight_decay: real(resolver, "train.optimizer.weight_decay")?,
    })
}

fn learning_rate(resolver: &mut Resolver) -> Option<LearningRate> {
    let peak = real(resolver, "train.lr.peak")?;
    let warmup = count(resolver, "train.lr.warmup")?;
    match resolver.kind("train.lr")?.as_str() {
        "constant" => Some(LearningRate::Constant { peak, warmup }),
        _ => Some(LearningRate::Cosine {
            peak,
            end: real(resolver, "train.lr.end")?,
            warmup,
        }),
    }
}

fn checkpoints(resolver: &mut Resolver) -> Option<Checkpoints> {
    let every = resolver.known("checkpoints.every")?.count();
    Some(Checkpoints {
        every,
        keep: u32::try_from(count(resolver, "checkpoints.keep")?).ok()?,
    })
}

fn cluster(resolver: &mut Resolver) -> Option<Cluster> {
    /// Seconds of an hour: a price in base units is per second.
    const HOUR: f64 = 3600.0;
    Some(Cluster {
        name: resolver.kind("cluster")?,
        nodes: count(resolver, "cluster.nodes")?,
        gpus_per_node: count(resolver, "cluster.gpus_per_node")?,
        device: text(resolver, "cluster.device")?,
        memory: count(resolver, "cluster.memory"),
        peak_flops: real(resolver, "cluster.peak"),
        intra_node: real(resolver, "cluster.intra_node"),
        inter_node: real(resolver, "cluster.inter_node"),
        price_per_gpu_hour: real(resolver, "cluster.price").map(|price| price * HOUR),
    })
}

fn wishes(
    resolver: &mut Resolver,
    requirements: Vec<Requirement>,
    objectives: Vec<Objective>,
) -> Option<Wishes> {
    Some(Wishes {
        tp: resolver.choice("tp")?,
        pp: resolver.choice("pp")?,
        dp: resolver.choice("dp")?,
        zero: resolver.choice("zero")?,
        micro_batch: resolver.choice("micro_batch")?,
        recompute: resolver.choice("recompute")?,
        sequence_parallel: resolver.choice("sequence_parallel")?,
        requirements,
        objectives,
        engine: text(resolver, "plan.engine")?,
    })
}

/// Where every cell came from, by path.
pub fn origins(resolver: &Resolver) -> BTreeMap<String, Origin> {
    let mut origins = BTreeMap::new();
    for id in resolver.tree.reachable() {
        let node = resolver.tree.node(id);
        if let Content::Cell { value, .. } = &node.content {
            origins.insert(node.path.clone(), resolver.origin(node.layer, value.place));
        }
    }
    origins
}
