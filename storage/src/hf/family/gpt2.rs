//! GPT-2: layer norms, a table of positions, one half behind the other. Its matrices are stored columns first, all queries before all keys
//! before all values.

use serde_json::{Value, json};

use super::{Needs, activation, head};
use crate::hf::Decoder;
use crate::hf::decoder::{Positions, Residual};
use crate::hf::tensors::{Part, Theirs, module, norm, packed};

pub(super) fn lacks(needs: &mut Needs<'_>) {
    needs.layer_norms(false);
    needs.learned();
    needs.square_heads();
    needs.own_keys();
    needs.no_window();
    needs.gated(false);
    needs.residual(&[Residual::Sequential]);
    needs.biases_alike(Some(true));
}

pub(super) fn config(model: &Decoder) -> Value {
    json!({
        "n_embd": model.hidden,
        "n_layer": model.layers,
        "n_head": model.heads,
        "n_inner": model.ffn,
        "n_positions": rows(model),
        "activation_function": activation(model.activation),
        "layer_norm_epsilon": model.eps,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    })
}

/// Rows of the table of positions.
fn rows(model: &Decoder) -> u64 {
    match model.positions {
        Positions::Learned(rows) => rows,
        _ => model.sequence,
    }
}

pub(super) fn tensors(model: &Decoder) -> Vec<Theirs> {
    let hidden = model.hidden;
    let table = |name: &str, ours: &str, rows| {
        Theirs::same(format!("transformer.{name}.weight"), ours, &[rows, hidden])
    };
    let mut all = vec![
        table("wte", "embedding.weight", model.vocab),
        table("wpe", "embedding.positions", rows(model)),
    ];
    for layer in 0..model.layers {
        let (theirs, ours) = (
            |name: &str| format!("transformer.h.{layer}.{name}"),
            |name: &str| format!("layers.{layer}.{name}"),
        );
        for (name, own) in [("ln_1", "attention.norm"), ("ln_2", "mlp.norm")] {
            all.extend(norm([&theirs(name), &ours(own)], hidden, true));
        }
        let modules = [
            ("attn.c_attn", "attention.qkv", [3 * hidden, hidden]),
            ("attn.c_proj", "attention.output", [hidden, hidden]),
            ("mlp.c_fc", "mlp.up", [model.ffn, hidden]),
            ("mlp.c_proj", "mlp.down", [hidden, model.ffn]),
        ];
        for (name, own, dims) in modules {
            let parts = module([&theirs(name), &ours(own)], dims, true).into_iter();
            let parts = parts.map(|part| match own {
                "attention.qkv" => apart(model, part),
                _ => part,
            });
            all.extend(parts.map(Theirs::transposed));
        }
    }
    all.extend(norm(["transformer.ln_f", "head.norm"], hidden, true));
    all.extend(head(model, "lm_head.weight"));
    all
}

/// Packed rows with all queries first, then all keys, then all values.
fn apart(model: &Decoder, mut tensor: Theirs) -> Theirs {
    let ours = tensor.strips[0]
        .from
        .take()
        .map_or_else(String::new, |(ours, _)| ours);
    let parts = [Part::Queries, Part::Keys, Part::Values];
    let shape = [model.heads, 1, model.head_dim];
    let strips = parts.iter().flat_map(|part| packed(&ours, shape, *part));
    tensor.strips = strips.collect();
    tensor
}
