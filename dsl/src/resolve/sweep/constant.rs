//! Values of formulas that mention nothing: all that is known of an axis before a run is built.

use crate::evaluate::{Stop, Surroundings, Value, evaluate};
use crate::problem::Problem;
use crate::quantity::Quantity;
use crate::syntax::{Expression, ExpressionKind, Path, Place};

/// The longest list that choices are compared by.
const LONGEST: usize = 100;

/// Surroundings without names. What is wrong in a formula is reported when its run is built.
struct Nowhere;

impl Surroundings for Nowhere {
    fn look_up(&mut self, _path: &Path) -> Result<Value, Stop> {
        Err(Stop::Poisoned)
    }

    fn sequence(&mut self) -> Result<Quantity, Stop> {
        Err(Stop::Poisoned)
    }

    fn report(&mut self, _problem: Problem) {}

    fn make_room(&mut self, values: usize, _place: Place) -> bool {
        values <= LONGEST
    }
}

/// The value of a formula without names.
pub(super) fn constant(formula: &Expression) -> Option<Value> {
    evaluate(formula, &mut Nowhere).ok()
}

/// A text that is the same for choices of one value: names, and formulas without names. None where only a run can tell.
pub(super) fn sameness(choice: &Expression) -> Option<String> {
    if let ExpressionKind::Path(path) = &choice.kind {
        return Some(path.text.clone());
    }
    Some(match constant(choice)? {
        Value::Number(number) => format!("{} {:?}", number.value, number.dimension),
        Value::Text(text) => text,
        other => format!("{other:?}"),
    })
}
