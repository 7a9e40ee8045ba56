//! What times are made of: operands in turn, the middle of repetitions, and how far these stray.
//!
//! In a step, hardly an operand is still in the caches that belong to one core: the layers before it have passed through them. So what is
//! timed works on copies of its operands in turn ([`Turns`]), and its results stay until their turn comes again.

use pleach_plan::hardware::Spread;
use tch::Tensor;

use crate::error::Cause;

/// Copies at most, for small operands.
const COPIES: usize = 64;

/// Copies of operands, used in turn.
pub struct Turns {
    operands: Vec<Vec<Tensor>>,
    results: Vec<Vec<Tensor>>,
    next: usize,
}

impl Turns {
    /// Copies operands as often as it takes to pass through so many bytes.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn of(operands: &[&Tensor], passed: usize) -> Result<Self, Cause> {
        let bytes = |tensor: &&Tensor| tensor.numel() * tensor.kind().elt_size_in_bytes();
        let bytes: usize = operands.iter().map(bytes).sum();
        let copies = (passed / bytes.max(1)).clamp(2, COPIES);
        let copy = |tensor: &&Tensor| {
            let mut copied = tensor.f_empty_like()?;
            copied.f_copy_(tensor)?;
            Ok(copied)
        };
        let all = |_| operands.iter().map(copy).collect();
        Ok(Self {
            operands: (0..copies).map(all).collect::<Result<_, Cause>>()?,
            results: (0..copies).map(|_| Vec::new()).collect(),
            next: 0,
        })
    }

    /// Does something with the operands whose turn it is.
    ///
    /// # Errors
    /// What is done fails.
    pub fn turn(
        &mut self,
        work: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>, Cause>,
    ) -> Result<(), Cause> {
        self.results[self.next] = work(&self.operands[self.next])?;
        self.next = (self.next + 1) % self.operands.len();
        Ok(())
    }
}

/// The middle of some times.
pub fn median(times: &[f64]) -> f64 {
    quantile(times, 0.5)
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (part * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(index).copied().unwrap_or(0.0)
}

/// Deviations of many measurements from their own medians.
#[derive(Clone, Debug, Default)]
pub struct Deviations(Vec<f64>);

impl Deviations {
    /// Takes one measurement's repetitions in and gives their median.
    pub fn take(&mut self, times: &[f64]) -> f64 {
        let middle = median(times);
        self.0.extend(times.iter().map(|time| time / middle - 1.0));
        middle
    }

    /// The ends of the middle 90 %, apart by at least one per cent.
    pub fn spread(&self) -> Spread {
        Spread {
            low: quantile(&self.0, 0.05).min(-0.01),
            high: quantile(&self.0, 0.95).max(0.01),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_move_the_spread_and_not_the_median() {
        let mut deviations = Deviations::default();
        let mut times = vec![1.0; 18];
        times.extend([1.5, 9.0]);
        assert_eq!(deviations.take(&times), 1.0);
        let spread = deviations.spread();
        assert_eq!((spread.low, spread.high), (-0.01, 0.5));
    }
}
