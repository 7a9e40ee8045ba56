//! BLOOM: layer norms, also behind the embedding, ALiBi, one half behind the other. Its packed rows are ours.

use pleach_plan::Activation;
use serde_json::{Value, json};

use super::{Needs, head};
use crate::hf::Decoder;
use crate::hf::decoder::{Positions, Residual};
use crate::hf::tensors::{Theirs, module, norm};

pub(super) fn lacks(needs: &mut Needs<'_>) {
    let model = needs.model;
    needs.layer_norms(true);
    needs.holds(
        model.positions == Positions::Alibi,
        "its scores do not fall with distance (`alibi`)",
    );
    needs.square_heads();
    needs.own_keys();
    needs.no_window();
    needs.gated(false);
    needs.residual(&[Residual::Sequential]);
    needs.biases_alike(Some(true));
    needs.holds(
        model.activation == Activation::GeluTanh,
        "its nonlinearity is not `gelu { form = tanh }`",
    );
    let (ffn, wanted) = (model.ffn, 4 * model.hidden);
    needs.holds(
        ffn == wanted,
        format!("its feed-forward half is {ffn} wide and not {wanted}"),
    );
}

pub(super) fn config(model: &Decoder) -> Value {
    json!({
        "hidden_size": model.hidden,
        "n_layer": model.layers,
        "n_head": model.heads,
        "seq_length": model.sequence,
        "layer_norm_epsilon": model.eps,
        "apply_residual_connection_post_layernorm": false,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
    })
}

pub(super) fn tensors(model: &Decoder) -> Vec<Theirs> {
    let hidden = model.hidden;
    let mut all = vec![Theirs::same(
        "transformer.word_embeddings.weight",
        "embedding.weight",
        &[model.vocab, hidden],
    )];
    let first = ["transformer.word_embeddings_layernorm", "embedding.norm"];
    all.extend(norm(first, hidden, true));
    for layer in 0..model.layers {
        let (theirs, ours) = (
            |name: &str| format!("transformer.h.{layer}.{name}"),
            |name: &str| format!("layers.{layer}.{name}"),
        );
        let norms = [
            ("input_layernorm", "attention.norm"),
            ("post_attention_layernorm", "mlp.norm"),
        ];
        for (name, own) in norms {
            all.extend(norm([&theirs(name), &ours(own)], hidden, true));
        }
        let modules = [
            (
                "self_attention.query_key_value",
                "attention.qkv",
                [3 * hidden, hidden],
            ),
            ("self_attention.dense", "attention.output", [hidden, hidden]),
            ("mlp.dense_h_to_4h", "mlp.up", [model.ffn, hidden]),
            ("mlp.dense_4h_to_h", "mlp.down", [hidden, model.ffn]),
        ];
        for (name, own, dims) in modules {
            all.extend(module([&theirs(name), &ours(own)], dims, true));
        }
    }
    all.extend(norm(["transformer.ln_f", "head.norm"], hidden, true));
    all.extend(head(model, "lm_head.weight"));
    all
}
