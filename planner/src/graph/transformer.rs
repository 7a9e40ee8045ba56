//! Lowers a decoder-only transformer to blocks.
//!
//! In comes the experiment's model with the size of a micro-batch, out come the forward operations of embedding, layer and head.

use pleach_dsl::experiment::{self, Attention, Model, Norm, Positions, Residual};
use pleach_plan::op::Tokens;
use pleach_plan::{Activation, Alibi, HeadNorm, Init, Op, Scores, Split};

use super::shape::Shape;
use super::{Block, Dim, Kind, ModelGraph, ValueId};

/// Named sizes of a model and its micro-batch.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Sequences of a micro-batch.
    pub batch: Dim,
    /// Positions.
    pub sequence: Dim,
    /// Width of the residual stream.
    pub hidden: Dim,
    /// Attention heads.
    pub heads: Dim,
    /// Heads of keys and values.
    pub kv_heads: Dim,
    /// Width of a head.
    pub head: Dim,
    /// Width of all heads together.
    pub attention: Dim,
    /// Width of queries, keys and values together.
    pub qkv: Dim,
    /// Width of the feed-forward half.
    pub ffn: Dim,
    /// Vocabulary rows.
    pub vocab: Dim,
}

impl Sizes {
    /// The sizes of a model under a micro-batch.
    pub fn of(model: &Shape, micro_batch: u64) -> Sizes {
        let dim = |name, size| Dim { name, size };
        let Attention {
            heads,
            kv_heads,
            head_dim,
            ..
        } = model.attention;
        let attention = heads * head_dim;
        Sizes {
            batch: dim("batch", micro_batch),
            sequence: dim("sequence", model.context),
            hidden: dim("hidden", model.hidden),
            heads: dim("heads", heads),
            kv_heads: dim("kv_heads", kv_heads),
            head: dim("head", head_dim),
            attention: dim("attention", attention),
            qkv: dim("qkv", attention + 2 * kv_heads * head_dim),
            ffn: dim("ffn", model.dense.width),
            vocab: dim("vocab", model.vocab),
        }
    }

    fn rows(&self, last: Dim) -> [Dim; 3] {
        [self.batch, self.sequence, last]
    }
}

/// The forward graph of a model.
pub fn lower(model: &Model, micro_batch: u64, scale: f64) -> ModelGraph {
    let order = model.order.clone();
    let kinds = Shape::kinds(model);
    let model = &kinds[0];
    let sizes = Sizes::of(model, micro_batch);
    let others = kinds.iter().enumerate().skip(1);
    ModelGraph {
        embedding: embedding(model, &sizes),
        layer: layer(model, &sizes),
        others: others
            .map(|(kind, other)| Block {
                kind,
                ..layer(other, &sizes)
            })
            .collect(),
        order,
        head: head(model, &sizes, scale),
    }
}

fn embedding(model: &Shape, sizes: &Sizes) -> Block {
    let mut block = Block::new("embedding");
    let table = block.parameter(
        "weight",
        &[sizes.vocab, sizes.hidden],
        Init::Normal {
            std: model.init.weights,
        },
    );
    block.tied = model.tied.then_some(table);
    let ids = block.declare("ids", &[sizes.batch, sizes.sequence], Kind::Ids);
    block.forward_into(
        Op::Tokens {
            which: Tokens::Inputs,
        },
        &[],
        &[],
        &[ids],
    );
    let out = block.forward(
        Op::Embedding { vocab: None },
        &[ids, table],
        "hidden",
        &sizes.rows(sizes.hidden),
    );
    let out = scaled(&mut block, model.embedding.scale, out);
    let out = positioned(&mut block, model, sizes, out);
    let out = norm(&mut block, model.embedding.norm, sizes, "norm", out);
    block.output = Some(out);
    block
}

