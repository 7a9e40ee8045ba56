//! The reference interpreter: what a program means, in f64, all ranks in one process.
//!
//! In come a plan, initial values by logical name and the samples' tokens, out come parameters, moments and reports by logical
//! name, gathered from their shards, or why the program got stuck. It trusts nothing: values undefined or left over,
//! collectives that do not match, replicas that disagree and ranks that wait for ever all end the run with the place where it
//! happened. Made for small programs; nothing here is fast.

pub mod exchange;
pub mod logical;
mod machine;
pub mod ops;
mod rank;
mod stuck;
pub mod value;

pub use logical::Named;
pub use stuck::{Spot, Stuck, Why};

use crate::Plan;
use logical::State;
use machine::Machine;
use rank::Memory;

/// What a run starts from.
pub struct Inputs<'i> {
    /// The initial value of a parameter's element: logical name, with the layer filled in, and logical flat index.
    pub initial: &'i dyn Fn(&str, u64) -> f64,
    /// The tokens of a sample of the data order: one more than a sequence has positions.
    pub tokens: &'i dyn Fn(u64) -> Vec<i64>,
    /// Whether gradients are wanted.
    pub gradients: bool,
}

/// What a step reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// The mean loss over the global batch.
    pub loss: f64,
    /// The gradient norm before clipping.
    pub norm: f64,
}

/// What a run leaves behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Parameters.
    pub parameters: Named,
    /// Master weights of those parameters that have them.
    pub masters: Named,
    /// First moments.
    pub first: Named,
    /// Second moments.
    pub second: Named,
    /// What each step reported.
    pub reports: Vec<Report>,
    /// Each step's gradients as they were at the optimizer's mark, summed over replicas, free of the loss's scale; empty unless wanted.
    pub gradients: Vec<Named>,
}

/// Runs a number of steps.
///
/// # Errors
/// The place at which the program got stuck, and why.
pub fn run(plan: &Plan, inputs: &Inputs, steps: u64) -> Result<Outcome, Stuck> {
    sane(plan)?;
    let mut machine = Machine::new(plan, logical::memories(plan, inputs.initial)?)?;
    let mut outcome = Outcome::default();
    for step in 0..steps {
        let scale = machine.guard.scale;
        machine.step(inputs, step)?;
        let held: Vec<&Memory> = machine.ranks.iter().map(|rank| &rank.memory).collect();
        let [loss, square] = logical::report(plan, &held)?;
        outcome.reports.push(Report {
            loss,
            norm: square.sqrt() / scale,
        });
        let is_finite = loss.is_finite() && square.is_finite();
        let scaling = plan.training.scaling.as_ref();
        machine.guard.pass(is_finite, scaling);
        if inputs.gradients {
            let held: Vec<&Memory> = machine
                .ranks
                .iter()
                .filter_map(|rank| rank.snapshot.as_ref())
                .collect();
            let mut gradients = logical::gradients(plan, &held)?;
            let all = gradients.values_mut().flatten();
            all.for_each(|gradient| *gradient /= scale);
            outcome.gradients.push(gradients);
        }
    }
    let held: Vec<&Memory> = machine.ranks.iter().map(|rank| &rank.memory).collect();
    outcome.parameters = logical::gather(plan, &held, State::Weights)?;
    outcome.masters = logical::gather(plan, &held, State::Master)?;
    outcome.first = logical::gather(plan, &held, State::First)?;
    outcome.second = logical::gather(plan, &held, State::Second)?;
    Ok(outcome)
}

/// Refuses tables that cannot even be looked into.
fn sane(plan: &Plan) -> Result<(), Stuck> {
    let mesh = plan.mesh;
    let stuck = |what: &str| Err(Stuck::new(Spot::default(), Why::Missing(what.to_owned())));
    if mesh.cp != 1 || [mesh.dp, mesh.pp, mesh.tp].contains(&0) {
        return stuck("a rank on every axis");
    }
    if plan.roles.len() != mesh.pp as usize
        || plan
            .roles
            .iter()
            .enumerate()
            .any(|(index, role)| role.stage as usize != index)
    {
        return stuck("a role for every stage");
    }
    let has = |id: crate::TensorId| (id.0 as usize) < plan.tensors.len();
    let buckets = plan.buckets.iter().all(|bucket| {
        [bucket.weights, bucket.gradients, bucket.m]
            .into_iter()
            .chain(bucket.v)
            .chain(bucket.master)
            .chain(bucket.sums)
            .all(has)
    });
    let parameters = plan.parameters.iter().all(|parameter| {
        parameter.bucket < plan.buckets.len() && has(parameter.tensor) && has(parameter.gradient)
    });
    if buckets && parameters {
        Ok(())
    } else {
        stuck("a tensor of a parameter")
    }
}

/// How far two runs are apart: the largest difference of any figure, relative to its size; infinite where names or NaN differ.
pub fn distance(left: &Outcome, right: &Outcome) -> f64 {
    let reports = |outcome: &Outcome| {
        outcome
            .reports
            .iter()
            .flat_map(|report| [report.loss, report.norm])
            .collect()
    };
    let tables = |outcome: &Outcome| {
        let reports = Named::from([("the reports".to_owned(), reports(outcome))]);
        [
            reports,
            outcome.parameters.clone(),
            outcome.masters.clone(),
            outcome.first.clone(),
            outcome.second.clone(),
        ]
    };
    let pairs = tables(left).into_iter().zip(tables(right));
    pairs
        .map(|(left, right)| apart(&left, &right))
        .fold(0.0, f64::max)
}

fn apart(left: &Named, right: &Named) -> f64 {
    let named_alike = left
        .iter()
        .map(|(name, data)| (name, data.len()))
        .eq(right.iter().map(|(name, data)| (name, data.len())));
    if !named_alike {
        return f64::INFINITY;
    }
    let pairs = left.values().flatten().zip(right.values().flatten());
    let gaps = pairs.map(|(left, right)| {
        match (left - right).abs() / (1.0 + left.abs().max(right.abs())) {
            gap if gap.is_finite() => gap,
            _ => f64::INFINITY,
        }
    });
    gaps.fold(0.0, f64::max)
}
