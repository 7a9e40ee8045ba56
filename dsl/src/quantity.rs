//! Numbers with dimensions: exact rationals until the cost model takes over.
//!
//! A [`Quantity`] is a rational number of base units (tokens, steps, bytes, FLOP, seconds, US dollars, watts). Multiplying and dividing
//! make new dimensions; adding and comparing want equal ones. Counts (GPUs, nodes, layers, parameters) have no dimension.

use num_bigint::BigInt;
use num_rational::{BigRational, Ratio};
use num_traits::{FromPrimitive, Signed, ToPrimitive, Zero, pow};

/// Units of the base dimensions, many and one, in the order of [`Dimension`]'s exponents.
const BASES: [(&str, &str); 7] = [
    ("tokens", "token"),
    ("steps", "step"),
    ("bytes", "byte"),
    ("FLOP", "FLOP"),
    ("s", "s"),
    ("usd", "usd"),
    ("W", "W"),
];

/// Exponents of the base dimensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dimension([i8; 7]);

impl Dimension {
    /// A plain number.
    pub const NONE: Dimension = Dimension([0; 7]);
    /// Tokens.
    pub const TOKENS: Dimension = Dimension([1, 0, 0, 0, 0, 0, 0]);
    /// Optimizer steps.
    pub const STEPS: Dimension = Dimension([0, 1, 0, 0, 0, 0, 0]);
    /// Bytes.
    pub const BYTES: Dimension = Dimension([0, 0, 1, 0, 0, 0, 0]);
    /// Floating-point operations.
    pub const FLOP: Dimension = Dimension([0, 0, 0, 1, 0, 0, 0]);
    /// Seconds.
    pub const SECONDS: Dimension = Dimension([0, 0, 0, 0, 1, 0, 0]);
    /// US dollars.
    pub const USD: Dimension = Dimension([0, 0, 0, 0, 0, 1, 0]);
    /// Watts.
    pub const WATTS: Dimension = Dimension([0, 0, 0, 0, 0, 0, 1]);

    /// The dimension of a product.
    pub const fn times(self, other: Dimension) -> Dimension {
        let mut exponents = self.0;
        let mut base = 0;
        while base < exponents.len() {
            exponents[base] = exponents[base].saturating_add(other.0[base]);
            base += 1;
        }
        Dimension(exponents)
    }

    /// The dimension of a quotient.
    pub const fn over(self, other: Dimension) -> Dimension {
        let mut exponents = self.0;
        let mut base = 0;
        while base < exponents.len() {
            exponents[base] = exponents[base].saturating_sub(other.0[base]);
            base += 1;
        }
        Dimension(exponents)
    }

    /// The dimension of a square root, where the exponents are even.
    pub fn root(self) -> Option<Dimension> {
        let even = self.0.iter().all(|exponent| exponent % 2 == 0);
        even.then(|| Dimension(self.0.map(|exponent| exponent / 2)))
    }

    /// The dimension in words, as a message says it: `an amount of memory`, `a plain number`.
    pub fn in_words(self) -> String {
        let known = [
            (Dimension::NONE, "a plain number"),
            (Dimension::TOKENS, "an amount of tokens"),
            (Dimension::STEPS, "a number of steps"),
            (Dimension::BYTES, "an amount of memory"),
            (Dimension::FLOP, "an amount of computation"),
            (Dimension::SECONDS, "a time"),
            (Dimension::USD, "an amount of money"),
            (Dimension::WATTS, "a power"),
            (Dimension::BYTES.over(Dimension::SECONDS), "a bandwidth"),
            (
                Dimension::FLOP.over(Dimension::SECONDS),
                "a computing speed",
            ),
            (Dimension::USD.over(Dimension::SECONDS), "a price per time"),
            (Dimension::TOKENS.over(Dimension::STEPS), "tokens per step"),
            (
                Dimension::TOKENS.over(Dimension::SECONDS),
                "tokens per second",
            ),
        ];
        let found = known.iter().find(|(dimension, _)| *dimension == self);
        found.map_or_else(
            || format!("an amount of {}", self.symbol()),
            |(_, words)| (*words).to_string(),
        )
    }

