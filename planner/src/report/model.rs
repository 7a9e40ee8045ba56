//! Floating point operations of a step, by definition: the figures that utilisation is measured with.

use pleach_dsl::experiment::{Experiment, Precision};
use pleach_plan::{Dtype, Recompute};

use crate::engine::{self, Selective};
use crate::graph::work;
use crate::search::Evaluated;

/// Parameters of the model: logical sizes, layered ones once for each layer.
pub fn parameters(evaluated: &Evaluated) -> u64 {
    let plan = &evaluated.plan;
    let layers = |lives| (0..plan.layer_count()).filter(move |&layer| plan.has(layer, lives));
    let count = |parameter: &pleach_plan::Parameter| {
        let size: u64 = parameter.dims.iter().product();
        let lives = plan.tensors[plan.buckets[parameter.bucket].m.0 as usize].lives;
        match lives.is_layered() {
            true => layers(lives).count() as u64 * size,
            false => size,
        }
    };
    plan.parameters.iter().map(count).sum()
}

/// FLOPs of one forward pass over a token: all layers, and the head.
fn forward(experiment: &Experiment) -> [f64; 2] {
    let model = &experiment.model;
    let matrices = |&kind: &usize| work::matrices(model, &model.kinds[kind]);
    let layers: u64 = model.order.iter().map(matrices).sum();
    let layers = layers as f64 + scores(experiment);
    [layers, (2 * model.hidden * model.vocab) as f64]
}

/// FLOPs of one forward pass over a token in the products of scores and values: the whole square, or a window to both sides.
fn scores(experiment: &Experiment) -> f64 {
    let model = &experiment.model;
    let layer = |&kind: &usize| work::scores(model, &model.kinds[kind]);
    model.order.iter().map(layer).sum::<u64>() as f64
}

/// FLOPs of a step's matrix products and scans, once forward and twice backward: no recompute, full attention, the head, no embedding.
pub fn model_flops(experiment: &Experiment) -> f64 {
    let [layers, head] = forward(experiment);
    3.0 * (layers + head) * tokens(experiment)
}

/// The same with what is computed again.
pub fn hardware_flops(experiment: &Experiment, recompute: Recompute) -> f64 {
    let [layers, _] = forward(experiment);
    let selective = engine::find(&experiment.plan.engine).map(|engine| engine.selective);
    let again = match (recompute, selective) {
        (Recompute::Full, _) => layers,
        (Recompute::Selective, Some(Selective::AttentionCore)) => scores(experiment),
        (Recompute::None | Recompute::Selective, _) => 0.0,
    };
    model_flops(experiment) + again * tokens(experiment)
}

/// Tokens of a step.
pub fn tokens(experiment: &Experiment) -> f64 {
    (experiment.train.global_batch * experiment.model.context) as f64
}

/// The type of matrix products.
pub fn dtype(precision: Precision) -> Dtype {
    match precision {
        Precision::Fp64 => Dtype::F64,
        Precision::Fp32 => Dtype::F32,
        Precision::Bf16 => Dtype::Bf16,
        Precision::Fp16(_) => Dtype::F16,
    }
}
