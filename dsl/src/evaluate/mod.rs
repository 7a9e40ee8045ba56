//! Formulas to values: expressions and [`Surroundings`] in, a [`Value`] or the reason for none out.
//!
//! The evaluator knows no names of its own. Whoever calls it says what a path means: the resolver walks its cells, a requirement asks the
//! planner's scope. A mistake is reported once, to the surroundings; what depends on it stops silently with [`Stop::Poisoned`].

mod builtins;
mod operators;
mod power;
mod units;
mod value;

pub use builtins::{BUILTINS, DIVISIBLE_BY};
pub use power::{Note, draw};
pub use units::{SEQUENCES, UNIT_WORDS, Unit, find_unit};
pub use value::Value;

use crate::problem::Problem;
use crate::quantity::{Dimension, Quantity, is_beyond, product};
use crate::syntax::{Amount, Expression, ExpressionKind, Operator, Path, Place};

/// Why a formula has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Something it depends on was reported already.
    Poisoned,
    /// It depends on a name that the planner will settle.
    Open(String),
}

/// What the names of a formula mean.
pub trait Surroundings {
    /// The value of a path.
    fn look_up(&mut self, path: &Path) -> Result<Value, Stop>;
    /// The tokens of one sequence.
    fn sequence(&mut self) -> Result<Quantity, Stop>;
    /// Takes a mistake.
    fn report(&mut self, problem: Problem);
    /// Whether there is room for so many values of a list, which it takes; where there is none, that was reported. A formula that was
    /// evaluated before has room.
    fn make_room(&mut self, _values: usize, _place: Place) -> bool {
        true
    }
    /// Sees the value of each part, for the picture under a failed requirement.
    fn note(&mut self, _place: Place, _value: &Value) {}
}

/// Evaluates a formula.
pub fn evaluate(expression: &Expression, around: &mut dyn Surroundings) -> Result<Value, Stop> {
    let place = expression.place;
    match &expression.kind {
        ExpressionKind::Amount(amount) => evaluate_amount(amount, place, around),
        ExpressionKind::Text(text) => Ok(Value::Text(text.clone())),
        ExpressionKind::Truth(truth) => Ok(Value::Truth(*truth)),
        ExpressionKind::Auto => Ok(Value::Auto),
        ExpressionKind::Path(path) => {
            let value = around.look_up(path)?;
            room_for(&value, place, around)?;
            around.note(last_part(path), &value);
            Ok(value)
        }
        ExpressionKind::Call(name, arguments) => {
            let value = builtins::call(name, arguments, around)?;
            around.note(name.place, &value);
            Ok(value)
        }
        ExpressionKind::List(items) => {
            let value = evaluate_list(items, around)?;
            if depth(&value) > DEEPEST_LIST {
                around.report(too_deep(place));
                return Err(Stop::Poisoned);
            }
            Ok(value)
        }
        ExpressionKind::Choose(condition, yes, no) => {
            let chosen = if evaluate_truth(condition, around)? {
                yes
            } else {
                no
            };
            evaluate(chosen, around)
        }
        ExpressionKind::Negate(inner) => operators::negate(inner, around),
        ExpressionKind::Not(inner) => Ok(Value::Truth(!evaluate_truth(inner, around)?)),
        ExpressionKind::Binary(Operator::Of, _, left, _) if is_plain_amount(left) => {
            around.report(no_share(left.place));
            Err(Stop::Poisoned)
        }
        ExpressionKind::Binary(operator, at, left, right) => {
            let value = evaluate_binary(*operator, *at, left, right, around)?;
            if let Value::Number(number) = &value
                && is_beyond(&number.value)
            {
                around.report(beyond(place));
                return Err(Stop::Poisoned);
            }
            around.note(*at, &value);
            Ok(value)
        }
        ExpressionKind::Amend(path, _) => Err(misplaced(
            around,
            path.place,
            &format!("`{} {{ … }}`", path.text),
        )),
        ExpressionKind::Table(_) => Err(misplaced(around, place, "a table")),
        ExpressionKind::Broken => Err(Stop::Poisoned),
    }
}

/// Holds a list that is copied or made against the room for lists, so that formulas which repeat one another's lists cannot fill the memory.
fn room_for(value: &Value, place: Place, around: &mut dyn Surroundings) -> Result<(), Stop> {
    match length(value) {
        0 => Ok(()),
        values if around.make_room(values, place) => Ok(()),
        _ => Err(Stop::Poisoned),
    }
}

/// The values in a list and in the lists within it.
fn length(value: &Value) -> usize {
    match value {
        Value::List(items) => items.iter().map(|item| length(item).max(1)).sum(),
        _ => 0,
    }
}

/// The most values of lists that the formulas of one experiment make.
pub const MOST_VALUES: usize = 1_000_000;

/// Lists that are too many and too long.
pub fn too_many_values(place: Place) -> Problem {
    let title = "lists of this experiment hold more than a million values";
    let problem = Problem::error("pleach::list::size", title, place, "no room for this one");
    problem.help("write shorter ranges, and repeat shorter lists")
}

