//! The model as a graph: blocks of operations over named dimensions, repeated layers stored once.
//!
//! In comes the typed experiment ([`transformer::lower`]), out comes a [`ModelGraph`] whose blocks hold forward operations only;
//! [`crate::differentiate`] appends backward. Sizes are those of one micro-batch on one replica, whole over tensor parallelism.

pub mod attention;
pub mod beyond;
pub mod builder;
pub mod decay;
mod experts;
mod initial;
mod layer;
mod mamba;
mod mlp;
pub mod shape;
pub mod transformer;
pub mod weights;
pub mod work;

use petgraph::graph::{DiGraph, NodeIndex};
use pleach_plan::{Init, Op};

/// Names a [`Value`] in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub usize);

/// One dimension of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dim {
    /// What it counts: `batch`, `sequence`, `hidden`, ….
    pub name: &'static str,
    /// How many.
    pub size: u64,
}

/// What a value is to the program.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Lives within a micro-batch, in compute type.
    Activation,
    /// Lives within a micro-batch, in accumulation type: statistics of norms, attention and loss.
    Statistic,
    /// Token ids.
    Ids,
    /// A parameter of the model.
    Parameter {
        /// Initial values.
        init: Init,
    },
    /// The embedding's matrix where the head reads it: a parameter, but of the embedding.
    Tied,
    /// The gradient accumulator of a parameter.
    Accumulator {
        /// Whose gradient it sums.
        of: ValueId,
    },
    /// The step's report.
    Report,
}

/// A value that operations make, read or change.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// A readable name, unique in its block. For parameters: the logical name without block and layer.
    pub name: String,
    /// Its dimensions.
    pub dims: Vec<Dim>,
    /// What it is.
    pub kind: Kind,
}

impl Value {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.dims.iter().map(|dim| dim.size).product()
    }

    /// Whether it shrinks with every update: matrices do, but not the rates of a state space, which are none.
    pub fn shrinks(&self) -> bool {
        self.dims.len() > 1 && self.name != mamba::DECAY
    }

    /// Whether it is kept in the type of accumulators: norms, and what makes up a state space.
    pub fn wide(&self) -> bool {
        self.is_of_norm() || [mamba::DECAY, mamba::SKIP].contains(&self.name.as_str())
    }

    /// Whether it belongs to a norm: `norm.weight`, `attention.q_norm.weight`, `mlp.norm_after.bias`.
    pub fn is_of_norm(&self) -> bool {
        let owner = self.name.rsplit('.').nth(1).unwrap_or_default();
        owner
            .strip_suffix("_after")
            .unwrap_or(owner)
            .ends_with("norm")
    }

    /// Whether it is a parameter, of this block or another.
    pub fn is_parameter(&self) -> bool {
        matches!(self.kind, Kind::Parameter { .. } | Kind::Tied)
    }
}

/// An operation with its operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it does. Attributes that depend on the placement are filled in when programs are emitted.
    pub op: Op,
    /// Values read.
    pub ins: Vec<ValueId>,
    /// Values changed in place.
    pub updates: Vec<ValueId>,
    /// Values made.
    pub outs: Vec<ValueId>,
    /// Whether differentiation made it.
    pub backward: bool,
}

/// A part of the model that is placed as a whole: the embedding, one layer, the head.
#[derive(Clone, Debug)]
pub struct Block {
    /// `embedding`, `layer` or `head`.
    pub name: &'static str,
    /// Which of several kinds of layers it is; 0 for everything else.
    pub kind: usize,
    /// Operations; an edge carries a value from where it is made to where it is read. Node order is execution order.
    pub graph: DiGraph<Node, ValueId>,
    /// All values.
    pub values: Vec<Value>,
    /// The residual stream as it enters; none for the embedding.
    pub input: Option<ValueId>,
    /// The residual stream as it leaves; none for the head.
    pub output: Option<ValueId>,
    /// The gradient of `output`, as it enters backward.
    pub gradient_in: Option<ValueId>,
    /// The gradient of `input`, as it leaves backward.
    pub gradient_out: Option<ValueId>,
    /// The matrix that embedding and head share.
    pub tied: Option<ValueId>,
}

