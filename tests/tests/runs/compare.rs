//! What two runs of one experiment are compared by: losses, gradients of the first step, final weights, data order.

use std::path::{Path, PathBuf};

use pleach_storage::checkpoint::{self, Checkpoint, Kind};
use pleach_tests::job;

/// What a finished run left behind.
#[derive(Debug)]
pub struct Trained {
    /// Its folder.
    pub folder: PathBuf,
    /// The loss of each step.
    pub losses: Vec<f64>,
    /// Hash over the order of its samples.
    pub order: String,
}

impl Trained {
    /// Reads a run's folder.
    pub fn read(folder: &Path) -> Trained {
        let plan = job::plan(folder);
        let order = plan
            .data
            .order
            .expect("the plan of a run names its data order");
        Trained {
            folder: folder.to_owned(),
            losses: job::losses(folder),
            order,
        }
    }

    /// The checkpoint after so many steps.
    pub fn checkpoint(&self, step: u64) -> Checkpoint {
        let folder = self
            .folder
            .join("checkpoints")
            .join(checkpoint::folder_name(step));
        Checkpoint::open(&folder).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The largest relative difference over all steps.
pub fn loss_difference(one: &[f64], other: &[f64]) -> f64 {
    assert_eq!(one.len(), other.len(), "both runs have all steps");
    one.iter()
        .zip(other)
        .map(|(a, b)| (a - b).abs() / a.abs())
        .fold(0.0, f64::max)
}

/// The relative difference of one kind of state, for the parameter in which it is largest: the norm of the difference over
/// the norm of the value. After the first step the first moments are the gradients but for a common factor.
pub fn state_difference(one: &Checkpoint, other: &Checkpoint, kind: Kind) -> (f64, String) {
    let names: Vec<String> = one.parameters().map(|(name, _)| name.to_owned()).collect();
    let others: Vec<String> = other
        .parameters()
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(names, others, "both have the same parameters");
    assert!(names.len() > 10, "a model has parameters");
    let differences = names
        .into_iter()
        .map(|name| (parameter_difference(one, other, kind, &name), name));
    differences
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .expect("there are parameters")
}

fn parameter_difference(one: &Checkpoint, other: &Checkpoint, kind: Kind, name: &str) -> f64 {
    let read = |from: &Checkpoint| {
        from.logical(name, kind)
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let (a, b) = (read(one), read(other));
    let norm = |values: &mut dyn Iterator<Item = f64>| {
        values.map(|value| value * value).sum::<f64>().sqrt()
    };
    let size = norm(&mut a.iter().copied());
    assert!(size > 0.0, "{name} has a {} that is not zero", kind.name());
    norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / size
}

/// Whether two checkpoints hold the same bits of everything.
pub fn same_bits(one: &Checkpoint, other: &Checkpoint) -> bool {
    let names: Vec<&str> = one.parameters().map(|(name, _)| name).collect();
    let bits = |from: &Checkpoint, name: &str, kind| -> Vec<u64> {
        let values = from
            .logical(name, kind)
            .unwrap_or_else(|error| panic!("{error}"));
        values.into_iter().map(f64::to_bits).collect()
    };
    names.iter().all(|name| {
        Kind::ALL
            .iter()
            .all(|&kind| bits(one, name, kind) == bits(other, name, kind))
    })
}
