//! The parameters of every part that the language knows: names, sizes, initial values, shared parts among them, which have no graph yet.
//!
//! In comes the typed model, out come lists of [`Weight`]s, and the number of parameters of whole models from them. For the parts that are lowered,
//! `planner/tests/models.rs` holds these lists against the graph's own.

use pleach_dsl::experiment::{
    Attention, Dense, Experts, Init as Spreads, Layer, Mamba, Mixer, Mlp, Model, Norm, Residual,
};
use pleach_plan::Init;

use super::{initial, mamba};

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Its name in its block: `attention.qkv.weight`.
    pub name: String,
    /// Its sizes.
    pub dims: Vec<u64>,
    /// Its initial values.
    pub init: Init,
    /// The part of its elements that one token is multiplied with: less than one where it belongs to experts.
    pub active: [u64; 2],
}

impl Weight {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.dims.iter().product()
    }

    /// Whether it is a matrix that rows are multiplied with.
    pub fn multiplies(&self) -> bool {
        self.dims.len() > 1 && self.name != mamba::DECAY
    }

    /// Elements that one token meets.
    pub fn active_elements(&self) -> u64 {
        self.elements() / self.active[1] * self.active[0]
    }
}

/// Parameters of the embedding block.
pub fn embedding(model: &Model) -> Vec<Weight> {
    let mut list = List::new(model.init);
    list.matrix("weight", &[model.vocab, model.hidden], false);
    if let Some(rows) = model.embedding.positions {
        list.matrix("positions", &[rows, model.hidden], false);
    }
    list.norm("norm", model.embedding.norm, model.hidden);
    list.weights
}

/// Parameters of the head block; a tied head has no matrix of its own.
pub fn head(model: &Model) -> Vec<Weight> {
    let mut list = List::new(model.init);
    list.norm("norm", model.head.norm, model.hidden);
    if !model.tied {
        list.matrix("weight", &[model.vocab, model.hidden], false);
    }
    if model.head.bias {
        list.vector("bias", model.vocab, Init::Zeros);
    }
    list.weights
}

/// Parameters of one layer.
pub fn layer(model: &Model, layer: &Layer) -> Vec<Weight> {
    let mut weights = norms(model, layer);
    weights.extend(mixer(model, &layer.mixer));
    weights.extend(mlp(model, &layer.mlp));
    weights
}

/// The norms of a layer: one for each half that there is, two in a sandwich, one for both where they share it.
fn norms(model: &Model, layer: &Layer) -> Vec<Weight> {
    let mut list = List::new(model.init);
    let halves = [
        ("attention", layer.mixer != Mixer::None),
        ("mlp", layer.mlp != Mlp::None),
    ];
    let shared = layer.residual == Residual::ParallelShared;
    for (index, (half, _)) in halves.iter().filter(|(_, there)| *there).enumerate() {
        if shared && index > 0 {
            continue;
        }
        list.norm(&format!("{half}.norm"), layer.norm, model.hidden);
        if layer.residual == Residual::Sandwich {
            list.norm(&format!("{half}.norm_after"), layer.norm, model.hidden);
        }
    }
    list.weights
}

/// Parameters of what mixes positions.
pub fn mixer(model: &Model, mixer: &Mixer) -> Vec<Weight> {
    let mut list = List::new(model.init);
    match mixer {
        Mixer::Attention(attention) => list.attention(model.hidden, attention),
        Mixer::Mamba(mamba) => list.mamba(model.hidden, mamba),
        Mixer::None => {}
    }
    list.weights
}

/// Parameters of the feed-forward half.
pub fn mlp(model: &Model, mlp: &Mlp) -> Vec<Weight> {
    let mut list = List::new(model.init);
    match mlp {
        Mlp::Dense(dense) => list.dense("mlp", model.hidden, dense, None),
        Mlp::Experts(experts) => list.experts(model.hidden, experts),
        Mlp::None => {}
    }
    list.weights
}

/// All parameters of a model, each once, however many layers share it.
pub fn all(model: &Model) -> Vec<Weight> {
    let mut seen = Vec::new();
    let mut weights = embedding(model);
    for index in &model.order {
        let kind = &model.kinds[*index];
        let parts = [
            (kind.share.map(|share| (0, share)), norms(model, kind)),
            (
                shared_with(1, kind.share, share_of_mixer(&kind.mixer)),
                mixer(model, &kind.mixer),
            ),
            (
                shared_with(2, kind.share, share_of_mlp(&kind.mlp)),
                mlp(model, &kind.mlp),
            ),
        ];
        for (share, part) in parts {
            if share.is_some_and(|share| seen.contains(&share)) {
                continue;
            }
            seen.extend(share);
            weights.extend(part);
        }
    }
    weights.extend(head(model));
    weights
}

/// Number of parameters of a model.
pub fn parameters(model: &Model) -> u64 {
    all(model).iter().map(Weight::elements).sum()
}

/// Number of parameters that one token meets.
pub fn active_parameters(model: &Model) -> u64 {
    all(model).iter().map(Weight::active_elements).sum()
}

/// Who shares a part: the whole layer's partners, else the part's own. Numbers of shares are unique over all parts of a model.
fn shared_with(part: usize, layer: Option<usize>, own: Option<usize>) -> Option<(usize, usize)> {
    layer.or(own).map(|share| (part, share))
}

