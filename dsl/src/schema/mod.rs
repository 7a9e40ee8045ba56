//! The one table of all fields: name, type, default and what it means. Checks, suggestions, defaults and reference pages come from here.
//!
//! A [`Section`] lists its [`Field`]s. A field is a value, a section that is edited in place (`train { … }`), a choice between kinds of section
//! (`lr = cosine { … }`), the name of a declaration (`cluster = a100_40g`), or a table. Defaults are formulas of the language itself.

mod cluster;
mod data;
mod model;
mod neighbours;
mod plan;
mod run;
mod train;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::quantity::Dimension;
use crate::syntax::Kind;

pub use cluster::CLUSTER;
pub use data::DATASET;
pub use model::{ATTENTION, DECODER, FAMILIES, LAYER, MAMBA, MOE, TRANSFORMER};
pub use neighbours::{COMPUTED, NEIGHBOURS, WORDS_OF_NEIGHBOURS};
pub use train::{PHASE, PHASE_STEPS, RATES, SEGMENTS};

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// A whole plain number of at least so much.
    Count(u64),
    /// A whole positive number of base units: tokens, steps, bytes.
    Whole(Dimension),
    /// A number of steps, rounded up to a whole one.
    StepsRoundedUp,
    /// Any positive number of base units.
    Number(Dimension),
    /// A plain number between 0 and 1: `25%`.
    Fraction,
    /// Any plain number that is not negative.
    Plain,
    /// Several plain numbers.
    Numbers,
    /// Tokens or sequences of one step.
    Batch,
    /// Sequences that a rank works on at once.
    MicroBatch,
    /// A string.
    Text,
    /// Several strings.
    Texts,
    /// Several steps; bare numbers are steps.
    StepList,
    /// True or false.
    Truth,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Several of these words.
    WordList(&'static [&'static str]),
    /// `even`, `uneven`, or a list of layer counts.
    Stages,
    /// A section that is always there and is edited.
    Section(&'static Section),
    /// One of several kinds of section.
    Variant(&'static [&'static Section]),
    /// The name of a declaration of this kind, whose fields these are.
    Declared(Kind, &'static Section),
    /// Tokens or steps, worth tokens by the batch beside it.
    Length,
    /// A table with these columns.
    Table(&'static Section),
    /// A table whose rows are such sections.
    Rows(&'static Section),
    /// A list of such sections, repeated by `n * [ … ]`.
    Stack(&'static Section),
}

/// What holds where nobody sets a field.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// It must be set.
    Required,
    /// It may be left out.
    Optional,
    /// This formula.
    Default(&'static str),
    /// What the nearest section outwards says under the same name, else this formula; without one it must be set.
    Outer(Option<&'static str>),
    /// This formula where the other field is set; one of the two must be.
    From(&'static str, &'static str),
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub holds: Type,
    /// What holds where it is not set.
    pub need: Need,
    /// What it means, in one sentence.
    pub doc: &'static str,
    /// A word that may stand in place of a value of its type: `none` switches it off.
    pub or_word: Option<&'static str>,
    /// Whether it may be left to the planner: `auto`, `in`, or a formula over the placement.
    pub open: bool,
    /// A declaration of this kind may stand for one of its kinds of section.
    pub named: Option<Kind>,
    /// Whether it stays out of the experiment's hash while it has its default, so that a new field changes no identity.
    pub quiet: bool,
}

impl Field {
    /// A field that is decided by the experiment.
    const fn new(name: &'static str, holds: Type, need: Need, doc: &'static str) -> Field {
        Field {
            name,
            holds,
            need,
            doc,
            or_word: None,
            open: false,
            named: None,
            quiet: false,
        }
    }

    /// A field of the placement, `auto` by default.
    const fn open(name: &'static str, holds: Type, doc: &'static str) -> Field {
        Field {
            name,
            holds,
            need: Need::Default("auto"),
            doc,
            or_word: None,
            open: true,
            named: None,
            quiet: false,
        }
    }

    /// The same, with `none` allowed.
    const fn or_none(self) -> Field {
        self.or_word("none")
    }

    /// The same, with a word allowed.
    const fn or_word(self, word: &'static str) -> Field {
        Field {
            or_word: Some(word),
            ..self
        }
    }

    /// The same, with a declaration allowed that extends one of its kinds.
    const fn named(self, kind: Kind) -> Field {
        Field {
            named: Some(kind),
            ..self
        }
    }

    /// The same, left out of the hash while it has its default.
    const fn quiet(self) -> Field {
        Field {
            quiet: true,
            ..self
        }
    }

    /// Whether it is a section of any sort rather than a value.
    pub fn is_section(&self) -> bool {
        matches!(
            self.holds,
            Type::Section(_)
                | Type::Variant(_)
                | Type::Declared(..)
                | Type::Stack(_)
                | Type::Rows(_)
        )
    }
}

/// A set of fields.
#[derive(Debug)]
pub struct Section {
    /// Its name: `rotary`.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// Fields and kinds that the language knows and this version does not build yet.
    pub later: &'static [&'static str],
}

impl Section {
    /// The field of a name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A whole experiment.
pub static EXPERIMENT: Section = Section {
    name: "experiment",
    doc: "A run: a model, its data, how it is trained, on which machines, placed how.",
    fields: &[
        Field::new(
            "about",
            Type::Text,
            Need::Optional,
            "What the experiment is for; it changes nothing.",
        ),
        Field::new(
            "seed",
            Type::Count(0),
            Need::Default("1234"),
            "Seed of initial values and data order.",
        ),
        Field::new(
            "model",
            Type::Declared(Kind::Model, &TRANSFORMER),
            Need::Required,
            "The model.",
        ),
        Field::new(
            "data",
            Type::Declared(Kind::Dataset, &DATASET),
            Need::Required,
            "The data mix.",
        ),
        Field::new(
            "train",
            Type::Section(&train::TRAIN),
            Need::Required,
            "How it is trained.",
        ),
        Field::new(
            "checkpoints",
            Type::Section(&run::CHECKPOINTS),
            Need::Required,
            "When it is saved.",
        ),
        Field::new(
            "log",
            Type::Section(&run::LOG),
            Need::Required,
            "What it writes of its steps.",
        ),
        Field::new(
            "evaluate",
            Type::Section(&run::EVALUATE),
            Need::Required,
            "When it is measured on text that is not trained on.",
        ),
        Field::new(
            "cluster",
            Type::Declared(Kind::Cluster, &CLUSTER),
            Need::Required,
            "The machines.",
        ),
        Field::new(
            "plan",
            Type::Section(&plan::PLAN),
            Need::Required,
            "What is said, left open and wished of the placement.",
        ),
    ],
    later: &[],
};

/// Fields that say the same in two ways; the one that was said nearer stands.
pub const RIVALS: [[&str; 2]; 2] = [
    ["train.steps", "train.tokens"],
    ["cluster.nodes", "cluster.gpus"],
];

/// Fields of the cluster that `in` may leave to the planner: how large it is.
pub const SIZES: [&str; 2] = ["cluster.nodes", "cluster.gpus"];

/// Fields that follow from the size of the cluster, and wait for it.
pub const SIZED: [&str; 3] = ["cluster.nodes", "cluster.gpus", "plan.gpus"];

/// Names of a placement's figures, which only the planner knows, with their dimensions.
pub const FIGURES: &[(&str, Dimension)] = &[
    ("memory.peak", Dimension::BYTES),
    ("gpu.memory", Dimension::BYTES),
    ("step_time", Dimension::SECONDS),
    ("time", Dimension::SECONDS),
    ("cost", Dimension::USD),
];

/// Every word that can be a value: kinds of sections and the words of fields.
pub static WORDS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let mut words = BTreeSet::from(["none"]);
    gather(&EXPERIMENT, &mut words);
    FAMILIES
        .iter()
        .for_each(|family| gather(family, &mut words));
    words
});

/// Every name that a formula can begin with: fields of all sections, and the words of a placement's figures.
pub static NAMES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let figures = FIGURES
        .iter()
        .filter_map(|(name, _)| name.split('.').next());
    let mut names: BTreeSet<&'static str> = figures.collect();
    gather_names(&EXPERIMENT, &mut names);
    FAMILIES
        .iter()
        .for_each(|family| gather_names(family, &mut names));
    names
});

