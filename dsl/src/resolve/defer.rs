//! What depends on the placement: laws, wishes and computed choices, kept as formulas for the planner.
//!
//! Every name of such a formula is settled here as far as it can be: values are put in, open choices and figures keep the name that the
//! planner's scope knows. Laws that mention nothing open are checked at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cells::{Here, Standing, Target};
use super::{Content, Law, NodeId, Resolver};
use crate::evaluate::{Stop, Value, evaluate_truth, not_a_truth};
use crate::origin::{Layer, Origin};
use crate::problem::Problem;
use crate::quantity::{Dimension, Quantity, to_f64};
use crate::schema::{FIGURES, SIZES, Type};
use crate::syntax::{Expression, ExpressionKind, Goal, Path, Place};
use crate::wish::{
    Binding, Choice, Direction, Figure, Formula, FromFigure, Objective, Requirement,
};

impl Resolver<'_> {
    /// A formula with its names settled; none where one of them was reported.
    fn defer(&mut self, expression: &Arc<Expression>, standing: Standing) -> Option<Formula> {
        let mut paths = Vec::new();
        gather_paths(expression, &mut paths);
        let mut bindings = BTreeMap::new();
        for path in paths {
            let binding = self.settle(&path, standing)?;
            bindings.insert(path.text, binding);
        }
        let sequence = self.sequence(standing.section).ok();
        let text = self.sources.line_text(expression.place);
        Some(Formula {
            text,
            expression: (**expression).clone(),
            bindings,
            sequence,
        })
    }

    /// The formula of a cell that waits for the planner.
    pub fn formula(&mut self, cell: NodeId, expression: &Arc<Expression>) -> Option<Formula> {
        let section = self.tree.node(cell).parent.unwrap_or(0);
        let standing = Standing {
            section,
            itself: Some(cell),
        };
        self.defer(expression, standing)
    }

    /// What one name of a deferred formula means.
    fn settle(&mut self, path: &Path, standing: Standing) -> Option<Binding> {
        match self.find(path, standing).ok()? {
            Target::Word(word) => Some(Binding::Known(Value::Word(word))),
            Target::Rows(id, column) => self.rows_column(id, &column).ok().map(Binding::Known),
            Target::Layers(id) => self.layers_as_value(id).ok().map(Binding::Known),
            Target::Figure(name) => Some(Binding::Figure(name.to_string())),
            Target::Column(id, column) => self.column(id, &column, path).ok().map(Binding::Known),
            Target::Cell(id) => match self.settled(id) {
                Ok(value) => Some(Binding::Known(value)),
                Err(Stop::Poisoned) => None,
                Err(Stop::Open(_)) => self.settle_open(id),
            },
        }
    }

    /// An open cell: a choice goes by its name, a `let` by its formula.
    fn settle_open(&mut self, id: NodeId) -> Option<Binding> {
        let node = self.tree.node(id);
        let Content::Cell { value, field, .. } = &node.content else {
            return None;
        };
        if field.is_some() {
            return Some(Binding::Figure(node.name.clone()));
        }
        let standing = Standing {
            section: node.parent.unwrap_or(0),
            itself: Some(id),
        };
        let value = value.clone();
        self.defer(&value, standing)
            .map(|formula| Binding::Formula(Box::new(formula)))
    }

    /// What a spec says of one choice of the placement; none where that was reported.
    pub fn choice<T: FromFigure>(&mut self, name: &str) -> Option<Choice<T>> {
        let id = self.tree.find(&format!("plan.{name}"))?;
        let Content::Cell { value, domain, .. } = &self.tree.node(id).content else {
            return None;
        };
        let (value, domain) = (value.clone(), *domain);
        match self.value(id) {
            Ok(Value::List(items)) if domain => items
                .into_iter()
                .map(typed)
                .collect::<Option<Vec<T>>>()
                .map(Choice::OneOf),
            Ok(fixed) => typed(fixed).map(Choice::Fixed),
            Err(Stop::Poisoned) => None,
            Err(Stop::Open(open)) if open == name => Some(Choice::Auto),
            Err(Stop::Open(_)) => {
                let parent = self.tree.node(id).parent.unwrap_or(0);
                let formula = self.defer(
                    &value,
                    Standing {
                        section: parent,
                        itself: Some(id),
                    },
                )?;
                self.refuse_figures(name, &formula, value.place)?;
                self.rehearse(&formula, false);
                Some(Choice::Formula(Box::new(formula)))
            }
        }
    }

    /// A choice that waits for what only the finished placement knows can never be made.
    fn refuse_figures(&mut self, name: &str, formula: &Formula, place: Place) -> Option<()> {
        let figure = formula
            .names()
            .into_iter()
            .find(|used| FIGURES.iter().any(|(known, _)| known == used));
        let Some(figure) = figure else {
            return Some(());
        };
        let title = format!(
            "`{name}` cannot be computed from `{figure}`, which is known only once everything is placed"
        );
        let problem = Problem::error(
            "pleach::choice::figure",
            title,
            place,
            format!("`{figure}` comes last"),
        );
        self.report(problem.help(format!(
            "leave `{name}` open and say what must hold: `require {figure} …`"
        )));
        None
    }

    /// Laws that mention the placement; those that do not are checked here.
    pub fn requirements(&mut self) -> Vec<Requirement> {
        let laws = self.laws.clone();
        laws.iter()
            .filter_map(|law| self.requirement(law))
            .collect()
    }

    fn requirement(&mut self, law: &Law) -> Option<Requirement> {
        let standing = Standing {
            section: law.section,
            itself: None,
        };
        let before = self.problems.len();
        let mut here = Here {
            resolver: self,
            standing,
            notes: Some(Vec::new()),
        };
        let verdict = evaluate_truth(&law.condition, &mut here);
        let notes = here.notes.unwrap_or_default();
        match verdict {
            Ok(true) | Err(Stop::Poisoned) => None,
            Ok(false) if self.disagreeing && is_about_lengths(&law.condition) => None,
            Ok(false) => {
                if let Some(formula) = self.defer(&law.condition, standing) {
                    let problem = broken_law(law, &formula, &notes);
                    self.report(problem);
                }
                None
            }
            Err(Stop::Open(_)) => {
                let condition = self.defer(&law.condition, standing)?;
                self.rehearse(&condition, true);
                let text = condition.text.clone();
                let place = self.origin(law.layer, law.condition.place);
                (self.problems.len() == before).then(|| Requirement {
                    text,
                    because: law.because.clone(),
                    place,
                    condition,
                })
            }
        }
    }

    /// The wishes, in order.
    pub fn objectives(&mut self) -> Vec<Objective> {
        let Some((section, goals)) = self.goals.clone() else {
            return Vec::new();
        };
        goals
            .iter()
            .filter_map(|goal| self.objective_of(section, goal))
            .collect()
    }

    fn objective_of(&mut self, section: NodeId, goal: &Goal) -> Option<Objective> {
        let metric = Arc::new(goal.metric.clone());
        let formula = self.defer(
            &metric,
            Standing {
                section,
                itself: None,
            },
        )?;
        self.rehearse(&formula, false);
        if formula.names().is_empty() {
            let title = format!("`{}` is the same for every placement", formula.text);
            let problem = Problem::error(
                "pleach::objective::constant",
                title,
                goal.metric.place,
                "nothing to choose",
            );
            self.report(problem.help("wish for `time`, `step_time`, `cost` or `memory.peak`"));
            return None;
        }
        let direction = if goal.maximize {
            Direction::Maximize
        } else {
            Direction::Minimize
        };
        let within = goal.within.as_ref().and_then(|within| match &within.kind {
            ExpressionKind::Amount(amount) => Some(to_f64(&amount.value)),
            _ => None,
        });
        Some(Objective {
            direction,
            metric: formula.text.clone(),
            within,
            formula,
        })
    }

    /// Evaluates a formula once with figures of the right dimension, to find mistakes that the planner could only stumble over.
    fn rehearse(&mut self, formula: &Formula, law: bool) {
        let mut problems = Vec::new();
        let lasting = [
            "pleach::dimension::mixed",
            "pleach::value::comparison",
            "pleach::value::not_number",
            "pleach::condition::not_truth",
        ];
        match formula.run_with(&sample, &mut Vec::new(), &mut problems) {
            Err(Stop::Poisoned) => {
                self.problems.extend(
                    problems
                        .into_iter()
                        .filter(|problem| lasting.contains(&problem.code)),
                );
            }
            Ok(value) if law && !matches!(value, Value::Truth(_)) => {
                self.report(not_a_truth(formula.expression.place, &value))
            }
            _ => {}
        }
    }

    /// The cells a cell's formula mentions, by path.
    pub fn mentioned(&mut self, id: NodeId) -> Vec<String> {
        let node = self.tree.node(id);
        let Content::Cell { value, .. } = &node.content else {
            return Vec::new();
        };
        let (value, section) = (value.clone(), node.parent.unwrap_or(0));
        let mut paths = Vec::new();
        gather_paths(&value, &mut paths);
        let known = self.problems.len();
        let targets: Vec<_> = paths
            .iter()
            .map(|path| {
                self.find(
                    path,
                    Standing {
                        section,
                        itself: Some(id),
                    },
                )
            })
            .collect();
        self.problems.truncate(known);
        let cells = targets.into_iter().filter_map(|target| {
            if let Ok(Target::Cell(cell)) = target {
                Some(cell)
            } else {
                None
            }
        });
        cells
            .map(|cell| self.tree.node(cell).path.clone())
            .collect()
    }

    /// Evaluates every cell, so that every mistake is found.
    pub fn evaluate_all(&mut self) {
        for id in self.tree.reachable() {
            if self.tree.body(id).is_none() {
                // The value is kept for whoever asks; a mistake is reported on the way.
                drop(self.value(id));
            }
        }
    }

    /// Where a value came from.
    pub fn origin(&self, layer: Layer, place: Place) -> Origin {
        let text = self.sources.line_text(place);
        if layer == Layer::Default {
            return Origin::of_default(&text);
        }
        if layer == Layer::CommandLine {
            let setting = self.sources.get(place.file);
            return Origin {
                layer,
                file: setting.name.clone(),
                line: 1,
                column: 1,
                text: setting.text.clone(),
            };
        }
        let (line, column) = self.sources.position(place);
        Origin {
            layer,
            file: self.sources.get(place.file).name.clone(),
            line,
            column,
            text,
        }
    }
}

