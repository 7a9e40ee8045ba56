//! What can be wrong with values that are each right alone, and needs no planner to see. One rule a file: the rule and its message.
//!
//! A rule asks for [`Known`] values; where one of them was reported already, or is left to the planner, it stays silent.

mod amount;
mod batch;
mod blocks;
mod data;
mod evaluation;
mod experts;
mod forms;
mod heads;
mod independence;
mod lanes;
mod length;
mod machines;
pub mod phases;
mod pipeline;
mod positions;
mod price;
mod ranks;
mod rates;
mod rotary;
mod scale;
mod schedule;
mod stack;
mod stages;
mod support;
mod table;
mod vocabulary;

use num_rational::BigRational;
use num_traits::ToPrimitive;

use crate::evaluate::Value;
use crate::origin::Layer;
use crate::resolve::{Content, NodeId, Resolver};
use crate::syntax::{ExpressionKind, Place};

/// A value that is settled, and the entry that set it.
#[derive(Clone, Debug)]
pub struct Known {
    /// The value in base units.
    pub value: Value,
    /// The entry.
    pub place: Place,
    /// Its layer.
    pub layer: Layer,
}

impl Known {
    /// The number.
    pub fn number(&self) -> Option<&BigRational> {
        match &self.value {
            Value::Number(quantity) => Some(&quantity.value),
            _ => None,
        }
    }

    /// The number, where it is whole and fits.
    pub fn count(&self) -> Option<u64> {
        self.number()
            .filter(|value| value.is_integer())?
            .to_integer()
            .to_u64()
    }

    /// The word or string.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Word(text) | Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Resolver<'_> {
    /// A settled value by its dotted path, of a section its kind; none where it is poisoned, open or not set.
    pub fn known(&mut self, path: &str) -> Option<Known> {
        let id = self.tree.find(path)?;
        let node = self.tree.node(id);
        let (place, layer) = (node.place, node.layer);
        let value = match &node.content {
            Content::Cell { domain: true, .. } => return None,
            Content::Cell { .. } => self.value(id).ok()?,
            Content::Section(body) => Value::Word(body.kind.clone()),
        };
        Some(Known {
            value,
            place,
            layer,
        })
    }

    /// The same, seen where it was set: a default that only takes over the value of a section further out is followed there.
    pub fn source(&mut self, path: &str) -> Option<Known> {
        let id = self.source_id(path)?;
        let value = self.value(id).ok()?;
        let node = self.tree.node(id);
        Some(Known {
            value,
            place: node.place,
            layer: node.layer,
        })
    }

    /// The node of [`Resolver::source`].
    pub fn source_id(&self, path: &str) -> Option<NodeId> {
        let mut id = self.tree.find(path)?;
        loop {
            let node = self.tree.node(id);
            let (Layer::Default, Content::Cell { value, .. }) = (node.layer, &node.content) else {
                return Some(id);
            };
            let ExpressionKind::Path(path) = &value.kind else {
                return Some(id);
            };
            let mut section = node.parent;
            let mut found = None;
            while let (Some(at), None) = (section, found) {
                found = self.tree.child(at, &path.text).filter(|other| *other != id);
                section = self.tree.node(at).parent;
            }
            match found {
                Some(further) => id = further,
                None => return Some(id),
            }
        }
    }

    /// Paths of the mixers of one kind, one for each layer that is written.
    pub fn mixers(&self, kind: &str) -> Vec<String> {
        self.parts("mixer", kind)
    }

    /// Paths of the parts of one kind, one for each layer that is written.
    pub fn parts(&self, part: &str, kind: &str) -> Vec<String> {
        let stack = self
            .tree
            .find("model.stack")
            .and_then(|id| self.tree.body(id));
        let layers = stack.map(|body| body.children.keys()).into_iter().flatten();
        layers
            .map(|layer| format!("model.stack.{layer}.{part}"))
            .filter(|path| self.kind(path).as_deref() == Some(kind))
            .collect()
    }

    /// The kind of a section: `cosine`.
    pub fn kind(&self, path: &str) -> Option<String> {
        let body = self.tree.body(self.tree.find(path)?)?;
        Some(body.kind.clone())
    }
}

/// Runs every rule.
pub fn check(resolver: &mut Resolver) {
    stack::check(resolver);
    rotary::check(resolver);
    positions::check(resolver);
    machines::check(resolver);
    price::check(resolver);
    let before = resolver.problems.len();
    heads::check(resolver);
    stages::check(resolver);
    if resolver.problems.len() == before {
        // With a wrong `tp` or `pp`, ranks and batch would only repeat the mistake.
        ranks::check(resolver);
        experts::check(resolver);
        batch::check(resolver);
        lanes::check(resolver);
    }
    blocks::check(resolver);
    pipeline::check(resolver);
    length::check(resolver);
    evaluation::check(resolver);
    phases::check(resolver);
    schedule::check(resolver);
    scale::check(resolver);
    rates::check(resolver);
    data::check(resolver);
    amount::check(resolver);
    vocabulary::check(resolver);
    support::check(resolver);
    table::check(resolver);
    independence::check(resolver);
}

/// The divisors of a number, ascending.
fn divisors(number: u64) -> Vec<u64> {
    let mut small: Vec<u64> = (1..)
        .take_while(|divisor: &u64| divisor.saturating_mul(*divisor) <= number)
        .filter(|divisor| number.is_multiple_of(*divisor))
        .collect();
    let large: Vec<u64> = small
        .iter()
        .rev()
        .map(|divisor| number / divisor)
        .filter(|other| !small.contains(other))
        .collect();
    small.extend(large);
    small
}

/// A list for a sentence: `1, 2, 4 or 8`.
fn either(values: &[u64]) -> String {
    match values.split_last() {
        None => String::new(),
        Some((last, [])) => last.to_string(),
        Some((last, rest)) => format!(
            "{} or {last}",
            rest.iter()
                .map(u64::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors_are_all_of_them() {
        assert_eq!(divisors(44), [1, 2, 4, 11, 22, 44]);
        assert_eq!(divisors(36), [1, 2, 3, 4, 6, 9, 12, 18, 36]);
        assert_eq!(either(&[1, 2, 4, 8]), "1, 2, 4 or 8");
    }
}
