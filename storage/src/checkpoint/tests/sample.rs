//! Small plans of one model in many placements, and the state a rank of each would hold, made from logical indices.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::bf16;
use pleach_plan::*;

use crate::checkpoint::{Kind, commit, saved, write_shard};
use crate::init::{Shard, fill_normal};

/// Name, dimensions, sharded dimension, bucket.
const PARAMETERS: [(&str, &[u64], Option<usize>, usize); 6] = [
    ("embedding.weight", &[6, 4], Some(0), 0),
    ("layers.{layer}.up.weight", &[8, 4], Some(0), 1),
    ("layers.{layer}.down.weight", &[4, 8], Some(1), 1),
    ("layers.{layer}.norm.weight", &[5], None, 2),
    ("layers.{layer}.norm.bias", &[5], None, 2),
    ("head.weight", &[6, 4], Some(0), 3),
];
/// Name and whether each layer has one.
const BUCKETS: [(&str, bool); 4] = [
    ("embedding.matrices", false),
    ("layer.matrices", true),
    ("layer.vectors", true),
    ("head.matrices", false),
];
/// Layers of the model.
pub const LAYERS: u32 = 4;

/// A placement of the model.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    pub dp: u32,
    /// Replicas among which optimizer states are divided.
    pub shards: u32,
    pub pp: u32,
    pub tp: u32,
    pub zero: u32,
    /// Type of matrices; where it is not the type of moments there is a master copy.
    pub compute: Dtype,
    pub accumulate: Dtype,
}

struct Builder {
    tensors: Vec<Tensor>,
}

impl Builder {
    fn tensor(
        &mut self,
        dtype: Dtype,
        dims: Vec<u64>,
        layered: bool,
        view: Option<View>,
    ) -> TensorId {
        let id = TensorId(self.tensors.len() as u32);
        let layout = Layouts {
            dp: Layout::Replicate,
            tp: Layout::Replicate,
        };
        let lives = if layered {
            Lives::Layered
        } else {
            Lives::Static
        };
        self.tensors.push(Tensor {
            id,
            name: format!("t{}", id.0),
            dtype,
            dims,
            layout,
            lives,
            view,
        });
        id
    }
}

fn local_dims(dims: &[u64], shard: Option<usize>, tp: u32) -> Vec<u64> {
    let mut dims = dims.to_vec();
    if let Some(dim) = shard {
        dims[dim] /= u64::from(tp);
    }
    dims
}

fn buckets(builder: &mut Builder, placement: Placement) -> (Vec<Bucket>, Vec<Parameter>) {
    let (shards, tp) = (u64::from(placement.shards), placement.tp);
    let (mut buckets, mut parameters) = (Vec::new(), Vec::new());
    for (index, (name, layered)) in BUCKETS.into_iter().enumerate() {
        let inside: Vec<_> = PARAMETERS
            .iter()
            .filter(|parameter| parameter.3 == index)
            .collect();
        let length = inside
            .iter()
            .map(|it| local_dims(it.1, it.2, tp).iter().product::<u64>())
            .sum::<u64>();
        let padded = if placement.zero == 1 {
            length.next_multiple_of(shards)
        } else {
            length
        };
        let slice = if placement.zero == 1 {
            padded / shards
        } else {
            padded
        };
        let mut flat = |dtype, size| builder.tensor(dtype, vec![size], layered, None);
        let weights = flat(placement.compute, padded);
        let gradients = flat(placement.accumulate, padded);
        let master =
            (placement.compute != placement.accumulate).then(|| flat(placement.accumulate, slice));
        let (m, v) = (
            flat(placement.accumulate, slice),
            flat(placement.accumulate, slice),
        );
        parameters.extend(views(builder, placement, index, weights, gradients));
        buckets.push(Bucket {
            name: name.into(),
            weights,
            gradients,
            levels: Vec::new(),
            apart: Vec::new(),
            sums: None,
            master,
            m,
            v: Some(v),
            length,
        });
    }
    (buckets, parameters)
}

/// The parameters of a bucket, one behind the other in its flat storages.
fn views(
    builder: &mut Builder,
    placement: Placement,
    bucket: usize,
    weights: TensorId,
    gradients: TensorId,
) -> Vec<Parameter> {
    let mut offset = 0;
    let mut parameters = Vec::new();
    for &(name, dims, shard, _) in PARAMETERS.iter().filter(|parameter| parameter.3 == bucket) {
        let local = local_dims(dims, shard, placement.tp);
        let mut view = |base, dtype| {
            let view = Some(View { base, offset });
            builder.tensor(dtype, local.clone(), BUCKETS[bucket].1, view)
        };
        let tensor = view(weights, placement.compute);
        let gradient = view(gradients, placement.accumulate);
        let init = Init::Zeros;
        parameters.push(Parameter {
            name: name.into(),
            tensor,
            gradient,
            dims: dims.into(),
            shard,
            init,
            bucket,
        });
        offset += local.iter().product::<u64>();
    }
    parameters
}

