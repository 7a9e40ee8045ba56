//! Timing: how long something takes in the median, and how far repetitions stray.

use std::time::{Duration, Instant};

use pleach_plan::hardware::Spread;

/// Repetitions at least and at most.
const REPETITIONS: std::ops::RangeInclusive<usize> = 5..=40;

/// Times `body` after one run to warm up, until the budget is used up.
///
/// # Errors
/// The body's.
pub fn times<E>(budget: Duration, mut body: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>, E> {
    body()?;
    let mut times = Vec::new();
    let end = Instant::now() + budget;
    while times.len() < *REPETITIONS.start()
        || (times.len() < *REPETITIONS.end() && Instant::now() < end)
    {
        let began = Instant::now();
        body()?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(times)
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
