//! Static tensors: allocated once, given their initial values, and never freed.
//!
//! In come a plan and a rank; out comes a table from (tensor, layer) to storage. Buckets own flat storages, parameters and
//! their gradients are views into them, so what the ledger counts is what is allocated here.

use pleach_plan::{Dtype, Plan, Role, Tensor as Described, TensorId};
use pleach_storage::init;
use pleach_storage::region::Shard;
use tch::{Device, Kind, Tensor};

use crate::error::Cause;

/// The static tensors of one rank.
#[derive(Debug)]
pub struct Statics {
    /// By tensor, then by layer of the stage (one entry for what is not layered).
    table: Vec<Vec<Tensor>>,
    /// By tensor: the layers that have copies, in their order.
    layers: Vec<Vec<u32>>,
}

/// libtorch's name of a type.
pub fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F64 => Kind::Double,
        Dtype::F32 => Kind::Float,
        Dtype::Bf16 => Kind::BFloat16,
        Dtype::F16 => Kind::Half,
        Dtype::I64 => Kind::Int64,
    }
}

/// Dimensions as libtorch takes them.
pub fn dims(described: &Described) -> Vec<i64> {
    described.dims.iter().map(|&dim| dim as i64).collect()
}

impl Statics {
    /// Allocates everything that a role holds on a device, all zero.
    ///
    /// # Errors
    /// No memory, or a view that does not fit its base.
    pub fn new(plan: &Plan, role: &Role, device: Device) -> Result<Self, Cause> {
        let layers = |described: &Described| {
            let copies = plan.copies(role, described.id).into_iter();
            copies.flatten().collect()
        };
        let mut statics = Self {
            table: plan.tensors.iter().map(|_| Vec::new()).collect(),
            layers: plan.tensors.iter().map(layers).collect(),
        };
        for id in &role.statics {
            let described = &plan.tensors[id.0 as usize];
            if described.view.is_none() {
                let zeros = || Tensor::f_zeros(dims(described), (kind(described.dtype), device));
                statics.table[id.0 as usize] = (0..statics.copies(described))
                    .map(|_| zeros())
                    .collect::<Result<_, _>>()?;
            }
        }
        for described in plan.tensors.iter().filter(|tensor| tensor.view.is_some()) {
            statics.add_views(described)?;
        }
        Ok(statics)
    }

    fn copies(&self, described: &Described) -> usize {
        if described.lives.is_layered() {
            self.layers[described.id.0 as usize].len()
        } else {
            1
        }
    }

    fn add_views(&mut self, described: &Described) -> Result<(), Cause> {
        let Some(view) = described.view else {
            return Ok(());
        };
        let cut = |base: &Tensor| {
            base.f_narrow(0, view.offset as i64, described.elements() as i64)?
                .f_view(dims(described).as_slice())
        };
        let views = self.table[view.base.0 as usize]
            .iter()
            .map(cut)
            .collect::<Result<_, _>>()?;
        self.table[described.id.0 as usize] = views;
        Ok(())
    }

    /// A static tensor, for a layer where it is layered.
    pub fn get(&self, id: TensorId, layer: Option<u32>) -> Option<&Tensor> {
        let copies = self.table.get(id.0 as usize)?;
        match layer {
            Some(layer) if copies.len() > 1 => {
                let layers = self.layers.get(id.0 as usize)?;
                copies.get(layers.binary_search(&layer).ok()?)
            }
            _ => copies.first(),
        }
    }

    /// All tensors, views included.
    pub fn all(&self) -> impl Iterator<Item = &Tensor> {
        self.table.iter().flatten()
    }

    /// Makes all of them zero.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn clear(&self) -> Result<(), Cause> {
        for tensor in self.all() {
            let _ = tensor.shallow_clone().f_zero_()?;
        }
        Ok(())
    }

    /// Gives every parameter its initial value: functions of seed, name and logical index, whatever the placement. Weights
    /// in master type are filled exactly and copied into the compute type.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn initialise(&self, plan: &Plan, role: &Role, rank: u32) -> Result<(), Cause> {
        let place = plan.mesh.place(rank);
        for parameter in &plan.parameters {
            let described = &plan.tensors[parameter.tensor.0 as usize];
            let shard = parameter.shard.filter(|_| plan.mesh.tp > 1);
            let shard = shard.map(|dim| Shard {
                dim,
                index: u64::from(place.tp),
                count: u64::from(plan.mesh.tp),
            });
            let bucket = &plan.buckets[parameter.bucket];
            if !role.holds(bucket) {
                continue;
            }
            for layer in plan.copies(role, bucket.m) {
                let name = logical_name(&parameter.name, layer);
                let values = init::fill(
                    plan.training.seed,
                    &name,
                    &parameter.dims,
                    shard,
                    &parameter.init,
                );
                if let Some(weights) = self.get(parameter.tensor, layer) {
                    fill(weights, &values)?;
                }
                let (Some(master), Some(view)) = (bucket.master, described.view) else {
                    continue;
                };
                self.fill_slice(
                    plan,
                    place.dp,
                    (master, bucket.weights),
                    layer,
                    view.offset,
                    &values,
                )?;
            }
        }
        Ok(())
    }

    /// Puts the values of a parameter at `offset` of its bucket into this replica's slice of the bucket's master weights.
    fn fill_slice(
        &self,
        plan: &Plan,
        dp: u32,
        (master, weights): (TensorId, TensorId),
        layer: Option<u32>,
        offset: u64,
        values: &[f64],
    ) -> Result<(), Cause> {
        let Some(storage) = self.get(master, layer) else {
            return Ok(());
        };
        let elements = |id: TensorId| plan.tensors[id.0 as usize].elements();
        let held = elements(master);
        let begin = if held == elements(weights) {
            0
        } else {
            u64::from(dp % plan.mesh.block()) * held
        };
        let (from, to) = (
            offset.max(begin),
            (offset + values.len() as u64).min(begin + held),
        );
        if from >= to {
            return Ok(());
        }
        let target = storage.f_narrow(0, (from - begin) as i64, (to - from) as i64)?;
        fill(
            &target,
            &values[(from - offset) as usize..(to - offset) as usize],
        )
    }
}

/// A parameter's name with its layer's number in place.
pub fn logical_name(name: &str, layer: Option<u32>) -> String {
    layer.map_or_else(
        || name.to_owned(),
        |layer| name.replace("{layer}", &layer.to_string()),
    )
}

/// Values that are copied at once: the arena must not grow for a start beyond what a step needs.
const AT_ONCE: usize = 1 << 16;

/// Copies values into a contiguous tensor of any type, rounding once.
///
/// # Errors
/// Sizes that differ.
pub fn fill(target: &Tensor, values: &[f64]) -> Result<(), Cause> {
    let flat = target.f_view([values.len() as i64])?;
    for (index, part) in values.chunks(AT_ONCE).enumerate() {
        let source = Tensor::f_from_slice(part)?;
        let first = (index * AT_ONCE) as i64;
        flat.f_narrow(0, first, part.len() as i64)?
            .f_copy_(&source)?;
    }
    Ok(())
}