/// The embedding's rows times a number.
fn scaled(block: &mut Block, by: f64, input: ValueId) -> ValueId {
    if by == 1.0 {
        return input;
    }
    let dims = block.value(input).dims.clone();
    block.forward(Op::Scale { by }, &[input], "scaled", &dims)
}

/// A row of learned positions added to each position, where the model has them.
fn positioned(block: &mut Block, model: &Shape, sizes: &Sizes, input: ValueId) -> ValueId {
    let Some(size) = model.embedding.positions else {
        return input;
    };
    let rows = Dim { name: "rows", size };
    let std = model.init.weights;
    let table = block.parameter("positions", &[rows, sizes.hidden], Init::Normal { std });
    let dims = block.value(input).dims.clone();
    let op = Op::Positions { over: None };
    block.forward(op, &[input, table], "positioned", &dims)
}

fn layer(model: &Shape, sizes: &Sizes) -> Block {
    let mut block = Block::new("layer");
    let input = block.declare("input", &sizes.rows(sizes.hidden), Kind::Activation);
    block.input = Some(input);
    let builder = &mut Layer {
        block: &mut block,
        model,
        sizes,
    };
    let output = match model.residual {
        Residual::Sequential | Residual::SequentialOutput | Residual::Sandwich => {
            builder.sequential(input)
        }
        Residual::SequentialAfter => builder.sequential_after(input),
        Residual::ParallelSeparate => builder.parallel(input, true),
        Residual::ParallelShared => builder.parallel(input, false),
    };
    block.output = Some(output);
    block
}

fn head(model: &Shape, sizes: &Sizes, scale: f64) -> Block {
    let mut block = Block::new("head");
    let input = block.declare("input", &sizes.rows(sizes.hidden), Kind::Activation);
    block.input = Some(input);
    let normed = norm(&mut block, model.head.norm, sizes, "norm", input);
    let dims = [sizes.vocab, sizes.hidden];
    let weight = if model.tied {
        block.declare("weight", &dims, Kind::Tied)
    } else {
        let std = model.init.weights;
        block.parameter("weight", &dims, Init::Normal { std })
    };
    block.tied = model.tied.then_some(weight);
    let logits = block.forward(
        Op::Linear {},
        &[normed, weight],
        "logits",
        &sizes.rows(sizes.vocab),
    );
    let logits = bent(&mut block, model, sizes, logits);
    let targets = block.declare("targets", &[sizes.batch, sizes.sequence], Kind::Ids);
    block.forward_into(
        Op::Tokens {
            which: Tokens::Targets,
        },
        &[],
        &[],
        &[targets],
    );
    let max = block.declare("max", &[sizes.batch, sizes.sequence], Kind::Statistic);
    block.forward_into(Op::CrossEntropyMax {}, &[logits], &[], &[max]);
    let pair = Dim {
        name: "terms",
        size: 2,
    };
    let terms = block.declare(
        "terms",
        &[pair, sizes.batch, sizes.sequence],
        Kind::Statistic,
    );
    block.forward_into(
        Op::CrossEntropyTerms { vocab: None },
        &[logits, targets, max],
        &[],
        &[terms],
    );
    let report = block.declare("report", &[pair], Kind::Report);
    block.forward_into(
        Op::CrossEntropyLoss { scale, replicas: 1 },
        &[terms],
        &[report],
        &[],
    );
    block
}

/// Logits with their bias and below their limit, where the head has these.
fn bent(block: &mut Block, model: &Shape, sizes: &Sizes, mut logits: ValueId) -> ValueId {
    let dims = sizes.rows(sizes.vocab);
    if model.head.bias {
        let bias = block.parameter("bias", &[sizes.vocab], Init::Zeros);
        logits = block.forward(Op::Bias {}, &[logits, bias], "logits.biased", &dims);
    }
    match model.head.cap {
        Some(limit) => block.forward(Op::Cap { limit }, &[logits], "logits.capped", &dims),
        None => logits,
    }
}

