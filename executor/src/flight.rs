//! The flight record: what a rank did last, kept while it runs and written when it fails.
//!
//! In come instructions as they begin and end, out come the last of them with their times. Keeping is a few copies into places that are there
//! already, so that it is always on; the newest that has no end is what the rank stood in.

use std::collections::VecDeque;
use std::fmt::{Display, Write};
use std::time::Instant;

use serde::Serialize;

/// Instructions that are remembered.
const REMEMBERED: usize = 64;

/// One instruction of the record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Passed {
    /// The step, from 1.
    pub step: u64,
    /// What it is and where in the step.
    pub what: String,
    /// Seconds from the beginning of training to its own.
    pub began: f64,
    /// Seconds that it took; none where it has not ended.
    pub took: Option<f64>,
}

/// The last instructions of a rank.
#[derive(Debug)]
pub struct Flight {
    since: Instant,
    passed: VecDeque<Passed>,
}

impl Default for Flight {
    fn default() -> Self {
        Flight {
            since: Instant::now(),
            passed: VecDeque::with_capacity(REMEMBERED),
        }
    }
}

impl Flight {
    /// Something begins in a step, counted from 0.
    pub fn begin(&mut self, step: u64, what: &impl Display) {
        let began = self.since.elapsed().as_secs_f64();
        let full = self.passed.len() == REMEMBERED;
        let oldest = if full { self.passed.pop_front() } else { None };
        let mut text = oldest.map_or_else(String::new, |oldest| oldest.what);
        text.clear();
        // Writing to a string cannot fail.
        let _ = write!(text, "{what}");
        self.passed.push_back(Passed {
            step: step + 1,
            what: text,
            began,
            took: None,
        });
    }

    /// What began last has ended.
    pub fn end(&mut self) {
        let now = self.since.elapsed().as_secs_f64();
        if let Some(last) = self.passed.back_mut() {
            last.took = Some(now - last.began);
        }
    }

    /// The last instructions, the oldest first.
    pub fn record(&self) -> Vec<Passed> {
        self.passed.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered_and_the_one_under_way_has_no_end() {
        let mut flight = Flight::default();
        for number in 0..100 {
            flight.begin(number / 10, &number);
            if number < 99 {
                flight.end();
            }
        }
        let record = flight.record();
        assert_eq!(record.len(), REMEMBERED);
        assert_eq!((record[0].what.as_str(), record[0].step), ("36", 4));
        assert!(record[62].took.is_some() && record[63].took.is_none());
        let rises = |pair: &[Passed]| pair[0].began <= pair[1].began;
        assert!(record.windows(2).all(rises));
    }
}
