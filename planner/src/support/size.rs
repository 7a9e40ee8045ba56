//! Sizes beyond any machine and model that there is: what they make of bytes, steps and times would not fit the numbers that plans are
//! made of, so they are refused before anything is computed from them.

use pleach_dsl::experiment::{Experiment, Mixer, Mlp};

use super::Unsupported;
use crate::graph::weights;

/// FLOP/s of a rank that nothing is known of.
const SLOW: f64 = 1e11;

/// Seconds of a step that are planned: eleven days.
const LONGEST: f64 = 1e6;

/// Everything of an experiment that is too large, its phases' included.
pub fn oversized(experiment: &Experiment) -> Vec<Unsupported> {
    let mut found = Vec::new();
    check(experiment, &mut found);
    if found.is_empty() {
        let later = crate::phases::of(experiment);
        later.iter().for_each(|phase| check(phase, &mut found));
    }
    found.dedup();
    found
}

fn check(experiment: &Experiment, found: &mut Vec<Unsupported>) {
    let (model, cluster) = (&experiment.model, &experiment.cluster);
    let ranks = u128::from(cluster.nodes) * u128::from(cluster.gpus_per_node);
    let widest = model.kinds.iter().map(widest).max().unwrap_or(0);
    let sizes = [
        (
            model.layers() > 1 << 13,
            "model.layers",
            "more than 8,192 layers",
        ),
        (
            model.hidden > 1 << 20,
            "model.hidden",
            "a width above 1,048,576",
        ),
        (
            widest > 1 << 22,
            "model.mlp",
            "heads or a feed-forward half wider than 4,194,304",
        ),
        (
            model.context > 1 << 24,
            "model.context",
            "sequences of more than 16,777,216 tokens",
        ),
        (
            model.vocab > 1 << 24,
            "model.vocab",
            "more than 16,777,216 rows",
        ),
        (ranks > 1 << 20, "cluster.nodes", "more than 1,048,576 GPUs"),
        (
            experiment.sizes().len() > 1 << 13,
            "cluster.nodes",
            "more than 8,192 sizes of the cluster to choose among",
        ),
        (
            experiment.train.global_batch > 1 << 26,
            "train.global_batch",
            "more than 67,108,864 sequences in a step",
        ),
        (
            experiment.train.steps > 1 << 40,
            "train.steps",
            "more than 2^40 steps",
        ),
    ];
    let before = found.len();
    let large = sizes.into_iter().filter(|(large, ..)| *large);
    found.extend(large.map(|(_, path, what)| Unsupported { path, what }));
    if found.len() == before && ranks > 0 && seconds(experiment) > LONGEST {
        let what = "a step that takes these machines more than eleven days";
        let path = "train.global_batch";
        found.push(Unsupported { path, what });
    }
}

/// The widest part of a layer.
fn widest(layer: &pleach_dsl::experiment::Layer) -> u64 {
    let mixer = match &layer.mixer {
        Mixer::Attention(one) => one.heads.max(one.kv_heads).saturating_mul(one.head_dim),
        Mixer::Mamba(one) => one
            .expand
            .max(one.state)
            .max(one.dt_rank)
            .saturating_mul(64),
        Mixer::None => 0,
    };
    let mlp = match &layer.mlp {
        Mlp::Dense(dense) => dense.width,
        Mlp::Experts(experts) => experts.expert.width.saturating_mul(experts.experts),
        Mlp::None => 0,
    };
    mixer.max(mlp)
}

/// Seconds of a step at the devices' peak.
fn seconds(experiment: &Experiment) -> f64 {
    let (model, cluster) = (&experiment.model, &experiment.cluster);
    let tokens = experiment.train.global_batch as f64 * model.context as f64;
    let scores = model.layers() as f64 * model.context as f64 * model.hidden as f64;
    let flops = 6.0 * tokens * (weights::parameters(model) as f64 + scores);
    let peak = cluster.peak_flops.map_or(SLOW, |peak| peak.max(SLOW));
    flops / peak / experiment.ranks().max(1) as f64
}
