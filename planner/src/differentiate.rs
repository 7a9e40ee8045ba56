//! Differentiation as a pass: appends to each block the operations that compute gradients.
//!
//! In comes a block with forward operations, out comes the same block with backward behind them: gradients of activations as
//! values of their own, gradients of parameters as updates of accumulators. Each operation's derivative stands in its file of
//! [`crate::ops`]; here is only the order (reverse of forward) and the sum where a value is read more than once.

use std::collections::BTreeMap;

use pleach_plan::Op;

use crate::graph::{Block, Kind, ModelGraph, Node, ValueId};
use crate::ops;

/// Gradients under construction.
pub struct Tape<'b> {
    /// The block that grows.
    pub block: &'b mut Block,
    contributions: BTreeMap<ValueId, Vec<ValueId>>,
    accumulators: BTreeMap<ValueId, ValueId>,
}

/// The training graph of a model: every block with its backward.
pub fn differentiate(mut model: ModelGraph) -> ModelGraph {
    let blocks = [&mut model.embedding, &mut model.layer, &mut model.head];
    for block in blocks.into_iter().chain(&mut model.others) {
        block_backward(block);
    }
    model
}

fn block_backward(block: &mut Block) {
    let nodes: Vec<Node> = block.nodes().cloned().collect();
    let (input, output) = (block.input, block.output);
    let mut tape = Tape {
        block,
        contributions: BTreeMap::new(),
        accumulators: BTreeMap::new(),
    };
    if let Some(output) = output {
        let gradient = tape.declare_like(output);
        tape.block.gradient_in = Some(gradient);
        tape.contribute(output, gradient);
    }
    for node in nodes.iter().rev() {
        ops::derivative(node, &mut tape);
    }
    if let Some(input) = input {
        tape.block.gradient_out = tape.gradient(input);
    }
}

impl Tape<'_> {
    fn declare_like(&mut self, value: ValueId) -> ValueId {
        let like = self.block.value(value);
        let (name, dims) = (format!("d_{}", like.name), like.dims.clone());
        let taken = self
            .block
            .values
            .iter()
            .filter(|other| other.name.starts_with(&name))
            .count();
        let name = if taken == 0 {
            name
        } else {
            format!("{name}.{taken}")
        };
        self.block.declare(name, &dims, Kind::Activation)
    }

    /// The gradient of a value that forward made: the sum of all contributions; none where nothing depends on it.
    pub fn gradient(&mut self, value: ValueId) -> Option<ValueId> {
        let parts = self.contributions.get(&value)?.clone();
        if let [only] = parts[..] {
            return Some(only);
        }
        let sum = self.declare_like(value);
        self.append(Op::Add {}, &parts, &[], &[sum]);
        self.contributions.insert(value, vec![sum]);
        Some(sum)
    }

    /// Adds a contribution to the gradient of a value.
    pub fn contribute(&mut self, value: ValueId, gradient: ValueId) {
        self.contributions.entry(value).or_default().push(gradient);
    }

    /// Appends a backward operation whose result is a contribution to the gradient of `of`.
    pub fn back(&mut self, op: Op, ins: &[ValueId], of: ValueId) {
        self.back_all(op, ins, &[], &[of]);
    }

    /// Appends a backward operation that contributes to several gradients and accumulates into parameters.
    pub fn back_all(&mut self, op: Op, ins: &[ValueId], parameters: &[ValueId], of: &[ValueId]) {
        let outs: Vec<_> = of.iter().map(|&value| self.declare_like(value)).collect();
        let updates: Vec<_> = parameters
            .iter()
            .map(|&parameter| self.accumulator(parameter))
            .collect();
        self.append(op, ins, &updates, &outs);
        for (&value, &gradient) in of.iter().zip(&outs) {
            self.contribute(value, gradient);
        }
    }

    fn accumulator(&mut self, parameter: ValueId) -> ValueId {
        if let Some(&known) = self.accumulators.get(&parameter) {
            return known;
        }
        let like = self.block.value(parameter);
        let (name, dims) = (format!("{}.gradient", like.name), like.dims.clone());
        let id = self
            .block
            .declare(name, &dims, Kind::Accumulator { of: parameter });
        self.accumulators.insert(parameter, id);
        id
    }

    fn append(&mut self, op: Op, ins: &[ValueId], updates: &[ValueId], outs: &[ValueId]) {
        self.block.append(Node {
            op,
            ins: ins.to_vec(),
            updates: updates.to_vec(),
            outs: outs.to_vec(),
            backward: true,
        });
    }
}
