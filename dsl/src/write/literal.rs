//! Values as text of the language: what is read back from it is the same value, exactly.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero, pow};

use crate::evaluate::{Unit, Value, find_unit};
use crate::quantity::{Dimension, Quantity};

/// Units that a value of a dimension may be written in, the usual one first; the shortest text wins.
const UNITS: &[(Dimension, &[&str])] = &[
    (Dimension::NONE, &[""]),
    (Dimension::TOKENS, &["tokens"]),
    (Dimension::STEPS, &["steps"]),
    (
        Dimension::BYTES,
        &["GiB", "MiB", "KiB", "TiB", "GB", "MB", "TB", "bytes"],
    ),
    (Dimension::FLOP, &["TFLOP", "PFLOP", "GFLOP", "FLOP"]),
    (
        Dimension::SECONDS,
        &["s", "minutes", "hours", "days", "ms", "us"],
    ),
    (Dimension::USD, &["usd"]),
    (Dimension::WATTS, &["W", "kW"]),
    (
        Dimension::FLOP.over(Dimension::SECONDS),
        &["TFLOP/s", "PFLOP/s", "GFLOP/s", "FLOP/s"],
    ),
    (
        Dimension::BYTES.over(Dimension::SECONDS),
        &["GB/s", "TB/s", "MB/s", "GiB/s", "bytes/s"],
    ),
    (
        Dimension::USD.over(Dimension::SECONDS),
        &["usd/hour", "usd/s"],
    ),
    (Dimension::TOKENS.over(Dimension::STEPS), &["tokens/step"]),
    (Dimension::TOKENS.over(Dimension::SECONDS), &["tokens/s"]),
];

/// Decimals beyond so many digits are written as a quotient.
const MOST_DIGITS: usize = 17;

/// The text of a value; none for a number of a dimension that no unit is written in.
pub fn literal(value: &Value) -> Option<String> {
    Some(match value {
        Value::Number(quantity) => number(quantity)?,
        Value::Truth(truth) => truth.to_string(),
        Value::Word(word) => word.clone(),
        Value::Text(text) => quoted(text),
        Value::List(items) => {
            let items = items.iter().map(literal).collect::<Option<Vec<_>>>()?;
            format!("[{}]", items.join(", "))
        }
        Value::Auto => "auto".to_string(),
    })
}

/// A string with its escapes.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '"' | '\\' => quoted.extend(['\\', character]),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// A number in the unit that makes its text shortest.
fn number(quantity: &Quantity) -> Option<String> {
    let (_, units) = UNITS
        .iter()
        .find(|(dimension, _)| *dimension == quantity.dimension)?;
    let texts = units
        .iter()
        .filter_map(|unit| in_unit(&quantity.value, unit));
    texts.min_by_key(|text| (text.contains(" / "), text.len()))
}

fn in_unit(value: &BigRational, unit: &str) -> Option<String> {
    if unit.is_empty() {
        return Some(rational(value).unwrap_or_else(|| quotient(value)));
    }
    let Some(Unit::Fixed(factor, _)) = find_unit(unit) else {
        return None;
    };
    let count = value / factor;
    Some(match rational(&count) {
        Some(text) => format!("{text} {unit}"),
        None => format!("{} * 1 {unit}", quotient(&count)),
    })
}

fn quotient(value: &BigRational) -> String {
    format!("{} / {}", value.numer(), value.denom())
}

/// A number with finitely many decimals, few enough to be read: `50_432`, `0.25`, `9.7e-5`.
fn rational(value: &BigRational) -> Option<String> {
    let (digits, places) = decimal(value)?;
    let sign = if value.is_negative() { "-" } else { "" };
    let plain = plain(&digits, places);
    let scientific = scientific(&digits, places);
    let shorter = plain.len() > scientific.len()
        && value.abs() < BigRational::new(BigInt::one(), BigInt::from(100));
    Some(format!(
        "{sign}{}",
        if shorter { scientific } else { plain }
    ))
}

/// The significant digits, and how many of them stand behind the point; none where there are too many or no end of them.
fn decimal(value: &BigRational) -> Option<(String, usize)> {
    let mut rest = value.denom().clone();
    let mut places = 0;
    for prime in [2, 5] {
        let prime = BigInt::from(prime);
        let mut power = 0;
        while (&rest % &prime).is_zero() {
            rest /= &prime;
            power += 1;
        }
        places = places.max(power);
    }
    if !rest.is_one() || places > 3 * MOST_DIGITS {
        return None;
    }
    let digits = (value.numer().abs() * pow(BigInt::from(10), places) / value.denom()).to_string();
    (digits.len() <= MOST_DIGITS || places == 0).then_some((digits, places))
}

/// `50_432`, `0.25`.
fn plain(digits: &str, places: usize) -> String {
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, behind) = digits.split_at(digits.len() - places);
    let whole = grouped(whole);
    if behind.is_empty() {
        whole
    } else {
        format!("{whole}.{behind}")
    }
}

/// `9.7e-5`.
fn scientific(digits: &str, places: usize) -> String {
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let power = places.saturating_sub(rest.len());
    format!("{first}{point}{rest}e-{power}")
}

/// Digits in groups of three from five digits on.
fn grouped(digits: &str) -> String {
    if digits.len() < 5 {
        return digits.to_string();
    }
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::{exact_power, whole};

    fn plain_number(numerator: i64, denominator: i64) -> String {
        let value = BigRational::new(numerator.into(), denominator.into());
        number(&Quantity::new(value, Dimension::NONE)).unwrap()
    }

    #[test]
    fn numbers_are_exact_and_short() {
        assert_eq!(plain_number(50_432, 1), "50_432");
        assert_eq!(plain_number(2048, 1), "2048");
        assert_eq!(plain_number(1, 4), "0.25");
        assert_eq!(plain_number(97, 1_000_000), "9.7e-5");
        assert_eq!(plain_number(1, 100_000_000), "1e-8");
        assert_eq!(plain_number(-1, 8), "-0.125");
        assert_eq!(plain_number(1, 3), "1 / 3");
        assert_eq!(plain_number(0, 1), "0");
        assert_eq!(plain_number(10_001, 100_000_000), "1.0001e-4");
    }

    #[test]
    fn units_suit_the_size() {
        let memory = |value: BigRational| number(&Quantity::new(value, Dimension::BYTES)).unwrap();
        assert_eq!(memory(whole(40 << 30)), "40 GiB");
        assert_eq!(memory(whole(40_000_000_000)), "40 GB");
        let pile = BigRational::new(22_712.into(), 100.into()) * exact_power(2, 30);
        assert_eq!(memory(pile), "227.12 GiB");
        let price = Quantity::new(
            BigRational::new(5.into(), 7200.into()),
            Dimension::USD.over(Dimension::SECONDS),
        );
        assert_eq!(number(&price).unwrap(), "2.5 usd/hour");
    }

    #[test]
    fn texts_keep_their_quotes() {
        assert_eq!(quoted(r#"a "b" \c"#), r#""a \"b\" \\c""#);
    }
}