/// Figures of the right dimension, for a rehearsal.
fn sample(name: &str) -> Option<Figure> {
    if let Some((_, dimension)) = FIGURES.iter().find(|(known, _)| *known == name) {
        return Some(Figure::Number(Quantity {
            dimension: *dimension,
            ..Quantity::count(1)
        }));
    }
    if SIZES.iter().any(|path| path.ends_with(&format!(".{name}"))) {
        return Some(Figure::Number(Quantity::count(1)));
    }
    let plan = crate::schema::EXPERIMENT.field("plan")?;
    let Type::Section(plan) = plan.holds else {
        return None;
    };
    Some(match plan.field(name)?.holds {
        Type::Words(words) => Figure::Word(words[0].to_string()),
        Type::Truth => Figure::Truth(true),
        _ => Figure::Number(Quantity {
            dimension: Dimension::NONE,
            ..Quantity::count(1)
        }),
    })
}

/// A value of a plan's field as the planner takes it.
fn typed<T: FromFigure>(value: Value) -> Option<T> {
    match value {
        Value::Number(quantity) => T::from_figure(Figure::Number(quantity)),
        Value::Word(word) | Value::Text(word) => T::from_figure(Figure::Word(word)),
        Value::Truth(truth) => T::from_figure(Figure::Truth(truth)),
        Value::List(_) | Value::Auto => None,
    }
}

