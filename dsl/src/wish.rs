//! What a spec says, leaves open and wishes of the placement, in the form the planner works with.
//!
//! Everything the language could compute is computed. What is left mentions the placement (`tp`, `pp`, `dp`, `zero`, `micro_batch` …) or its
//! figures (`memory.peak`, `gpu.memory`, `step_time`, `time`, `cost`); the planner supplies those through a [`Scope`], by these names and no
//! others: everything else of the spec (`cluster.gpus_per_node`) is inside already.

use std::collections::BTreeMap;

use crate::evaluate::{Note, Stop, Surroundings, Value, draw, evaluate};
use crate::origin::Origin;
use crate::problem::Problem;
use crate::schema::FIGURES;
use crate::syntax::{Expression, ExpressionKind, Operator, Path, Place};

pub use crate::quantity::{Dimension, Quantity};

/// A figure of a placement.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// A number with its dimension: ranks, bytes, seconds, US dollars.
    Number(Quantity),
    /// A word: `full`.
    Word(String),
    /// A switch.
    Truth(bool),
}

impl From<Quantity> for Figure {
    fn from(quantity: Quantity) -> Figure {
        Figure::Number(quantity)
    }
}

impl From<Figure> for Value {
    fn from(figure: Figure) -> Value {
        match figure {
            Figure::Number(quantity) => Value::Number(quantity),
            Figure::Word(word) => Value::Word(word),
            Figure::Truth(truth) => Value::Truth(truth),
        }
    }
}

/// Says what the names of a placement mean; none for a name that is not settled yet.
///
/// Names: `tp`, `pp`, `dp`, `cp`, `ep`, `vpp`, `zero`, `shards`, `micro_batch` (counts), `recompute`, `schedule` and `offload` (words), `sequence_parallel` (a switch), `memory.peak` and
/// `gpu.memory` (bytes), `step_time` and `time` (seconds), `cost` (US dollars).
pub trait Scope {
    /// The figure of a name.
    fn look_up(&self, path: &str) -> Option<Figure>;
}

impl<F: Fn(&str) -> Option<Figure>> Scope for F {
    fn look_up(&self, path: &str) -> Option<Figure> {
        self(path)
    }
}

/// A formula over a placement.
#[derive(Clone, Debug)]
pub struct Formula {
    /// As it was written.
    pub text: String,
    pub(crate) expression: Expression,
    pub(crate) bindings: BTreeMap<String, Binding>,
    pub(crate) sequence: Option<Quantity>,
}

/// What a path inside a formula means.
#[derive(Clone, Debug)]
pub(crate) enum Binding {
    /// A value the language computed.
    Known(Value),
    /// A name of the planner's scope.
    Figure(String),
    /// Another formula over the placement.
    Formula(Box<Formula>),
}

impl Formula {
    /// One figure of the placement: `memory.peak`.
    pub fn figure(name: &str) -> Formula {
        let place = Place {
            file: 0,
            start: 0,
            end: name.len(),
        };
        let path = Path {
            text: name.to_string(),
            place,
        };
        let binding = Binding::Figure(name.to_string());
        Formula {
            text: name.to_string(),
            expression: Expression {
                kind: ExpressionKind::Path(path),
                place,
            },
            bindings: BTreeMap::from([(name.to_string(), binding)]),
            sequence: None,
        }
    }

    /// The value under a scope; none where a name is not settled or the arithmetic has no result.
    pub fn evaluate(&self, scope: &dyn Scope) -> Option<Figure> {
        match self.run(scope, &mut Vec::new()).ok()? {
            Value::Number(quantity) => Some(Figure::Number(quantity)),
            Value::Word(word) | Value::Text(word) => Some(Figure::Word(word)),
            Value::Truth(truth) => Some(Figure::Truth(truth)),
            Value::List(_) | Value::Auto => None,
        }
    }

    /// The names of the planner's scope that it depends on, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for binding in self.bindings.values() {
            match binding {
                Binding::Known(_) => {}
                Binding::Figure(name) => names.push(name.clone()),
                Binding::Formula(formula) => names.extend(formula.names()),
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// Evaluates and notes the value of each part.
    pub(crate) fn run(
        &self,
        scope: &dyn Scope,
        notes: &mut Vec<(Place, String)>,
    ) -> Result<Value, Stop> {
        let mut problems = Vec::new();
        self.run_with(scope, notes, &mut problems)
    }

    /// The same, keeping the problems too.
    pub(crate) fn run_with(
        &self,
        scope: &dyn Scope,
        notes: &mut Vec<(Place, String)>,
        problems: &mut Vec<Problem>,
    ) -> Result<Value, Stop> {
        evaluate(
            &self.expression,
            &mut Placed {
                formula: self,
                scope,
                notes,
                problems,
            },
        )
    }

    /// The column of a place in the text, in characters.
    fn column(&self, place: Place) -> usize {
        let offset = place.start.saturating_sub(self.expression.place.start);
        self.text
            .char_indices()
            .take_while(|(index, _)| *index < offset)
            .count()
    }
}

/// A formula's names under a planner's scope.
struct Placed<'run> {
    formula: &'run Formula,
    scope: &'run dyn Scope,
    notes: &'run mut Vec<(Place, String)>,
    problems: &'run mut Vec<Problem>,
}

