//! Falcon: layer norms, whole heads rotated, halves side by side or behind each other, keys and values shared by some or all heads.
//!
//! Its three ways to pack queries, keys and values are ours with as many, one, or some groups. Its ALiBi is another: slopes are divided by the root of a
//! head's width.

use serde_json::{Value, json};

use super::{Needs, activation, head, rope};
use crate::hf::Decoder;
use crate::hf::decoder::{Positions, Residual};
use crate::hf::tensors::{Theirs, module, norm};

pub(super) fn lacks(needs: &mut Needs<'_>) {
    needs.layer_norms(false);
    needs.rotary(false);
    needs.square_heads();
    needs.no_window();
    needs.gated(false);
    needs.biases_alike(None);
    let model = needs.model;
    let is_shared = model.kv_heads != 1 && model.kv_heads != model.heads;
    let what = format!(
        "its halves follow each other while {} heads share {} of keys and values",
        model.heads, model.kv_heads
    );
    needs.holds(model.residual != Residual::Sequential || !is_shared, what);
}

/// Whether it takes the newer architecture: two norms side by side, or groups of heads.
fn is_new(model: &Decoder) -> bool {
    let is_plain = model.kv_heads == 1 || model.kv_heads == model.heads;
    model.residual == Residual::ParallelSeparate || !is_plain
}

pub(super) fn config(model: &Decoder) -> Value {
    let norms = match model.residual {
        Residual::ParallelSeparate => 2,
        _ => 1,
    };
    let mut config = json!({
        "hidden_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_kv_heads": model.kv_heads,
        "ffn_hidden_size": model.ffn,
        "max_position_embeddings": model.sequence,
        "activation": activation(model.activation),
        "layer_norm_epsilon": model.eps,
        "alibi": false,
        "bias": model.biases.mlp,
        "new_decoder_architecture": is_new(model),
        "multi_query": model.kv_heads == 1,
        "parallel_attn": model.residual != Residual::Sequential,
        "num_ln_in_parallel_attn": norms,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
    });
    if let Positions::Rotary { base, scale, .. } = model.positions {
        rope(&mut config, base, scale, None);
    }
    config
}

/// Their names of a layer's norms, and ours.
fn norms(model: &Decoder) -> Vec<(&'static str, &'static str)> {
    match model.residual {
        Residual::ParallelSeparate => vec![("ln_attn", "attention.norm"), ("ln_mlp", "mlp.norm")],
        Residual::ParallelShared => vec![("input_layernorm", "attention.norm")],
        Residual::Sequential => vec![
            ("input_layernorm", "attention.norm"),
            ("post_attention_layernorm", "mlp.norm"),
        ],
    }
}

pub(super) fn tensors(model: &Decoder) -> Vec<Theirs> {
    let (hidden, is_biased) = (model.hidden, model.biases.mlp);
    let rows = (model.heads + 2 * model.kv_heads) * model.head_dim;
    let mut all = vec![Theirs::same(
        "transformer.word_embeddings.weight",
        "embedding.weight",
        &[model.vocab, hidden],
    )];
    for layer in 0..model.layers {
        let (theirs, ours) = (
            |name: &str| format!("transformer.h.{layer}.{name}"),
            |name: &str| format!("layers.{layer}.{name}"),
        );
        for (name, own) in norms(model) {
            all.extend(norm([&theirs(name), &ours(own)], hidden, true));
        }
        let modules = [
            (
                "self_attention.query_key_value",
                "attention.qkv",
                [rows, hidden],
            ),
            ("self_attention.dense", "attention.output", [hidden, hidden]),
            ("mlp.dense_h_to_4h", "mlp.up", [model.ffn, hidden]),
            ("mlp.dense_4h_to_h", "mlp.down", [hidden, model.ffn]),
        ];
        for (name, own, dims) in modules {
            all.extend(module([&theirs(name), &ours(own)], dims, is_biased));
        }
    }
    all.extend(norm(["transformer.ln_f", "head.norm"], hidden, true));
    all.extend(head(model, "lm_head.weight"));
    all
}
