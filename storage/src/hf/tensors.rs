//! Which rows of our parameters a tensor of `transformers` consists of: one list, read in both directions.
//!
//! Our parameters pack what belongs together (a group's queries, then its key and its value) and keep rows of outputs first; theirs may hold
//! queries, keys and values apart, or keep columns first (GPT-2's `Conv1D`).

use super::Decoder;

/// A tensor as `transformers` stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theirs {
    /// Its name.
    pub name: String,
    /// Its shape as it is stored.
    pub dims: Vec<u64>,
    /// Whether it is stored columns first.
    pub is_transposed: bool,
    /// What its rows are, from the first to the last.
    pub strips: Vec<Strip>,
}

/// Neighbouring rows of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    /// How many.
    pub rows: u64,
    /// Our parameter and the first of its rows; none for rows that we do not have, which are zero.
    pub from: Option<(String, u64)>,
}

impl Theirs {
    /// A tensor that is one of our parameters, row for row.
    pub fn same(name: impl Into<String>, ours: impl Into<String>, dims: &[u64]) -> Theirs {
        let rows = dims.first().copied().unwrap_or(1);
        let from = Some((ours.into(), 0));
        Theirs {
            name: name.into(),
            dims: dims.to_vec(),
            is_transposed: false,
            strips: vec![Strip { rows, from }],
        }
    }

    /// Rows, and elements of each.
    pub fn rows(&self) -> (u64, u64) {
        match (self.dims.as_slice(), self.is_transposed) {
            (&[width, rows], true) => (rows, width),
            (dims, _) => {
                let rows = dims.first().copied().unwrap_or(1);
                (rows, dims.iter().skip(1).product())
            }
        }
    }

    /// The same stored columns first.
    #[must_use]
    pub fn transposed(mut self) -> Theirs {
        if self.dims.len() == 2 {
            self.dims.reverse();
            self.is_transposed = true;
        }
        self
    }
}

/// A matrix and, where it is there, its bias, under our names and theirs.
pub(super) fn module(
    [theirs, ours]: [&str; 2],
    [rows, width]: [u64; 2],
    is_biased: bool,
) -> Vec<Theirs> {
    let part = |part: &str, dims: &[u64]| {
        Theirs::same(format!("{theirs}.{part}"), format!("{ours}.{part}"), dims)
    };
    let bias = is_biased.then(|| part("bias", &[rows]));
    [part("weight", &[rows, width])]
        .into_iter()
        .chain(bias)
        .collect()
}

/// A norm's weight and bias.
pub(super) fn norm([theirs, ours]: [&str; 2], width: u64, is_biased: bool) -> Vec<Theirs> {
    let part = |part: &str| {
        let dims = [width];
        Theirs::same(format!("{theirs}.{part}"), format!("{ours}.{part}"), &dims)
    };
    let bias = is_biased.then(|| part("bias"));
    [part("weight")].into_iter().chain(bias).collect()
}

/// What of the packed rows of queries, keys and values is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Queries,
    Keys,
    Values,
}

/// The strips of packed rows that hold one part: of each group in turn, `shape` being groups, queries of a group and width of a head.
pub(super) fn packed(ours: &str, [groups, queries, head_dim]: [u64; 3], part: Part) -> Vec<Strip> {
    let (skipped, heads) = match part {
        Part::Queries => (0, queries),
        Part::Keys => (queries, 1),
        Part::Values => (queries + 1, 1),
    };
    let first = |group: u64| (group * (queries + 2) + skipped) * head_dim;
    let strip = |group| Strip {
        rows: heads * head_dim,
        from: Some((ours.to_owned(), first(group))),
    };
    (0..groups).map(strip).collect()
}

/// Queries, keys and values as matrices of their own: `theirs.q_proj`, `theirs.k_proj`, `theirs.v_proj`.
pub(super) fn apart(model: &Decoder, theirs: &str, ours: &str) -> Vec<Theirs> {
    let shape = [
        model.kv_heads,
        model.heads / model.kv_heads.max(1),
        model.head_dim,
    ];
    let parts = [
        ("q_proj", Part::Queries, model.heads),
        ("k_proj", Part::Keys, model.kv_heads),
        ("v_proj", Part::Values, model.kv_heads),
    ];
    let mut all = Vec::new();
    for (name, part, heads) in parts {
        let rows = heads * model.head_dim;
        let names = [&*format!("{theirs}.{name}"), ours];
        for mut tensor in module(names, [rows, model.hidden], model.biases.qkv) {
            let own = tensor.strips.pop().and_then(|strip| strip.from);
            let own = own.map_or_else(String::new, |(own, _)| own);
            tensor.strips = packed(&own, shape, part);
            all.push(tensor);
        }
    }
    all
}