/// A norm of rows; where there is none, the rows themselves.
fn norm(block: &mut Block, kind: Norm, sizes: &Sizes, name: &str, input: ValueId) -> ValueId {
    if kind == Norm::None {
        return input;
    }
    let mut vector = |what: &str, init| {
        let name = format!("{name}.{what}");
        block.parameter(&name, &[sizes.hidden], init)
    };
    let weight = vector("weight", Init::Ones);
    let bias = match kind {
        Norm::LayerNorm { bias: true, .. } => Some(vector("bias", Init::Zeros)),
        _ => None,
    };
    let rows = sizes.rows(sizes.hidden);
    let out = block.declare(format!("{name}.out"), &rows, Kind::Activation);
    let mut statistic = |what: &str| {
        let dims = [sizes.batch, sizes.sequence];
        block.declare(format!("{name}.{what}"), &dims, Kind::Statistic)
    };
    let ins: Vec<ValueId> = [input, weight].into_iter().chain(bias).collect();
    let (op, outs) = match kind {
        Norm::LayerNorm { eps, .. } => {
            let outs = vec![out, statistic("mean"), statistic("rstd")];
            (Op::LayerNorm { eps }, outs)
        }
        norm => (Op::RmsNorm { eps: eps(norm) }, vec![out, statistic("rstd")]),
    };
    block.forward_into(op, &ins, &[], &outs);
    out
}

fn eps(norm: Norm) -> f64 {
    match norm {
        Norm::LayerNorm { eps, .. } | Norm::RmsNorm { eps } => eps,
        Norm::None => 0.0,
    }
}

/// Heads of queries that share a head of keys and values.
fn group(model: &Shape) -> u64 {
    let Attention {
        heads, kv_heads, ..
    } = model.attention;
    heads / kv_heads.max(1)
}

/// How packed queries, keys and values become heads.
pub fn split(model: &Shape) -> Split {
    let head_dim = model.attention.head_dim;
    let (rotary, base, scale) = match model.attention.positions {
        Positions::None | Positions::Alibi => (0, 10_000.0, 1.0),
        Positions::Rotary {
            fraction,
            base,
            scale,
        } => (libm::round(fraction * head_dim as f64) as u64, base, scale),
    };
    Split {
        head_dim,
        rotary,
        base,
        scale,
        group: group(model),
    }
}

/// What attention looks at. A window of the whole sequence is none.
fn scores(model: &Shape) -> Scores {
    let Attention {
        heads,
        positions,
        window,
        ..
    } = model.attention;
    let sloped = positions == Positions::Alibi;
    Scores {
        group: group(model),
        window: window.filter(|window| *window < model.context),
        alibi: sloped.then_some(Alibi { heads, over: None }),
    }
}

/// A layer under construction.
struct Layer<'a> {
    block: &'a mut Block,
    model: &'a Shape,
    sizes: &'a Sizes,
}

