//! Where token ids come from, as the interpreter sees it.

use crate::error::Cause;

/// The run's samples in their order.
pub trait Samples {
    /// The tokens of sample `index` of the order: one more than a sequence has positions.
    ///
    /// # Errors
    /// The data cannot be read.
    fn sample(&mut self, index: u64) -> Result<Vec<i64>, Cause>;
}
