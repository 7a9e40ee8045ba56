//! The meaning of the unsharded training graph: what one rank that holds everything would compute in a step.
//!
//! In comes the experiment and the number of micro-batches, out come the numbers of all parameters, moments and of the report
//! after the step. The graph is run block by block with the same numbering as programs; what surrounds it (sums over
//! micro-batches, the gradient norm, clipping, an update with decay where the experiment wants it) is written here straight from the experiment.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Add;

use pleach_dsl::experiment::{Experiment, Optimizer};
use pleach_plan::Op;

use super::held::{Item, Sizes};
use super::memory::Kind;
use super::number::Number;
use super::rules::{Effect, Site, apply};
use crate::differentiate::differentiate;
use crate::graph::decay::Group;
use crate::graph::transformer::{self, Loss};
use crate::graph::{Block, Kind as Role, ModelGraph, Node, ValueId};

/// What a step of the unsharded program makes.
pub struct Expected {
    /// Parameters and their moments after the step.
    pub parameters: BTreeMap<(String, Kind), Number>,
    /// The report.
    pub report: Number,
    /// Every value that operations make, if details were asked for.
    pub made: BTreeSet<Number>,
    /// How often each contribution to a gradient occurs, and where first, if details were asked for.
    pub gains: BTreeMap<(String, Number), (usize, String)>,
}

/// The matrix that embedding and head may share.
const TIED: &str = "embedding.weight";

/// One rank, one stage.
const ALONE: Sizes = Sizes {
    ranks: [1, 1],
    blocks: 1,
};

/// Runs the training graph of an experiment over a step; the details that explanations need only if `detailed`.
pub fn expected(experiment: &Experiment, micro_steps: u32, detailed: bool) -> Expected {
    let loss = Loss::of(experiment);
    let graph = differentiate(transformer::lower(&experiment.model, 1, loss));
    let mut run = Run::new(&graph, detailed);
    for micro_batch in 0..micro_steps {
        run.micro_batch(micro_batch);
    }
    run.optimizer(experiment)
}

/// A block of the unrolled model with the numbers of its values.
struct Unrolled<'g> {
    block: &'g Block,
    /// `embedding`, `layers.3`, `head`.
    prefix: String,
    /// By value: parameters for good, everything else for the micro-batch that runs.
    values: Vec<Number>,
    /// By value: the gradients of parameters.
    gradients: Vec<Number>,
}

struct Run<'g> {
    blocks: Vec<Unrolled<'g>>,
    report: Number,
    /// What the head adds to the gradient of the embedding's matrix.
    tied: Number,
    detailed: bool,
    made: BTreeSet<Number>,
    gains: BTreeMap<(String, Number), (usize, String)>,
}

impl<'g> Unrolled<'g> {
    fn new(block: &'g Block, prefix: String) -> Self {
        let missing = |index: usize| Number::of("missing", &[index as u64], &[]);
        let mut values: Vec<Number> = (0..block.values.len()).map(missing).collect();
        for (id, value) in block.parameters() {
            values[id.0] = Kind::Weights.symbol(&format!("{prefix}.{}", value.name));
        }
        if let Some(tied) = block.tied.filter(|_| block.name == "head") {
            values[tied.0] = Kind::Weights.symbol(TIED);
        }
        let gradients = vec![Number::ZERO; block.values.len()];
        Unrolled {
            block,
            prefix,
            values,
            gradients,
        }
    }

    fn name(&self, parameter: ValueId) -> String {
        format!("{}.{}", self.prefix, self.block.value(parameter).name)
    }

    fn set(&mut self, value: Option<ValueId>, number: Option<Number>) {
        if let Some((value, number)) = value.zip(number) {
            self.values[value.0] = number;
        }
    }

    fn get(&self, value: Option<ValueId>) -> Option<Number> {
        value.map(|value| self.values[value.0])
    }
}

impl<'g> Run<'g> {
    fn new(graph: &'g ModelGraph, detailed: bool) -> Self {
        let layers = graph.order.iter().enumerate();
        let layers = layers.map(|(layer, &kind)| (graph.kind(kind), format!("layers.{layer}")));
        let blocks = std::iter::once((&graph.embedding, "embedding".to_owned()))
            .chain(layers)
            .chain(std::iter::once((&graph.head, "head".to_owned())));
        Run {
            blocks: blocks
                .map(|(block, prefix)| Unrolled::new(block, prefix))
                .collect(),
            report: Number::ZERO,
            tied: Number::ZERO,
            detailed,
            made: BTreeSet::new(),
            gains: BTreeMap::new(),
        }
    }

    /// Forward through all blocks, then backward through them in reverse.
    fn micro_batch(&mut self, micro_batch: u32) {
        let site = Site {
            sizes: ALONE,
            stages: 1,
            micro_batch,
        };
        let mut stream = None;
        for index in 0..self.blocks.len() {
            let block = self.blocks[index].block;
            self.blocks[index].set(block.input, stream);
            let forward = block.nodes().filter(|node| !node.backward);
            forward.for_each(|node| self.node(index, node, &site));
            stream = self.blocks[index].get(block.output);
        }
        let mut gradient = None;
        for index in (0..self.blocks.len()).rev() {
            let block = self.blocks[index].block;
            self.blocks[index].set(block.gradient_in, gradient);
            let backward = block.nodes().filter(|node| node.backward);
            backward.for_each(|node| self.node(index, node, &site));
            gradient = self.blocks[index].get(block.gradient_out);
        }
    }