impl Layer<'_> {
    /// `x + attention(norm1(x)) + mlp(norm2(x))`. The two halves are added before anything else, so that tensor-parallel ranks
    /// exchange one sum instead of two.
    fn parallel(&mut self, input: ValueId, separate: bool) -> ValueId {
        let first = self.norm("attention.norm", input);
        let attention = self.attention(first);
        let second = if separate {
            self.norm("mlp.norm", input)
        } else {
            first
        };
        let mlp = self.mlp(second);
        let hidden = self.sizes.rows(self.sizes.hidden);
        let both = self
            .block
            .forward(Op::Add {}, &[attention, mlp], "halves", &hidden);
        let both = self.output_bias(both, "halves.attention");
        let both = self.down_bias(both, "halves.mlp");
        self.block
            .forward(Op::Add {}, &[input, both], "output", &hidden)
    }

    /// `y = x + attention(norm1(x))`, then `y + mlp(norm2(y))`; norms may also or only stand behind a half.
    fn sequential(&mut self, input: ValueId) -> ValueId {
        let residual = self.model.residual;
        let [front, behind] = match residual {
            Residual::SequentialOutput => [None, Some("norm")],
            Residual::Sandwich => [Some("norm"), Some("norm_after")],
            _ => [Some("norm"), None],
        };
        let first = self.norm_at("attention", front, input);
        let attention = self.attention(first);
        let attention = self.output_bias(attention, "attention.biased");
        let attention = self.norm_at("attention", behind, attention);
        let middle = self.sum([input, attention], "middle");
        let second = self.norm_at("mlp", front, middle);
        let mlp = self.mlp(second);
        let mlp = self.down_bias(mlp, "mlp.biased");
        let mlp = self.norm_at("mlp", behind, mlp);
        self.sum([middle, mlp], "output")
    }

    /// `y = norm1(x + attention(x))`, then `norm2(y + mlp(y))`.
    fn sequential_after(&mut self, input: ValueId) -> ValueId {
        let attention = self.attention(input);
        let attention = self.output_bias(attention, "attention.biased");
        let middle = self.sum([input, attention], "middle");
        let middle = self.norm("attention.norm", middle);
        let mlp = self.mlp(middle);
        let mlp = self.down_bias(mlp, "mlp.biased");
        let output = self.sum([middle, mlp], "output");
        self.norm("mlp.norm", output)
    }

    fn sum(&mut self, terms: [ValueId; 2], name: &str) -> ValueId {
        let hidden = self.sizes.rows(self.sizes.hidden);
        self.block.forward(Op::Add {}, &terms, name, &hidden)
    }

    fn norm_at(&mut self, half: &str, name: Option<&str>, input: ValueId) -> ValueId {
        match name {
            Some(name) => self.norm(&format!("{half}.{name}"), input),
            None => input,
        }
    }

    fn norm(&mut self, name: &str, input: ValueId) -> ValueId {
        norm(self.block, self.model.norm, self.sizes, name, input)
    }

    fn weight(&mut self, name: &str, rows: Dim, columns: Dim, std: f64) -> ValueId {
        self.block
            .parameter(name, &[rows, columns], Init::Normal { std })
    }

    /// The bias of attention's output matrix, where it has one.
    fn output_bias(&mut self, input: ValueId, out: &str) -> ValueId {
        let there = self.model.attention.output_bias;
        self.bias(there, "attention.output.bias", input, out)
    }

    /// The bias of the last feed-forward matrix, where it has one.
    fn down_bias(&mut self, input: ValueId, out: &str) -> ValueId {
        self.bias(self.model.dense.bias, "mlp.down.bias", input, out)
    }

    fn bias(&mut self, there: bool, name: &str, input: ValueId, out: &str) -> ValueId {
        if !there {
            return input;
        }
        let dims = self.block.value(input).dims.clone();
        let bias = self.block.parameter(name, &dims[2..], Init::Zeros);
        self.block.forward(Op::Bias {}, &[input, bias], out, &dims)
    }

    fn attention(&mut self, input: ValueId) -> ValueId {
        let (sizes, init) = (self.sizes, self.model.init);
        let weight = self.weight(
            "attention.qkv.weight",
            sizes.qkv,
            sizes.hidden,
            init.weights,
        );
        let qkv = self.block.forward(
            Op::Linear {},
            &[input, weight],
            "qkv.product",
            &sizes.rows(sizes.qkv),
        );
        let qkv = self.bias(self.model.attention.bias, "attention.qkv.bias", qkv, "qkv");
        let qkv = self.head_norm(qkv);
        let [heads, keys] = [sizes.heads, sizes.kv_heads]
            .map(|heads| [sizes.batch, heads, sizes.sequence, sizes.head]);
        let [q, k, v] = [("q", &heads), ("k", &keys), ("v", &keys)]
            .map(|(name, dims)| self.block.declare(name, dims, Kind::Activation));
        let split = Op::SplitHeads(split(self.model));
        self.block.forward_into(split, &[qkv], &[], &[q, k, v]);
        let mixed = self
            .block
            .declare("attention", &sizes.rows(sizes.attention), Kind::Activation);
        let lse = self
            .block
            .declare("attention.lse", &heads[..3], Kind::Statistic);
        self.block.forward_into(
            Op::Attention(scores(self.model)),
            &[q, k, v],
            &[],
            &[mixed, lse],
        );
        let weight = self.weight(
            "attention.output.weight",
            sizes.hidden,
            sizes.attention,
            init.output,
        );
        self.block.forward(
            Op::Linear {},
            &[mixed, weight],
            "attention.out",
            &sizes.rows(sizes.hidden),
        )
    }

    /// The norm of queries and keys, where attention has one.
    fn head_norm(&mut self, qkv: ValueId) -> ValueId {
        let (sizes, attention) = (self.sizes, &self.model.attention);
        if attention.qk_norm == Norm::None {
            return qkv;
        }
        let how = HeadNorm {
            head_dim: attention.head_dim,
            group: group(self.model),
            eps: eps(attention.qk_norm),
        };
        let size = attention.kv_heads * (how.group + 1);
        let name = "normed_heads";
        let mut weight = |name| self.block.parameter(name, &[sizes.head], Init::Ones);
        let ins = [
            qkv,
            weight("attention.q_norm.weight"),
            weight("attention.k_norm.weight"),
        ];
        let packed = sizes.rows(sizes.qkv);
        let out = self.block.declare("qkv.normed", &packed, Kind::Activation);
        let rows = sizes.rows(Dim { name, size });
        let rstd = self.block.declare("qkv.rstd", &rows, Kind::Statistic);
        self.block
            .forward_into(Op::HeadNorm(how), &ins, &[], &[out, rstd]);
        out
    }

    fn mlp(&mut self, input: ValueId) -> ValueId {
        let (sizes, init) = (self.sizes, self.model.init);
        let up = self.column("mlp.up", input);
        let (kind, gated) = nonlinearity(self.model.dense.activation);
        let (op, ins) = if gated {
            let gate = self.column("mlp.gate", input);
            (Op::Gated { kind }, vec![gate, up])
        } else {
            (kind.forward(), vec![up])
        };
        let active = self
            .block
            .forward(op, &ins, "mlp.active", &sizes.rows(sizes.ffn));
        let weight = self.weight("mlp.down.weight", sizes.hidden, sizes.ffn, init.output);
        self.block.forward(
            Op::Linear {},
            &[active, weight],
            "mlp.out",
            &sizes.rows(sizes.hidden),
        )
    }

    /// A matrix in front of the nonlinearity, with its bias where there is one.
    fn column(&mut self, name: &str, input: ValueId) -> ValueId {
        let (sizes, init) = (self.sizes, self.model.init);
        let matrix = format!("{name}.weight");
        let weight = self.weight(&matrix, sizes.ffn, sizes.hidden, init.weights);
        let product = if name == "mlp.up" {
            "mlp.product".to_owned()
        } else {
            format!("{name}.product")
        };
        let rows = sizes.rows(sizes.ffn);
        let product = self
            .block
            .forward(Op::Linear {}, &[input, weight], &product, &rows);
        let there = self.model.dense.bias;
        self.bias(there, &format!("{name}.bias"), product, name)
    }
}

/// The nonlinearity of a feed-forward half, and whether it is one operand of a product.
fn nonlinearity(activation: experiment::Activation) -> (Activation, bool) {
    match activation {
        experiment::Activation::Gelu => (Activation::Gelu, false),
        experiment::Activation::GeluTanh => (Activation::GeluTanh, false),
        experiment::Activation::Relu => (Activation::Relu, false),
        experiment::Activation::Swiglu => (Activation::Silu, true),
        experiment::Activation::Geglu => (Activation::Gelu, true),
    }
}
