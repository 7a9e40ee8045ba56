//! OPT: GPT-2's shape with matrices rows first, queries, keys and values apart, and a table of positions whose first two rows nobody reads.

use serde_json::{Value, json};

use super::{Needs, activation, head};
use crate::hf::Decoder;
use crate::hf::decoder::{Positions, Residual};
use crate::hf::tensors::{Strip, Theirs, apart, module, norm};

/// The number that its norms add; no configuration can say another.
const EPS: f64 = 1e-5;
/// Rows of its table of positions that stand in front of the first position.
const UNREAD: u64 = 2;

pub(super) fn lacks(needs: &mut Needs<'_>) {
    needs.layer_norms(false);
    needs.learned();
    needs.square_heads();
    needs.own_keys();
    needs.no_window();
    needs.gated(false);
    needs.residual(&[Residual::Sequential]);
    needs.biases_alike(None);
    let eps = needs.model.eps;
    needs.holds(eps == EPS, format!("its norms add {eps:e} and not {EPS:e}"));
}

pub(super) fn config(model: &Decoder) -> Value {
    json!({
        "hidden_size": model.hidden,
        "word_embed_proj_dim": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "ffn_dim": model.ffn,
        "max_position_embeddings": table(model)[0],
        "activation_function": activation(model.activation),
        "enable_bias": model.biases.mlp,
        "do_layer_norm_before": true,
        "layer_norm_elementwise_affine": true,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "layerdrop": 0.0,
    })
}

/// Rows of our table of positions that are positions, and those behind them that no sequence reaches and that stand in front over there.
fn table(model: &Decoder) -> [u64; 2] {
    match model.positions {
        Positions::Learned(rows) if rows >= model.sequence + UNREAD => [rows - UNREAD, UNREAD],
        Positions::Learned(rows) => [rows, 0],
        _ => [model.sequence, 0],
    }
}

/// The table of positions: in front what is behind over here, or zeros.
fn positions(model: &Decoder) -> Theirs {
    let [rows, behind] = table(model);
    let ours = |first| Some(("embedding.positions".to_owned(), first));
    let front = Strip {
        rows: UNREAD,
        from: ours(rows).filter(|_| behind > 0),
    };
    Theirs {
        name: "model.decoder.embed_positions.weight".to_owned(),
        dims: vec![rows + UNREAD, model.hidden],
        is_transposed: false,
        strips: vec![
            front,
            Strip {
                rows,
                from: ours(0),
            },
        ],
    }
}

pub(super) fn tensors(model: &Decoder) -> Vec<Theirs> {
    let (hidden, is_biased) = (model.hidden, model.biases.mlp);
    let mut all = vec![
        Theirs::same(
            "model.decoder.embed_tokens.weight",
            "embedding.weight",
            &[model.vocab, hidden],
        ),
        positions(model),
    ];
    for layer in 0..model.layers {
        let (theirs, ours) = (
            |name: &str| format!("model.decoder.layers.{layer}.{name}"),
            |name: &str| format!("layers.{layer}.{name}"),
        );
        let norms = [
            ("self_attn_layer_norm", "attention.norm"),
            ("final_layer_norm", "mlp.norm"),
        ];
        for (name, own) in norms {
            all.extend(norm([&theirs(name), &ours(own)], hidden, true));
        }
        all.extend(apart(model, &theirs("self_attn"), &ours("attention.qkv")));
        let modules = [
            ("self_attn.out_proj", "attention.output", [hidden, hidden]),
            ("fc1", "mlp.up", [model.ffn, hidden]),
            ("fc2", "mlp.down", [hidden, model.ffn]),
        ];
        for (name, own, dims) in modules {
            all.extend(module([&theirs(name), &ours(own)], dims, is_biased));
        }
    }
    let last = ["model.decoder.final_layer_norm", "head.norm"];
    all.extend(norm(last, hidden, true));
    all.extend(head(model, "lm_head.weight"));
    all
}
