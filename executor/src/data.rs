//! Where token ids come from, as the interpreter sees it: the run's order of samples, or ids that a caller brings.

use std::ops::Range;

use pleach_data::order::Order;
use pleach_plan::op::counts;

use crate::error::Cause;

/// The run's samples in their order.
pub trait Samples {
    /// The tokens of sample `index` of the order: one more than a sequence has positions, marked where they do not count as targets.
    ///
    /// # Errors
    /// The data cannot be read.
    fn sample(&mut self, index: u64) -> Result<Vec<i64>, Cause>;

    /// How many targets of these samples count in the loss.
    ///
    /// # Errors
    /// The data cannot be read.
    fn counted(&mut self, samples: Range<u64>) -> Result<u64, Cause> {
        let mut counted = 0;
        for index in samples {
            let sample = self.sample(index)?;
            counted += sample.iter().skip(1).filter(|&&id| counts(id)).count() as u64;
        }
        Ok(counted)
    }
}

/// The prepared data of a run, dealt by its order.
#[derive(Debug)]
pub struct Dealt {
    order: Order,
    length: usize,
    /// What was counted last: every micro-batch of a step asks for the same.
    counted: Option<(Range<u64>, u64)>,
}

impl Dealt {
    /// Samples of `sequence` positions and one token more.
    pub fn new(order: Order, sequence: u64) -> Self {
        Self {
            order,
            length: sequence as usize + 1,
            counted: None,
        }
    }
}

impl Samples for Dealt {
    fn sample(&mut self, index: u64) -> Result<Vec<i64>, Cause> {
        let mut tokens = vec![0; self.length];
        self.order
            .sample(index, &mut tokens)
            .map_err(|error| Cause::Data(error.to_string()))?;
        Ok(tokens)
    }

    fn counted(&mut self, samples: Range<u64>) -> Result<u64, Cause> {
        if let Some((known, counted)) = &self.counted
            && *known == samples
        {
            return Ok(*counted);
        }
        let counted = self.order.counted(samples.clone());
        let counted = counted.map_err(|error| Cause::Data(error.to_string()))?;
        self.counted = Some((samples, counted));
        Ok(counted)
    }
}

/// Sequences given as they are; what lies beyond them is empty.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The sequences, each one token longer than there are positions.
    pub sequences: Vec<Vec<i64>>,
    /// Positions of a sequence and one.
    pub length: usize,
}

impl Samples for Given {
    fn sample(&mut self, index: u64) -> Result<Vec<i64>, Cause> {
        let mut tokens = self
            .sequences
            .get(index as usize)
            .cloned()
            .unwrap_or_default();
        tokens.resize(self.length, 0);
        Ok(tokens)
    }
}
