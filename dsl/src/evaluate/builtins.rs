//! The built-in functions. There are no others, and no functions of one's own.
//!
//! Programs pad the rows of a vocabulary by two rules, so there are two functions: `pad_neox(ids, tp)` goes up to a multiple of 128 × tp, as GPT-NeoX and
//! Megatron do, where the number of parameters depends on `tp`; `pad_to(ids, multiple)` goes up to a multiple that no placement
//! changes, as Hugging Face and nanoGPT do. Both give rows of the model, which are part of the experiment.

use num_rational::BigRational;
use num_traits::{Signed, Zero};

use super::operators::same_dimension;
use super::{Stop, Surroundings, Value, evaluate};
use crate::names::nearest;
use crate::problem::Problem;
use crate::quantity::{Dimension, Quantity, exact_power, to_f64, whole};
use crate::syntax::{Expression, Name, Place};

/// Their names.
pub const BUILTINS: &[&str] = &[
    "min", "max", "sum", "count", "ceil", "floor", "round", "last", "log2", "sqrt", "pad_neox",
    "pad_to",
];

/// What GPT-NeoX and Megatron make the rows of a vocabulary a multiple of, for each tensor-parallel rank, unless told otherwise.
pub const DIVISIBLE_BY: u64 = 128;

/// A call of a built-in.
pub fn call(
    name: &Name,
    arguments: &[Expression],
    around: &mut dyn Surroundings,
) -> Result<Value, Stop> {
    if !BUILTINS.contains(&name.text.as_str()) {
        around.report(unknown(name));
        return Err(Stop::Poisoned);
    }
    let mut values: Vec<(Value, Place)> = Vec::new();
    for argument in arguments {
        match evaluate(argument, around)? {
            Value::List(items) => {
                values.extend(items.into_iter().map(|item| (item, argument.place)))
            }
            value => values.push((value, argument.place)),
        }
    }
    if name.text == "count" {
        return Ok(Value::count(values.len() as u64));
    }
    let numbers = numbers_of(name, &values, around)?;
    match name.text.as_str() {
        "min" | "max" | "sum" => fold(name, &numbers, around),
        "pad_neox" | "pad_to" => match numbers.as_slice() {
            [ids, unit] => padded(name, &ids.0, &unit.0, around),
            _ => {
                let wanted = match name.text.as_str() {
                    "pad_neox" => "two values, ids and tensor-parallel ranks",
                    _ => "two values, ids and what the rows are a multiple of",
                };
                Err(wrong_count(name, numbers.len(), wanted, around))
            }
        },
        _ => {
            let [only] = numbers.as_slice() else {
                return Err(wrong_count(name, numbers.len(), "one value", around));
            };
            single(name, &only.0, around)
        }
    }
}

/// The arguments as numbers; anything else is reported.
fn numbers_of(
    name: &Name,
    values: &[(Value, Place)],
    around: &mut dyn Surroundings,
) -> Result<Vec<(Quantity, Place)>, Stop> {
    let mut numbers = Vec::new();
    for (value, place) in values {
        let Value::Number(quantity) = value else {
            let title = format!(
                "`{}` works on numbers, but this is {}",
                name.text,
                value.in_words()
            );
            around.report(Problem::error(
                "pleach::value::not_number",
                title,
                *place,
                format!("this is {}", value.show()),
            ));
            return Err(Stop::Poisoned);
        };
        numbers.push((quantity.clone(), *place));
    }
    Ok(numbers)
}

/// `min`, `max` and `sum`.
fn fold(
    name: &Name,
    numbers: &[(Quantity, Place)],
    around: &mut dyn Surroundings,
) -> Result<Value, Stop> {
    let Some(((first, place), rest)) = numbers.split_first() else {
        return Err(wrong_count(name, 0, "at least one value", around));
    };
    let mut result = first.clone();
    for (next, at) in rest {
        same_dimension(&name.text, (&result, *place), (next, *at), around)?;
        let keep = match name.text.as_str() {
            "min" => result.value <= next.value,
            "max" => result.value >= next.value,
            _ => {
                result.value += &next.value;
                true
            }
        };
        result.approximate |= next.approximate;
        if !keep {
            result.value.clone_from(&next.value);
        }
    }
    Ok(Value::Number(result))
}

/// The functions of one value.
fn single(name: &Name, number: &Quantity, around: &mut dyn Surroundings) -> Result<Value, Stop> {
    let rounded = |value: BigRational| {
        Ok(Value::Number(Quantity {
            value,
            ..number.clone()
        }))
    };
    match name.text.as_str() {
        "ceil" => rounded(number.value.ceil()),
        "floor" => rounded(number.value.floor()),
        "round" => rounded(number.value.round()),
        "last" => last(name, number, around),
        "sqrt" => square_root(name, number, around),
        _ => logarithm(name, number, around),
    }
}