/// A law that does not hold whatever the placement.
fn broken_law(law: &Law, formula: &Formula, notes: &[(Place, String)]) -> Problem {
    let title = format!("`{}` does not hold", formula.text);
    let label = law
        .because
        .clone()
        .unwrap_or_else(|| "this is false".to_string());
    let mut problem = Problem::error("pleach::require::fails", title, law.condition.place, label);
    problem.picture = Some(formula.picture(notes));
    problem
}

/// Whether a law is only about the lengths of phases and of the run.
fn is_about_lengths(condition: &Expression) -> bool {
    let mut paths = Vec::new();
    gather_paths(condition, &mut paths);
    let names = paths
        .iter()
        .map(|path| path.text.trim_start_matches("train."));
    names
        .into_iter()
        .all(|name| ["phases.lasts", "tokens"].contains(&name))
}

/// Every path of a formula, once.
pub(super) fn gather_paths(expression: &Expression, paths: &mut Vec<Path>) {
    match &expression.kind {
        ExpressionKind::Path(path) if paths.iter().any(|known| known.text == path.text) => {}
        ExpressionKind::Path(path) => paths.push(path.clone()),
        ExpressionKind::List(items) | ExpressionKind::Call(_, items) => {
            items.iter().for_each(|item| gather_paths(item, paths))
        }
        ExpressionKind::Choose(condition, yes, no) => [condition, yes, no]
            .into_iter()
            .for_each(|part| gather_paths(part, paths)),
        ExpressionKind::Negate(inner) | ExpressionKind::Not(inner) => gather_paths(inner, paths),
        ExpressionKind::Binary(_, _, left, right) => {
            gather_paths(left, paths);
            gather_paths(right, paths);
        }
        _ => {}
    }
}
