//! Values against the types of their fields: dimensions, wholeness, bounds, words. The title says what the field counts and what it got.

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::defaults::example;
use super::{NodeId, Resolver, meant_by_neighbour};
use crate::evaluate::{Stop, Value};
use crate::names::nearest;
use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::{Dimension, Quantity, show, show_quantity, whole};
use crate::schema::{Field, SIZES, Type};
use crate::syntax::{ExpressionKind, Place};

/// Tokens per step.
const BATCH: Dimension = Dimension::TOKENS.over(Dimension::STEPS);

impl Resolver<'_> {
    /// The value as its field holds it. `place` is the value's, `entry` the whole entry's.
    pub(super) fn coerce(
        &mut self,
        id: NodeId,
        field: &'static Field,
        value: Value,
        place: Place,
        entry: Place,
    ) -> Result<Value, Stop> {
        if matches!((field.or_word, &value), (Some(known), Value::Word(word)) if known == word) {
            return Ok(value);
        }
        if value == Value::Auto {
            return self.coerce_auto(id, field, place);
        }
        match field.holds {
            Type::Text => self.coerce_text(field, value, place),
            Type::Texts => self.coerce_texts(field, value, place),
            Type::StepList => self.coerce_steps(id, field, value, place),
            Type::WordList(words) => self.coerce_words(id, field, words, value, place),
            Type::Stages => self.coerce_stages(field, value, place),
            Type::Truth => match value {
                Value::Truth(_) => Ok(value),
                other => self.wrong(field, &other, place, "is true or false"),
            },
            Type::Words(words) => self.coerce_word(field, words, value, place),
            Type::Numbers => self.coerce_numbers(field, value, place),
            Type::Section(_)
            | Type::Variant(_)
            | Type::Declared(..)
            | Type::Table(_)
            | Type::Rows(_)
            | Type::Stack(_) => {
                let wanted = match field.holds {
                    Type::Table(_) | Type::Rows(_) => "is a table",
                    Type::Stack(_) => "is a list of layers",
                    _ => "is a section",
                };
                self.wrong(field, &value, place, wanted)
            }
            _ => match value {
                Value::Number(quantity) => self.coerce_number(id, field, quantity, place, entry),
                other => self.wrong(field, &other, place, counts(field)),
            },
        }
    }

    /// `auto`, which only what is open may be.
    fn coerce_auto(
        &mut self,
        id: NodeId,
        field: &'static Field,
        place: Place,
    ) -> Result<Value, Stop> {
        if field.open {
            return Err(Stop::Open(self.tree.node(id).name.clone()));
        }
        let title = format!("`{}` cannot be left to the planner", field.name);
        let problem = Problem::error(
            "pleach::choice::closed",
            title,
            place,
            "`auto` leaves it open",
        );
        let help = if SIZES.contains(&self.tree.node(id).path.as_str()) {
            format!("say among how many: `{} in 4..16`", field.name)
        } else {
            format!("write `{} = {}`", field.name, example(field))
        };
        self.report(problem.help(help));
        Err(Stop::Poisoned)
    }

    fn coerce_text(
        &mut self,
        field: &'static Field,
        value: Value,
        place: Place,
    ) -> Result<Value, Stop> {
        match value {
            Value::Text(_) => Ok(value),
            Value::Word(word) => Ok(Value::Text(word)),
            other => self.wrong(field, &other, place, "is a string"),
        }
    }

    fn coerce_texts(
        &mut self,
        field: &'static Field,
        value: Value,
        place: Place,
    ) -> Result<Value, Stop> {
        match value {
            Value::Text(_) => Ok(Value::List(vec![value])),
            Value::List(items) if items.iter().all(|item| matches!(item, Value::Text(_))) => {
                Ok(Value::List(items))
            }
            other => self.wrong(field, &other, place, "is a list of strings"),
        }
    }

    pub(super) fn coerce_word(
        &mut self,
        field: &'static Field,
        words: &'static [&'static str],
        value: Value,
        place: Place,
    ) -> Result<Value, Stop> {
        let word = match value {
            Value::Word(word) | Value::Text(word) => word,
            other => {
                return self.wrong(
                    field,
                    &other,
                    place,
                    &format!("is one of {}", words.join(", ")),
                );
            }
        };
        if words.contains(&word.as_str()) {
            return Ok(Value::Word(word));
        }
        let title = format!("`{}` cannot be `{word}`", field.name);
        let problem = Problem::error(
            "pleach::word::unknown",
            title,
            place,
            "not one of its words",
        );
        if let Some(help) = meant_by_neighbour(&word, words) {
            self.report(problem.help(help));
            return Err(Stop::Poisoned);
        }
        self.report(problem.help(match nearest(&word, words.iter().copied()) {
            Some(found) => format!("did you mean `{found}`?"),
            None => format!("it is one of {}", words.join(", ")),
        }));
        Err(Stop::Poisoned)
    }

    fn coerce_numbers(
        &mut self,
        field: &'static Field,
        value: Value,
        place: Place,
    ) -> Result<Value, Stop> {
        let plain = |item: &Value| matches!(item, Value::Number(number) if number.dimension == Dimension::NONE && !number.value.is_negative());
        match value {
            Value::List(items) if items.iter().all(plain) => Ok(Value::List(items)),
            other => self.wrong(field, &other, place, "is a list of plain numbers"),
        }
    }

    fn coerce_number(
        &mut self,
        id: NodeId,
        field: &'static Field,
        quantity: Quantity,
        place: Place,
        entry: Place,
    ) -> Result<Value, Stop> {
        let wanted = dimension_of(field);
        let quantity = self.with_dimension(id, field, quantity, wanted, place)?;
        let value = &quantity.value;
        let complaint = match field.holds {
            Type::Count(least) if *value < BigRational::from_integer(least.into()) => {
                Some(format!("is at least {least}"))
            }
            Type::Fraction if value.is_negative() || *value > BigRational::one() => {
                Some("is between 0% and 100%".to_string())
            }
            Type::Plain | Type::StepsRoundedUp if value.is_negative() => {
                Some("is not negative".to_string())
            }
            Type::Whole(_) | Type::Number(_) | Type::Batch | Type::MicroBatch | Type::Length
                if !value.is_positive() =>
            {
                Some("is more than 0".to_string())
            }
            Type::Count(_) | Type::Whole(_) | Type::StepsRoundedUp | Type::MicroBatch
                if *value > largest() =>
            {
                Some("is less than 2^53".to_string())
            }
            _ => None,
        };
        if let Some(complaint) = complaint {
            let shown = match field.holds {
                Type::Fraction => format!("{}%", show(&(value * whole(100)))),
                _ => show_quantity(&quantity),
            };
            let title = format!("`{}` {complaint}, but this is {shown}", field.name);
            self.report(Problem::error(
                "pleach::value::bounds",
                title,
                place,
                format!("this is {shown}"),
            ));
            return Err(Stop::Poisoned);
        }
        match field.holds {
            Type::Count(_) | Type::Whole(_) | Type::MicroBatch if !value.is_integer() => {
                self.not_whole(id, field, &quantity, place, entry)
            }
            Type::StepsRoundedUp => Ok(Value::Number(Quantity {
                value: value.ceil(),
                ..quantity
            })),
            _ => Ok(Value::Number(quantity)),
        }
    }

    /// A number that has to be whole; of a default the check that knows both halves speaks.
    fn not_whole(
        &mut self,
        id: NodeId,
        field: &Field,
        quantity: &Quantity,
        place: Place,
        entry: Place,
    ) -> Result<Value, Stop> {
        if self.tree.node(id).layer == Layer::Default {
            return Err(Stop::Poisoned);
        }
        let (below, above) = (quantity.value.floor(), quantity.value.ceil());
        let counted = if matches!(field.holds, Type::MicroBatch) {
            " sequences"
        } else {
            ""
        };
        let title = format!(
            "`{}` comes out as {}{counted}, which is not whole",
            field.name,
            show(&quantity.value)
        );
        let label = format!("= {}{counted}", show_quantity(quantity));
        let problem = Problem::error("pleach::value::whole", title, place, label);
        let near = if below.is_zero() {
            show(&above)
        } else {
            format!("{} and {}", show(&below), show(&above))
        };
        let rounds = counted.is_empty() && self.literal(id, place).is_none() && place != entry;
        let advice = if rounds {
            "; `ceil(…)` or `floor(…)` rounds"
        } else {
            ""
        };
        self.report(problem.help(format!("the nearest whole values are {near}{advice}")));
        Err(Stop::Poisoned)
    }

    /// The quantity in the field's dimension: as it is, or through what a batch or a micro-batch counts.
    fn with_dimension(
        &mut self,
        id: NodeId,
        field: &'static Field,
        quantity: Quantity,
        wanted: Dimension,
        place: Place,
    ) -> Result<Quantity, Stop> {
        if quantity.dimension == wanted {
            return Ok(quantity);
        }
        let tokens = quantity.dimension == Dimension::TOKENS;
        let bare =
            quantity.dimension == Dimension::NONE && self.tree.node(id).layer == Layer::CommandLine;
        let section = self.tree.node(id).parent.unwrap_or(0);
        match field.holds {
            Type::Length if quantity.dimension == Dimension::STEPS => {
                let batch = self.tree.child(section, "global_batch");
                match self.settled(batch.ok_or(Stop::Poisoned)?)? {
                    Value::Number(batch) => Ok(Quantity {
                        value: quantity.value * batch.value,
                        dimension: wanted,
                        ..quantity
                    }),
                    _ => Err(Stop::Poisoned),
                }
            }
            Type::Batch if tokens => Ok(Quantity {
                dimension: BATCH,
                ..quantity
            }),
            Type::Batch if bare => {
                let length = self.sequence(section)?;
                Ok(Quantity {
                    value: quantity.value * length.value,
                    dimension: BATCH,
                    ..quantity
                })
            }
            Type::MicroBatch if tokens => {
                let length = self.sequence(section)?;
                Ok(Quantity {
                    value: quantity.value / length.value,
                    dimension: Dimension::NONE,
                    ..quantity
                })
            }
            Type::Whole(Dimension::TOKENS | Dimension::STEPS)
            | Type::Number(Dimension::TOKENS)
            | Type::StepsRoundedUp
                if bare =>
            {
                Ok(Quantity {
                    dimension: wanted,
                    ..quantity
                })
            }
            _ => {
                let problem = self.wrong_dimension(id, field, &quantity, wanted, place);
                self.report(problem);
                Err(Stop::Poisoned)
            }
        }
    }

    /// A forgotten unit, `B` taken for bytes, or simply another dimension.
    fn wrong_dimension(
        &self,
        id: NodeId,
        field: &'static Field,
        quantity: &Quantity,
        wanted: Dimension,
        place: Place,
    ) -> Problem {
        let name = field.name;
        let literal = self.literal(id, place);
        let is = quantity.dimension.in_words();
        if let Some((text, "B")) = literal
            .as_ref()
            .map(|(text, magnitude)| (text, magnitude.as_str()))
            && wanted == Dimension::BYTES
        {
            let digits = text.trim_end_matches('B');
            let title = format!("{text} is {digits} billion, not bytes");
            let problem = Problem::error(
                "pleach::unit::billion",
                title,
                place,
                format!("`{name}` is bytes"),
            );
            return problem.help(format!("write `{digits} GB` or `{digits} GiB` (7% apart)"));
        }
        if quantity.dimension == Dimension::NONE {
            let title = format!("`{name}` needs a unit");
            let label = literal
                .as_ref()
                .map_or("a plain number".to_string(), |(text, _)| {
                    format!("{text} of what?")
                });
            let problem = Problem::error("pleach::unit::missing", title, place, label);
            return match literal {
                Some((text, _)) => problem.help(format!("write `{}`", with_unit(field, &text))),
                None => problem.help(format!(
                    "`{name}` {}, for instance `{}`",
                    counts(field),
                    example(field)
                )),
            };
        }
        let title = format!("`{name}` {}, but this is {is}", counts(field));
        let label = format!("this is {}", short_words(quantity.dimension));
        let problem = Problem::error("pleach::dimension::wrong", title, place, label);
        problem.help(match field.holds {
            Type::Batch => "write `1536 sequences`, or in tokens `3Mi tokens`".to_string(),
            _ => format!("write for instance `{}`", example(field)),
        })
    }

    /// The digits and magnitude at a place, where a bare literal stands there.
    fn literal(&self, id: NodeId, place: Place) -> Option<(String, String)> {
        let super::Content::Cell { value, .. } = &self.tree.node(id).content else {
            return None;
        };
        let amount = |kind: &ExpressionKind| match kind {
            ExpressionKind::Amount(amount) => Some((amount.text.clone(), amount.magnitude.clone())),
            _ => None,
        };
        match &value.kind {
            ExpressionKind::List(items) => items
                .iter()
                .find(|item| item.place == place)
                .and_then(|item| amount(&item.kind)),
            kind => amount(kind),
        }
    }

    /// A value of another kind altogether.
    pub(super) fn wrong(
        &mut self,
        field: &'static Field,
        value: &Value,
        place: Place,
        wanted: &str,
    ) -> Result<Value, Stop> {
        let title = format!(
            "`{}` {wanted}, but this is {}",
            field.name,
            value.in_words()
        );
        let problem = Problem::error(
            "pleach::value::kind",
            title,
            place,
            format!("this is {}", value.in_words()),
        );
        self.report(problem.help(format!("write for instance `{}`", example(field))));
        Err(Stop::Poisoned)
    }
}