    fn node(&mut self, index: usize, node: &Node, site: &Site) {
        let unrolled = &mut self.blocks[index];
        let item = |id: &ValueId| Item::whole(unrolled.values[id.0]);
        let ins: Vec<Item> = node.ins.iter().map(item).collect();
        let zeros = vec![Item::whole(Number::ZERO); node.updates.len()];
        let effect = apply(&node.op, &ins, &zeros, site).unwrap_or_else(|| Effect {
            updates: vec![],
            outs: vec![Item::odd(Number::of("unknown operation", &[], &[])); node.outs.len()],
        });
        for (&id, item) in node.outs.iter().zip(&effect.outs) {
            unrolled.values[id.0] = item.number;
            if self.detailed {
                self.made.insert(item.number);
            }
        }
        for (&id, item) in node.updates.iter().zip(&effect.updates) {
            match unrolled.block.value(id).kind {
                Role::Accumulator { of } => {
                    let tied = unrolled.block.value(of).kind == Role::Tied;
                    let name = match tied {
                        true => TIED.to_owned(),
                        false => unrolled.name(of),
                    };
                    let sum = match tied {
                        true => &mut self.tied,
                        false => &mut unrolled.gradients[of.0],
                    };
                    *sum = *sum + item.number;
                    if self.detailed {
                        let op = node.op.name();
                        let what = format!("{op} of {name}, micro-batch {}", site.micro_batch);
                        self.gains.entry((name, item.number)).or_insert((0, what)).0 += 1;
                    }
                }
                _ => self.report = self.report + item.number,
            }
        }
    }

    /// The norm of all gradients, the clip factor, and one update of each parameter.
    fn optimizer(mut self, experiment: &Experiment) -> Expected {
        if let Some(table) = self.blocks[0].block.tied {
            let sum = &mut self.blocks[0].gradients[table.0];
            *sum = *sum + self.tied;
        }
        let zero = [Item::whole(Number::ZERO)];
        for unrolled in &self.blocks {
            for (id, _) in unrolled.block.parameters() {
                let gradient = [Item::whole(unrolled.gradients[id.0])];
                let squares = update(&Op::SumSquares { replicas: 1 }, &gradient, &zero);
                self.report = squares.into_iter().fold(self.report, Add::add);
            }
        }
        let clip = Op::ClipFactor {
            max_norm: experiment.train.clip,
            scaled: transformer::is_scaled(experiment.train.precision),
        };
        let factor = update(&clip, &[Item::whole(self.report)], &zero);
        let factor: Vec<Item> = factor.into_iter().map(Item::whole).collect();
        let mut parameters = BTreeMap::new();
        for unrolled in &self.blocks {
            for (id, value) in unrolled.block.parameters() {
                let name = unrolled.name(id);
                let update_op = update_op(experiment, Group::of(unrolled.block, value));
                let all = [Kind::Weights, Kind::First, Kind::Second];
                let kinds = &all[..=experiment.train.optimizer.moments() as usize];
                let symbol = |kind: &Kind| Item::whole(kind.symbol(&name));
                let gradient = Item::whole(unrolled.gradients[id.0]);
                let state: Vec<Item> = kinds.iter().map(symbol).chain([gradient]).collect();
                let updated = update(&update_op, &factor, &state);
                let named = kinds.iter().map(|&kind| (name.clone(), kind));
                parameters.extend(named.zip(updated));
            }
        }
        Expected {
            parameters,
            report: self.report,
            made: self.made,
            gains: self.gains,
        }
    }
}

/// The update of a parameter of a group.
fn update_op(experiment: &Experiment, group: Group) -> Op {
    let optimizer = &experiment.train.optimizer;
    let decay = |weight_decay| match group.decays(optimizer.decays()) {
        true => weight_decay,
        false => 0.0,
    };
    match optimizer {
        Optimizer::AdamW(adam) => Op::AdamW {
            beta1: adam.betas[0],
            beta2: adam.betas[1],
            eps: adam.eps,
            weight_decay: decay(adam.weight_decay),
        },
        Optimizer::Adam(adam) => Op::Adam {
            beta1: adam.betas[0],
            beta2: adam.betas[1],
            eps: adam.eps,
            weight_decay: decay(adam.weight_decay),
        },
        Optimizer::Lion {
            betas,
            weight_decay,
            ..
        } => Op::Lion {
            beta1: betas[0],
            beta2: betas[1],
            weight_decay: decay(*weight_decay),
        },
        Optimizer::Sgd {
            momentum,
            nesterov,
            weight_decay,
            ..
        } => Op::Sgd {
            momentum: *momentum,
            nesterov: *nesterov,
            weight_decay: decay(*weight_decay),
        },
    }
}

/// What an operation makes of its updates on one rank.
fn update(op: &Op, ins: &[Item], updates: &[Item]) -> Vec<Number> {
    let site = Site {
        sizes: ALONE,
        stages: 1,
        micro_batch: 0,
    };
    let effect = apply(op, ins, updates, &site).unwrap_or_default();
    effect.updates.iter().map(|item| item.number).collect()
}
