//! Tensors, views and the ids by which everything else refers to them.

use std::collections::BTreeSet;

use crate::check::fault::{Faults, Place, ViewFault, What};
use crate::{Plan, Slot, Tensor, TensorId};

/// The largest storage: sums over all tensors of a plan still fit 64 bits.
const BYTES: u64 = 1 << 60;

/// Checks tensors and every reference to them.
pub fn tables(plan: &Plan, faults: &mut Faults) {
    let mut names = BTreeSet::new();
    let mut total = 0_u64;
    for (index, tensor) in plan.tensors.iter().enumerate() {
        if tensor.id.0 as usize != index {
            faults.push(
                Place::named(&tensor.name),
                What::Index {
                    table: "tensors",
                    index,
                    id: tensor.id.0,
                },
            );
        }
        if !names.insert(&tensor.name) {
            faults.push(
                Place::default(),
                What::SameName {
                    table: "tensors",
                    name: tensor.name.clone(),
                },
            );
        }
        match bytes(tensor) {
            Some(bytes) => total = total.saturating_add(bytes),
            None => {
                let what = What::Size {
                    dims: tensor.dims.clone(),
                    dtype: tensor.dtype,
                };
                faults.push(Place::named(&tensor.name), what);
            }
        }
    }
    if total > BYTES {
        faults.push(
            Place::default(),
            What::TooMany {
                count: total,
                things: "bytes of tensors",
                limit: BYTES,
            },
        );
    }
    references(plan, faults);
    if faults.is_empty() {
        plan.tensors
            .iter()
            .for_each(|tensor| view(plan, tensor, faults));
    }
}

/// Bytes of a tensor's elements, view or not; none where they cannot be counted.
fn bytes(tensor: &Tensor) -> Option<u64> {
    let elements = tensor
        .dims
        .iter()
        .try_fold(1_u64, |product, &size| product.checked_mul(size));
    elements?
        .checked_mul(tensor.dtype.bytes())
        .filter(|&bytes| bytes <= BYTES)
}

fn references(plan: &Plan, faults: &mut Faults) {
    let count = plan.tensors.len();
    let mut known = |place: &dyn Fn() -> Place, id: TensorId| {
        if id.0 as usize >= count {
            faults.push(
                place(),
                What::Unknown {
                    table: "tensor",
                    id: u64::from(id.0),
                    count,
                },
            );
        }
    };
    for tensor in &plan.tensors {
        tensor
            .view
            .iter()
            .for_each(|view| known(&|| Place::named(&tensor.name), view.base));
    }
    for parameter in &plan.parameters {
        for id in [parameter.tensor, parameter.gradient] {
            known(&|| Place::named(&parameter.name), id);
        }
    }
    for bucket in &plan.buckets {
        let flats = [bucket.weights, bucket.gradients, bucket.m];
        flats
            .into_iter()
            .chain(bucket.v)
            .chain(bucket.master)
            .chain(bucket.sums)
            .for_each(|id| known(&|| Place::named(&bucket.name), id));
    }
    for role in &plan.roles {
        let place = || Place {
            stage: Some(role.stage),
            ..Place::default()
        };
        role.statics.iter().for_each(|&id| known(&place, id));
        for (slot, entry) in role.slots.iter().enumerate() {
            if let Slot::Start(transfer) = entry {
                known(&|| Place::slot(role.stage, slot), transfer.tensor);
            }
        }
    }
    known(&|| Place::named("report"), plan.report);
}

fn view(plan: &Plan, tensor: &Tensor, faults: &mut Faults) {
    let Some(view) = tensor.view else { return };
    let base = &plan.tensors[view.base.0 as usize];
    let name = || base.name.clone();
    let end = u128::from(view.offset) + u128::from(tensor.elements());
    let fault = if base.view.is_some() || base.dims.len() != 1 {
        ViewFault::Base { base: name() }
    } else if base.lives != tensor.lives || base.dtype != tensor.dtype {
        ViewFault::Kind { base: name() }
    } else if end > u128::from(base.dims[0]) {
        ViewFault::Bounds {
            offset: view.offset,
            end,
            base: name(),
            length: base.dims[0],
        }
    } else {
        return;
    };
    faults.push(Place::named(&tensor.name), What::View(fault));
}