/// The largest whole number that stays exact in every program that reads it.
fn largest() -> BigRational {
    whole((1 << 53) - 1)
}

/// The dimension a field's number has.
fn dimension_of(field: &Field) -> Dimension {
    match field.holds {
        Type::Whole(dimension) | Type::Number(dimension) => dimension,
        Type::StepsRoundedUp => Dimension::STEPS,
        Type::Length => Dimension::TOKENS,
        Type::Batch => BATCH,
        _ => Dimension::NONE,
    }
}

/// What a field counts, as the middle of a sentence.
fn counts(field: &Field) -> &'static str {
    match field.holds {
        Type::Batch => "counts tokens or sequences",
        Type::MicroBatch => "counts sequences",
        Type::Length => "counts tokens or steps",
        Type::Count(_) => "is a whole number",
        Type::Fraction => "is a share between 0% and 100%",
        _ => match dimension_of(field) {
            Dimension::TOKENS => "counts tokens",
            Dimension::STEPS => "counts steps",
            Dimension::BYTES => "is an amount of memory",
            Dimension::NONE => "is a plain number",
            dimension if dimension == Dimension::BYTES.over(Dimension::SECONDS) => "is a bandwidth",
            dimension if dimension == Dimension::FLOP.over(Dimension::SECONDS) => {
                "is a computing speed"
            }
            dimension if dimension == Dimension::USD.over(Dimension::SECONDS) => {
                "is a price per time"
            }
            _ => "has another dimension",
        },
    }
}

/// A literal with the unit its field wants.
pub(super) fn with_unit(field: &Field, text: &str) -> String {
    let example = example(field);
    match example.split_once(' ').map(|(_, unit)| unit) {
        Some(unit) if unit.starts_with(|first: char| first.is_ascii_alphabetic()) => {
            format!("{text} {unit}")
        }
        _ => text.to_string(),
    }
}

/// A dimension in as few words as a label has room for.
fn short_words(dimension: Dimension) -> String {
    match dimension {
        Dimension::NONE => "a plain number".to_string(),
        Dimension::BYTES => "bytes".to_string(),
        Dimension::TOKENS => "tokens".to_string(),
        Dimension::STEPS => "steps".to_string(),
        Dimension::SECONDS => "a time".to_string(),
        other => other.in_words(),
    }
}