/// How deep lists may lie in one another: a choice among lists.
const DEEPEST_LIST: usize = 2;

fn depth(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A list of lists of lists, which no field takes.
fn too_deep(place: Place) -> Problem {
    let title = "no field takes lists in lists in a list";
    Problem::error("pleach::list::depth", title, place, "holds lists of lists")
        .help("a list holds values, as in `[1, 2, 4]`; a choice among lists holds lists, as in `[[0.9, 0.95], [0.9, 0.99]]`")
}

/// A result that is too long to go on with.
fn beyond(place: Place) -> Problem {
    let title = "this comes out beyond the numbers of the language";
    let label = "too many digits";
    Problem::error("pleach::number::size", title, place, label)
        .help("write it with fewer factors, or round it: `ceil(…)`, `floor(…)`")
}

/// Evaluates a condition.
pub fn evaluate_truth(
    expression: &Expression,
    around: &mut dyn Surroundings,
) -> Result<bool, Stop> {
    match evaluate(expression, around)? {
        Value::Truth(truth) => Ok(truth),
        other => {
            around.report(not_a_truth(expression.place, &other));
            Err(Stop::Poisoned)
        }
    }
}

/// A value where a condition is wanted.
pub fn not_a_truth(place: Place, value: &Value) -> Problem {
    let title = format!(
        "a condition is true or false, but this is {}",
        value.in_words()
    );
    let problem = Problem::error(
        "pleach::condition::not_truth",
        title,
        place,
        format!("this is {}", value.in_words()),
    );
    problem.help("compare it: `==`, `!=`, `<`, `<=`, `>` or `>=`")
}

/// Evaluates every item, so that each mistake in a list is found.
fn evaluate_list(items: &[Expression], around: &mut dyn Surroundings) -> Result<Value, Stop> {
    let results: Vec<Result<Value, Stop>> =
        items.iter().map(|item| evaluate(item, around)).collect();
    Ok(Value::List(results.into_iter().collect::<Result<_, _>>()?))
}

/// `and` and `or` look at their right side only where it matters; all others at both, so that each mistake is found.
fn evaluate_binary(
    operator: Operator,
    at: Place,
    left: &Expression,
    right: &Expression,
    around: &mut dyn Surroundings,
) -> Result<Value, Stop> {
    match operator {
        Operator::And => Ok(Value::Truth(
            evaluate_truth(left, around)? && evaluate_truth(right, around)?,
        )),
        Operator::Or => Ok(Value::Truth(
            evaluate_truth(left, around)? || evaluate_truth(right, around)?,
        )),
        operator => {
            let first = evaluate(left, around);
            let second = evaluate(right, around);
            operators::apply(
                operator,
                at,
                (&first?, left.place),
                (&second?, right.place),
                around,
            )
        }
    }
}

/// A literal in base units.
fn evaluate_amount(
    amount: &Amount,
    place: Place,
    around: &mut dyn Surroundings,
) -> Result<Value, Stop> {
    let Some(name) = &amount.unit else {
        return Ok(Value::Number(Quantity::new(
            amount.value.clone(),
            Dimension::NONE,
        )));
    };
    match find_unit(&name.text) {
        Some(Unit::Fixed(factor, dimension)) => Ok(Value::Number(Quantity::new(
            product(&amount.value, &factor),
            dimension,
        ))),
        Some(Unit::Sequence) => {
            let tokens = around.sequence()?;
            Ok(Value::Number(Quantity {
                value: product(&amount.value, &tokens.value),
                ..tokens
            }))
        }
        None => {
            around.report(units::unknown_unit(amount, name, place));
            Err(Stop::Poisoned)
        }
    }
}

/// The last name of a path: the picture points at `gpus_per_node` in `cluster.gpus_per_node`.
fn last_part(path: &Path) -> Place {
    let last = path.parts().last().map_or(0, str::len);
    Place {
        start: path.place.end - last.min(path.place.end),
        ..path.place
    }
}

/// A section or a table where a value is wanted.
fn misplaced(around: &mut dyn Surroundings, place: Place, what: &str) -> Stop {
    let title = format!("{what} cannot be part of a formula");
    let problem = Problem::error(
        "pleach::value::section",
        title,
        place,
        "a value is wanted here",
    );
    around.report(problem.help("bind it to a field on a line of its own: `field = …`"));
    Stop::Poisoned
}
/// A number without a percent sign.
fn is_plain_amount(expression: &Expression) -> bool {
    matches!(&expression.kind, ExpressionKind::Amount(amount) if amount.magnitude != "%")
}

/// `1/7 of peak`, in which only the 7 would belong to `of`.
fn no_share(place: Place) -> Problem {
    let title = "`of` takes a percentage on its left";
    Problem::error("pleach::share::percent", title, place, "a plain number")
        .help("write a percentage, as in `10% of peak`, or multiply: `1 / 7 * peak`")
}