impl Surroundings for Placed<'_> {
    fn look_up(&mut self, path: &Path) -> Result<Value, Stop> {
        match self.formula.bindings.get(&path.text) {
            Some(Binding::Known(value)) => Ok(value.clone()),
            Some(Binding::Figure(name)) => self
                .scope
                .look_up(name)
                .map(Value::from)
                .ok_or_else(|| Stop::Open(name.clone())),
            Some(Binding::Formula(formula)) => {
                formula.run_with(self.scope, &mut Vec::new(), self.problems)
            }
            None => Err(Stop::Open(path.text.clone())),
        }
    }

    fn sequence(&mut self) -> Result<Quantity, Stop> {
        self.formula
            .sequence
            .clone()
            .ok_or_else(|| Stop::Open("sequences".to_string()))
    }

    fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn note(&mut self, place: Place, value: &Value) {
        self.notes.push((place, value.show()));
    }
}

/// A value that is fixed, one of several, computed, or wholly open.
#[derive(Clone, Debug)]
pub enum Choice<T> {
    /// Open: the planner proposes.
    Auto,
    /// Pinned.
    Fixed(T),
    /// Any of these, in the order written.
    OneOf(Vec<T>),
    /// Computed from other choices: `zero = if pp > 1 then 1 else 3`.
    Formula(Box<Formula>),
}

impl<T: FromFigure + Clone> Choice<T> {
    /// The values it may take: all of them for `in`, the one for a pin, the computed one for a formula whose names the scope knows.
    ///
    /// None means that the language says nothing here: `auto`, or a formula whose names ([`Choice::names`]) are not settled yet. A formula
    /// whose value is no `T` gives an empty list: no placement of this shape is allowed.
    pub fn candidates(&self, scope: &dyn Scope) -> Option<Vec<T>> {
        match self {
            Choice::Auto => None,
            Choice::Fixed(value) => Some(vec![value.clone()]),
            Choice::OneOf(values) => Some(values.clone()),
            Choice::Formula(formula) => match formula.run(scope, &mut Vec::new()) {
                Err(Stop::Open(_)) => None,
                Err(Stop::Poisoned) => Some(Vec::new()),
                Ok(_) => Some(
                    formula
                        .evaluate(scope)
                        .and_then(T::from_figure)
                        .into_iter()
                        .collect(),
                ),
            },
        }
    }

    /// The pinned value, if it is pinned.
    pub fn fixed(&self) -> Option<&T> {
        match self {
            Choice::Fixed(value) => Some(value),
            _ => None,
        }
    }

    /// Whether nothing at all is said.
    pub fn is_auto(&self) -> bool {
        matches!(self, Choice::Auto)
    }

    /// The names of the scope that must be settled before a formula has a value; empty for all others.
    pub fn names(&self) -> Vec<String> {
        match self {
            Choice::Formula(formula) => formula.names(),
            _ => Vec::new(),
        }
    }
}

/// Types that a figure can be read as.
pub trait FromFigure: Sized {
    /// The value, where the figure is one.
    fn from_figure(figure: Figure) -> Option<Self>;
}

impl FromFigure for u64 {
    fn from_figure(figure: Figure) -> Option<u64> {
        match figure {
            Figure::Number(quantity) if quantity.dimension == Dimension::NONE => quantity.to_u64(),
            _ => None,
        }
    }
}

impl FromFigure for String {
    fn from_figure(figure: Figure) -> Option<String> {
        match figure {
            Figure::Word(word) => Some(word),
            _ => None,
        }
    }
}

impl FromFigure for bool {
    fn from_figure(figure: Figure) -> Option<bool> {
        match figure {
            Figure::Truth(truth) => Some(truth),
            _ => None,
        }
    }
}

/// A law about the placement.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// The law as written: `memory.peak <= 90% of gpu.memory`.
    pub text: String,
    /// Its reason, in the author's words.
    pub because: Option<String>,
    /// Where it stands.
    pub place: Origin,
    /// The law itself.
    pub condition: Formula,
}

