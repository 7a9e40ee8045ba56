//! The axes of a sweep, read from the syntax: a list, a range or a table to choices with their labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use num_traits::ToPrimitive;

use super::super::elaborate::{clash, set_twice};
use super::constant::{constant, sameness};
use super::{Axis, Binding, Choice};
use crate::evaluate::Value;
use crate::problem::{Problem, take};
use crate::quantity::{show, whole};
use crate::schema::EXPERIMENT;
use crate::syntax::{
    Amount, Block, Entry, Expression, ExpressionKind, Operator, Path, Place, Table,
};

/// The most choices of one axis, so that a slip in a range cannot fill the memory.
pub const LONGEST_AXIS: u64 = 100_000;

/// The `let` of a block, by name.
pub(super) fn constants(block: &Block) -> BTreeMap<&str, &Expression> {
    let mut constants = BTreeMap::new();
    for entry in &block.entries {
        if let Entry::Constant { name, value } = entry {
            constants.entry(name.text.as_str()).or_insert(&**value);
        }
    }
    constants
}

/// The formula behind the name of a `let` of the same block.
pub(super) fn constant_of<'block>(
    constants: &BTreeMap<&str, &'block Expression>,
    value: &'block Expression,
) -> &'block Expression {
    match &value.kind {
        ExpressionKind::Path(path) => constants.get(path.text.as_str()).copied().unwrap_or(value),
        _ => value,
    }
}

/// One axis; none where it was reported.
pub(super) fn axis(
    path: &Path,
    value: &Expression,
    (place, room): (Place, &mut u64),
    problems: &mut Vec<Problem>,
) -> Option<Axis> {
    let before = problems.len();
    let choices = match &value.kind {
        ExpressionKind::List(items) => list_choices(path, items.clone(), problems),
        ExpressionKind::Table(table) => {
            problems.extend(named_like_a_field(path, table));
            table_choices(table, problems)
        }
        ExpressionKind::Binary(Operator::Range, at, from, to) => list_choices(
            path,
            range_items((*at, room), from, to, problems)?,
            problems,
        ),
        ExpressionKind::Broken => return None,
        _ => {
            problems.push(not_choices(path, value.place));
            return None;
        }
    };
    if choices.is_empty() && problems.len() == before {
        let title = format!("the axis `{}` has no choices", path.text);
        let problem = Problem::error("pleach::sweep::axis", title, value.place, "nothing in it");
        problems.push(problem.help("name at least one, or remove the axis"));
    }
    (problems.len() == before).then(|| Axis {
        name: path.text.clone(),
        place,
        choices,
    })
}

/// A choice for each item of a list.
fn list_choices(path: &Path, items: Vec<Expression>, problems: &mut Vec<Problem>) -> Vec<Choice> {
    let mut labels: Vec<String> = Vec::with_capacity(items.len());
    let mut first: BTreeMap<String, Place> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        labels.push(label(path, item, index));
        let Some(same) = sameness(item) else {
            continue;
        };
        if let Some(known) = first.get(&same) {
            let title = format!("the axis `{}` has this choice twice", path.text);
            let problem = Problem::error("pleach::sweep::twice", title, item.place, "again");
            problems.push(problem.and(*known, "first here").help("keep one"));
        }
        first.entry(same).or_insert(item.place);
    }
    number_alike(&mut labels);
    let choice = |(label, value): (String, Expression)| Choice {
        label,
        bindings: vec![Binding {
            path: path.clone(),
            value: Arc::new(value),
        }],
    };
    labels.into_iter().zip(items).map(choice).collect()
}

/// Gives labels that are alike a number.
fn number_alike(labels: &mut [String]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for label in labels.iter() {
        *counts.entry(label.clone()).or_default() += 1;
    }
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    for label in labels {
        if counts[label.as_str()] == 1 {
            continue;
        }
        let number = used.entry(label.clone()).or_default();
        let numbered = loop {
            *number += 1;
            let numbered = format!("{label}_{number}");
            if !counts.contains_key(&numbered) {
                break numbered;
            }
        };
        *label = numbered;
    }
}

/// A choice's part of the run's name: names as they are, numbers with what they are.
fn label(path: &Path, value: &Expression, index: usize) -> String {
    let last = path.parts().last().unwrap_or_default();
    let text = match &value.kind {
        ExpressionKind::Path(name) | ExpressionKind::Amend(name, _) => {
            name.parts().last().unwrap_or_default().to_string()
        }
        ExpressionKind::Text(text) => text.clone(),
        ExpressionKind::Amount(amount) => format!("{last}_{}", amount.text),
        ExpressionKind::Truth(truth) => format!("{last}_{truth}"),
        _ => match constant(value) {
            Some(Value::Number(number)) => {
                format!("{last}_{}", show(&number.value).replace(',', ""))
            }
            _ => format!("{last}_{}", index + 1),
        },
    };
    let fair = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-' | '+')
    };
    let clean: String = text
        .chars()
        .map(|character| if fair(character) { character } else { '_' })
        .collect();
    clean.trim_matches('_').to_string()
}