    /// The base units as a formula: `tokens/step`; empty for a plain number.
    pub fn symbol(self) -> String {
        let (above, below) = (self.units(1), self.units(-1));
        match (above.is_empty(), below.is_empty()) {
            (_, true) => above,
            (true, false) => format!("1/{below}"),
            (false, false) => format!("{above}/{below}"),
        }
    }

    /// The units whose exponents have a sign: in the plural above the line, in the singular below it.
    fn units(self, sign: i8) -> String {
        let wanted = BASES
            .iter()
            .zip(self.0)
            .filter(|(_, exponent)| exponent.signum() == sign);
        let powers = wanted.map(|((many, one), exponent)| {
            let name = if sign > 0 { many } else { one };
            match exponent.unsigned_abs() {
                1 => (*name).to_string(),
                power => format!("{name}^{power}"),
            }
        });
        powers.collect::<Vec<_>>().join("·")
    }
}

/// An exact number of base units.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    /// How many base units.
    pub value: BigRational,
    /// Of what.
    pub dimension: Dimension,
    /// Whether a square root or a logarithm has left the exact rationals on the way here.
    pub approximate: bool,
}

impl Quantity {
    /// An exact quantity.
    pub fn new(value: BigRational, dimension: Dimension) -> Quantity {
        Quantity {
            value,
            dimension,
            approximate: false,
        }
    }

    /// A plain count: ranks, GPUs, layers, sequences of a micro-batch.
    pub fn count(value: u64) -> Quantity {
        Quantity::new(whole(value), Dimension::NONE)
    }

    /// An amount of memory.
    pub fn bytes(value: u64) -> Quantity {
        Quantity::new(whole(value), Dimension::BYTES)
    }

    /// A measured or predicted figure; none where it is not finite.
    pub fn measured(value: f64, dimension: Dimension) -> Option<Quantity> {
        BigRational::from_f64(value).map(|value| Quantity {
            value,
            dimension,
            approximate: true,
        })
    }

    /// The nearest floating-point number of base units.
    pub fn to_f64(&self) -> f64 {
        to_f64(&self.value)
    }

    /// The value, where it is a whole number that fits.
    pub fn to_u64(&self) -> Option<u64> {
        if self.value.is_integer() {
            self.value.to_integer().to_u64()
        } else {
            None
        }
    }
}

/// A whole number as a rational.
pub fn whole(value: u64) -> BigRational {
    BigRational::from_integer(BigInt::from(value))
}

/// `base` to a power that may be negative.
pub fn exact_power(base: u64, power: i32) -> BigRational {
    let size = pow(BigInt::from(base), power.unsigned_abs() as usize);
    if power < 0 {
        BigRational::new(BigInt::from(1), size)
    } else {
        BigRational::from_integer(size)
    }
}

/// A numerator and a denominator, where both are small: nearly all numbers of a spec are, and machine words are far quicker to reduce.
fn small(value: &BigRational) -> Option<(i128, i128)> {
    let (above, below) = (value.numer().to_i64()?, value.denom().to_i64()?);
    Some((above.into(), below.into()))
}

/// A fraction, brought to its lowest terms.
fn reduced(above: i128, below: i128) -> BigRational {
    let (above, below) = Ratio::new(above, below).into_raw();
    BigRational::new_raw(above.into(), below.into())
}

/// A sum.
pub fn sum(left: &BigRational, right: &BigRational) -> BigRational {
    match (small(left), small(right)) {
        (Some((a, 1)), Some((b, 1))) => BigRational::from_integer((a + b).into()),
        // Products of words fill 126 bits at most, and two of them 127.
        (Some((a, b)), Some((c, d))) => reduced(a * d + c * b, b * d),
        _ => left + right,
    }
}

