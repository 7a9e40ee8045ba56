//! Why samples cannot be dealt or read.

use crate::DataError;
use crate::tokens::Kind;

/// Why samples cannot be dealt or read.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// A token file or its folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Weights that are no shares of a whole.
    #[error("the weights of the mix must sum to exactly 1: {sum}")]
    Shares {
        /// What they sum to.
        sum: String,
    },
    /// Weights too fine to be dealt exactly.
    #[error(
        "the weights of the mix have a common denominator above {largest}; round them to fewer digits"
    )]
    Denominator {
        /// The largest that is dealt.
        largest: u64,
    },
    /// No component, or more than are numbered.
    #[error("a mix of {count} components cannot be dealt; it needs 1 to 65535")]
    Components {
        /// How many there are.
        count: usize,
    },
    /// A component shorter than one sample.
    #[error("the component `{component}` has {tokens} tokens, a sample of this run needs {needed}")]
    TooShort {
        /// The component.
        component: String,
        /// What it has.
        tokens: u64,
        /// Sequence and one.
        needed: u64,
    },
    /// A component of prompts and answers in which nothing counts.
    #[error(
        "all answers of the component `{component}` are empty, and only answers count in the loss"
    )]
    NoAnswers {
        /// The component.
        component: String,
    },
    /// A sample that the run does not have.
    #[error("sample {sample} was asked for, the run has {total}")]
    Beyond {
        /// The number asked for.
        sample: u64,
        /// Samples of the run.
        total: u64,
    },
    /// Room for another number of tokens than a sample has.
    #[error("a sample has {wanted} tokens, the room for it {found}")]
    Room {
        /// Sequence and one.
        wanted: u64,
        /// The room's size.
        found: usize,
    },
    /// Values that are no ids.
    #[error("the component `{component}` holds {kind} values, which are no tokens")]
    Floats {
        /// The component.
        component: String,
        /// How they are stored.
        kind: Kind,
    },
    /// A seed that GPT-NeoX's shuffles do not take.
    #[error("the order `gpt_neox` takes seeds below 4294967296, this run has {seed}")]
    Seed {
        /// The seed.
        seed: u64,
    },
    /// More components than GPT-NeoX numbers.
    #[error("the order `gpt_neox` deals at most 255 components, this mix has {count}")]
    Blend {
        /// How many there are.
        count: usize,
    },
    /// More documents or samples than GPT-NeoX's indices number.
    #[error(
        "the component `{component}` has no tokens, or more documents or samples than the indices of `gpt_neox` number \
         (2147483647 over all epochs)"
    )]
    Indices {
        /// The component.
        component: String,
    },
}
