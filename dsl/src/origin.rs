//! Where a value came from: one [`Origin`] per value, kept from the moment a cell is made until the plan is explained.

use std::fmt;

/// Which layer of the composition set a value. Later layers win over earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The language's own default.
    Default,
    /// A shipped preset (`presets/…`).
    Preset,
    /// A declaration that the experiment extends or names.
    Base,
    /// The experiment itself.
    Override,
    /// A case of a sweep.
    SweepCase,
    /// `--set path=value`.
    CommandLine,
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Layer::Default => "default",
            Layer::Preset => "preset",
            Layer::Base => "base",
            Layer::Override => "override",
            Layer::SweepCase => "sweep case",
            Layer::CommandLine => "command line",
        })
    }
}

/// Where one value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The layer that set it.
    pub layer: Layer,
    /// The file as the loader knows it; `--set` for the command line, empty for a default.
    pub file: String,
    /// Line, counted from 1; 0 for a default.
    pub line: usize,
    /// Column in characters, counted from 1; 0 for a default.
    pub column: usize,
    /// The text that gives the value: `4 * hidden`.
    pub text: String,
}

impl Origin {
    /// The origin of a default, given the default's text.
    pub fn of_default(text: &str) -> Origin {
        Origin {
            layer: Layer::Default,
            file: String::new(),
            line: 0,
            column: 0,
            text: text.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Layer::Default => write!(formatter, "default"),
            Layer::CommandLine => write!(formatter, "command line: --set {}", self.text),
            layer => write!(formatter, "{layer}, {}:{}", self.file, self.line),
        }
    }
}
