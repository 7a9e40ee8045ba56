//! A hand-made plan for tests: embedding, layers of one sharded MLP with residual, head with cross-entropy over a sharded vocabulary.
//!
//! In comes a [`Shape`], out comes a plan that a planner could have made: any dp × tp, one or two stages, ZeRO 0 or 1.

mod bodies;
mod builder;
mod roles;

use std::collections::BTreeMap;

use builder::Builder;
use pleach_plan::*;

/// What is varied between tests.
#[derive(Clone, Copy)]
pub struct Shape {
    pub dp: u32,
    pub pp: u32,
    pub tp: u32,
    pub zero: u32,
    pub micro_batch: u64,
    pub micro_steps: u32,
    pub layers: u32,
    /// Whether targets have weights.
    pub weighted: bool,
}

/// One rank does everything.
pub const ONE: Shape = Shape {
    dp: 1,
    pp: 1,
    tp: 1,
    zero: 0,
    micro_batch: 4,
    micro_steps: 2,
    layers: 2,
    weighted: false,
};

const S: u64 = 3;
const H: u64 = 4;
const F: u64 = 6;
const V: u64 = 8;

/// Names, shapes and the dimension that tp cuts, for each block.
const PARAMETERS: [(&str, &str, [u64; 2], usize); 4] = [
    ("embedding", "embedding.weight", [V, H], 0),
    ("layer", "layers.{layer}.up.weight", [F, H], 0),
    ("layer", "layers.{layer}.down.weight", [H, F], 1),
    ("head", "head.weight", [V, H], 0),
];

/// The plan of a shape.
pub fn plan(shape: Shape) -> Plan {
    let mut builder = Builder::new(shape);
    let report = builder.flat("report", 2, Lives::Static, Layout::Replicate);
    builder.flat("factor", 1, Lives::Static, Layout::Replicate);
    for block in ["embedding", "layer", "head"] {
        builder.bucket(block);
    }
    builder.locals();
    builder.compute();
    builder.optimizer();
    let roles = (0..shape.pp).map(|stage| builder.role(stage)).collect();
    let mut plan = Plan {
        schema: json::SCHEMA,
        experiment: "sample".to_owned(),
        hashes: Hashes::default(),
        engine: "pleach".to_owned(),
        mesh: Mesh {
            dp: shape.dp,
            cp: 1,
            pp: shape.pp,
            tp: shape.tp,
            shards: None,
        },
        zero: shape.zero,
        sequence_parallel: false,
        recompute: Recompute::None,
        groups: groups(),
        dims: BTreeMap::from([
            ("hidden".to_owned(), H),
            ("sequence".to_owned(), S),
            ("vocab".to_owned(), V),
        ]),
        tensors: builder.tensors,
        parameters: builder.parameters,
        buckets: builder.buckets,
        bodies: builder.bodies,
        roles,
        report,
        training: training(shape),
        data: data(),
        prediction: None,
        then: Vec::new(),
        kinds: Vec::new(),
    };
    plan.hashes.placement = json::placement_hash(&plan);
    plan
}

fn training(shape: Shape) -> Training {
    Training {
        scaling: None,
        not_finite: NotFinite::Halt,
        lanes: None,
        seed: 1,
        phase: None,
        begins: Begins::default(),
        steps: 2,
        global_batch: shape.micro_batch * u64::from(shape.micro_steps * shape.dp),
        micro_batch: shape.micro_batch,
        micro_steps: shape.micro_steps,
        sequence: S,
        schedule: Schedule::Constant {
            peak: 0.05,
            warmup: 0,
        },
        compute: Dtype::F64,
        accumulate: Dtype::F64,
        saving: Saving::at_the_end(1),
        logging: Logging::default(),
        evaluation: None,
        weights: None,
    }
}

fn groups() -> Vec<Group> {
    let axes = [
        ("tp", vec![Axis::Tp]),
        ("dp", vec![Axis::Dp]),
        ("world", vec![Axis::Dp, Axis::Pp, Axis::Tp]),
    ];
    let group = |(index, (name, axes)): (usize, (&str, Vec<Axis>))| Group {
        id: GroupId(index as u32),
        name: name.into(),
        axes,
        ends: false,
        part: None,
    };
    axes.into_iter().enumerate().map(group).collect()
}

fn data() -> DataPlan {
    DataPlan {
        name: "none".to_owned(),
        source: "none".to_owned(),
        tokenizer: "bytes".to_owned(),
        vocab: V,
        mix: Vec::new(),
        reading: Reading::default(),
        ordering: Ordering::default(),
        order_seed: None,
        packing: Packing::default(),
        split: Vec::new(),
        order: None,
        unread: Vec::new(),
    }
}
