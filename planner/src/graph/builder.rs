//! Building a block: values are declared, operations appended, edges drawn from where a value is made.

use petgraph::graph::DiGraph;
use pleach_dsl::experiment::Spread;
use pleach_plan::{Init, Op};

use super::{Block, Dim, Kind, Node, Value, ValueId, initial};

impl Block {
    /// An empty block.
    pub fn new(name: &'static str) -> Block {
        Block {
            name,
            kind: 0,
            graph: DiGraph::new(),
            values: Vec::new(),
            input: None,
            output: None,
            gradient_in: None,
            gradient_out: None,
            tied: None,
        }
    }

    /// Declares a value.
    pub fn declare(&mut self, name: impl Into<String>, dims: &[Dim], kind: Kind) -> ValueId {
        self.values.push(Value {
            name: name.into(),
            dims: dims.to_vec(),
            kind,
        });
        ValueId(self.values.len() - 1)
    }

    /// Declares a matrix that begins as the experiment says of all of them.
    pub fn matrix(&mut self, name: &str, dims: &[Dim], spread: Spread) -> ValueId {
        let sizes: Vec<u64> = dims.iter().map(|dim| dim.size).collect();
        self.parameter(name, dims, initial::matrix(spread, &sizes))
    }

    /// Declares a parameter.
    pub fn parameter(&mut self, name: &str, dims: &[Dim], init: Init) -> ValueId {
        self.declare(name, dims, Kind::Parameter { init })
    }

    /// Appends an operation whose results are already declared.
    pub fn append(&mut self, node: Node) {
        let sources: Vec<_> = node
            .ins
            .iter()
            .chain(&node.updates)
            .map(|&value| (value, self.producer(value)))
            .collect();
        let index = self.graph.add_node(node);
        for (value, source) in sources {
            if let Some(source) = source {
                self.graph.add_edge(source, index, value);
            }
        }
    }

    /// Appends a forward operation with one activation as its result.
    pub fn forward(&mut self, op: Op, ins: &[ValueId], name: &str, dims: &[Dim]) -> ValueId {
        let out = self.declare(name, dims, Kind::Activation);
        self.append(Node {
            op,
            ins: ins.to_vec(),
            updates: Vec::new(),
            outs: vec![out],
            backward: false,
        });
        out
    }

    /// Appends a forward operation with given results.
    pub fn forward_into(&mut self, op: Op, ins: &[ValueId], updates: &[ValueId], outs: &[ValueId]) {
        self.append(Node {
            op,
            ins: ins.to_vec(),
            updates: updates.to_vec(),
            outs: outs.to_vec(),
            backward: false,
        });
    }
}
