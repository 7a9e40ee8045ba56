//! Sums whose bits do not depend on the order in which numbers are added: a few exact digits in place of one rounded number.
//!
//! In come numbers, one by one or as digits of other ranks; out comes their sum, rounded once. A number is cut into digits of [`BITS`] bits at
//! fixed places, of which each is a whole number that 64-bit floating point holds exactly; so digits may be added in any order, by
//! any reduction, and are brought into their one normal form before they are read. What is smaller than the lowest place is cut off for
//! each number alone. (The idea of fixed places is that of ReproBLAS, Demmel and Nguyen 2013, and of R. Neal, arXiv:1505.05571.)

use crate::Training;

/// Digits of a sum.
pub const DIGITS: usize = 20;
/// Bits of a digit.
const BITS: u32 = 26;
/// The lowest place: its unit is two to this power; the highest place ends at two to the 260th.
const LOWEST: i32 = -260;
const BASE: i64 = 1 << BITS;

/// A sum under way.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    digits: [i64; DIGITS],
    is_lost: bool,
}

impl Tally {
    /// Adds a number. One that is not finite, or beyond the highest place, makes the sum not a number. So many as 2^36 may be added.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.is_lost = true;
            return;
        }
        let bits = value.to_bits();
        let exponent = ((bits >> 52) & 0x7ff) as i32;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, power) = match exponent {
            0 => (fraction, -1074),
            _ => (fraction | (1 << 52), exponent - 1075),
        };
        let place = power - LOWEST;
        let (mantissa, place) = match place {
            ..=-64 => return,
            -63..0 => (mantissa >> -place, 0),
            _ => (mantissa, place as u32),
        };
        let mut rest = u128::from(mantissa) << (place % BITS);
        let sign = if value < 0.0 { -1 } else { 1 };
        let mut digit = (place / BITS) as usize;
        while rest > 0 {
            match self.digits.get_mut(digit) {
                Some(sum) => *sum += sign * (rest as i64 & (BASE - 1)),
                None => self.is_lost = true,
            }
            rest >>= BITS;
            digit += 1;
        }
    }

    /// Adds what was summed to digits, which are normal behind it.
    ///
    /// # Panics
    /// There are not [`DIGITS`] of them.
    pub fn pour(mut self, into: &mut [f64]) {
        assert_eq!(into.len(), DIGITS);
        self.is_lost |= into.iter().any(|digit| !digit.is_finite());
        if self.is_lost {
            return into.fill(f64::NAN);
        }
        for (sum, digit) in self.digits.iter_mut().zip(&*into) {
            *sum += *digit as i64;
        }
        for (digit, sum) in into.iter_mut().zip(normal(self.digits)) {
            *digit = sum as f64;
        }
    }
}

/// Digits below the base each, but for the last, which has the sign.
fn normal(mut digits: [i64; DIGITS]) -> [i64; DIGITS] {
    for place in 0..DIGITS - 1 {
        let carry = digits[place] >> BITS;
        digits[place] -= carry * BASE;
        digits[place + 1] += carry;
    }
    digits
}

/// The sum that digits stand for, also where ranks have added theirs place by place.
///
/// # Panics
/// There are not [`DIGITS`] of them.
pub fn read(digits: &[f64]) -> f64 {
    assert_eq!(digits.len(), DIGITS);
    if digits.iter().any(|digit| !digit.is_finite()) {
        return f64::NAN;
    }
    let mut sums = [0; DIGITS];
    for (sum, digit) in sums.iter_mut().zip(digits) {
        *sum = *digit as i64;
    }
    let mut sums = normal(sums);
    let sign = if sums[DIGITS - 1] < 0 {
        sums = normal(sums.map(|digit| -digit));
        -1.0
    } else {
        1.0
    };
    let value = |(place, &digit): (usize, &i64)| {
        digit as f64 * libm::ldexp(1.0, LOWEST + place as i32 * BITS as i32)
    };
    sign * sums.iter().enumerate().map(value).sum::<f64>()
}

/// Elements of a step's report: the loss and the squares, or the digits of both where sums keep an order.
pub fn figures(training: &Training) -> u64 {
    match training.lanes {
        None => 2,
        Some(_) => 2 * DIGITS as u64,
    }
}

/// Loss and squares of a report; none of something else.
pub fn report(figures: &[f64]) -> Option<[f64; 2]> {
    match *figures {
        [loss, squares] => Some([loss, squares]),
        _ if figures.len() == 2 * DIGITS => {
            let (loss, squares) = figures.split_at(DIGITS);
            Some([read(loss), read(squares)])
        }
        _ => None,
    }
}

/// Adds numbers to the loss (0) or the squares (1) of a report; false for something else.
pub fn gain(report: &mut [f64], which: usize, values: impl Iterator<Item = f64>) -> bool {
    match report.len() {
        2 => report[which] += values.sum::<f64>(),
        length if length == 2 * DIGITS => {
            let mut tally = Tally::default();
            values.for_each(|value| tally.add(value));
            tally.pour(&mut report[which * DIGITS..(which + 1) * DIGITS]);
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64], parts: usize) -> [f64; DIGITS] {
        let mut all = [0.0; DIGITS];
        for part in values.chunks(values.len().div_ceil(parts).max(1)) {
            let (mut tally, mut own) = (Tally::default(), [0.0; DIGITS]);
            part.iter().for_each(|&value| tally.add(value));
            tally.pour(&mut own);
            for (digit, own) in all.iter_mut().zip(own) {
                *digit += own;
            }
        }
        all
    }

    fn number() -> impl Strategy<Value = f64> {
        (-1.0..1.0f64, -120..120i32).prop_map(|(value, power)| libm::ldexp(value, power))
    }

    proptest! {
        #[test]
        fn neither_order_nor_ranks_change_a_bit(
            mut values in prop::collection::vec(number(), 1..60),
            parts in 1usize..9,
        ) {
            let one = read(&sum(&values, 1));
            prop_assert_eq!(read(&sum(&values, parts)).to_bits(), one.to_bits());
            values.reverse();
            prop_assert_eq!(read(&sum(&values, parts)).to_bits(), one.to_bits());
        }

        #[test]
        fn one_number_comes_back(value in number()) {
            prop_assert_eq!(read(&sum(&[value], 1)), value);
        }
    }

    #[test]
    fn what_cancels_leaves_what_was_small() {
        assert_eq!(read(&sum(&[1e30, 3.5e-20, -1e30], 3)), 3.5e-20);
        assert_eq!(read(&sum(&[-2.0, 0.5], 2)), -1.5);
        assert_eq!(read(&sum(&[1e-300], 1)), 0.0);
        assert!(read(&sum(&[1e300, 1.0], 1)).is_nan());
        assert!(read(&sum(&[f64::INFINITY, 1.0], 2)).is_nan());
    }
}
