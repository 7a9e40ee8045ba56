//! One layer: what mixes positions, what works on each position alone, and how both meet the residual stream.
//!
//! In comes a kind of layers as the experiment describes it, out comes its block of forward operations. The parts stand in files of their own:
//! [`attention`](super::attention), [`mlp`](super::mlp), [`experts`](super::experts), [`mamba`](super::mamba).

use pleach_dsl::experiment::{self, Init as Spreads, Mixer, Mlp, Model, Residual, Spread};
use pleach_plan::{Charge, Init, Op};

use super::transformer::{Sizes, norm};
use super::{Block, Dim, Kind, ValueId};

/// The block of a kind of layers; its routers are charged for as many tokens as the loss, and at its scale.
pub fn layer(model: &Model, kind: &experiment::Layer, sizes: &Sizes, charge: &Charge) -> Block {
    let mut block = Block::new("layer");
    let input = block.declare("input", &sizes.rows(sizes.hidden), Kind::Activation);
    block.input = Some(input);
    let mut builder = Layer {
        block: &mut block,
        kind,
        sizes,
        init: model.init,
        dropout: model.dropout,
        context: model.context,
        charge,
    };
    let output = builder.whole(input);
    block.output = Some(output);
    block
}

/// The halves of a layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Mixer,
    Mlp,
}

impl Half {
    /// How its parameters and values begin.
    fn name(self) -> &'static str {
        match self {
            Half::Mixer => "attention",
            Half::Mlp => "mlp",
        }
    }
}

/// A layer under construction.
pub(super) struct Layer<'a> {
    pub block: &'a mut Block,
    pub kind: &'a experiment::Layer,
    pub sizes: &'a Sizes,
    pub init: Spreads,
    pub dropout: f64,
    pub context: u64,
    pub charge: &'a Charge,
}