/// Adds the fields of a section and of those below it.
fn gather_names(section: &'static Section, names: &mut BTreeSet<&'static str>) {
    for field in section.fields {
        names.insert(field.name);
        match field.holds {
            Type::Section(inner)
            | Type::Declared(_, inner)
            | Type::Stack(inner)
            | Type::Rows(inner) => gather_names(inner, names),
            Type::Variant(kinds) => kinds.iter().for_each(|kind| gather_names(kind, names)),
            _ => {}
        }
    }
}

/// The words of a cut into stages.
pub const STAGES: &[&str] = &["even", "uneven"];

/// Adds the words of a section and of those below it.
fn gather(section: &'static Section, words: &mut BTreeSet<&'static str>) {
    for field in section.fields {
        words.extend(field.or_word);
        match field.holds {
            Type::Words(own) | Type::WordList(own) => words.extend(own),
            Type::Stages => words.extend(STAGES),
            Type::Section(inner)
            | Type::Declared(_, inner)
            | Type::Stack(inner)
            | Type::Rows(inner) => gather(inner, words),
            Type::Variant(kinds) => {
                for kind in kinds {
                    words.insert(kind.name);
                    gather(kind, words);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_of_a_variant_is_one_of_its_kinds() {
        fn look(section: &'static Section) {
            for field in section.fields {
                match (field.holds, field.need) {
                    (Type::Variant(kinds), Need::Default(text)) => {
                        let word = text.split([' ', '{']).next().unwrap();
                        assert!(
                            kinds.iter().any(|kind| kind.name == word),
                            "{}.{}",
                            section.name,
                            field.name
                        );
                        kinds.iter().for_each(|kind| look(kind));
                    }
                    (Type::Section(inner) | Type::Declared(_, inner), _) => look(inner),
                    _ => {}
                }
            }
        }
        look(&EXPERIMENT);
    }

    #[test]
    fn words_hold_kinds_and_choices() {
        for word in [
            "none",
            "rotary",
            "cosine",
            "fp16",
            "full",
            "wang_init",
            "neox",
        ] {
            assert!(WORDS.contains(word), "{word}");
        }
    }
}
