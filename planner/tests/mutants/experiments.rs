//! Random experiments and placements of a few dozen numbers, with every feature that the planner has.

use std::collections::BTreeMap;

use pleach_dsl::experiment::{
    Activation, AdamW, Attention, Checkpoints, Cluster, Dataset, Decays, Dense, Embedding,
    Evaluate, Experiment, Experts, Head, Init, Log, Loss, LossScale, Mamba, Mixer, Mlp, Model,
    Norm, Optimizer, Positions, Precision, Residual, Spread, Stages, Train, Wishes,
};
use pleach_plan::Recompute;
use pleach_planner::graph::shape::Shape;
use pleach_planner::placement::Placement;

use crate::random::Random;

/// A placement whose experiment fits it.
pub fn placement(random: &mut Random) -> Placement {
    let (tp, pp) = (random.pick(&[1, 2, 2]), random.pick(&[1, 1, 2, 2, 3]));
    let (dp, shards) = match tp * pp {
        1 => random.pick(&[(1, 1), (2, 2), (3, 3), (4, 2), (4, 2)]),
        _ => random.pick(&[(1, 1), (2, 2), (3, 3)]),
    };
    Placement {
        tp,
        pp,
        vpp: if pp > 1 { random.pick(&[1, 2]) } else { 1 },
        dp,
        zero: random.pick(&[0, 1, 2, 3]),
        shards,
        sequence_parallel: tp > 1 && random.coin(),
        micro_batch: random.pick(&[1, 2]),
        recompute: random.pick(&[Recompute::None, Recompute::Selective, Recompute::Full]),
        engine: "pleach".into(),
    }
}

/// An experiment for a placement.
pub fn experiment(random: &mut Random, placement: &Placement) -> Experiment {
    let chunks = (placement.pp * placement.vpp) as usize;
    let layers = random.below(4).max(chunks - 1) as u64 + 1;
    let groups = random.below(3) as u64 + 1;
    let micro_steps = match placement.vpp {
        1 => groups,
        _ => groups * u64::from(placement.pp),
    };
    Experiment {
        name: "small".to_owned(),
        seed: 1,
        model: small(random, layers, placement.tp),
        data: Dataset::plain("none", "", "bytes"),
        train: train(
            random,
            placement.micro_batch * micro_steps * u64::from(placement.dp),
        ),
        checkpoints: Checkpoints::at_the_end(),
        log: Log::default(),
        evaluate: Evaluate::default(),
        cluster: cluster(u64::from(placement.tp * placement.pp * placement.dp)),
        plan: Wishes {
            stages: stages(random, layers, chunks),
            ..Wishes::open()
        },
        hash: String::new(),
        origins: BTreeMap::new(),
    }
}

/// How layers are cut into so many chunks: as the engine does it, or dealt out by chance.
fn stages(random: &mut Random, layers: u64, chunks: usize) -> Option<Stages> {
    let mut counts = vec![1; chunks];
    for _ in chunks as u64..layers {
        counts[random.below(chunks)] += 1;
    }
    random.coin().then_some(Stages::Layers(counts))
}

fn small(random: &mut Random, layers: u64, tp: u32) -> Model {
    let mut model = model(random, layers);
    model.dropout = random.pick(&[0.0, 0.0, 0.25]);
    if let Mixer::Attention(attention) = &mut model.kinds[0].mixer
        && tp == 1
    {
        attention.kv_heads = random.pick(&[1, 2, 4]);
    }
    if random.below(3) == 0 {
        model.kinds[0].mlp = Mlp::Experts(experts(random));
    }
    if random.below(4) == 0 {
        model.kinds[0].mixer = Mixer::Mamba(mamba(random));
    }
    if random.coin() {
        mixed(random, model)
    } else {
        model
    }
}

/// The norms that rows can have.
const NORMS: [Norm; 3] = [
    Norm::LayerNorm {
        eps: 1e-3,
        bias: true,
    },
    Norm::LayerNorm {
        eps: 1e-3,
        bias: false,
    },
    Norm::RmsNorm { eps: 1e-3 },
];

fn model(random: &mut Random, layers: u64) -> Model {
    let plain = Shape::neox([layers, 8, 4, 4, 6]);
    Shape {
        attention: attention(random, plain.attention),
        residual: random.pick(&[
            Residual::Sequential,
            Residual::SequentialAfter,
            Residual::SequentialOutput,
            Residual::Sandwich,
            Residual::ParallelSeparate,
            Residual::ParallelShared,
        ]),
        norm: random.pick(&NORMS),
        tied: random.coin(),
        embedding: Embedding {
            positions: random.pick(&[None, None, Some(5)]),
            norm: random.pick(&[Norm::None, NORMS[2]]),
            scale: random.pick(&[1.0, 2.0]),
        },
        head: Head {
            norm: random.pick(&NORMS),
            bias: random.coin(),
            cap: random.pick(&[None, Some(2.0)]),
        },
        dense: Dense {
            activation: random.pick(&[
                Activation::Gelu,
                Activation::GeluTanh,
                Activation::Relu,
                Activation::Swiglu,
                Activation::Geglu,
            ]),
            width: random.pick(&[4, 6]),
            bias: random.coin(),
            ..plain.dense
        },
        init: Init {
            weights: Spread::Normal(0.4),
            output: Spread::Normal(0.3),
        },
        ..plain
    }
    .model()
}