/// A whole model: three blocks, the middle one repeated. Layers of other kinds have other operations, and the same parameters or others.
#[derive(Clone, Debug)]
pub struct ModelGraph {
    /// Token ids to residual stream.
    pub embedding: Block,
    /// One layer of the first kind.
    pub layer: Block,
    /// One layer of each other kind.
    pub others: Vec<Block>,
    /// For each kind the first one that has the same parameters.
    pub stores: Vec<usize>,
    /// For each layer its kind.
    pub order: Vec<usize>,
    /// Residual stream to loss.
    pub head: Block,
}

impl Block {
    /// Its name, with the number of its kind behind the first.
    pub fn label(&self) -> String {
        match self.kind {
            0 => self.name.to_owned(),
            kind => format!("{}_{kind}", self.name),
        }
    }

    /// The value with this id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Operations in execution order.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.graph.node_weights()
    }

    /// The operation that makes a value.
    pub fn producer(&self, value: ValueId) -> Option<NodeIndex> {
        self.graph
            .node_indices()
            .find(|&index| self.graph[index].outs.contains(&value))
    }

    /// Its own parameters in the order in which they were declared.
    pub fn parameters(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values
            .iter()
            .enumerate()
            .filter(|(_, value)| matches!(value.kind, Kind::Parameter { .. }))
            .map(|(index, value)| (ValueId(index), value))
    }

    /// Number of parameters.
    pub fn parameter_count(&self) -> u64 {
        self.parameters().map(|(_, value)| value.elements()).sum()
    }
}

impl ModelGraph {
    /// For each layer the kind whose parameters it has; none where all layers have the same.
    pub fn stored(&self) -> Vec<usize> {
        let same = self.stores.iter().all(|&store| store == 0);
        let order = self.order.iter().filter(|_| !same);
        order.map(|&kind| self.stores[kind]).collect()
    }

    /// A layer of a kind.
    pub fn kind(&self, kind: usize) -> &Block {
        match kind.checked_sub(1) {
            Some(other) => &self.others[other],
            None => &self.layer,
        }
    }

    /// Every block with how often it stands in the model: each kind of layers once.
    pub fn blocks(&self) -> Vec<(&Block, u64)> {
        let repeats = |kind: usize| self.order.iter().filter(|&&own| own == kind).count() as u64;
        let kinds = (0..=self.others.len()).map(|kind| (self.kind(kind), repeats(kind)));
        let kinds = [(&self.embedding, 1)].into_iter().chain(kinds);
        kinds.chain([(&self.head, 1)]).collect()
    }

    /// Number of parameters of the model.
    pub fn parameter_count(&self) -> u64 {
        let blocks = self.blocks().into_iter();
        let count = |(block, repeats): (&Block, u64)| block.parameter_count() * repeats;
        blocks.map(count).sum()
    }
}

/// A block as readable text: one line for each operation.
pub fn text(block: &Block) -> String {
    let list = |ids: &[ValueId]| {
        ids.iter()
            .map(|&id| describe(block, id))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut lines = vec![format!("block {}", block.label())];
    for node in block.nodes() {
        let phase = if node.backward {
            "backward"
        } else {
            "forward "
        };
        let updates = if node.updates.is_empty() {
            String::new()
        } else {
            format!("; {}", list(&node.updates))
        };
        lines.push(format!(
            "  {phase} {} <- {}({}{updates})",
            list(&node.outs),
            node.op.name(),
            list(&node.ins)
        ));
    }
    lines.join("\n") + "\n"
}

fn describe(block: &Block, id: ValueId) -> String {
    let value = block.value(id);
    let dims = value
        .dims
        .iter()
        .map(|dim| format!("{} {}", dim.name, dim.size))
        .collect::<Vec<_>>()
        .join(", ");
    format!("{}[{dims}]", value.name)
}
