//! What a family asks of a model, clause by clause; what is not so is noted in words.

use crate::hf::Decoder;
use crate::hf::decoder::{Positions, Residual};

/// A model under examination.
pub(super) struct Needs<'m> {
    /// The model.
    pub model: &'m Decoder,
    /// What it has and the family has not.
    pub lacking: Vec<String>,
}

impl Needs<'_> {
    /// Of a model.
    pub fn of(model: &Decoder) -> Needs<'_> {
        Needs {
            model,
            lacking: Vec::new(),
        }
    }

    /// Notes a clause unless something holds.
    pub fn holds(&mut self, holds: bool, otherwise: impl Into<String>) {
        if !holds {
            self.lacking.push(otherwise.into());
        }
    }

    /// Layer norms, of which none stands behind the embedding unless it is said.
    pub fn layer_norms(&mut self, behind_embedding: bool) {
        self.holds(
            self.model.has_means,
            "its norms do not subtract the mean (`rmsnorm`)",
        );
        self.embedding_norm(behind_embedding);
    }

    /// Norms without a mean, none behind the embedding.
    pub fn rms_norms(&mut self) {
        self.holds(
            !self.model.has_means,
            "its norms subtract the mean (`layernorm`)",
        );
        self.embedding_norm(false);
    }

    fn embedding_norm(&mut self, wanted: bool) {
        let what = match wanted {
            true => "it has no norm behind its embedding",
            false => "it has a norm behind its embedding",
        };
        self.holds(self.model.embedding_norm == wanted, what);
    }

    /// Heads that together are as wide as the residual stream.
    pub fn square_heads(&mut self) {
        let (wide, hidden) = (self.model.heads * self.model.head_dim, self.model.hidden);
        let what = format!("its heads together are {wide} wide, its residual stream {hidden}");
        self.holds(wide == hidden, what);
    }

    /// Every head with keys and values of its own.
    pub fn own_keys(&mut self) {
        let (heads, keys) = (self.model.heads, self.model.kv_heads);
        let what = format!("its {heads} heads share {keys} of keys and values");
        self.holds(heads == keys, what);
    }

    /// Attention over all positions before.
    pub fn no_window(&mut self) {
        let window = self.model.window;
        let what = || format!("attention sees {} positions", window.unwrap_or(0));
        self.holds(window.is_none(), what());
    }

    /// Gated halves, or none.
    pub fn gated(&mut self, wanted: bool) {
        let what = match wanted {
            true => "its feed-forward half has no gate",
            false => "its feed-forward half has a gate",
        };
        self.holds(self.model.is_gated == wanted, what);
    }

    /// One of these residual forms.
    pub fn residual(&mut self, forms: &[Residual]) {
        let what = match self.model.residual {
            Residual::Sequential => "its halves follow each other",
            Residual::ParallelSeparate => "its halves stand side by side, each with its norm",
            Residual::ParallelShared => "its halves stand side by side behind one norm",
        };
        self.holds(forms.contains(&self.model.residual), what);
    }

    /// Rotated positions: of whole heads, or of a part.
    pub fn rotary(&mut self, is_part_fine: bool) {
        match self.model.positions {
            Positions::Rotary { entries, .. } => {
                let head = self.model.head_dim;
                let what = format!("{entries} of {head} entries of its heads are rotated");
                self.holds(is_part_fine || entries == head, what);
            }
            _ => self.holds(false, "positions do not rotate its heads"),
        }
    }

    /// A table of positions.
    pub fn learned(&mut self) {
        let is_learned = matches!(self.model.positions, Positions::Learned(_));
        self.holds(is_learned, "its positions are no table");
    }

    /// Biases of matrices.
    pub fn biases(&mut self, what: &str, found: bool, wanted: bool) {
        let word = if found { "a" } else { "no" };
        self.holds(found == wanted, format!("{what} {word} bias"));
    }

    /// A bias behind every matrix, or behind none.
    pub fn biases_alike(&mut self, wanted: Option<bool>) {
        let biases = self.model.biases;
        let wanted = wanted.unwrap_or(biases.mlp);
        self.biases("its queries, keys and values have", biases.qkv, wanted);
        self.biases("its attention's output has", biases.output, wanted);
        self.biases("its feed-forward half has", biases.mlp, wanted);
    }
}