impl Layer<'_> {
    fn whole(&mut self, input: ValueId) -> ValueId {
        let halves = self.halves();
        match (self.kind.residual, &halves[..]) {
            (Residual::SequentialAfter, halves) => self.sequential_after(input, halves),
            (Residual::ParallelSeparate, [_, _]) => self.parallel(input, true),
            (Residual::ParallelShared, [_, _]) => self.parallel(input, false),
            (_, halves) => self.sequential(input, halves),
        }
    }

    fn halves(&self) -> Vec<Half> {
        let there = [
            (Half::Mixer, self.kind.mixer != Mixer::None),
            (Half::Mlp, self.kind.mlp != Mlp::None),
        ];
        let there = there.into_iter().filter(|(_, there)| *there);
        there.map(|(half, _)| half).collect()
    }

    /// A half with its bias, but for what is dropped of it.
    fn branch(&mut self, half: Half, input: ValueId) -> ValueId {
        let own = self.half(half, input);
        let own = self.late_bias(half, own, &format!("{}.biased", half.name()));
        self.dropped(half, own)
    }

    /// A branch before it joins the stream, where the model drops a part of it.
    fn dropped(&mut self, half: Half, branch: ValueId) -> ValueId {
        if self.dropout == 0.0 {
            return branch;
        }
        let dims = self.block.value(branch).dims.clone();
        let op = Op::Dropout {
            share: self.dropout,
            site: half as u64,
            over: None,
        };
        let name = format!("{}.dropped", half.name());
        self.block.forward(op, &[branch], name.as_str(), &dims)
    }

    /// A half of the layer, but for the bias of its last matrix.
    fn half(&mut self, half: Half, input: ValueId) -> ValueId {
        let kind = self.kind;
        match (half, &kind.mixer, &kind.mlp) {
            (Half::Mixer, Mixer::Attention(attention), _) => self.attention(attention, input),
            (Half::Mixer, Mixer::Mamba(mamba), _) => self.mamba(mamba, input),
            (Half::Mlp, _, Mlp::Dense(dense)) => self.dense("mlp", dense, dense.width, input),
            (Half::Mlp, _, Mlp::Experts(experts)) => self.experts(experts, input),
            _ => unreachable!("`beyond` refuses every other half"),
        }
    }

    /// The bias of a half's last matrix, where it has one: it stands behind the sum over tensor-parallel ranks.
    fn late_bias(&mut self, half: Half, input: ValueId, out: &str) -> ValueId {
        let (there, name) = match (half, &self.kind.mixer, &self.kind.mlp) {
            (Half::Mixer, Mixer::Attention(attention), _) => {
                (attention.output_bias, "attention.output.bias")
            }
            (Half::Mixer, Mixer::Mamba(mamba), _) => (mamba.bias, "mamba.out.bias"),
            (Half::Mlp, _, Mlp::Dense(dense)) => (dense.bias, "mlp.down.bias"),
            _ => (false, ""),
        };
        self.bias(there, name, input, out)
    }

    /// `x + mixer(norm1(x)) + mlp(norm2(x))`. The two halves are added before anything else, so that tensor-parallel ranks
    /// exchange one sum instead of two; what is dropped from each is dropped behind its own bias.
    fn parallel(&mut self, input: ValueId, separate: bool) -> ValueId {
        let first = self.norm("attention.norm", input);
        let alone = self.dropout > 0.0;
        let mixed = match alone {
            true => self.branch(Half::Mixer, first),
            false => self.half(Half::Mixer, first),
        };
        let second = if separate {
            self.norm("mlp.norm", input)
        } else {
            first
        };
        if alone {
            let mlp = self.branch(Half::Mlp, second);
            let both = self.sum([mixed, mlp], "halves");
            return self.sum([input, both], "output");
        }
        let mlp = self.half(Half::Mlp, second);
        let both = self.sum([mixed, mlp], "halves");
        let both = self.late_bias(Half::Mixer, both, "halves.attention");
        let both = self.late_bias(Half::Mlp, both, "halves.mlp");
        self.sum([input, both], "output")
    }

    /// `y = x + mixer(norm1(x))`, then `y + mlp(norm2(y))`; norms may also or only stand behind a half.
    fn sequential(&mut self, input: ValueId, halves: &[Half]) -> ValueId {
        let [front, behind] = match self.kind.residual {
            Residual::SequentialOutput => [None, Some("norm")],
            Residual::Sandwich => [Some("norm"), Some("norm_after")],
            _ => [Some("norm"), None],
        };
        let mut stream = input;
        for (index, &half) in halves.iter().enumerate() {
            let own = self.norm_at(half, front, stream);
            let own = self.half(half, own);
            let own = self.late_bias(half, own, &format!("{}.biased", half.name()));
            let own = self.norm_at(half, behind, own);
            let own = self.dropped(half, own);
            stream = self.sum([stream, own], stream_name(index, halves));
        }
        stream
    }

    /// `y = norm1(x + mixer(x))`, then `norm2(y + mlp(y))`.
    fn sequential_after(&mut self, input: ValueId, halves: &[Half]) -> ValueId {
        let mut stream = input;
        for (index, &half) in halves.iter().enumerate() {
            let own = self.branch(half, stream);
            let sum = self.sum([stream, own], stream_name(index, halves));
            stream = self.norm(&format!("{}.norm", half.name()), sum);
        }
        stream
    }

    pub fn sum(&mut self, terms: [ValueId; 2], name: &str) -> ValueId {
        let hidden = self.sizes.rows(self.sizes.hidden);
        self.block.forward(Op::Add {}, &terms, name, &hidden)
    }

    fn norm_at(&mut self, half: Half, name: Option<&str>, input: ValueId) -> ValueId {
        match name {
            Some(name) => self.norm(&format!("{}.{name}", half.name()), input),
            None => input,
        }
    }

    fn norm(&mut self, name: &str, input: ValueId) -> ValueId {
        norm(self.block, self.kind.norm, self.sizes, name, input)
    }

    pub fn weight(&mut self, name: &str, dims: &[Dim], spread: Spread) -> ValueId {
        self.block.matrix(name, dims, spread)
    }

    /// The product of rows with a matrix.
    pub fn linear(&mut self, input: ValueId, weight: ValueId, out: &str) -> ValueId {
        let rows = self.sizes.rows(self.block.value(weight).dims[0]);
        self.block
            .forward(Op::Linear {}, &[input, weight], out, &rows)
    }

    pub fn bias(&mut self, there: bool, name: &str, input: ValueId, out: &str) -> ValueId {
        if !there {
            return input;
        }
        let dims = self.block.value(input).dims.clone();
        let bias = self.block.parameter(name, &dims[2..], Init::Zeros);
        self.block.forward(Op::Bias {}, &[input, bias], out, &dims)
    }
}

/// The residual stream behind a half.
fn stream_name(index: usize, halves: &[Half]) -> &'static str {
    if index + 1 < halves.len() {
        "middle"
    } else {
        "output"
    }
}
