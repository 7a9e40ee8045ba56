//! What the verifier says: where a program stops meaning what the unsharded one means, and what differs in the end.

use pleach_plan::check::{Fault as Structural, Place};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place}{what}")]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What.
    #[source]
    pub what: What,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum What {
    /// The structure is wrong already.
    #[error(transparent)]
    Structure(Box<Structural>),
    /// The two programs train under different settings.
    #[error("{what} is {found}, the unsharded program has {wanted}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// Here.
        found: String,
        /// There.
        wanted: String,
    },
    /// A parameter that only one of the programs has.
    #[error("only {side} program has this parameter")]
    Lonely {
        /// `this` or `the unsharded`.
        side: &'static str,
    },
    /// An instruction whose operands are spread in a way that makes its result meaningless.
    #[error("with {operands}, the result has no meaning")]
    Meaningless {
        /// Operands with their states.
        operands: String,
    },
    /// The first result that the unsharded program does not know.
    #[error("`{result}` is a value that the unsharded program never computes")]
    Stranger {
        /// Name of the result.
        result: String,
    },
    /// A gradient lacks a contribution.
    #[error("nothing adds what the unsharded program's {contribution} adds")]
    Lacks {
        /// Operation, parameter and micro-batch.
        contribution: String,
    },
    /// A gradient has a contribution too much.
    #[error("the gradient of {parameter} gains this {found} times, not {wanted}")]
    Gains {
        /// The parameter.
        parameter: String,
        /// Times here.
        found: usize,
        /// Times in the unsharded program.
        wanted: usize,
    },
    /// A final value is another expression.
    #[error("{what} after the step is not what the unsharded program computes")]
    Value {
        /// Weights, master weights, moments or report.
        what: &'static str,
    },
    /// A final value is right, but ranks do not hold it as they should.
    #[error("{what} is {found} after the step, but should be {wanted}")]
    Spread {
        /// Weights, master weights, moments or report.
        what: &'static str,
        /// How ranks hold it.
        found: String,
        /// How they should.
        wanted: String,
    },
    /// A tensor is not spread as its declaration says.
    #[error("`{tensor}` is declared as {declared}, but is {found}")]
    Declared {
        /// The tensor.
        tensor: String,
        /// Its declared layout.
        declared: String,
        /// How ranks hold it.
        found: String,
    },
    /// The padding of a bucket does not stay zero.
    #[error("the padding of {what} does not stay zero")]
    Padding {
        /// Weights, master weights or moments.
        what: &'static str,
    },
    /// There is more of the same.
    #[error("and {count} more parts of parameters, moments or reports differ")]
    More {
        /// How many.
        count: usize,
    },
}
