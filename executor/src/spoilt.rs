//! A fault of memory on request: `--spoil-at RANK:STEP` makes weights of that rank no numbers, once, those of the first layer that the step updates, to try
//! what happens then. Through `pleach run` it goes as `PLEACH_SPOIL_AT`.

use std::str::FromStr;

use tch::Tensor;

use crate::error::Cause;

/// Where weights are spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoilAt {
    /// The rank.
    pub rank: u32,
    /// The step, from 1.
    pub step: u64,
}

impl FromStr for SpoilAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not RANK:STEP");
        let (rank, step) = text.split_once(':').ok_or_else(wrong)?;
        let number = rank.parse().ok().zip(step.parse().ok());
        let (rank, step) = number.ok_or_else(wrong)?;
        Ok(SpoilAt { rank, step })
    }
}

/// Makes weights no numbers.
///
/// # Errors
/// libtorch's text.
pub fn spoil(weights: &Tensor) -> Result<(), Cause> {
    let _ = weights.shallow_clone().f_fill_(f64::NAN)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_say_where() {
        assert_eq!("2:7".parse(), Ok(SpoilAt { rank: 2, step: 7 }));
        for wrong in ["", "1", "1:2:3", "1:-2", "a:1"] {
            assert!(wrong.parse::<SpoilAt>().is_err(), "{wrong}");
        }
    }
}
