//! What of a model has no operations in this version.
//!
//! The language says more than the graph can express; [`beyond`] lists what of a model is out of reach, so that planning refuses it by name.

use pleach_dsl::experiment::{Attention, Dense, Experts, Layer, Mixer, Mlp, Model, Norm};

use crate::support::Unsupported;

/// Everything of a model that cannot be planned.
pub fn beyond(model: &Model) -> Vec<Unsupported> {
    let mut beyond = Beyond::default();
    let all = model.dropout >= 1.0;
    beyond.when(all, "model.dropout", "dropping whole branches");
    for layer in &model.kinds {
        beyond.layer(layer);
    }
    beyond.found
}

/// What was found to be beyond this version.
#[derive(Default)]
struct Beyond {
    found: Vec<Unsupported>,
}

impl Beyond {
    fn when(&mut self, is: bool, path: &'static str, what: &'static str) {
        let same = |known: &Unsupported| known.what == what;
        if is && !self.found.iter().any(same) {
            self.found.push(Unsupported { path, what });
        }
    }

    fn layer(&mut self, layer: &Layer) {
        self.when(layer.share.is_some(), "model.stack", "shared weights");
        match &layer.mixer {
            Mixer::Attention(attention) => self.attention(attention),
            Mixer::Mamba(mamba) => {
                self.when(mamba.share.is_some(), "model.stack", "shared weights");
            }
            Mixer::None => {}
        }
        match &layer.mlp {
            Mlp::Dense(dense) => self.dense(dense),
            Mlp::Experts(experts) => self.experts(experts),
            Mlp::None => {}
        }
        let empty = layer.mixer == Mixer::None && layer.mlp == Mlp::None;
        self.when(empty, "model.stack", "a layer of nothing");
    }

    fn attention(&mut self, attention: &Attention) {
        let centred = matches!(attention.qk_norm, Norm::LayerNorm { .. });
        let what = "a layer norm of queries and keys";
        self.when(centred, "model.qk_norm", what);
        self.when(attention.share.is_some(), "model.stack", "shared weights");
    }

    fn dense(&mut self, dense: &Dense) {
        self.when(dense.share.is_some(), "model.stack", "shared weights");
    }

    fn experts(&mut self, experts: &Experts) {
        self.dense(&experts.expert);
        self.when(experts.share.is_some(), "model.stack", "shared weights");
        let what = "experts that drop tokens";
        self.when(experts.capacity.is_some(), "model.mlp.capacity", what);
        let what = "biases of experts";
        self.when(experts.expert.bias, "model.mlp.expert.bias", what);
    }
}

/// What tensor-parallel ranks share evenly of a kind of layers: names and sizes.
pub fn shared(model: &Model, layer: &Layer) -> Vec<(&'static str, u64)> {
    let mut found = Vec::new();
    match &layer.mixer {
        Mixer::Attention(attention) => {
            found.push(("attention heads", attention.heads));
            found.push(("heads of keys and values", attention.kv_heads));
        }
        Mixer::Mamba(mamba) => found.push(("channels", mamba.expand * model.hidden)),
        Mixer::None => {}
    }
    match &layer.mlp {
        Mlp::Dense(dense) => found.push(("feed-forward columns", dense.width)),
        Mlp::Experts(experts) => found.push(("columns of an expert", experts.expert.width)),
        Mlp::None => {}
    }
    found
}
