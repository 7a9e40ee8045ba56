//! The typed wishes for the placement.

use super::text;
use crate::experiment::Wishes;
use crate::resolve::Resolver;
use crate::wish::{Objective, Requirement};

/// What is said, left open and wished of the placement.
pub fn wishes(
    resolver: &mut Resolver,
    requirements: Vec<Requirement>,
    objectives: Vec<Objective>,
) -> Option<Wishes> {
    Some(Wishes {
        tp: resolver.choice("tp")?,
        pp: resolver.choice("pp")?,
        dp: resolver.choice("dp")?,
        zero: resolver.choice("zero")?,
        micro_batch: resolver.choice("micro_batch")?,
        recompute: resolver.choice("recompute")?,
        sequence_parallel: resolver.choice("sequence_parallel")?,
        requirements,
        objectives,
        engine: text(resolver, "plan.engine")?,
    })
}
