//! Lists against the types of their fields: steps, words, and the layers of stages.

use super::{NodeId, Resolver};
use crate::evaluate::{Stop, Value};
use crate::problem::Problem;
use crate::quantity::{Dimension, Quantity};
use crate::schema::{Field, STAGES};
use crate::syntax::{ExpressionKind, Place};

impl Resolver<'_> {
    /// Whole numbers of steps; bare numbers are steps.
    pub(super) fn coerce_steps(
        &mut self,
        id: NodeId,
        field: &'static Field,
        value: Value,
        place: Place,
    ) -> Result<Value, Stop> {
        let Value::List(items) = value else {
            return self.wrong(field, &value, place, "is a list of steps");
        };
        let places = self.item_places(id, place, items.len());
        let steps = items.into_iter().zip(places).map(|(item, at)| {
            let Value::Number(number) = &item else {
                return self.wrong(field, &item, at, "is a list of steps");
            };
            if number.dimension != Dimension::NONE && number.dimension != Dimension::STEPS {
                return self.wrong(field, &item, at, "is a list of steps");
            }
            if number.to_u64().is_none() {
                let shown = item.show();
                let title = format!(
                    "`{}` is a list of whole steps, but this is {shown}",
                    field.name
                );
                let label = format!("this is {shown}");
                self.report(Problem::error("pleach::value::bounds", title, at, label));
                return Err(Stop::Poisoned);
            }
            Ok(Value::Number(Quantity {
                dimension: Dimension::STEPS,
                ..number.clone()
            }))
        });
        let steps: Vec<_> = steps.collect();
        Ok(Value::List(steps.into_iter().collect::<Result<_, _>>()?))
    }

    /// Words of a field; one word is a list of one.
    pub(super) fn coerce_words(
        &mut self,
        id: NodeId,
        field: &'static Field,
        words: &'static [&'static str],
        value: Value,
        place: Place,
    ) -> Result<Value, Stop> {
        let items = match value {
            Value::List(items) => items,
            one => vec![one],
        };
        let places = self.item_places(id, place, items.len());
        let words: Vec<_> = items
            .into_iter()
            .zip(places)
            .map(|(item, at)| self.coerce_word(field, words, item, at))
            .collect();
        Ok(Value::List(words.into_iter().collect::<Result<_, _>>()?))
    }

    /// `even`, `uneven`, or the layers of each stage.
    pub(super) fn coerce_stages(
        &mut self,
        field: &'static Field,
        value: Value,
        place: Place,
    ) -> Result<Value, Stop> {
        let whole = |item: &Value| matches!(item, Value::Number(number) if number.dimension == Dimension::NONE && number.to_u64().is_some_and(|layers| layers > 0));
        match value {
            Value::Word(_) | Value::Text(_) => self.coerce_word(field, STAGES, value, place),
            Value::List(items) if !items.is_empty() && items.iter().all(whole) => {
                Ok(Value::List(items))
            }
            other => self.wrong(
                field,
                &other,
                place,
                "is `even`, `uneven`, or a list of the layers of each stage",
            ),
        }
    }

    /// Where the items of a written list stand; the whole value where it was computed.
    fn item_places(&self, id: NodeId, place: Place, count: usize) -> Vec<Place> {
        if let super::Content::Cell { value, .. } = &self.tree.node(id).content
            && let ExpressionKind::List(items) = &value.kind
            && items.len() == count
        {
            return items.iter().map(|item| item.place).collect();
        }
        vec![place; count]
    }
}
