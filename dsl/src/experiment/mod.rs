//! The typed experiment: what the language evaluates to, and all that the planner sees of a spec.
//!
//! Every value is final here (defaults filled in, formulas computed, units gone into the types); where it came from is in
//! [`Experiment::origins`], keyed by its dotted path. Open choices of the plan stay open as [`Choice`].

mod cluster;
mod data;
mod model;
mod plan;
mod run;
mod train;

use std::collections::BTreeMap;

use crate::origin::Origin;
use crate::wish::Choice;

pub use cluster::{Cluster, Price};
pub use data::{Component, Dataset, Order, Pack, Records};
pub use model::{
    Activation, Attention, Dense, Embedding, Experts, Head, Init, Layer, Mamba, Mixer, Mlp, Model,
    Norm, Positions, Residual, Spread,
};
pub use plan::{Stages, Wishes};
pub use run::{Checkpoints, Evaluate, Log};
pub use train::{
    AdamW, Decay, Decays, Float, LearningRate, Loss, LossScale, NotFinite, Optimizer, Part, Phase,
    Precision, Rate, Segment, Shape, Sums, Train, Version,
};

/// A whole experiment.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// Seed of initial values and data order.
    pub seed: u64,
    /// The model.
    pub model: Model,
    /// The data mix.
    pub data: Dataset,
    /// How it is trained.
    pub train: Train,
    /// When it is saved.
    pub checkpoints: Checkpoints,
    /// What it writes of its steps.
    pub log: Log,
    /// When it is measured on other text.
    pub evaluate: Evaluate,
    /// The machines.
    pub cluster: Cluster,
    /// What is said, left open and wished of the placement.
    pub plan: Wishes,
    /// Identity of model, data, training, seed and precision (hexadecimal BLAKE3): placement and wording do not change it.
    pub hash: String,
    /// Where each value came from, by dotted path (`train.lr.peak`).
    pub origins: BTreeMap<String, Origin>,
}

impl Experiment {
    /// The numbers of nodes that the spec leaves to choose among, rising; the only one where it leaves none.
    pub fn sizes(&self) -> Vec<u64> {
        match &self.plan.nodes {
            Choice::OneOf(sizes) => sizes.clone(),
            Choice::Fixed(nodes) => vec![*nodes],
            Choice::Auto | Choice::Formula(_) => vec![self.cluster.nodes],
        }
    }

    /// The same experiment on so many nodes.
    pub fn on_nodes(&self, nodes: u64) -> Experiment {
        let mut settled = self.clone();
        settled.cluster.nodes = nodes;
        settled.plan.nodes = Choice::Fixed(nodes);
        settled
    }

    /// Ranks: all GPUs of the cluster, or those that the spec wants used.
    pub fn ranks(&self) -> u64 {
        self.plan.gpus.unwrap_or(self.cluster.gpus())
    }
}
