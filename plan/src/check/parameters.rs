//! Parameters and buckets: every parameter and its gradient lie at the same place of their bucket's flat tensors.

use std::collections::BTreeSet;
use std::fmt::Debug;

use crate::check::fault::{Faults, Place, ViewFault, What};
use crate::tally;
use crate::{Bucket, Dtype, Lives, Parameter, Plan, Tensor, TensorId};

/// Checks parameters, buckets and the report.
pub fn parameters(plan: &Plan, faults: &mut Faults) {
    let mut names = BTreeSet::new();
    for parameter in &plan.parameters {
        let lives = plan.tensors[parameter.tensor.0 as usize].lives;
        let lives = match plan.buckets.get(parameter.bucket) {
            Some(bucket) if lives == Lives::Local => plan.tensors[bucket.m.0 as usize].lives,
            _ => lives,
        };
        if !names.insert((&parameter.name, lives)) {
            faults.push(
                Place::default(),
                What::SameName {
                    table: "parameters",
                    name: parameter.name.clone(),
                },
            );
        }
        one(plan, parameter, faults);
    }
    plan.buckets
        .iter()
        .enumerate()
        .for_each(|(index, bucket)| flats(plan, index, bucket, faults));
    report(plan, faults);
}

/// Compares figures of one named thing.
struct Figures<'f, 'n> {
    faults: &'f mut Faults,
    name: &'n str,
}

impl Figures<'_, '_> {
    fn same<T: PartialEq + Debug>(&mut self, left: (&'static str, T), right: (&'static str, T)) {
        if left.1 != right.1 {
            let [first, second] = [&left.1, &right.1].map(|figure| format!("{figure:?}"));
            let what = What::Differ {
                left_name: left.0,
                left: first,
                right_name: right.0,
                right: second,
            };
            self.faults.push(Place::named(self.name), what);
        }
    }

    fn unknown(&mut self, table: &'static str, id: usize, count: usize) {
        let id = id as u64;
        self.faults
            .push(Place::named(self.name), What::Unknown { table, id, count });
    }
}

fn one(plan: &Plan, parameter: &Parameter, faults: &mut Faults) {
    let name = parameter.name.as_str();
    let mut figures = Figures { faults, name };
    let Some(bucket) = plan.buckets.get(parameter.bucket) else {
        return figures.unknown("bucket", parameter.bucket, plan.buckets.len());
    };
    let [tensor, gradient] =
        [parameter.tensor, parameter.gradient].map(|id| &plan.tensors[id.0 as usize]);
    let layered = plan.is_layered(bucket);
    let numbered = name.contains("{layer}");
    figures.same(
        ("one for each layer", layered),
        ("`{layer}` in its name", numbered),
    );
    let base = |tensor: &Tensor| tensor.view.map(|view| view.base);
    let [weights, gradients] = [bucket.weights, bucket.gradients].map(Some);
    figures.same(
        ("its base", base(tensor)),
        ("its bucket's weights", weights),
    );
    figures.same(
        ("its gradient's base", base(gradient)),
        ("its bucket's gradients", gradients),
    );
    let place = |tensor: &Tensor| tensor.view.map(|view| view.offset);
    figures.same(
        ("its offset", place(tensor)),
        ("its gradient's offset", place(gradient)),
    );
    figures.same(
        ("its shape", &tensor.dims),
        ("its gradient's shape", &gradient.dims),
    );
    let mut whole = tensor.dims.clone();
    match parameter.shard.map(|dim| (dim, whole.get_mut(dim))) {
        Some((_, Some(size))) => *size = size.saturating_mul(u64::from(plan.mesh.tp)),
        Some((dim, None)) => figures.unknown("dimension", dim, tensor.dims.len()),
        None => {}
    }
    figures.same(
        ("its shards together", &whole),
        ("the whole", &parameter.dims),
    );
}

