//! The layers of a model: `stack = 4 * [layer(scan, dense), layer(attend, dense)]` becomes one section for each layer that is written, and a pattern
//! that says in which order and how often they come.
//!
//! This happens when everything has been laid over one another, so that `layer(attention, mlp)` means the `mlp` that won. A part is a kind
//! (`attention`), a kind with changes, a `let` that holds one, or a section further out (`mlp`), which is then the same section and not a copy.

use std::sync::Arc;

use num_traits::ToPrimitive;

use super::cells::Standing;
use super::elaborate::LONGEST_CHAIN;
use super::{Content, NodeId, Resolver};
use crate::evaluate::{Stop, Value};
use crate::origin::Layer;
use crate::problem::Problem;
use crate::schema::{Field, Section, Type};
use crate::syntax::{Block, Expression, ExpressionKind, Name, Operator, Place};

/// How many layers a model may have.
const MOST_LAYERS: usize = 10_000;

/// The order of layers, as it was written.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// One layer.
    Layer(NodeId),
    /// One after another.
    Sequence(Vec<Pattern>),
    /// So many times.
    Repeat(Arc<Expression>, Box<Pattern>),
}

/// A section whose children are layers.
pub static STACK: Section = Section {
    name: "stack",
    doc: "The layers of a model.",
    fields: &[],
    later: &[],
};

/// What is known while a stack is read.
struct Reading {
    model: NodeId,
    stack: NodeId,
    schema: &'static Section,
    layer: Layer,
    written: usize,
}

impl Resolver<'_> {
    /// Reads the stack of a model, where it has one that is not read yet.
    pub(super) fn build_stack(&mut self, model: NodeId) {
        let Some(body) = self.tree.body(model) else {
            return;
        };
        let held = body
            .schema
            .fields
            .iter()
            .find_map(|field| match field.holds {
                Type::Stack(layer) => Some((field.name, layer)),
                _ => None,
            });
        let Some((name, schema)) = held else { return };
        let Some(cell) = self.tree.child(model, name) else {
            return;
        };
        let node = self.tree.node(cell);
        let Content::Cell { value, .. } = &node.content else {
            return;
        };
        if matches!(value.kind, ExpressionKind::Broken) {
            return;
        }
        let (value, at) = (value.clone(), (node.layer, node.place));
        let stack = self.section_node(Some(model), name, &STACK, name, at);
        self.tree.attach(model, stack);
        let mut reading = Reading {
            model,
            stack,
            schema,
            layer: at.0,
            written: 0,
        };
        match self.pattern(&mut reading, &value, 0) {
            Some(pattern) => {
                if let Some(body) = self.tree.body_mut(stack) {
                    body.pattern = Some(pattern);
                }
            }
            None => self.poison(model, name, at),
        }
    }

    /// The layers of a stack in order, as nodes; none where something in it was reported.
    pub fn layers(&mut self, stack: NodeId) -> Option<Vec<NodeId>> {
        let pattern = self.tree.body(stack)?.pattern.clone()?;
        let model = self.tree.node(stack).parent?;
        let mut order = Vec::new();
        self.expand(&pattern, model, &mut order)?;
        Some(order)
    }

    fn expand(&mut self, pattern: &Pattern, model: NodeId, order: &mut Vec<NodeId>) -> Option<()> {
        match pattern {
            Pattern::Layer(node) => order.push(*node),
            Pattern::Sequence(parts) => {
                for part in parts {
                    self.expand(part, model, order)?;
                }
            }
            Pattern::Repeat(times, inner) => {
                let count = self.repeats(times, model)?;
                let start = order.len();
                self.expand(inner, model, order)?;
                let once = order[start..].to_vec();
                if start + once.len().saturating_mul(count) > MOST_LAYERS {
                    self.report(too_many(times.place));
                    return None;
                }
                (1..count).for_each(|_| order.extend(&once));
            }
        }
        Some(())
    }

    /// How often a part of the stack is repeated.
    pub fn repeats(&mut self, times: &Arc<Expression>, model: NodeId) -> Option<usize> {
        let standing = Standing {
            section: model,
            itself: None,
        };
        let count = match self.evaluate_at(times, standing).ok()? {
            Value::Number(number) if number.value.is_integer() => {
                number.value.to_integer().to_usize()
            }
            _ => None,
        };
        if count.is_none_or(|count| count == 0) {
            self.report(not_a_count(times.place));
            return None;
        }
        count
    }

    /// Reads one part of a stack.
    fn pattern(
        &mut self,
        reading: &mut Reading,
        value: &Expression,
        depth: usize,
    ) -> Option<Pattern> {
        let behind = self.behind_constants(reading.model, value);
        let value = behind.as_deref().unwrap_or(value);
        if depth > LONGEST_CHAIN {
            self.report(not_a_layer(value.place, true));
            return None;
        }
        match &value.kind {
            ExpressionKind::List(items) => {
                let parts: Vec<_> = items
                    .iter()
                    .map(|item| self.pattern(reading, item, depth + 1))
                    .collect();
                Some(Pattern::Sequence(parts.into_iter().collect::<Option<_>>()?))
            }
            ExpressionKind::Binary(Operator::Multiply, _, left, right) => {
                let (times, inner) = if self.is_layers(reading.model, right) {
                    (left, right)
                } else {
                    (right, left)
                };
                let inner = self.pattern(reading, inner, depth + 1)?;
                Some(Pattern::Repeat(
                    Arc::new((**times).clone()),
                    Box::new(inner),
                ))
            }
            ExpressionKind::Binary(Operator::Add, _, left, right) => {
                let first = self.pattern(reading, left, depth + 1);
                let second = self.pattern(reading, right, depth + 1);
                Some(Pattern::Sequence(vec![first?, second?]))
            }
            ExpressionKind::Call(name, arguments) if name.text == reading.schema.name => {
                self.called_layer(reading, name, arguments, value.place)
            }
            ExpressionKind::Amend(path, block) if path.text == reading.schema.name => {
                Some(self.written_layer(reading, block, value.place))
            }
            ExpressionKind::Broken => None,
            _ => {
                self.report(not_a_layer(value.place, depth > 0));
                None
            }
        }
    }

    /// Whether an expression is a list of layers or a layer, rather than a count.
    fn is_layers(&self, model: NodeId, value: &Expression) -> bool {
        let behind = self.behind_constants(model, value);
        match &behind.as_deref().unwrap_or(value).kind {
            ExpressionKind::List(_) | ExpressionKind::Amend(..) => true,
            ExpressionKind::Call(name, _) => name.text == "layer",
            ExpressionKind::Binary(_, _, left, right) => {
                self.is_layers(model, left) || self.is_layers(model, right)
            }
            _ => false,
        }
    }

    /// A new section for a layer.
    fn new_layer(&mut self, reading: &mut Reading, place: Place) -> NodeId {
        let (name, schema) = (reading.written.to_string(), reading.schema);
        reading.written += 1;
        let at = (reading.layer, place);
        let node = self.section_node(Some(reading.stack), &name, schema, schema.name, at);
        self.tree.attach(reading.stack, node);
        node
    }

    /// `layer { mixer = …, mlp = … }`.
    fn written_layer(&mut self, reading: &mut Reading, block: &Block, place: Place) -> Pattern {
        let node = self.new_layer(reading, place);
        self.apply_block(node, block, reading.layer);
        Pattern::Layer(node)
    }

    /// `layer(mixer, mlp)`.
    fn called_layer(
        &mut self,
        reading: &mut Reading,
        name: &Name,
        arguments: &[Expression],
        place: Place,
    ) -> Option<Pattern> {
        let parts: Vec<&'static Field> = reading.schema.fields.iter().take(2).collect();
        if arguments.is_empty() || arguments.len() > parts.len() {
            self.report(wrong_parts(arguments.len(), name.place));
            return None;
        }
        let node = self.new_layer(reading, place);
        for (field, argument) in parts.into_iter().zip(arguments) {
            let at = (reading.layer, argument.place);
            self.set_field(node, field, &Arc::new(argument.clone()), at, false);
        }
        Some(Pattern::Layer(node))
    }

    /// The section further out that a name means, where one of these kinds is wanted: `mlp` in `layer(attention, mlp)`.
    pub(super) fn section_further_out(
        &self,
        from: NodeId,
        name: &str,
        kinds: &[&'static Section],
    ) -> Option<NodeId> {
        let mut section = self.tree.node(from).parent;
        while let Some(at) = section {
            let found = self.tree.child(at, name).filter(|child| {
                self.tree
                    .body(*child)
                    .is_some_and(|body| kinds.iter().any(|kind| std::ptr::eq(*kind, body.schema)))
            });
            if found.is_some() {
                return found;
            }
            section = self.tree.node(at).parent;
        }
        None
    }

    /// The layers as a list of words, for `count(stack)`.
    pub(super) fn layers_as_value(&mut self, stack: NodeId) -> Result<Value, Stop> {
        let order = self.layers(stack).ok_or(Stop::Poisoned)?;
        Ok(Value::List(vec![
            Value::Word("layer".to_string());
            order.len()
        ]))
    }
}