/// The model in a placement.
pub fn plan(placement: Placement) -> Plan {
    let mut builder = Builder {
        tensors: Vec::new(),
    };
    let (buckets, parameters) = buckets(&mut builder, placement);
    let role = |stage: u32| {
        let size = LAYERS / placement.pp;
        let held = |index: usize| {
            BUCKETS[index].1 || index == 0 && stage == 0 || index == 3 && stage + 1 == placement.pp
        };
        let statics = |bucket: &Bucket| {
            [
                Some(bucket.weights),
                bucket.master,
                Some(bucket.m),
                bucket.v,
            ]
            .into_iter()
            .flatten()
        };
        let buckets = buckets.iter().enumerate().filter(|(index, _)| held(*index));
        Role {
            stage,
            chunks: vec![[stage * size, stage * size + size - 1]],
            statics: buckets.flat_map(|(_, bucket)| statics(bucket)).collect(),
            slots: Vec::new(),
        }
    };
    Plan {
        schema: 1,
        experiment: "sample".into(),
        hashes: Hashes {
            experiment: "e".repeat(64),
            placement: format!("{placement:?}"),
        },
        engine: "pleach".into(),
        mesh: Mesh {
            dp: placement.dp,
            cp: 1,
            pp: placement.pp,
            tp: placement.tp,
            shards: (placement.shards < placement.dp).then_some(placement.shards),
        },
        zero: placement.zero,
        sequence_parallel: false,
        recompute: Recompute::None,
        groups: Vec::new(),
        dims: BTreeMap::new(),
        roles: (0..placement.pp).map(role).collect(),
        tensors: builder.tensors,
        parameters,
        buckets,
        bodies: Vec::new(),
        report: TensorId(0),
        training: training(placement),
        data: data(),
        prediction: None,
        then: Vec::new(),
        kinds: Vec::new(),
    }
}

fn training(placement: Placement) -> Training {
    Training {
        scaling: None,
        not_finite: NotFinite::Halt,
        lanes: None,
        seed: 1,
        phase: None,
        begins: Begins::default(),
        steps: 100,
        global_batch: 8,
        micro_batch: 1,
        micro_steps: 1,
        sequence: 16,
        schedule: Schedule::Constant {
            peak: 0.1,
            warmup: 0,
        },
        compute: placement.compute,
        accumulate: placement.accumulate,
        saving: Saving::at_the_end(2),
        logging: Logging::default(),
        evaluation: None,
        weights: None,
    }
}

fn data() -> DataPlan {
    DataPlan {
        name: "text".into(),
        source: "cargo:dependencies".into(),
        tokenizer: "bytes".into(),
        vocab: 256,
        reading: Reading::default(),
        ordering: Ordering::default(),
        order_seed: None,
        packing: Packing::default(),
        split: Vec::new(),
        mix: Vec::new(),
        order: Some("order".into()),
        unread: Vec::new(),
    }
}

/// The logical values of a parameter's weights or moments, as exact as `dtype` is.
pub fn logical(
    name: &str,
    dims: &[u64],
    shard: Option<Shard>,
    kind: Kind,
    step: u64,
    dtype: Dtype,
) -> Vec<f64> {
    let values = fill_normal(step, &format!("{name} {}", kind.name()), dims, shard, 1.0);
    values
        .into_iter()
        .map(|value| round(value, dtype))
        .collect()
}

pub fn round(value: f64, dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => f64::from(value as f32),
        // `bf16::from_f64` does not look at the last 32 bits, and so mistakes for a tie what is above one.
        Dtype::Bf16 => bf16::from_f32(value as f32).to_f64(),
        _ => value,
    }
}

/// What a rank holds of a bucket's state, padding included.
pub fn state(
    plan: &Plan,
    rank: u32,
    bucket: usize,
    layer: Option<u32>,
    kind: Kind,
    step: u64,
) -> Vec<f64> {
    let index = u64::from(plan.mesh.place(rank).tp);
    let whole = plan.tensors[plan.buckets[bucket].weights.0 as usize].elements();
    let mut values = vec![0.0; whole as usize];
    for parameter in plan
        .parameters
        .iter()
        .filter(|parameter| parameter.bucket == bucket)
    {
        let name = parameter
            .name
            .replace("{layer}", &layer.unwrap_or(0).to_string());
        let shard = parameter.shard.map(|dim| Shard {
            dim,
            index,
            count: u64::from(plan.mesh.tp),
        });
        let part = logical(
            &name,
            &parameter.dims,
            shard,
            kind,
            step,
            plan.training.accumulate,
        );
        let offset = plan.tensors[parameter.tensor.0 as usize]
            .view
            .unwrap()
            .offset as usize;
        values[offset..offset + part.len()].copy_from_slice(&part);
    }
    values
}

/// Writes the checkpoint of a step as all ranks of the plan would.
pub fn write(checkpoints: &Path, plan: &Plan, step: u64) -> PathBuf {
    (0..plan.mesh.ranks()).for_each(|rank| write_rank(checkpoints, plan, step, rank));
    commit(checkpoints, plan, step, &Standing::new(None)).unwrap()
}

/// Writes one rank's part.
pub fn write_rank(checkpoints: &Path, plan: &Plan, step: u64, rank: u32) {
    write_shard(checkpoints, step, rank, &saved(plan, rank), |saved| {
        let stored = &saved.stored;
        let values = state(plan, rank, stored.bucket, stored.layer, stored.kind, step);
        // A sliced tensor's element 0 is element `begin - from` of the bucket.
        let first = stored.begin as usize;
        let values = &values[first..first + stored.length as usize];
        values
            .iter()
            .flat_map(|&value| encode(value, stored.dtype))
            .collect()
    })
    .unwrap();
}

fn encode(value: f64, dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::F64 => value.to_le_bytes().to_vec(),
        Dtype::F32 => (value as f32).to_le_bytes().to_vec(),
        Dtype::Bf16 => bf16::from_f32(value as f32).to_le_bytes().to_vec(),
        Dtype::F16 | Dtype::I64 => panic!("no state has this type"),
    }
}