fn flats(plan: &Plan, index: usize, bucket: &Bucket, faults: &mut Faults) {
    let mut figures = Figures {
        faults,
        name: &bucket.name,
    };
    let get = |id: TensorId| &plan.tensors[id.0 as usize];
    let (weights, gradients) = (get(bucket.weights), get(bucket.gradients));
    figures.same(("the rank of the weights", weights.dims.len()), ("flat", 1));
    figures.same(
        ("the gradients' shape", &gradients.dims),
        ("the weights' shape", &weights.dims),
    );
    states(plan, bucket, &mut figures);
    let gathered = plan.zero >= 3 && bucket.master.is_some();
    let scattered = plan.zero >= 2 && bucket.sums.is_some();
    let kept = bucket.master.into_iter().chain(bucket.sums);
    for (tensor, passing) in [(weights, gathered), (gradients, scattered)]
        .into_iter()
        .chain(kept.map(|id| (get(id), false)))
    {
        let numbers = tensor.dtype != Dtype::I64;
        let lives = passing || tensor.lives != Lives::Local;
        figures.same(
            (
                "being a static storage of numbers",
                numbers && lives && tensor.view.is_none(),
            ),
            ("what a bucket needs", true),
        );
    }
    let size = weights.elements();
    let padding = size.checked_sub(bucket.length);
    if padding.is_none_or(|padding| padding >= plan.training.bucket_unit(plan.mesh.block())) {
        let value = format!("{} of {size}", bucket.length);
        let law = "the storage must hold it, with no more padding than slices need";
        faults.push(
            Place::named(&bucket.name),
            What::Number {
                field: "length",
                value,
                law,
            },
        );
    }
    members(plan, index, bucket, faults);
}

/// Optimizer states are as large as the weights, or their share of a replica.
fn states(plan: &Plan, bucket: &Bucket, figures: &mut Figures) {
    let get = |id: TensorId| &plan.tensors[id.0 as usize];
    let weights = get(bucket.weights);
    let pieces = if plan.zero >= 1 {
        u64::from(plan.mesh.block())
    } else {
        1
    };
    let master = bucket.master.map(|id| ("the master", id));
    let sums = bucket.sums.map(|id| ("the gradients' sums", id));
    let lives = get(bucket.m).lives;
    let storages = [bucket.weights, bucket.gradients].map(|id| get(id).lives);
    for found in storages.into_iter().filter(|&found| found != Lives::Local) {
        figures.same(
            ("the lifetime of a whole storage", found),
            ("that of the moments", lives),
        );
    }
    let first = [("the first moments", bucket.m)];
    let second = bucket.v.map(|id| ("the second moments", id));
    for (what, id) in first.into_iter().chain(second).chain(master).chain(sums) {
        let whole = get(id).dims.iter().map(|&part| part.saturating_mul(pieces));
        let whole: Vec<u64> = whole.collect();
        figures.same((what, &whole), ("the weights' shape", &weights.dims));
        figures.same((what, get(id).lives), ("the moments' lifetime", lives));
    }
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
            let fault = ViewFault::Overlap {
                base,
                other: reached.1.to_owned(),
                end: reached.0,
                offset,
            };
            faults.push(Place::named(&tensor.name), What::View(fault));
        }
        reached = (reached.0.max(offset + tensor.elements()), &tensor.name);
    }
    let mut figures = Figures {
        faults,
        name: &bucket.name,
    };
    figures.same(
        ("its length", bucket.length),
        ("the end of its last parameter", reached.0),
    );
}

fn report(plan: &Plan, faults: &mut Faults) {
    let report = &plan.tensors[plan.report.0 as usize];
    let mut figures = Figures {
        faults,
        name: &report.name,
    };
    figures.same(
        ("the report's shape", &report.dims),
        (
            "loss and squared norm",
            &vec![tally::figures(&plan.training)],
        ),
    );
    figures.same(
        ("the report's lifetime", report.lives),
        ("that of a run", Lives::Static),
    );
    for role in &plan.roles {
        if !role.statics.contains(&plan.report) {
            let place = Place {
                stage: Some(role.stage),
                ..Place::default()
            };
            faults.push(
                place,
                What::Foreign {
                    tensor: report.name.clone(),
                },
            );
        }
    }
}
