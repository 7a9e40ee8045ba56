//! The typed writings of a run.

use super::count;
use crate::experiment::Checkpoints;
use crate::resolve::Resolver;

/// When the run is saved.
pub fn checkpoints(resolver: &mut Resolver) -> Option<Checkpoints> {
    let every = resolver.known("checkpoints.every")?.count();
    Some(Checkpoints {
        every,
        keep: u32::try_from(count(resolver, "checkpoints.keep")?).ok()?,
    })
}