/// A product.
pub fn product(left: &BigRational, right: &BigRational) -> BigRational {
    match (small(left), small(right)) {
        (Some((a, 1)), Some((b, 1))) => BigRational::from_integer((a * b).into()),
        (Some((a, b)), Some((c, d))) => reduced(a * c, b * d),
        _ => left * right,
    }
}

/// A quotient by what is not zero.
pub fn quotient(left: &BigRational, right: &BigRational) -> BigRational {
    match (small(left), small(right)) {
        (Some((a, b)), Some((c, d))) => reduced(a * d * c.signum(), b * c.abs()),
        _ => left / right,
    }
}

/// `digits` times ten to a power.
pub fn decimal(digits: u64, power: i32) -> BigRational {
    let scale = |power: u32| 10i128.checked_pow(power).filter(|_| power < 19);
    let digits_wide = i128::from(digits);
    match (power, scale(power.unsigned_abs())) {
        (0, _) => whole(digits),
        (1.., Some(scale)) => BigRational::from_integer((digits_wide * scale).into()),
        (_, Some(scale)) => reduced(digits_wide, scale),
        (1.., None) => BigRational::from_integer(exact_power(10, power).numer() * digits),
        _ => whole(digits) * exact_power(10, power),
    }
}

/// The bits of a numerator or denominator that no spec needs, and that cost more time the longer they are reckoned with.
const MOST_BITS: u64 = 1 << 13;

/// Whether a number is longer than the language reckons with.
pub fn is_beyond(value: &BigRational) -> bool {
    value.numer().bits().max(value.denom().bits()) > MOST_BITS
}

/// The nearest floating-point number.
pub fn to_f64(value: &BigRational) -> f64 {
    value.to_f64().unwrap_or(f64::NAN)
}

/// A number for a reader: whole numbers in full with thousands separated, others to four significant digits or so.
pub fn show(value: &BigRational) -> String {
    if value.is_integer() {
        return grouped(&value.to_integer());
    }
    let approximate = to_f64(value);
    let size = approximate.abs();
    if value.is_zero() || (1e-3..1e15).contains(&size) {
        let digits = if size >= 1.0 { 2 } else { 4 };
        let text = format!("{approximate:.digits$}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        return group_whole_part(text);
    }
    format!("{approximate:e}")
}

/// A decimal number whose whole part is grouped.
fn group_whole_part(text: &str) -> String {
    let (before, after) = text.split_once('.').unwrap_or((text, ""));
    let grouped = before
        .parse()
        .map_or_else(|_| before.to_string(), |whole| grouped(&whole));
    let sign = if before.starts_with("-0") {
        "-0".to_string()
    } else {
        grouped
    };
    if after.is_empty() {
        sign
    } else {
        format!("{sign}.{after}")
    }
}

/// Digits in groups of three from five digits on: `150,000`, but `2048`.
fn grouped(value: &BigInt) -> String {
    let digits = value.abs().to_string();
    if digits.len() < 5 {
        return value.to_string();
    }
    let mut text = if value.is_negative() {
        "-".to_string()
    } else {
        String::new()
    };
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Units that suit a size, the largest first, and what one of them is worth.
type Scales = &'static [(&'static str, f64)];

const MEMORY: Scales = &[
    ("TiB", 1_099_511_627_776.0),
    ("GiB", 1_073_741_824.0),
    ("MiB", 1_048_576.0),
    ("KiB", 1024.0),
    ("bytes", 1.0),
];
const TIME: Scales = &[
    ("days", 86_400.0),
    ("hours", 3600.0),
    ("minutes", 60.0),
    ("s", 1.0),
    ("ms", 1e-3),
    ("us", 1e-6),
];
const WORK: Scales = &[
    ("PFLOP", 1e15),
    ("TFLOP", 1e12),
    ("GFLOP", 1e9),
    ("FLOP", 1.0),
];
const SPEED: Scales = &[
    ("PFLOP/s", 1e15),
    ("TFLOP/s", 1e12),
    ("GFLOP/s", 1e9),
    ("FLOP/s", 1.0),
];
const BANDWIDTH: Scales = &[
    ("TB/s", 1e12),
    ("GB/s", 1e9),
    ("MB/s", 1e6),
    ("bytes/s", 1.0),
];
const PRICE: Scales = &[("usd/hour", 1.0 / 3600.0)];

