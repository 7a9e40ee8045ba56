//! GPT-NeoX: layer norms, partly rotated heads, a parallel or sequential residual. Its packed rows are ours.

use serde_json::{Value, json};

use super::{Needs, activation, head, rope};
use crate::hf::Decoder;
use crate::hf::decoder::{Positions, Residual};
use crate::hf::tensors::{Theirs, module, norm};

pub(super) fn lacks(needs: &mut Needs<'_>) {
    needs.layer_norms(false);
    needs.rotary(true);
    needs.square_heads();
    needs.own_keys();
    needs.no_window();
    needs.gated(false);
    needs.biases_alike(Some(true));
}

pub(super) fn config(model: &Decoder) -> Value {
    let mut config = json!({
        "hidden_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "intermediate_size": model.ffn,
        "max_position_embeddings": model.sequence,
        "hidden_act": activation(model.activation),
        "layer_norm_eps": model.eps,
        "use_parallel_residual": model.residual != Residual::Sequential,
        "attention_bias": true,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
    });
    if let Positions::Rotary {
        entries,
        base,
        scale,
    } = model.positions
    {
        let part = fraction(entries, model.head_dim);
        config["rotary_pct"] = json!(part);
        config["rotary_emb_base"] = json!(base);
        rope(&mut config, base, scale, Some(part));
    }
    config
}

/// The least fraction that gives `part` again when it is multiplied with `whole` and cut off, which is what readers do.
fn fraction(part: u64, whole: u64) -> f64 {
    let fraction = part as f64 / whole as f64;
    if ((whole as f64 * fraction) as u64) < part {
        fraction.next_up()
    } else {
        fraction
    }
}

pub(super) fn tensors(model: &Decoder) -> Vec<Theirs> {
    let hidden = model.hidden;
    // A norm that both halves share is written twice.
    let second = match model.residual {
        Residual::ParallelShared => "attention.norm",
        _ => "mlp.norm",
    };
    let mut all = vec![Theirs::same(
        "gpt_neox.embed_in.weight",
        "embedding.weight",
        &[model.vocab, hidden],
    )];
    for layer in 0..model.layers {
        let (theirs, ours) = (
            |name: &str| format!("gpt_neox.layers.{layer}.{name}"),
            |name: &str| format!("layers.{layer}.{name}"),
        );
        let norms = [
            ("input_layernorm", "attention.norm"),
            ("post_attention_layernorm", second),
        ];
        for (name, own) in norms {
            all.extend(norm([&theirs(name), &ours(own)], hidden, true));
        }
        let biases = model.biases;
        let modules = [
            (
                "attention.query_key_value",
                "attention.qkv",
                [3 * hidden, hidden],
                biases.qkv,
            ),
            (
                "attention.dense",
                "attention.output",
                [hidden, hidden],
                biases.output,
            ),
            (
                "mlp.dense_h_to_4h",
                "mlp.up",
                [model.ffn, hidden],
                biases.mlp,
            ),
            (
                "mlp.dense_4h_to_h",
                "mlp.down",
                [hidden, model.ffn],
                biases.mlp,
            ),
        ];
        for (name, own, dims, is_biased) in modules {
            all.extend(module([&theirs(name), &ours(own)], dims, is_biased));
        }
    }
    all.extend(norm(
        ["gpt_neox.final_layer_norm", "head.norm"],
        hidden,
        true,
    ));
    all.extend(head(model, "embed_out.weight"));
    all
}
