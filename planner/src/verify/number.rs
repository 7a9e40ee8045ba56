//! Value numbers: equal for equal expressions over logical tensors, and additive where the expressions are.
//!
//! A number is an element of the field of integers modulo the prime 2^127 - 1. Operations that are not sums get a number that is
//! mixed from their name, attributes and operands' numbers, so different expressions have different numbers but for a chance
//! of about one in 10^38. Sums add, so accumulators are multisets of their contributions whatever the order, and a sum over
//! ranks that all hold the same is that number times their count.

/// The prime 2^127 - 1.
const PRIME: u128 = (1 << 127) - 1;

/// The number of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(u128);

impl Number {
    /// The tensor of zeros: the empty sum.
    pub const ZERO: Number = Number(0);

    /// The number of an operation over attributes and operands.
    pub fn of(name: &str, attributes: &[u64], operands: &[Number]) -> Self {
        let mut mix = Mix::new();
        for chunk in name.as_bytes().chunks(8) {
            let word = chunk
                .iter()
                .fold(0, |word, &byte| word << 8 | u64::from(byte));
            mix.word(word);
        }
        // Lengths keep a name's end apart from what follows it.
        mix.word((name.len() as u64) << 32 | attributes.len() as u64);
        attributes.iter().for_each(|&word| mix.word(word));
        for operand in operands {
            mix.word(operand.0 as u64);
            mix.word((operand.0 >> 64) as u64);
        }
        mix.finish()
    }

    /// The number of a whole that consists of this many equal summands.
    pub fn times(self, count: u64) -> Self {
        let high = (self.0 >> 64) * u128::from(count >> 32);
        let shifted = |value: u128, bits: u32| rotate(reduce(value), bits);
        let low_half = u128::from(count & 0xFFFF_FFFF);
        let (top, bottom) = (self.0 >> 64, self.0 & u128::from(u64::MAX));
        let parts = [
            shifted(bottom * low_half, 0),
            shifted(top * low_half, 64),
            shifted(bottom * u128::from(count >> 32), 32),
            shifted(high, 96),
        ];
        parts
            .into_iter()
            .fold(Number::ZERO, |sum, part| sum + Number(part))
    }

    /// The number of which this is that many times: exact, since the field has inverses (counts are at most ranks, far below
    /// a million).
    pub fn over(self, count: u64) -> Self {
        if count > 1 << 20 {
            return Number::of("over", &[count], &[self]);
        }
        let count = u128::from(count.max(1));
        let (quotient, rest) = (self.0 / count, self.0 % count);
        let (prime_quotient, prime_rest) = (PRIME / count, PRIME % count);
        // The one multiple of the prime that makes the sum divisible.
        let multiple = (0..count).find(|multiple| (rest + multiple * prime_rest) % count == 0);
        let multiple = multiple.unwrap_or(0);
        let value = quotient + multiple * prime_quotient + (rest + multiple * prime_rest) / count;
        Number(reduce(value))
    }
}

impl std::ops::Add for Number {
    type Output = Number;

    fn add(self, other: Number) -> Number {
        Number(reduce(self.0 + other.0))
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:012x}", self.0 >> 80)
    }
}

fn reduce(value: u128) -> u128 {
    let folded = (value & PRIME) + (value >> 127);
    if folded >= PRIME {
        folded - PRIME
    } else {
        folded
    }
}

/// Times a power of two, modulo the prime: the bits of a reduced value go round.
fn rotate(value: u128, bits: u32) -> u128 {
    match bits {
        0 => value,
        _ => reduce(((value << bits) & PRIME) | (value >> (127 - bits))),
    }
}

/// Mixes words into 128 bits.
struct Mix {
    left: u64,
    right: u64,
}

impl Mix {
    fn new() -> Self {
        Mix {
            left: 0x9E37_79B9_7F4A_7C15,
            right: 0xD1B5_4A32_D192_ED03,
        }
    }

    fn word(&mut self, word: u64) {
        self.left = scramble(self.left ^ word);
        self.right =
            scramble(self.right.rotate_left(29) ^ word.wrapping_mul(0xA24B_AED4_963E_E407))
                .wrapping_add(self.left);
    }

    fn finish(self) -> Number {
        let (left, right) = (
            scramble(self.left ^ self.right.rotate_left(32)),
            scramble(self.right),
        );
        Number(reduce((u128::from(left) << 64) | u128::from(right)))
    }
}

/// A bijection of 64 bits in which every bit depends on every other.
fn scramble(mut word: u64) -> u64 {
    word ^= word >> 30;
    word = word.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word ^= word >> 27;
    word = word.wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_forget_order_and_nothing_else() {
        let [a, b, c] = ["a", "b", "c"].map(|name| Number::of(name, &[], &[]));
        assert_eq!(a + b + c, c + (b + a));
        assert_eq!(a + Number::ZERO, a);
        assert!(a + b != a + c && a + a != a && a + a != Number::ZERO);
        assert!(Number::of("f", &[], &[a, b]) != Number::of("f", &[], &[b, a]));
        assert!(Number::of("f", &[1], &[a]) != Number::of("f", &[], &[a]));
    }

    #[test]
    fn counts_multiply_and_divide() {
        let a = Number::of("a", &[], &[]);
        assert_eq!(a.times(3), a + a + a);
        for count in [1, 2, 3, 8, 96, 1000, 1 << 20] {
            assert_eq!(a.times(count).over(count), a, "{count}");
            assert_eq!(a.over(count).times(count), a, "{count}");
        }
        assert_eq!(a.times(1 << 40), (0..40).fold(a, |sum, _| sum + sum));
        assert_eq!(a.times(0), Number::ZERO);
    }
}
