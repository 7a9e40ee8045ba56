//! The data of an experiment.

/// A dataset: a source, a tokenizer and a mix.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Where it comes from: `cargo:dependencies`, `hf:…`.
    pub source: String,
    /// `bytes` or `hf:…`.
    pub tokenizer: String,
    /// The components, shares summing to exactly one.
    pub mix: Vec<Component>,
}

/// One component of a mix.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Globs over the source's files; empty where the source knows the component by name.
    pub files: Vec<String>,
    /// Its share as an exact fraction: numerator and denominator.
    pub weight: [u64; 2],
    /// Its size in bytes, where the spec says it.
    pub size: Option<u64>,
}
