//! Unit words: each a factor and a dimension. `B` alone is a billion and never bytes, so bytes are spelt out or carry a prefix.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use num_rational::BigRational;

use crate::names::nearest;
use crate::problem::Problem;
use crate::quantity::{Dimension, exact_power, quotient, whole};
use crate::syntax::{Amount, Name, Place};

/// What a unit is worth.
#[derive(Clone, Debug, PartialEq)]
pub enum Unit {
    /// So many base units.
    Fixed(BigRational, Dimension),
    /// As many tokens as the model's `context`.
    Sequence,
}

/// Every unit word with its mantissa, a power of ten and a power of two, and its dimension.
const WORDS: &[(&str, u64, i32, i32, Dimension)] = &[
    ("token", 1, 0, 0, Dimension::TOKENS),
    ("tokens", 1, 0, 0, Dimension::TOKENS),
    ("step", 1, 0, 0, Dimension::STEPS),
    ("steps", 1, 0, 0, Dimension::STEPS),
    ("byte", 1, 0, 0, Dimension::BYTES),
    ("bytes", 1, 0, 0, Dimension::BYTES),
    ("kB", 1, 3, 0, Dimension::BYTES),
    ("KB", 1, 3, 0, Dimension::BYTES),
    ("MB", 1, 6, 0, Dimension::BYTES),
    ("GB", 1, 9, 0, Dimension::BYTES),
    ("TB", 1, 12, 0, Dimension::BYTES),
    ("PB", 1, 15, 0, Dimension::BYTES),
    ("KiB", 1, 0, 10, Dimension::BYTES),
    ("MiB", 1, 0, 20, Dimension::BYTES),
    ("GiB", 1, 0, 30, Dimension::BYTES),
    ("TiB", 1, 0, 40, Dimension::BYTES),
    ("PiB", 1, 0, 50, Dimension::BYTES),
    ("bit", 1, 0, -3, Dimension::BYTES),
    ("bits", 1, 0, -3, Dimension::BYTES),
    ("Mbit", 1, 6, -3, Dimension::BYTES),
    ("Gbit", 1, 9, -3, Dimension::BYTES),
    ("Tbit", 1, 12, -3, Dimension::BYTES),
    ("FLOP", 1, 0, 0, Dimension::FLOP),
    ("MFLOP", 1, 6, 0, Dimension::FLOP),
    ("GFLOP", 1, 9, 0, Dimension::FLOP),
    ("TFLOP", 1, 12, 0, Dimension::FLOP),
    ("PFLOP", 1, 15, 0, Dimension::FLOP),
    ("EFLOP", 1, 18, 0, Dimension::FLOP),
    ("ns", 1, -9, 0, Dimension::SECONDS),
    ("us", 1, -6, 0, Dimension::SECONDS),
    ("ms", 1, -3, 0, Dimension::SECONDS),
    ("s", 1, 0, 0, Dimension::SECONDS),
    ("second", 1, 0, 0, Dimension::SECONDS),
    ("seconds", 1, 0, 0, Dimension::SECONDS),
    ("minute", 60, 0, 0, Dimension::SECONDS),
    ("minutes", 60, 0, 0, Dimension::SECONDS),
    ("hour", 3600, 0, 0, Dimension::SECONDS),
    ("hours", 3600, 0, 0, Dimension::SECONDS),
    ("day", 86_400, 0, 0, Dimension::SECONDS),
    ("days", 86_400, 0, 0, Dimension::SECONDS),
    ("week", 604_800, 0, 0, Dimension::SECONDS),
    ("weeks", 604_800, 0, 0, Dimension::SECONDS),
    ("usd", 1, 0, 0, Dimension::USD),
    ("W", 1, 0, 0, Dimension::WATTS),
    ("watt", 1, 0, 0, Dimension::WATTS),
    ("watts", 1, 0, 0, Dimension::WATTS),
    ("kW", 1, 3, 0, Dimension::WATTS),
    ("MW", 1, 6, 0, Dimension::WATTS),
    ("gpu", 1, 0, 0, Dimension::NONE),
    ("gpus", 1, 0, 0, Dimension::NONE),
    ("node", 1, 0, 0, Dimension::NONE),
    ("nodes", 1, 0, 0, Dimension::NONE),
    ("layer", 1, 0, 0, Dimension::NONE),
    ("layers", 1, 0, 0, Dimension::NONE),
    ("params", 1, 0, 0, Dimension::NONE),
    ("run", 1, 0, 0, Dimension::NONE),
    ("runs", 1, 0, 0, Dimension::NONE),
];

/// All unit words, for suggestions and editors.
pub const UNIT_WORDS: &[&str] = &{
    let mut words = [""; WORDS.len()];
    let mut index = 0;
    while index < WORDS.len() {
        words[index] = WORDS[index].0;
        index += 1;
    }
    words
};

/// Words of sequences: worth `context` tokens each.
pub const SEQUENCES: [&str; 2] = ["sequence", "sequences"];

/// What a unit is worth: a word, or words divided (`TFLOP/s`).
pub fn find_unit(text: &str) -> Option<Unit> {
    if SEQUENCES.contains(&text) {
        return Some(Unit::Sequence);
    }
    let mut parts = text.split('/').map(find_word);
    let (mut factor, mut dimension) = parts.next()??;
    for part in parts {
        let (by, under) = part?;
        factor = quotient(&factor, &by);
        dimension = dimension.over(under);
    }
    Some(Unit::Fixed(factor, dimension))
}

/// What each word is worth.
static WORTH: LazyLock<BTreeMap<&'static str, (BigRational, Dimension)>> = LazyLock::new(|| {
    let worth = |(word, mantissa, ten, two, dimension): &(&'static str, u64, i32, i32, _)| {
        let factor = whole(*mantissa) * exact_power(10, *ten) * exact_power(2, *two);
        (*word, (factor, *dimension))
    };
    WORDS.iter().map(worth).collect()
});

/// One word of the table.
fn find_word(word: &str) -> Option<(BigRational, Dimension)> {
    WORTH.get(word).cloned()
}

/// `Gib` is not a unit — did you mean `GiB`?
pub fn unknown_unit(amount: &Amount, name: &Name, place: Place) -> Problem {
    let written = &name.text;
    let error = |help: String| {
        let title = format!("`{written}` is not a unit");
        Problem::error("pleach::unit::unknown", title, name.place, "no such unit").help(help)
    };
    if let Some((first, "batch")) = written.split_once('/') {
        let help = format!(
            "write the division with spaces: `{} {first} / batch`",
            amount.text
        );
        let title = format!("`{written}` was read as one unit");
        return Problem::error(
            "pleach::unit::division",
            title,
            place,
            "a `/` that touches a unit belongs to the unit",
        )
        .help(help);
    }
    if written == "B" {
        let help = format!(
            "write `{} bytes`, or `GB` or `GiB` for larger amounts; `{}B` is {} billion",
            amount.text, amount.text, amount.text
        );
        return error(help);
    }
    let words = UNIT_WORDS.iter().chain(&SEQUENCES).copied();
    match nearest(written, words) {
        Some("GiB") => error("did you mean `GiB`? (`Gbit` is gigabits)".to_string()),
        Some(found) => error(format!("did you mean `{found}`?")),
        None => error("units are tokens, sequences, steps, bytes (GB, GiB, …), FLOP, seconds (ms, hours, days, …), usd and W".to_string()),
    }
}
