//! Arithmetic and comparison with dimensions. Adding and comparing want one dimension on both sides; the message says both in words.

use num_rational::BigRational;
use num_traits::{ToPrimitive, Zero};

use super::builtins::repeats;
use super::{Stop, Surroundings, Value, evaluate, length};
use crate::problem::Problem;
use crate::quantity::{self, Dimension, Quantity, quotient, show, sum};
use crate::syntax::{Expression, Operator, Place};

/// A value and where it stands.
type Side<'side> = (&'side Value, Place);

/// The longest list that a range may make.
const LONGEST_RANGE: i64 = 10_000;

/// `-a`.
pub fn negate(inner: &Expression, around: &mut dyn Surroundings) -> Result<Value, Stop> {
    match evaluate(inner, around)? {
        Value::Number(quantity) => Ok(Value::Number(Quantity {
            value: -quantity.value.clone(),
            ..quantity
        })),
        other => Err(not_number("-", (&other, inner.place), around)),
    }
}

/// Every operator but `and` and `or`.
pub fn apply(
    operator: Operator,
    at: Place,
    left: Side,
    right: Side,
    around: &mut dyn Surroundings,
) -> Result<Value, Stop> {
    if matches!(operator, Operator::Equal | Operator::Unequal) {
        let equal = compare_equal(operator, left, right, around)?;
        return Ok(Value::Truth(equal == (operator == Operator::Equal)));
    }
    if let (Operator::Multiply, Value::Number(count), Value::List(items)) =
        (operator, left.0, right.0)
        && let Some(times) = repeats(count, items)
    {
        let values = length(right.0).saturating_mul(times);
        if !around.make_room(values, at) {
            return Err(Stop::Poisoned);
        }
        let items = items.iter().cycle().take(items.len() * times);
        return Ok(Value::List(items.cloned().collect()));
    }
    let first = number(operator, left, around)?;
    let second = number(operator, right, around)?;
    let sides = ((first, left.1), (second, right.1));
    match operator {
        Operator::Add | Operator::Subtract => add(operator, sides, around),
        Operator::Multiply | Operator::Of => Ok(product(first, second)),
        Operator::Divide | Operator::Remainder => divide(operator, at, sides, around),
        Operator::Range => range(at, sides, around),
        _ => order(operator, sides, around),
    }
}

