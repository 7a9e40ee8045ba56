//! The meaning of the unsharded training graph: what one rank that holds everything would compute in a step.
//!
//! In comes the experiment and the number of micro-batches, out come the numbers of all parameters, moments and of the report
//! after the step. The graph is run block by block with the same numbering as programs; what surrounds it (sums over
//! micro-batches, the gradient norm, clipping, AdamW with decay of matrices only) is written here straight from the experiment.

use std::collections::{BTreeMap, BTreeSet};

use pleach_dsl::experiment::Experiment;
use pleach_plan::Op;

use super::held::{Item, Sizes};
use super::memory::Kind;
use super::number::Number;
use super::rules::{Effect, Site, apply};
use crate::differentiate::differentiate;
use crate::graph::{Block, Kind as Role, ModelGraph, Node, ValueId, transformer};

/// What a step of the unsharded program makes.
pub struct Expected {
    /// Parameters and their moments after the step.
    pub parameters: BTreeMap<(String, Kind), Number>,
    /// The report.
    pub report: Number,
    /// Every value that operations make.
    pub made: BTreeSet<Number>,
    /// How often each contribution to a gradient occurs, and where first.
    pub gains: BTreeMap<Number, (usize, String)>,
}

/// One rank, one stage.
const ALONE: Sizes = Sizes { ranks: [1, 1] };

/// Runs the training graph of an experiment over a step.
pub fn expected(experiment: &Experiment, micro_steps: u32) -> Expected {
    let train = &experiment.train;
    let tokens = train.global_batch * experiment.model.context;
    let graph = differentiate(transformer::lower(
        &experiment.model,
        1,
        1.0 / tokens as f64,
    ));
    let mut run = Run {
        names: names(&graph),
        gradients: BTreeMap::new(),
        report: Number::ZERO,
        made: BTreeSet::new(),
        gains: BTreeMap::new(),
        values: BTreeMap::new(),
    };
    for micro_batch in 0..micro_steps {
        run.micro_batch(&graph, micro_batch);
    }
    run.optimizer(experiment)
}

/// Block index (embedding, layers, head) and value.
type Place = (usize, ValueId);

/// A parameter's logical name, and whether it is a matrix.
type Names = BTreeMap<Place, (String, bool)>;

struct Run {
    names: Names,
    gradients: BTreeMap<Place, Number>,
    report: Number,
    made: BTreeSet<Number>,
    gains: BTreeMap<Number, (usize, String)>,
    /// Values of the micro-batch that runs.
    values: BTreeMap<Place, Number>,
}

/// The model's blocks unrolled.
fn blocks(graph: &ModelGraph) -> Vec<&Block> {
    let layers = (0..graph.layers).map(|_| &graph.layer);
    std::iter::once(&graph.embedding)
        .chain(layers)
        .chain(std::iter::once(&graph.head))
        .collect()
}

fn names(graph: &ModelGraph) -> Names {
    let blocks = blocks(graph);
    let mut names = Names::new();
    for (index, block) in blocks.iter().enumerate() {
        for (id, value) in block.parameters() {
            let prefix = match index {
                0 => "embedding".to_owned(),
                last if last + 1 == blocks.len() => "head".to_owned(),
                layer => format!("layers.{}", layer - 1),
            };
            names.insert(
                (index, id),
                (format!("{prefix}.{}", value.name), value.dims.len() > 1),
            );
        }
    }
    names
}

impl Run {
    /// Forward through all blocks, then backward through them in reverse.
    fn micro_batch(&mut self, graph: &ModelGraph, micro_batch: u32) {
        let site = Site {
            sizes: ALONE,
            stages: 1,
            micro_batch,
        };
        let blocks = blocks(graph);
        self.values.clear();
        let mut stream = None;
        for (index, block) in blocks.iter().enumerate() {
            self.values.extend(
                block
                    .input
                    .zip(stream)
                    .map(|(input, number)| ((index, input), number)),
            );
            block
                .nodes()
                .filter(|node| !node.backward)
                .for_each(|node| self.node(block, index, node, &site));
            stream = block.output.map(|output| self.value(block, index, output));
        }
        let mut gradient = None;
        for (index, block) in blocks.iter().enumerate().rev() {
            self.values.extend(
                block
                    .gradient_in
                    .zip(gradient)
                    .map(|(entry, number)| ((index, entry), number)),
            );
            block
                .nodes()
                .filter(|node| node.backward)
                .for_each(|node| self.node(block, index, node, &site));
            gradient = block
                .gradient_out
                .map(|exit| self.value(block, index, exit));
        }
    }

