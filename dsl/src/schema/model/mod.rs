//! Fields of a model. There are two families: `transformer` repeats one layer and names its parts at the top, `decoder` lists its layers.
//!
//! A layer is built of named parts ([`mixer`], [`mlp`], norms, a residual kind), so that a new arrangement of known operations is a preset. The
//! stack of a `transformer` is a formula over its fields like any other: `layers * [layer(attention, mlp)]`.

mod init;
mod mixer;
mod mlp;
mod parts;

use super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

pub use mixer::{ATTENTION, MAMBA};
pub use mlp::MOE;
pub use parts::LAYER;

/// Fields that every model has.
const COMMON: [Field; 14] = [
    Field::new(
        "about",
        Type::Text,
        Need::Optional,
        "What the model is; it changes nothing.",
    ),
    Field::new(
        "hidden",
        Type::Count(1),
        Need::Required,
        "Width of the residual stream.",
    ),
    Field::new(
        "context",
        Type::Whole(Dimension::TOKENS),
        Need::Required,
        "Length of a sequence.",
    ),
    Field::new(
        "vocab",
        Type::Count(2),
        Need::Required,
        "Rows of the embedding.",
    ),
    Field::new(
        "positions",
        Type::Variant(parts::POSITIONS),
        Need::Default("rotary"),
        "How positions enter.",
    ),
    Field::new(
        "residual",
        Type::Variant(parts::RESIDUALS),
        Need::Default("sequential"),
        "How the two halves of a layer meet.",
    ),
    Field::new(
        "norm",
        Type::Variant(parts::NORMS),
        Need::Default("layernorm"),
        "The norm of each half and of the head.",
    ),
    Field::new(
        "biases",
        Type::Truth,
        Need::Default("norm == layernorm"),
        "Whether matrices have a bias; models with `rmsnorm` usually have none.",
    ),
    Field::new(
        "dropout",
        Type::Fraction,
        Need::Default("0%"),
        "Part of a branch that is dropped before it joins the residual stream.",
    ),
    Field::new(
        "embedding",
        Type::Section(&parts::EMBEDDING),
        Need::Required,
        "What happens between token ids and the first layer.",
    ),
    Field::new(
        "head",
        Type::Section(&parts::HEAD),
        Need::Required,
        "What happens between the last layer and the logits.",
    ),
    Field::new(
        "tied",
        Type::Truth,
        Need::Default("false"),
        "Whether embedding and head share their rows.",
    ),
    Field::new(
        "init",
        Type::Variant(init::INITS),
        Need::Default("small_init"),
        "How the weights begin.",
    ),
    Field::new(
        "weights",
        Type::Text,
        Need::Optional,
        "Weights to begin with, in place of random ones: `hf:ORGANISATION/NAME`, or `file:FOLDER` below the spec's folder, as `transformers` writes it \
         (config.json and safetensors).",
    ),
];

/// Fields of a model whose layers are listed.
const LISTED: [Field; 2] = [
    Field::new(
        "stack",
        Type::Stack(&LAYER),
        Need::Required,
        "The layers: `24 * [layer(attention { heads = 16 }, gelu)]`.",
    ),
    Field::new(
        "layers",
        Type::Count(1),
        Need::Default("count(stack)"),
        "Number of layers; computed.",
    ),
];

/// Fields of a model that repeats one layer.
const REPEATED: [Field; 8] = [
    Field::new(
        "layers",
        Type::Count(1),
        Need::From("stack", "count(stack)"),
        "Number of layers.",
    ),
    Field::new(
        "heads",
        Type::Count(1),
        Need::Required,
        "Attention heads of a layer.",
    ),
    Field::new(
        "kv_heads",
        Type::Count(1),
        Need::Default("heads"),
        "Heads of keys and values; fewer than `heads` is grouped-query attention, 1 is multi-query.",
    ),
    Field::new(
        "head_dim",
        Type::Count(1),
        Need::Default("hidden / heads"),
        "Width of a head.",
    ),
    Field::new(
        "window",
        Type::Whole(Dimension::TOKENS),
        Need::Default("none"),
        "How far back a position looks, or `none`.",
    )
    .or_none(),
    Field::new(
        "qk_norm",
        Type::Variant(parts::NORMS),
        Need::Default("none"),
        "A norm of queries and keys, or `none`.",
    ),
    Field::new(
        "mlp",
        Type::Variant(mlp::MLPS),
        Need::Default("gelu"),
        "The feed-forward half of a layer.",
    ),
    Field::new(
        "stack",
        Type::Stack(&LAYER),
        Need::From("layers", "layers * [layer(attention, mlp)]"),
        "The layers, where they are not all alike.",
    ),
];

/// Two lists of fields as one.
const fn joined<const A: usize, const B: usize, const N: usize>(
    first: [Field; A],
    second: [Field; B],
) -> [Field; N] {
    assert!(A + B == N);
    let mut all = [first[0]; N];
    let mut index = 0;
    while index < N {
        all[index] = if index < A {
            first[index]
        } else {
            second[index - A]
        };
        index += 1;
    }
    all
}

/// Every decoder-only transformer whose layers are alike is one of these with some fields replaced.
pub static TRANSFORMER: Section = Section {
    name: "transformer",
    doc: "A decoder-only transformer whose layers are alike.",
    fields: &joined::<8, 14, 22>(REPEATED, COMMON),
    later: &[],
};

/// A model whose layers are listed: hybrids, alternating windows, shared weights.
pub static DECODER: Section = Section {
    name: "decoder",
    doc: "A decoder-only model whose layers are listed in `stack`.",
    fields: &joined::<2, 14, 16>(LISTED, COMMON),
    later: &[],
};

/// The families that a model can extend.
pub const FAMILIES: &[&Section] = &[&TRANSFORMER, &DECODER];
