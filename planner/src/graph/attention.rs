//! Attention: packed queries, keys and values by one product, heads, scores, and the product behind them.

use pleach_dsl::experiment::{Attention, Norm, Positions};
use pleach_plan::{Alibi, HeadNorm, Init, Op, Scores, Split};

use super::layer::Layer;
use super::transformer::eps;
use super::{Dim, Kind, ValueId};

/// Heads of queries that share a head of keys and values.
fn group(attention: &Attention) -> u64 {
    attention.heads / attention.kv_heads.max(1)
}

/// How packed queries, keys and values become heads.
pub fn split(attention: &Attention) -> Split {
    let head_dim = attention.head_dim;
    let (rotary, base, scale) = match attention.positions {
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
        group: group(attention),
    }
}

/// What attention looks at. A window of the whole sequence is none.
fn scores(attention: &Attention, context: u64) -> Scores {
    let heads = attention.heads;
    let sloped = attention.positions == Positions::Alibi;
    Scores {
        group: group(attention),
        window: attention.window.filter(|window| *window < context),
        alibi: sloped.then_some(Alibi { heads, over: None }),
    }
}

impl Layer<'_> {
    pub(super) fn attention(&mut self, attention: &Attention, input: ValueId) -> ValueId {
        let (sizes, init) = (self.sizes, self.init);
        let dim = |name, size| Dim { name, size };
        let &Attention {
            heads,
            kv_heads,
            head_dim,
            ..
        } = attention;
        let wide = dim("attention", heads * head_dim);
        let packed = dim("qkv", wide.size + 2 * kv_heads * head_dim);
        let weight = self.weight(
            "attention.qkv.weight",
            &[packed, sizes.hidden],
            init.weights,
        );
        let qkv = self.linear(input, weight, "qkv.product");
        let qkv = self.bias(attention.bias, "attention.qkv.bias", qkv, "qkv");
        let qkv = self.head_norm(attention, qkv);
        let of = |name, size| {
            [
                sizes.batch,
                dim(name, size),
                sizes.sequence,
                dim("head", head_dim),
            ]
        };
        let [heads, keys] = [of("heads", heads), of("kv_heads", kv_heads)];
        let [q, k, v] = [("q", &heads), ("k", &keys), ("v", &keys)]
            .map(|(name, dims)| self.block.declare(name, dims, Kind::Activation));
        let op = Op::SplitHeads(split(attention));
        self.block.forward_into(op, &[qkv], &[], &[q, k, v]);
        let mixed = self
            .block
            .declare("attention", &sizes.rows(wide), Kind::Activation);
        let lse = self
            .block
            .declare("attention.lse", &heads[..3], Kind::Statistic);
        let op = Op::Attention(scores(attention, self.context));
        self.block.forward_into(op, &[q, k, v], &[], &[mixed, lse]);
        let weight = self.weight(
            "attention.output.weight",
            &[sizes.hidden, wide],
            init.output,
        );
        self.linear(mixed, weight, "attention.out")
    }

    /// The norm of queries and keys, where attention has one.
    fn head_norm(&mut self, attention: &Attention, qkv: ValueId) -> ValueId {
        if attention.qk_norm == Norm::None {
            return qkv;
        }
        let how = HeadNorm {
            head_dim: attention.head_dim,
            group: group(attention),
            eps: eps(attention.qk_norm),
        };
        let head = Dim {
            name: "head",
            size: attention.head_dim,
        };
        let mut weight = |name| self.block.parameter(name, &[head], Init::Ones);
        let ins = [
            qkv,
            weight("attention.q_norm.weight"),
            weight("attention.k_norm.weight"),
        ];
        let packed = self.block.value(qkv).dims.clone();
        let out = self.block.declare("qkv.normed", &packed, Kind::Activation);
        let size = attention.kv_heads * (how.group + 1);
        let name = "normed_heads";
        let rows = self.sizes.rows(Dim { name, size });
        let rstd = self.block.declare("qkv.rstd", &rows, Kind::Statistic);
        self.block
            .forward_into(Op::HeadNorm(how), &ins, &[], &[out, rstd]);
        out
    }
}