fn experts(random: &mut Random) -> Experts {
    let Mlp::Dense(dense) = Shape::neox([1, 8, 4, 4, 6]).model().kinds[0].mlp.clone() else {
        unreachable!("a shape has a dense half")
    };
    Experts {
        experts: random.pick(&[3, 4]),
        active: random.pick(&[1, 2]),
        always: random.pick(&[0, 0, 1]),
        expert: Dense {
            activation: random.pick(&[Activation::Swiglu, Activation::Relu]),
            width: random.pick(&[2, 4]),
            bias: false,
            ..dense
        },
        capacity: None,
        balance_loss: random.pick(&[0.0, 0.3]),
        router_z_loss: random.pick(&[0.0, 0.1]),
        share: None,
    }
}

fn mamba(random: &mut Random) -> Mamba {
    Mamba {
        state: random.pick(&[1, 2]),
        expand: 1,
        conv: random.pick(&[1, 3]),
        dt_rank: random.pick(&[1, 2]),
        bias: random.coin(),
        conv_bias: random.coin(),
        share: None,
    }
}

/// Some layers look nearer than the others.
fn mixed(random: &mut Random, mut model: Model) -> Model {
    let mut near = model.kinds[0].clone();
    if let Mixer::Attention(attention) = &mut near.mixer
        && model.order.len() > 1
    {
        // In a window of one position queries and keys would mean nothing.
        attention.window = Some(if attention.window == Some(2) { 3 } else { 2 });
        model.kinds.push(near);
        let first = random.below(2);
        for (layer, kind) in model.order.iter_mut().enumerate() {
            *kind = (first + layer) % 2;
        }
    }
    model
}

fn attention(random: &mut Random, plain: Attention) -> Attention {
    let rotary = |fraction, scale| Positions::Rotary {
        fraction,
        base: 100.0,
        scale,
    };
    let positions = random.pick(&[
        Positions::None,
        Positions::Alibi,
        rotary(0.5, 1.0),
        rotary(1.0, 1.0),
        rotary(1.0, 2.0),
    ]);
    Attention {
        positions,
        window: random.pick(&[None, Some(2), Some(3)]),
        kv_heads: random.pick(&[2, 4]),
        qk_norm: random.pick(&[Norm::None, NORMS[2]]),
        head_dim: 4,
        bias: random.coin(),
        output_bias: random.coin(),
        ..plain
    }
}

fn train(random: &mut Random, global_batch: u64) -> Train {
    let clip = random.pick(&[Some(1e-2), None]);
    let half = Precision::Fp16(LossScale::default());
    let precision = random.pick(&[Precision::Fp64, Precision::Fp32, Precision::Bf16, half]);
    Train {
        optimizer: optimizer(random),
        clip,
        loss: Loss {
            z_loss: random.pick(&[0.0, 0.0, 0.1]),
            label_smoothing: random.pick(&[0.0, 0.0, 0.2]),
        },
        ..Train::plain(10, global_batch, 0.05, precision)
    }
}

/// Any optimizer but Lion, which moves what rounding alone gives a sign.
fn optimizer(random: &mut Random) -> Optimizer {
    let decays = Decays {
        embeddings: random.coin(),
        biases: random.coin(),
        norms: random.coin(),
    };
    // A large eps: parameters whose gradient is zero but for rounding must not be moved by the rounding.
    let adam = AdamW {
        betas: [0.9, 0.95],
        eps: 1e-3,
        weight_decay: 0.1,
        decays,
    };
    let descent = Optimizer::Sgd {
        momentum: 0.5,
        nesterov: random.coin(),
        weight_decay: 0.1,
        decays,
    };
    random.pick(&[
        Optimizer::AdamW(adam),
        Optimizer::AdamW(adam),
        Optimizer::Adam(adam),
        descent,
    ])
}

fn cluster(gpus_per_node: u64) -> Cluster {
    Cluster {
        name: "this_machine".to_owned(),
        nodes: 1,
        gpus_per_node,
        device: "this_machine".to_owned(),
        memory: None,
        peak_flops: None,
        intra_node: None,
        inter_node: None,
        bandwidth: None,
        peak_fp32: None,
        price: None,
    }
}