/// Rows of a vocabulary: ids up to a multiple of the unit, which GPT-NeoX and Megatron count in 128s.
fn padded(
    name: &Name,
    ids: &Quantity,
    unit: &Quantity,
    around: &mut dyn Surroundings,
) -> Result<Value, Stop> {
    for number in [ids, unit] {
        let counts = number.dimension == Dimension::NONE
            && number.value.is_integer()
            && number.value.is_positive();
        if !counts {
            return Err(outside(name, number, "whole plain numbers above 0", around));
        }
    }
    let multiple = match name.text.as_str() {
        "pad_neox" => &unit.value * whole(DIVISIBLE_BY),
        _ => unit.value.clone(),
    };
    let rows = (&ids.value / &multiple).ceil() * &multiple;
    Ok(Value::Number(Quantity::new(rows, Dimension::NONE)))
}

/// The last part of a run, which is worth its length: `last(10% of steps)`.
fn last(name: &Name, number: &Quantity, around: &mut dyn Surroundings) -> Result<Value, Stop> {
    match number.dimension {
        Dimension::STEPS | Dimension::TOKENS => Ok(Value::Number(number.clone())),
        _ => Err(outside(name, number, "steps or tokens", around)),
    }
}

/// Exact for squares of rationals; otherwise the result says that it is approximate.
fn square_root(
    name: &Name,
    number: &Quantity,
    around: &mut dyn Surroundings,
) -> Result<Value, Stop> {
    let dimension = number.dimension.root();
    let (Some(dimension), false) = (dimension, number.value.is_negative()) else {
        return Err(outside(
            name,
            number,
            "a number of at least 0 whose dimension is a square",
            around,
        ));
    };
    let exact = BigRational::new(number.value.numer().sqrt(), number.value.denom().sqrt());
    if &exact * &exact == number.value {
        return Ok(Value::Number(Quantity {
            value: exact,
            dimension,
            approximate: number.approximate,
        }));
    }
    measured(name, libm::sqrt(to_f64(&number.value)), dimension, around)
}

/// Exact for powers of two; otherwise the result says that it is approximate.
fn logarithm(name: &Name, number: &Quantity, around: &mut dyn Surroundings) -> Result<Value, Stop> {
    if number.dimension != Dimension::NONE || !number.value.is_positive() {
        return Err(outside(name, number, "a plain number above 0", around));
    }
    if let Some(power) = (0..64).find(|power| number.value == exact_power(2, *power)) {
        return Ok(Value::Number(Quantity::new(
            BigRational::from_integer(power.into()),
            Dimension::NONE,
        )));
    }
    measured(
        name,
        libm::log2(to_f64(&number.value)),
        Dimension::NONE,
        around,
    )
}

/// A floating-point result that must be finite.
fn measured(
    name: &Name,
    value: f64,
    dimension: Dimension,
    around: &mut dyn Surroundings,
) -> Result<Value, Stop> {
    match Quantity::measured(value, dimension) {
        Some(quantity) => Ok(Value::Number(quantity)),
        None => Err(outside(
            name,
            &Quantity::new(BigRational::zero(), dimension),
            "a number of ordinary size",
            around,
        )),
    }
}

/// The argument is not one the function is defined for.
fn outside(name: &Name, number: &Quantity, wanted: &str, around: &mut dyn Surroundings) -> Stop {
    let title = format!("`{}` needs {wanted}", name.text);
    let label = format!("this is {}", Value::Number(number.clone()).show());
    around.report(Problem::error(
        "pleach::function::domain",
        title,
        name.place,
        label,
    ));
    Stop::Poisoned
}

/// The wrong number of arguments.
fn wrong_count(name: &Name, given: usize, wanted: &str, around: &mut dyn Surroundings) -> Stop {
    let title = format!("`{}` takes {wanted}, {given} are given", name.text);
    around.report(Problem::error(
        "pleach::function::arguments",
        title,
        name.place,
        format!("{given} given"),
    ));
    Stop::Poisoned
}

/// A function that does not exist.
fn unknown(name: &Name) -> Problem {
    let title = format!("there is no function `{}`", name.text);
    let problem = Problem::error(
        "pleach::function::unknown",
        title,
        name.place,
        "not a built-in",
    );
    problem.help(match nearest(&name.text, BUILTINS.iter().copied()) {
        Some(found) => format!("did you mean `{found}`?"),
        None => format!("the built-ins are {}", BUILTINS.join(", ")),
    })
}

/// The longest list that repeating may make.
const LONGEST_LIST: usize = 100_000;

/// How often `n * [a, b]` repeats the list, where it may; the count is bounded so that a slip cannot fill the memory.
pub fn repeats(count: &Quantity, items: &[Value]) -> Option<usize> {
    let largest = whole(10_000);
    let fits = count.dimension == Dimension::NONE && count.value <= largest;
    let times = count.to_u64().filter(|_| fits)? as usize;
    let length = items.len().saturating_mul(times);
    (length <= LONGEST_LIST).then_some(times)
}