/// Two numbers and their places.
type Sides<'side> = ((&'side Quantity, Place), (&'side Quantity, Place));

/// A sum or a difference.
fn add(
    operator: Operator,
    (left, right): Sides,
    around: &mut dyn Surroundings,
) -> Result<Value, Stop> {
    same_dimension(operator.text(), left, right, around)?;
    let value = if operator == Operator::Add {
        sum(&left.0.value, &right.0.value)
    } else {
        sum(&left.0.value, &-&right.0.value)
    };
    Ok(Value::Number(Quantity {
        value,
        dimension: left.0.dimension,
        approximate: left.0.approximate || right.0.approximate,
    }))
}

/// A product; dimensions multiply.
fn product(left: &Quantity, right: &Quantity) -> Value {
    Value::Number(Quantity {
        value: quantity::product(&left.value, &right.value),
        dimension: left.dimension.times(right.dimension),
        approximate: left.approximate || right.approximate,
    })
}

/// A quotient or the remainder of one.
fn divide(
    operator: Operator,
    at: Place,
    (left, right): Sides,
    around: &mut dyn Surroundings,
) -> Result<Value, Stop> {
    if right.0.value.is_zero() {
        let problem = Problem::error(
            "pleach::arithmetic::zero",
            "a division by zero has no value",
            right.1,
            "this is 0",
        );
        around.report(problem.and(at, "divided here"));
        return Err(Stop::Poisoned);
    }
    let approximate = left.0.approximate || right.0.approximate;
    if operator == Operator::Divide {
        let dimension = left.0.dimension.over(right.0.dimension);
        return Ok(Value::Number(Quantity {
            value: quotient(&left.0.value, &right.0.value),
            dimension,
            approximate,
        }));
    }
    same_dimension("%", left, right, around)?;
    let whole_parts: BigRational = (&left.0.value / &right.0.value).floor();
    let value = &left.0.value - whole_parts * &right.0.value;
    Ok(Value::Number(Quantity {
        value,
        dimension: left.0.dimension,
        approximate,
    }))
}

/// `<`, `<=`, `>`, `>=`.
fn order(
    operator: Operator,
    (left, right): Sides,
    around: &mut dyn Surroundings,
) -> Result<Value, Stop> {
    same_dimension(operator.text(), left, right, around)?;
    let (first, second) = (&left.0.value, &right.0.value);
    Ok(Value::Truth(match operator {
        Operator::AtMost => first <= second,
        Operator::AtLeast => first >= second,
        Operator::Below => first < second,
        _ => first > second,
    }))
}

/// `a..b`, both ends included.
fn range(at: Place, (left, right): Sides, around: &mut dyn Surroundings) -> Result<Value, Stop> {
    same_dimension("..", left, right, around)?;
    let end = |side: &Quantity| {
        side.value
            .is_integer()
            .then(|| side.value.to_integer().to_i64())
            .flatten()
    };
    let (Some(first), Some(last)) = (end(left.0), end(right.0)) else {
        let problem = Problem::error(
            "pleach::range::ends",
            "a range runs between whole numbers",
            at,
            "one end is not whole",
        );
        around.report(problem);
        return Err(Stop::Poisoned);
    };
    if last < first || last - first >= LONGEST_RANGE {
        let title =
            format!("the range {first}..{last} is empty or longer than {LONGEST_RANGE} values");
        around.report(
            Problem::error("pleach::range::ends", title, at, "both ends are included")
                .help("write the smaller end first"),
        );
        return Err(Stop::Poisoned);
    }
    if !around.make_room((last - first + 1) as usize, at) {
        return Err(Stop::Poisoned);
    }
    let dimension = left.0.dimension;
    let item = |value: i64| {
        Value::Number(Quantity::new(
            BigRational::from_integer(value.into()),
            dimension,
        ))
    };
    Ok(Value::List((first..=last).map(item).collect()))
}

/// Equality; comparing across kinds is a mistake, not `false`.
fn compare_equal(
    operator: Operator,
    left: Side,
    right: Side,
    around: &mut dyn Surroundings,
) -> Result<bool, Stop> {
    match (left.0, right.0) {
        (Value::Number(first), Value::Number(second)) => {
            same_dimension(operator.text(), (first, left.1), (second, right.1), around)?;
            Ok(first.value == second.value)
        }
        (Value::Word(first), Value::Word(second)) | (Value::Text(first), Value::Text(second)) => {
            Ok(first == second)
        }
        (Value::Word(first), Value::Text(second)) | (Value::Text(first), Value::Word(second)) => {
            Ok(first == second)
        }
        (Value::Truth(first), Value::Truth(second)) => Ok(first == second),
        (Value::List(first), Value::List(second)) => Ok(first == second),
        // A field that may be switched off is compared with the word that does it: `clip == none`.
        (Value::Word(word), _) | (_, Value::Word(word)) if word == "none" => Ok(false),
        (first, second) => {
            let title = format!(
                "{} cannot be compared with {}",
                first.in_words(),
                second.in_words()
            );
            let problem = Problem::error(
                "pleach::value::comparison",
                title,
                left.1,
                format!("this is {}", first.in_words()),
            );
            around.report(problem.and(right.1, format!("this is {}", second.in_words())));
            Err(Stop::Poisoned)
        }
    }
}

/// Reports two numbers of different dimensions.
pub fn same_dimension(
    what: &str,
    left: (&Quantity, Place),
    right: (&Quantity, Place),
    around: &mut dyn Surroundings,
) -> Result<(), Stop> {
    if left.0.dimension == right.0.dimension {
        return Ok(());
    }
    let (first, second) = (left.0.dimension.in_words(), right.0.dimension.in_words());
    let title = match what {
        "+" | "-" => format!("{first} and {second} cannot be added or subtracted"),
        _ => format!("{first} cannot be compared with {second}"),
    };
    let sides = [
        (left.1, format!("this is {first}")),
        (right.1, format!("this is {second}")),
    ];
    let bare_right = right.0.dimension == Dimension::NONE;
    let [(place, label), (other, beside)] = if bare_right {
        let [first, second] = sides;
        [second, first]
    } else {
        sides
    };
    let problem = Problem::error("pleach::dimension::mixed", title, place, label);
    let problem = problem.and(other, beside);
    around.report(match missing_unit(left.0, right.0) {
        Some(help) => problem.help(help),
        None => problem,
    });
    Err(Stop::Poisoned)
}

/// The unit that a bare number lacks beside a number that has one.
fn missing_unit(left: &Quantity, right: &Quantity) -> Option<String> {
    let (bare, other) = match (
        left.dimension == Dimension::NONE,
        right.dimension == Dimension::NONE,
    ) {
        (true, false) => (left, right),
        (false, true) => (right, left),
        _ => return None,
    };
    let unit = if other.dimension == Dimension::BYTES {
        "GiB".to_string()
    } else {
        other.dimension.symbol()
    };
    Some(format!("did you mean `{} {unit}`?", show(&bare.value)))
}

/// The number of a side.
fn number<'side>(
    operator: Operator,
    side: Side<'side>,
    around: &mut dyn Surroundings,
) -> Result<&'side Quantity, Stop> {
    match side.0 {
        Value::Number(quantity) => Ok(quantity),
        _ => Err(not_number(operator.text(), side, around)),
    }
}

/// Reports an operand that is no number.
fn not_number(operator: &str, side: Side, around: &mut dyn Surroundings) -> Stop {
    let title = format!(
        "`{operator}` works on numbers, but this is {}",
        side.0.in_words()
    );
    let label = format!("this is {}", side.0.show());
    around.report(Problem::error(
        "pleach::value::not_number",
        title,
        side.1,
        label,
    ));
    Stop::Poisoned
}
