//! Which laws stay broken while a placement's figures grow: a law in, yes or no out.
//!
//! The planner knows lower bounds of `time` or `memory.peak` long before the figures themselves. A law such as `time <= 30 days` that
//! fails at the bounds fails in the end; of `time >= 1 h` nothing is known by then. The answer may be "no" too often, never "yes".

use num_traits::Signed as _;

use crate::evaluate::Value;
use crate::syntax::{Expression, ExpressionKind, Operator};
use crate::wish::{Binding, Formula, Requirement};

/// How a part's value moves while the figures grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trend {
    Flat,
    Rising,
    Falling,
    Unknown,
}

impl Trend {
    fn flipped(self) -> Trend {
        match self {
            Trend::Rising => Trend::Falling,
            Trend::Falling => Trend::Rising,
            other => other,
        }
    }

    fn with(self, other: Trend) -> Trend {
        match (self, other) {
            (Trend::Flat, trend) | (trend, Trend::Flat) => trend,
            (one, another) if one == another => one,
            _ => Trend::Unknown,
        }
    }
}

impl Requirement {
    /// Whether it stays broken, once it is, while these figures grow.
    pub fn is_ceiling_of(&self, figures: &[&str]) -> bool {
        is_ceiling(&self.condition.expression, &self.condition, figures)
    }
}

fn is_ceiling(expression: &Expression, formula: &Formula, figures: &[&str]) -> bool {
    let ExpressionKind::Binary(operator, _, left, right) = &expression.kind else {
        return trend(expression, formula, figures) == Trend::Flat;
    };
    let of = |side: &Expression| trend(side, formula, figures);
    let grows = match operator {
        Operator::And | Operator::Or => {
            return is_ceiling(left, formula, figures) && is_ceiling(right, formula, figures);
        }
        Operator::AtMost | Operator::Below => of(left).with(of(right).flipped()),
        Operator::AtLeast | Operator::Above => of(right).with(of(left).flipped()),
        _ => of(expression),
    };
    let rises = matches!(
        operator,
        Operator::AtMost | Operator::Below | Operator::AtLeast | Operator::Above
    );
    grows == Trend::Flat || rises && grows == Trend::Rising
}

fn trend(expression: &Expression, formula: &Formula, figures: &[&str]) -> Trend {
    let of = |part: &Expression| trend(part, formula, figures);
    let flat = |parts: &[&Expression]| {
        if parts.iter().all(|part| of(part) == Trend::Flat) {
            Trend::Flat
        } else {
            Trend::Unknown
        }
    };
    match &expression.kind {
        ExpressionKind::Amount(_)
        | ExpressionKind::Text(_)
        | ExpressionKind::Truth(_)
        | ExpressionKind::Auto => Trend::Flat,
        ExpressionKind::Path(path) => match formula.bindings.get(&path.text) {
            Some(Binding::Known(_)) => Trend::Flat,
            Some(Binding::Figure(name)) if figures.contains(&name.as_str()) => Trend::Rising,
            Some(Binding::Figure(_)) => Trend::Flat,
            Some(Binding::Formula(inner)) => trend(&inner.expression, inner, figures),
            None => Trend::Unknown,
        },
        ExpressionKind::Negate(inner) => of(inner).flipped(),
        ExpressionKind::Binary(operator, _, left, right) => match operator {
            Operator::Add => of(left).with(of(right)),
            Operator::Subtract => of(left).with(of(right).flipped()),
            Operator::Multiply | Operator::Of | Operator::Divide => {
                let positive = [left, right].map(|side| is_positive(side, formula));
                match (positive, operator) {
                    ([true, true], Operator::Divide) => of(left).with(of(right).flipped()),
                    ([true, true], _) => of(left).with(of(right)),
                    _ => flat(&[left, right]),
                }
            }
            _ => flat(&[left, right]),
        },
        ExpressionKind::Not(inner) => flat(&[inner]),
        ExpressionKind::Choose(condition, yes, no) => flat(&[condition, yes, no]),
        ExpressionKind::Call(_, parts) | ExpressionKind::List(parts) => {
            flat(&parts.iter().collect::<Vec<_>>())
        }
        ExpressionKind::Amend(..) | ExpressionKind::Table(_) | ExpressionKind::Broken => {
            Trend::Unknown
        }
    }
}

/// Whether a part is a number that cannot be below zero. Figures of a placement are counts, bytes, seconds and prices.
fn is_positive(expression: &Expression, formula: &Formula) -> bool {
    match &expression.kind {
        ExpressionKind::Amount(amount) => !amount.value.is_negative(),
        ExpressionKind::Path(path) => match formula.bindings.get(&path.text) {
            Some(Binding::Known(Value::Number(number))) => !number.value.is_negative(),
            Some(Binding::Figure(_)) => true,
            Some(Binding::Formula(inner)) => is_positive(&inner.expression, inner),
            _ => false,
        },
        ExpressionKind::Binary(operator, _, left, right) => {
            let sound = matches!(
                operator,
                Operator::Add | Operator::Multiply | Operator::Divide | Operator::Of
            );
            sound && is_positive(left, formula) && is_positive(right, formula)
        }
        _ => false,
    }
}
