//! LLaMA and its relatives Mistral and Qwen2: norms without a mean, rotated heads, a gated half, grouped keys and values; queries, keys and values apart.
//!
//! They differ in biases and windows: LLaMA may have biases and has no window, Mistral may have a window and has no biases, Qwen2 has biases of queries, keys
//! and values alone and may have a window.

use serde_json::{Value, json};

use super::{Family, Needs, activation, head, rope};
use crate::hf::Decoder;
use crate::hf::decoder::{Positions, Residual};
use crate::hf::tensors::{Theirs, apart, module, norm};

pub(super) fn lacks(family: Family, needs: &mut Needs<'_>) {
    let model = needs.model;
    let biases = model.biases;
    needs.rms_norms();
    needs.rotary(false);
    needs.gated(true);
    needs.residual(&[Residual::Sequential]);
    match family {
        Family::Mistral => needs.biases_alike(Some(false)),
        Family::Qwen2 => {
            needs.biases("its queries, keys and values have", biases.qkv, true);
            needs.biases("its attention's output has", biases.output, false);
            needs.biases("its feed-forward half has", biases.mlp, false);
        }
        _ => {
            needs.biases("its attention's output has", biases.output, biases.qkv);
            needs.no_window();
            let (heads, hidden) = (model.heads, model.hidden);
            let what = format!("its {heads} heads do not divide {hidden}");
            needs.holds(hidden.is_multiple_of(heads.max(1)), what);
        }
    }
}

pub(super) fn config(family: Family, model: &Decoder) -> Value {
    let mut config = json!({
        "hidden_size": model.hidden,
        "intermediate_size": model.ffn,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "max_position_embeddings": model.sequence,
        "hidden_act": activation(model.activation),
        "rms_norm_eps": model.eps,
        "attention_dropout": 0.0,
    });
    if let Positions::Rotary { base, scale, .. } = model.positions {
        rope(&mut config, base, scale, None);
    }
    match family {
        Family::Mistral => config["sliding_window"] = json!(model.window),
        Family::Qwen2 => {
            config["use_sliding_window"] = json!(model.window.is_some());
            config["sliding_window"] = json!(model.window);
            config["max_window_layers"] = json!(match model.window {
                Some(_) => 0,
                None => model.layers,
            });
        }
        _ => {
            config["attention_bias"] = json!(model.biases.qkv);
            config["mlp_bias"] = json!(model.biases.mlp);
        }
    }
    config
}

pub(super) fn tensors(model: &Decoder) -> Vec<Theirs> {
    let (hidden, biases) = (model.hidden, model.biases);
    let wide = model.heads * model.head_dim;
    let mut all = vec![Theirs::same(
        "model.embed_tokens.weight",
        "embedding.weight",
        &[model.vocab, hidden],
    )];
    for layer in 0..model.layers {
        let (theirs, ours) = (
            |name: &str| format!("model.layers.{layer}.{name}"),
            |name: &str| format!("layers.{layer}.{name}"),
        );
        let norms = [
            ("input_layernorm", "attention.norm"),
            ("post_attention_layernorm", "mlp.norm"),
        ];
        for (name, own) in norms {
            all.extend(norm([&theirs(name), &ours(own)], hidden, false));
        }
        all.extend(apart(model, &theirs("self_attn"), &ours("attention.qkv")));
        let modules = [
            (
                "self_attn.o_proj",
                "attention.output",
                [hidden, wide],
                biases.output,
            ),
            ("mlp.gate_proj", "mlp.gate", [model.ffn, hidden], biases.mlp),
            ("mlp.up_proj", "mlp.up", [model.ffn, hidden], biases.mlp),
            ("mlp.down_proj", "mlp.down", [hidden, model.ffn], biases.mlp),
        ];
        for (name, own, dims, is_biased) in modules {
            all.extend(module([&theirs(name), &ours(own)], dims, is_biased));
        }
    }
    all.extend(norm(["model.norm", "head.norm"], hidden, false));
    all.extend(head(model, "lm_head.weight"));
    all
}