/// A choice for each row of a table.
fn table_choices(table: &Table, problems: &mut Vec<Problem>) -> Vec<Choice> {
    for (index, column) in table.header.iter().enumerate().skip(1) {
        if let Some(first) = table.header[1..index]
            .iter()
            .find(|first| clash((&column.text, true), (&first.text, true)))
        {
            problems.push(set_twice(&column.text, column.place, first.place));
        }
    }
    let mut choices: Vec<Choice> = Vec::with_capacity(table.rows.len());
    let mut names: BTreeMap<&str, Place> = BTreeMap::new();
    for row in &table.rows {
        if let Some(first) = names.insert(&row.name.text, row.name.place) {
            let title = format!("`{}` is already a row of this table", row.name.text);
            let problem = Problem::error("pleach::table::twice", title, row.name.place, "again");
            problems.push(
                problem
                    .and(first, "first here")
                    .help("keep one, or rename it"),
            );
        }
        if row.cells.len() + 1 != table.header.len() {
            let (cells, columns) = (row.cells.len() + 1, table.header.len());
            let title = format!("this row has {cells} values, the table has {columns} columns");
            let label = format!("{cells} values");
            problems.push(Problem::error(
                "pleach::table::width",
                title,
                row.place,
                label,
            ));
            continue;
        }
        let above = choices.last().map_or(&[][..], |above| &above.bindings);
        let bound = |(column, cell): (&Path, &Option<Expression>)| match cell {
            Some(value) => Some(Binding {
                path: column.clone(),
                value: Arc::new(value.clone()),
            }),
            None => above
                .iter()
                .find(|binding| binding.path.text == column.text)
                .cloned(),
        };
        let bindings = table.header[1..].iter().zip(&row.cells).filter_map(bound);
        choices.push(Choice {
            label: row.name.text.clone(),
            bindings: bindings.collect(),
        });
    }
    choices
}

/// The whole numbers of a range, each with the unit of its ends.
fn range_items(
    (at, room): (Place, &mut u64),
    from: &Expression,
    to: &Expression,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Expression>> {
    let place = from.place.to(to.place);
    let (ExpressionKind::Amount(first), ExpressionKind::Amount(last)) = (&from.kind, &to.kind)
    else {
        let title = "the ends of an axis are written as numbers";
        let problem = Problem::error("pleach::sweep::axis", title, place, "computed");
        problems.push(problem.help("write `4..16`, or list the choices: `[4, 8, 16]`"));
        return None;
    };
    let unit = last.unit.clone().or(first.unit.clone());
    let other = first.unit.as_ref().filter(|_| last.unit.is_some());
    let alike = other.is_none_or(|first| Some(&first.text) == unit.as_ref().map(|unit| &unit.text));
    let length = (&last.value - &first.value) + whole(1);
    if !alike || !first.value.is_integer() || !length.is_integer() || length <= whole(0) {
        let title = format!("`{}..{}` is not a rising range", first.text, last.text);
        let problem = Problem::error("pleach::sweep::axis", title, at, "between these");
        problems.push(problem.help("a range goes up by whole numbers of one unit: `4..16`"));
        return None;
    }
    let length = length.to_integer().to_u64().unwrap_or(u64::MAX);
    if length > *room {
        let title = format!("this axis has {} choices", show(&whole(length)));
        let problem = Problem::error("pleach::sweep::axis", title, place, "too many to list");
        let help = format!(
            "an axis has at most {}: list some, `[4, 8, 16]`",
            show(&whole(LONGEST_AXIS))
        );
        take(problem.help(help), problems);
        return None;
    }
    *room -= length;
    let item = |offset: u64| {
        let value = &first.value + whole(offset);
        let amount = Amount {
            text: value.to_integer().to_string(),
            value,
            magnitude: String::new(),
            unit: unit.clone(),
        };
        Expression {
            kind: ExpressionKind::Amount(amount),
            place,
        }
    };
    Some((0..length).map(item).collect())
}

/// An axis without a list of choices.
fn not_choices(path: &Path, place: Place) -> Problem {
    let title = format!(
        "an axis lists its choices, and `{}` has none listed",
        path.text
    );
    let problem = Problem::error("pleach::sweep::axis", title, place, "not a list");
    let name = &path.text;
    problem.help(format!(
        "write `{name} in [a, b]`, `{name} in 4..16` or `{name} in table {{ … }}`"
    ))
}

/// An axis over a table that is called like a field which none of its columns sets.
fn named_like_a_field(path: &Path, table: &Table) -> Option<Problem> {
    let name = &path.text;
    let inside = |column: &Path| {
        let rest = column.text.strip_prefix(name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let field = name.contains('.') || EXPERIMENT.field(name).is_some();
    if !field || table.header.iter().skip(1).any(inside) {
        return None;
    }
    let title = format!("the axis `{name}` does not set `{name}`");
    let problem = Problem::error(
        "pleach::sweep::axis",
        title,
        path.place,
        "only the name of a table",
    );
    Some(problem.help(format!(
        "add a column `{name}`, or give the axis a name of its own: `case in table {{ … }}`"
    )))
}