    fn value(&self, block: &Block, index: usize, id: ValueId) -> Number {
        match block.value(id).kind {
            Role::Parameter { .. } => Kind::Weights.symbol(&self.names[&(index, id)].0),
            _ => self
                .values
                .get(&(index, id))
                .copied()
                .unwrap_or_else(|| Number::of("missing", &[id.0 as u64], &[])),
        }
    }

    fn node(&mut self, block: &Block, index: usize, node: &Node, site: &Site) {
        let ins: Vec<Item> = node
            .ins
            .iter()
            .map(|&id| Item::whole(self.value(block, index, id)))
            .collect();
        let zeros = vec![Item::whole(Number::ZERO); node.updates.len()];
        let effect = apply(&node.op, &ins, &zeros, site).unwrap_or_else(|| Effect {
            updates: vec![],
            outs: vec![Item::odd(Number::of("unknown operation", &[], &[])); node.outs.len()],
        });
        for (&id, item) in node.outs.iter().zip(&effect.outs) {
            self.values.insert((index, id), item.number);
            self.made.insert(item.number);
        }
        for (&id, item) in node.updates.iter().zip(&effect.updates) {
            match block.value(id).kind {
                Role::Accumulator { of } => {
                    self.gain((index, of), item.number, &node.op, site.micro_batch)
                }
                _ => self.report = self.report + item.number,
            }
        }
    }

    fn gain(&mut self, parameter: Place, number: Number, op: &Op, micro_batch: u32) {
        let sum = self.gradients.entry(parameter).or_insert(Number::ZERO);
        *sum = *sum + number;
        let name = &self.names[&parameter].0;
        let describe = || {
            (
                0,
                format!("{} of {name}, micro-batch {micro_batch}", op.name()),
            )
        };
        self.gains.entry(number).or_insert_with(describe).0 += 1;
    }

    /// The norm of all gradients, the clip factor, and one update of each parameter.
    fn optimizer(mut self, experiment: &Experiment) -> Expected {
        let site = Site {
            sizes: ALONE,
            stages: 1,
            micro_batch: 0,
        };
        let one = |op: &Op, ins: &[Item], updates: &[Item]| {
            let effect = apply(op, ins, updates, &site).unwrap_or_default();
            effect
                .updates
                .iter()
                .map(|item| item.number)
                .collect::<Vec<_>>()
        };
        for gradient in self.gradients.values() {
            let squares = one(
                &Op::SumSquares { replicas: 1 },
                &[Item::whole(*gradient)],
                &[Item::whole(Number::ZERO)],
            );
            self.report = squares
                .into_iter()
                .fold(self.report, |sum, part| sum + part);
        }
        let optimizer = experiment.train.optimizer;
        let clip = Op::ClipFactor {
            max_norm: experiment.train.clip,
        };
        let factor = one(
            &clip,
            &[Item::whole(self.report)],
            &[Item::whole(Number::ZERO)],
        );
        let factor: Vec<Item> = factor.into_iter().map(Item::whole).collect();
        let mut parameters = BTreeMap::new();
        for (place, (name, matrix)) in &self.names {
            let update = Op::AdamW {
                beta1: optimizer.betas[0],
                beta2: optimizer.betas[1],
                eps: optimizer.eps,
                weight_decay: if *matrix { optimizer.weight_decay } else { 0.0 },
            };
            let gradient = self.gradients.get(place).copied().unwrap_or(Number::ZERO);
            let states = [Kind::Weights, Kind::First, Kind::Second]
                .map(|kind| Item::whole(kind.symbol(name)));
            let state: Vec<Item> = states.into_iter().chain([Item::whole(gradient)]).collect();
            let updated = one(&update, &factor, &state);
            for (kind, number) in [Kind::Weights, Kind::First, Kind::Second]
                .into_iter()
                .zip(updated)
            {
                parameters.insert((name.clone(), kind), number);
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