/// Whether an expression describes parts of a model rather than a value.
pub fn is_structure(value: &Expression) -> bool {
    match &value.kind {
        ExpressionKind::Table(_) | ExpressionKind::Amend(..) => true,
        ExpressionKind::Call(name, _) => name.text == "layer",
        ExpressionKind::List(items) => items.iter().any(is_structure),
        ExpressionKind::Binary(_, _, left, right) => is_structure(left) || is_structure(right),
        _ => false,
    }
}

fn not_a_layer(place: Place, listed: bool) -> Problem {
    let title = "a stack is a list of layers, and this is none";
    let layer = if listed {
        "layer(attention, gelu)"
    } else {
        "24 * [layer(attention, gelu)]"
    };
    Problem::error("pleach::stack::layer", title, place, "not a layer").help(format!(
        "write `{layer}`: a mixer, and the part that works on each position alone"
    ))
}

fn wrong_parts(count: usize, place: Place) -> Problem {
    let title = format!("a layer has a mixer and a feed-forward half, and here are {count} parts");
    Problem::error("pleach::stack::parts", title, place, "one or two parts").help(
        "write `layer(attention, gelu)`, or `layer { mixer = …, mlp = …, residual = … }` for more",
    )
}

fn not_a_count(place: Place) -> Problem {
    let title = "layers are repeated a whole number of times";
    Problem::error("pleach::stack::count", title, place, "how often?").help("write `24 * [ … ]`")
}

fn too_many(place: Place) -> Problem {
    let title = format!("a model has at most {MOST_LAYERS} layers");
    Problem::error("pleach::stack::count", title, place, "repeated too often")
        .help("repeat them less often")
}