/// The units for a dimension; none where the base unit suits every size.
fn scales_of(dimension: Dimension) -> Option<Scales> {
    Some(match dimension {
        Dimension::BYTES => MEMORY,
        Dimension::SECONDS => TIME,
        Dimension::FLOP => WORK,
        dimension if dimension == Dimension::FLOP.over(Dimension::SECONDS) => SPEED,
        dimension if dimension == Dimension::BYTES.over(Dimension::SECONDS) => BANDWIDTH,
        dimension if dimension == Dimension::USD.over(Dimension::SECONDS) => PRICE,
        _ => return None,
    })
}

/// A quantity for a reader, in the unit that suits its size: `38.3 GiB`, `75 days`, `3,145,728 tokens`.
pub fn show_quantity(quantity: &Quantity) -> String {
    let Some(scales) = scales_of(quantity.dimension) else {
        let symbol = quantity.dimension.symbol();
        return format!("{} {symbol}", show(&quantity.value))
            .trim_end()
            .to_string();
    };
    let size = quantity.to_f64();
    let fits = scales.iter().find(|(_, scale)| size.abs() >= *scale);
    let (unit, scale) = fits.or(scales.last()).expect("every table has a last row");
    let number = format!("{:.2}", size / scale);
    let number = number.trim_end_matches('0').trim_end_matches('.');
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_multiply_and_divide() {
        let batch = Dimension::TOKENS.over(Dimension::STEPS);
        assert_eq!(Dimension::TOKENS.over(batch), Dimension::STEPS);
        assert_eq!(batch.times(Dimension::STEPS), Dimension::TOKENS);
        assert_eq!(batch.symbol(), "tokens/step");
        assert_eq!(
            Dimension::BYTES.over(Dimension::SECONDS).in_words(),
            "a bandwidth"
        );
        assert_eq!(Dimension::TOKENS.root(), None);
    }

    #[test]
    fn small_numbers_are_reckoned_as_large_ones_are() {
        let ends = [
            0i64,
            1,
            -1,
            2,
            3,
            -6,
            10,
            97,
            i64::MAX,
            i64::MIN + 1,
            i64::MIN,
        ];
        let above = || ends.iter().map(|end| BigInt::from(*end));
        let below = || {
            ends.iter()
                .filter(|end| **end > 0)
                .map(|end| BigInt::from(*end))
        };
        let all = || above().flat_map(|a| below().map(move |b| BigRational::new(a.clone(), b)));
        for left in all() {
            for right in all() {
                assert_eq!(sum(&left, &right), &left + &right);
                assert_eq!(product(&left, &right), &left * &right);
                if !right.is_zero() {
                    assert_eq!(quotient(&left, &right), &left / &right);
                }
            }
        }
        for power in [-40, -19, -18, -2, 0, 1, 18, 19, 40] {
            let digits = whole(u64::MAX);
            assert_eq!(decimal(u64::MAX, power), digits * exact_power(10, power));
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(show(&whole(150_000)), "150,000");
        assert_eq!(show(&whole(2048)), "2048");
        assert_eq!(show(&BigRational::new(64.into(), 6.into())), "10.67");
        assert_eq!(show(&BigRational::new(11.into(), 2.into())), "5.5");
        assert_eq!(
            show(&BigRational::new(1_000_001.into(), 4.into())),
            "250,000.25"
        );
        assert_eq!(show(&BigRational::new((-1).into(), 4.into())), "-0.25");
        assert_eq!(show_quantity(&Quantity::bytes(40 << 30)), "40 GiB");
        assert_eq!(
            show_quantity(&Quantity::new(whole(6_480_000), Dimension::SECONDS)),
            "75 days"
        );
    }
}
