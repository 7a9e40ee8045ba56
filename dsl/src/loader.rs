//! The seam to the outside: whoever calls the language says what a path holds.

use std::collections::BTreeMap;

/// Gives the text of a file.
pub trait Loader {
    /// The text of the file at a path with forward slashes, as the root file's name and the imports make it.
    fn load(&self, path: &str) -> Result<String, Failure>;
}

/// Why there is no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// There is one, but it cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Files held in memory: for tests and for text that comes from elsewhere.
impl Loader for BTreeMap<String, String> {
    fn load(&self, path: &str) -> Result<String, Failure> {
        self.get(path).cloned().ok_or(Failure::Missing)
    }
}

/// What ships with the language, by the path that imports it.
pub const SHIPPED: &[(&str, &str)] = &[
    (
        "presets/clusters.pleach",
        include_str!("../../presets/clusters.pleach"),
    ),
    (
        "presets/cards.pleach",
        include_str!("../../presets/cards.pleach"),
    ),
    (
        "presets/models.pleach",
        include_str!("../../presets/models.pleach"),
    ),
    (
        "presets/pile.pleach",
        include_str!("../../presets/pile.pleach"),
    ),
    (
        "presets/open_mix.pleach",
        include_str!("../../presets/open_mix.pleach"),
    ),
    (
        "presets/prices.pleach",
        include_str!("../../presets/prices.pleach"),
    ),
];
