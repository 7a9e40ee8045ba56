//! Values to the typed experiment. By now every mistake has been reported; a value that is missing here was one of them.

pub mod cluster;
mod data;
mod model;
mod plan;
mod run;
mod train;

use std::collections::BTreeMap;

use crate::evaluate::Value;
use crate::experiment::Experiment;
use crate::origin::Origin;
use crate::quantity::to_f64;
use crate::resolve::{Content, Resolver, Share};
use crate::wish::{Objective, Requirement};

pub use model::model;

/// Builds the experiment; its origins are left to whoever shows them, since they cost more than all else.
pub fn build(
    resolver: &mut Resolver,
    mix: &[Share],
    requirements: Vec<Requirement>,
    objectives: Vec<Objective>,
    hash: String,
) -> Option<Experiment> {
    // First, since a mistake in a choice is found on the way, and the machines may be lacking.
    let plan = plan::wishes(resolver, requirements, objectives)?;
    Some(Experiment {
        name: resolver.kind("")?,
        seed: count(resolver, "seed")?,
        model: model(resolver)?,
        data: data::dataset(resolver, "data", mix)?,
        train: train::train(resolver)?,
        checkpoints: run::checkpoints(resolver)?,
        log: run::log(resolver)?,
        evaluate: run::evaluate(resolver)?,
        cluster: cluster::cluster(resolver)?,
        plan,
        hash,
        origins: BTreeMap::new(),
    })
}

/// A whole number.
fn count(resolver: &mut Resolver, path: &str) -> Option<u64> {
    resolver.known(path)?.count()
}

/// A number.
fn real(resolver: &mut Resolver, path: &str) -> Option<f64> {
    resolver.known(path)?.number().map(to_f64)
}

/// A word or string.
fn text(resolver: &mut Resolver, path: &str) -> Option<String> {
    resolver.known(path)?.text().map(str::to_string)
}

/// True or false.
fn truth(resolver: &mut Resolver, path: &str) -> Option<bool> {
    match resolver.known(path)?.value {
        Value::Truth(truth) => Some(truth),
        _ => None,
    }
}

/// Where every cell and every chosen kind came from, by path.
pub fn origins(resolver: &Resolver) -> BTreeMap<String, Origin> {
    let mut origins = BTreeMap::new();
    for id in resolver.tree.reachable() {
        let node = resolver.tree.node(id);
        let place = match &node.content {
            Content::Cell { value, .. } => value.place,
            Content::Section(_) => node.place,
        };
        if !node.path.is_empty() {
            origins.insert(node.path.clone(), resolver.origin(node.layer, place));
        }
    }
    origins
}
