//! Parameters and buckets: every parameter and its gradient lie at the same place of their bucket's flat tensors.

use std::collections::BTreeSet;

use crate::check::fault::{Faults, Place, ViewFault, What};
use crate::{Bucket, Dtype, Lives, Parameter, Plan, Tensor, TensorId};

/// Checks parameters, buckets and the report.
pub fn parameters(plan: &Plan, faults: &mut Faults) {
    let mut names = BTreeSet::new();
    for parameter in &plan.parameters {
        if !names.insert(&parameter.name) {
            faults.push(Place::default(), What::SameName { table: "parameters", name: parameter.name.clone() });
        }
        one(plan, parameter, faults);
    }
    plan.buckets.iter().enumerate().for_each(|(index, bucket)| flats(plan, index, bucket, faults));
    report(plan, faults);
}

fn differ<T: PartialEq + std::fmt::Debug>(
    faults: &mut Faults,
    name: &str,
    (left_name, left): (&'static str, T),
    (right_name, right): (&'static str, T),
) {
    if left != right {
        let what = What::Differ { left_name, left: format!("{left:?}"), right_name, right: format!("{right:?}") };
        faults.push(Place::named(name), what);
    }
}

fn one(plan: &Plan, parameter: &Parameter, faults: &mut Faults) {
    let name = parameter.name.as_str();
    let Some(bucket) = plan.buckets.get(parameter.bucket) else {
        let id = parameter.bucket as u64;
        return faults.push(Place::named(name), What::Unknown { table: "bucket", id, count: plan.buckets.len() });
    };
    let [tensor, gradient] = [parameter.tensor, parameter.gradient].map(|id| &plan.tensors[id.0 as usize]);
    let layered = tensor.lives == Lives::Layered;
    differ(faults, name, ("one for each layer", layered), ("`{layer}` in its name", name.contains("{layer}")));
    let base = |tensor: &Tensor| tensor.view.map(|view| view.base);
    differ(faults, name, ("its base", base(tensor)), ("its bucket's weights", Some(bucket.weights)));
    differ(faults, name, ("its gradient's base", base(gradient)), ("its bucket's gradients", Some(bucket.gradients)));
    let place = |tensor: &Tensor| tensor.view.map(|view| view.offset);
    differ(faults, name, ("its offset", place(tensor)), ("its gradient's offset", place(gradient)));
    differ(faults, name, ("its shape", &tensor.dims), ("its gradient's shape", &gradient.dims));
    let mut whole = tensor.dims.clone();
    if let Some(dim) = parameter.shard {
        match whole.get_mut(dim) {
            Some(size) => *size = size.saturating_mul(u64::from(plan.mesh.tp)),
            None => {
                let count = tensor.dims.len();
                faults.push(Place::named(name), What::Unknown { table: "dimension", id: dim as u64, count });
            }
        }
    }
    differ(faults, name, ("its shards together", &whole), ("the whole", &parameter.dims));
}

fn flats(plan: &Plan, index: usize, bucket: &Bucket, faults: &mut Faults) {
    let name = bucket.name.as_str();
    let get = |id: TensorId| &plan.tensors[id.0 as usize];
    let (weights, gradients) = (get(bucket.weights), get(bucket.gradients));
    differ(faults, name, ("the rank of the weights", weights.dims.len()), ("flat", 1));
    differ(faults, name, ("the gradients' shape", &gradients.dims), ("the weights' shape", &weights.dims));
    let replicas = if plan.zero == 1 { u64::from(plan.mesh.dp) } else { 1 };
    let size = weights.elements();
    let states = [("the first moments", Some(bucket.m)), ("the second moments", Some(bucket.v)), ("the master", bucket.master)];
    for (what, state) in states.into_iter().filter_map(|(what, id)| Some((what, get(id?)))) {
        let whole: Vec<u64> = state.dims.iter().map(|&part| part.saturating_mul(replicas)).collect();
        differ(faults, name, (what, &whole), ("the weights' shape", &weights.dims));
        differ(faults, name, (what, state.lives), ("the weights' lifetime", weights.lives));
    }
    for tensor in [weights, gradients].into_iter().chain(bucket.master.map(get)) {
        let fits = tensor.lives != Lives::Local && tensor.dtype != Dtype::I64 && tensor.view.is_none();
        differ(faults, name, ("being a static storage of numbers", fits), ("what a bucket needs", true));
    }
    let padding = size.checked_sub(bucket.length);
    if padding.is_none_or(|padding| padding >= u64::from(plan.mesh.dp).max(1)) {
        let (field, law) = ("length", "the storage must hold it, with less padding than there are replicas");
        faults.push(Place::named(name), What::Number { field, value: format!("{} of {size}", bucket.length), law });
    }
    members(plan, index, bucket, faults);
}

/// Views of a bucket's parameters do not overlap and fill it.
fn members(plan: &Plan, index: usize, bucket: &Bucket, faults: &mut Faults) {
    let mut views: Vec<(u64, &Tensor)> = plan
        .parameters
        .iter()
        .filter(|parameter| parameter.bucket == index)
        .map(|parameter| &plan.tensors[parameter.tensor.0 as usize])
        .filter_map(|tensor| Some((tensor.view?.offset, tensor)))
        .collect();
    views.sort_by_key(|&(offset, tensor)| (offset, tensor.id));
    let mut reached = (0, "");
    for (offset, tensor) in views {
        if offset < reached.0 {
            let base = plan.tensors[bucket.weights.0 as usize].name.clone();
            let fault = ViewFault::Overlap { base, other: reached.1.to_owned(), end: reached.0, offset };
            faults.push(Place::named(&tensor.name), What::View(fault));
        }
        reached = (reached.0.max(offset + tensor.elements()), &tensor.name);
    }
    differ(faults, &bucket.name, ("its length", bucket.length), ("the end of its last parameter", reached.0));
}

fn report(plan: &Plan, faults: &mut Faults) {
    let report = &plan.tensors[plan.report.0 as usize];
    differ(faults, &report.name, ("the report's shape", &report.dims), ("loss and squared norm", &vec![2]));
    differ(faults, &report.name, ("the report's lifetime", report.lives), ("that of a run", Lives::Static));
    for role in &plan.roles {
        if !role.statics.contains(&plan.report) {
            let place = Place { stage: Some(role.stage), ..Place::default() };
            faults.push(place, What::Foreign { tensor: report.name.clone() });
        }
    }
}