/// What came of checking a law.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It does not.
    Fails {
        /// The law with the value of each part hanging from it, over several lines.
        power: String,
        /// The same values by the text of the part they belong to.
        values: Vec<(String, String)>,
    },
    /// This name is not settled yet.
    Unknown(String),
}

impl Requirement {
    /// The law that a figure of the placement is at most a number of its base units.
    ///
    /// # Panics
    /// The figure is unknown, or the number not finite.
    pub fn at_most(figure: &str, most: f64) -> Requirement {
        let known = FIGURES.iter().find(|(name, _)| *name == figure);
        let (_, dimension) = known.expect("the figure is one of the language");
        let limit = Quantity::measured(most, *dimension).expect("the limit is finite");
        let text = format!("{figure} <= limit");
        let part = |name: &str, start: usize| {
            let place = Place {
                file: 0,
                start,
                end: start + name.len(),
            };
            let path = Path {
                text: name.to_string(),
                place,
            };
            Box::new(Expression {
                kind: ExpressionKind::Path(path),
                place,
            })
        };
        let at = |start: usize, end: usize| Place {
            file: 0,
            start,
            end,
        };
        let (sign, end) = (figure.len() + 1, text.len());
        let sides = [part(figure, 0), part("limit", sign + 3)];
        let [left, right] = sides;
        let kind = ExpressionKind::Binary(Operator::AtMost, at(sign, sign + 2), left, right);
        let bindings = BTreeMap::from([
            (figure.to_string(), Binding::Figure(figure.to_string())),
            ("limit".to_string(), Binding::Known(Value::Number(limit))),
        ]);
        let condition = Formula {
            text: text.clone(),
            expression: Expression {
                kind,
                place: at(0, end),
            },
            bindings,
            sequence: None,
        };
        Requirement {
            text,
            because: None,
            place: Origin::of_default(""),
            condition,
        }
    }

    /// Checks the law under a scope.
    pub fn check(&self, scope: &dyn Scope) -> Verdict {
        let mut notes = Vec::new();
        match self.condition.run(scope, &mut notes) {
            Ok(Value::Truth(true)) => Verdict::Holds,
            Err(Stop::Open(name)) => Verdict::Unknown(name),
            Ok(_) | Err(Stop::Poisoned) => self.failure(&notes),
        }
    }

    /// The names of the scope it depends on.
    pub fn names(&self) -> Vec<String> {
        self.condition.names()
    }

    fn failure(&self, notes: &[(Place, String)]) -> Verdict {
        Verdict::Fails {
            power: self.condition.picture(notes),
            values: self.condition.parts(notes),
        }
    }
}

impl Formula {
    /// The formula with the values of its parts hanging from it.
    pub(crate) fn picture(&self, notes: &[(Place, String)]) -> String {
        let hung = notes.iter().map(|(place, text)| Note {
            column: self.column(*place),
            text: text.clone(),
        });
        draw(&self.text, &hung.collect::<Vec<_>>())
    }

    /// The text of each noted part and its value.
    fn parts(&self, notes: &[(Place, String)]) -> Vec<(String, String)> {
        let start = self.expression.place.start;
        let part = |place: &Place| {
            self.text
                .get(place.start.checked_sub(start)?..place.end.checked_sub(start)?)
        };
        notes
            .iter()
            .map(|(place, value)| (part(place).unwrap_or_default().to_string(), value.clone()))
            .collect()
    }
}

/// Whether a metric is made small or large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Small is good.
    Minimize,
    /// Large is good.
    Maximize,
}

/// One goal; earlier goals count more.
#[derive(Clone, Debug)]
pub struct Objective {
    /// Small or large.
    pub direction: Direction,
    /// The metric as written: `cost`.
    pub metric: String,
    /// How far from the best still counts as best, as a fraction; none for exact ties only.
    pub within: Option<f64>,
    /// The metric itself.
    pub formula: Formula,
}

impl Objective {
    /// The smallest of a figure of the placement.
    pub fn minimize(name: &str) -> Objective {
        Objective {
            direction: Direction::Minimize,
            metric: name.to_string(),
            within: None,
            formula: Formula::figure(name),
        }
    }

    /// The metric's value in base units; none where a name is not settled or it is no number.
    pub fn evaluate(&self, scope: &dyn Scope) -> Option<f64> {
        match self.formula.evaluate(scope)? {
            Figure::Number(quantity) => Some(quantity.to_f64()),
            Figure::Word(_) | Figure::Truth(_) => None,
        }
    }
}