fn share_of_mixer(mixer: &Mixer) -> Option<usize> {
    match mixer {
        Mixer::Attention(attention) => attention.share,
        Mixer::Mamba(mamba) => mamba.share,
        Mixer::None => None,
    }
}

fn share_of_mlp(mlp: &Mlp) -> Option<usize> {
    match mlp {
        Mlp::Dense(dense) => dense.share,
        Mlp::Experts(experts) => experts.share,
        Mlp::None => None,
    }
}

/// A list of parameters under construction.
struct List {
    init: Spreads,
    weights: Vec<Weight>,
}

impl List {
    fn new(init: Spreads) -> List {
        List {
            init,
            weights: Vec::new(),
        }
    }

    fn push(&mut self, name: String, dims: Vec<u64>, init: Init) {
        self.weights.push(Weight {
            name,
            dims,
            init,
            active: [1, 1],
        });
    }

    /// A matrix, rows first; `writes` where its result is added to the residual stream.
    fn matrix(&mut self, name: &str, dims: &[u64], writes: bool) {
        let spread = if writes {
            self.init.output
        } else {
            self.init.weights
        };
        let init = initial::matrix(spread, dims);
        self.push(name.to_owned(), dims.to_vec(), init);
    }

    fn vector(&mut self, name: &str, size: u64, init: Init) {
        self.push(name.to_owned(), vec![size], init);
    }

    fn norm(&mut self, name: &str, norm: Norm, size: u64) {
        if norm != Norm::None {
            self.vector(&format!("{name}.weight"), size, Init::Ones);
        }
        if let Norm::LayerNorm { bias: true, .. } = norm {
            self.vector(&format!("{name}.bias"), size, Init::Zeros);
        }
    }

    fn attention(&mut self, hidden: u64, attention: &Attention) {
        let wide = attention.heads * attention.head_dim;
        let qkv = wide + 2 * attention.kv_heads * attention.head_dim;
        self.matrix("attention.qkv.weight", &[qkv, hidden], false);
        if attention.bias {
            self.vector("attention.qkv.bias", qkv, Init::Zeros);
        }
        self.norm("attention.q_norm", attention.qk_norm, attention.head_dim);
        self.norm("attention.k_norm", attention.qk_norm, attention.head_dim);
        self.matrix("attention.output.weight", &[hidden, wide], true);
        if attention.output_bias {
            self.vector("attention.output.bias", hidden, Init::Zeros);
        }
    }

    /// The parameters of Mamba 1: projections, the convolution, and what makes and holds the state.
    fn mamba(&mut self, hidden: u64, mamba: &Mamba) {
        let inner = mamba.expand * hidden;
        for part in ["in", "gate"] {
            self.matrix(&format!("mamba.{part}.weight"), &[inner, hidden], false);
            if mamba.bias {
                self.vector(&format!("mamba.{part}.bias"), inner, Init::Zeros);
            }
        }
        let normal = |summed| Init::Normal {
            std: mamba::even(summed),
        };
        let taps = vec![inner, mamba.conv];
        self.push("mamba.conv.weight".to_owned(), taps, normal(mamba.conv));
        if mamba.conv_bias {
            self.vector("mamba.conv.bias", inner, Init::Zeros);
        }
        let selected = mamba.dt_rank + 2 * mamba.state;
        self.matrix("mamba.select.weight", &[selected, inner], false);
        let rank = mamba.dt_rank;
        self.push(
            "mamba.step.weight".to_owned(),
            vec![inner, rank],
            normal(rank),
        );
        self.vector("mamba.step.bias", inner, mamba::STEPS);
        self.push(
            mamba::DECAY.to_owned(),
            vec![inner, mamba.state],
            Init::LogCounts,
        );
        self.vector(mamba::SKIP, inner, Init::Ones);
        self.matrix("mamba.out.weight", &[hidden, inner], true);
        if mamba.bias {
            self.vector("mamba.out.bias", hidden, Init::Zeros);
        }
    }

    /// Matrices with a nonlinearity between them; of many experts, `count` of each.
    fn dense(&mut self, name: &str, hidden: u64, dense: &Dense, count: Option<u64>) {
        let first = self.weights.len();
        self.matrix(&format!("{name}.up.weight"), &[dense.width, hidden], false);
        if dense.bias {
            self.vector(&format!("{name}.up.bias"), dense.width, Init::Zeros);
        }
        if dense.activation.is_gated() {
            self.matrix(
                &format!("{name}.gate.weight"),
                &[dense.width, hidden],
                false,
            );
            if dense.bias {
                self.vector(&format!("{name}.gate.bias"), dense.width, Init::Zeros);
            }
        }
        self.matrix(&format!("{name}.down.weight"), &[hidden, dense.width], true);
        if dense.bias {
            self.vector(&format!("{name}.down.bias"), hidden, Init::Zeros);
        }
        if let Some(count) = count {
            for weight in &mut self.weights[first..] {
                weight.dims.insert(0, count);
            }
        }
    }

    fn experts(&mut self, hidden: u64, moe: &Experts) {
        self.matrix("mlp.router.weight", &[moe.experts, hidden], false);
        let first = self.weights.len();
        self.dense("mlp.experts", hidden, &moe.expert, Some(moe.experts));
        for weight in &mut self.weights[first..] {
            weight.active = [moe.active, moe.experts];
        }
        if moe.always > 0 {
            let together = Dense {
                width: moe.always * moe.expert.width,
                ..moe.expert.clone()
            };
            self.dense("mlp.always", hidden, &together, None);
        }
    }
}
