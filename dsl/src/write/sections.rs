//! Sections and the values in them, in the order of the schema.

use super::literal::{literal, quoted};
use super::{Line, Writer};
use crate::evaluate::Stop;
use crate::resolve::{Content, NodeId};
use crate::schema::{Field, Type};
use crate::syntax::{ExpressionKind, Kind};

impl Writer<'_, '_> {
    /// What stands between the braces of a section.
    pub(super) fn inside(&mut self, id: NodeId) -> Vec<Line> {
        let Some(body) = self.resolver.tree.body(id) else {
            return Vec::new();
        };
        let schema = body.schema;
        let child = |field: &'static Field| Some((field, *body.children.get(field.name)?));
        let fields: Vec<_> = schema.fields.iter().filter_map(child).collect();
        let constants: Vec<NodeId> = body.children.values().copied().collect();
        let mut lines = Vec::new();
        for constant in constants {
            lines.extend(self.constant(constant));
        }
        for (field, child) in fields {
            lines.extend(self.field(id, field, child));
        }
        lines.extend(self.laws(id));
        lines.extend(self.wishes(id));
        lines
    }

    /// `let name = value`; a constant that stands for a part of a model has done its work.
    fn constant(&mut self, id: NodeId) -> Option<Line> {
        let node = self.resolver.tree.node(id);
        if !matches!(node.content, Content::Cell { field: None, .. }) {
            return None;
        }
        let start = format!("let {} =", node.name);
        let value = self.value(id)?;
        Some(self.line(id, format!("{start} {value}")))
    }

    fn line(&self, id: NodeId, text: String) -> Line {
        let path = Some(self.resolver.tree.node(id).path.clone());
        Line { text, path }
    }

    pub(super) fn field(
        &mut self,
        section: NodeId,
        field: &'static Field,
        child: NodeId,
    ) -> Vec<Line> {
        let node = self.resolver.tree.node(child);
        let borrowed = node.parent != Some(section);
        let Some(body) = self.resolver.tree.body(child) else {
            return self.cell(field, child);
        };
        let (schema, kind) = (body.schema, body.kind.clone());
        let name = field.name;
        match field.holds {
            // The data of a first phase stands for the experiment's, and is said there.
            Type::Declared(..) if borrowed => Vec::new(),
            // Machines that nobody named: what is said of them so far.
            Type::Declared(..) if kind.is_empty() => {
                let mut lines = self.inside(child);
                let each = lines.iter_mut();
                each.for_each(|line| line.text = format!("{name}.{}", line.text));
                lines
            }
            Type::Declared(Kind::Model, _) if kind == schema.name => {
                self.section(child, &format!("{name} = {kind} {{"))
            }
            Type::Declared(word, _) => {
                let base = (word == Kind::Model).then_some(schema.name);
                let declared = self.declare(child, word.word(), base, &kind);
                vec![self.line(child, format!("{name} = {declared}"))]
            }
            Type::Variant(_) if borrowed => {
                let outer = self.resolver.tree.node(child).name.clone();
                vec![Line::plain(format!("{name} = {outer}"))]
            }
            Type::Variant(_) => match self.inside(child) {
                inside if inside.is_empty() => {
                    vec![self.line(child, format!("{name} = {}", schema.name))]
                }
                inside => self.braced(child, &format!("{name} = {} {{", schema.name), inside),
            },
            Type::Stack(_) => self.stack(child, name),
            Type::Rows(columns) => self.phases(child, name, columns),
            _ => match self.inside(child) {
                inside if inside.is_empty() => Vec::new(),
                inside => self.braced(child, &format!("{name} {{"), inside),
            },
        }
    }

    /// A section with its braces.
    pub(super) fn section(&mut self, id: NodeId, start: &str) -> Vec<Line> {
        let inside = self.inside(id);
        self.braced(id, start, inside)
    }

    fn braced(&self, id: NodeId, start: &str, inside: Vec<Line>) -> Vec<Line> {
        let mut lines = vec![self.line(id, start.to_string())];
        lines.extend(inside);
        lines.push(Line::plain("}"));
        lines
    }

    fn cell(&mut self, field: &'static Field, id: NodeId) -> Vec<Line> {
        let Content::Cell { value, domain, .. } = &self.resolver.tree.node(id).content else {
            return Vec::new();
        };
        let (value, domain) = (value.clone(), *domain);
        if let ExpressionKind::Table(table) = &value.kind {
            return self.table(id, field, table);
        }
        let sign = if domain { "in" } else { "=" };
        match self.value(id) {
            Some(text) => vec![self.line(id, format!("{} {sign} {text}", field.name))],
            None => Vec::new(),
        }
    }

    /// The value of a cell, or its formula where it waits for the planner.
    fn value(&mut self, id: NodeId) -> Option<String> {
        match self.resolver.value(id) {
            Ok(value) => literal(&value),
            Err(Stop::Open(_)) => Some(self.resolver.formula_text(id).to_string()),
            Err(Stop::Poisoned) => None,
        }
    }

    /// `require … because …`
    fn laws(&mut self, section: NodeId) -> Vec<Line> {
        let laws = self.resolver.laws.iter();
        let laws = laws.filter(|law| law.section == section);
        laws.map(|law| {
            let condition = self.resolver.sources.text(law.condition.place);
            let reason = law.because.as_deref();
            let reason = reason.map_or(String::new(), |text| format!(" because {}", quoted(text)));
            Line::plain(format!("require {condition}{reason}"))
        })
        .collect()
    }

    /// `minimize … within … then …`
    fn wishes(&mut self, section: NodeId) -> Option<Line> {
        let (at, goals) = self.resolver.goals.as_ref()?;
        if *at != section {
            return None;
        }
        let text = |place| self.resolver.sources.text(place);
        let goals = goals.iter().map(|goal| {
            let word = if goal.maximize {
                "maximize"
            } else {
                "minimize"
            };
            let within = goal.within.as_ref();
            let within = within.map_or(String::new(), |within| {
                format!(" within {}", text(within.place))
            });
            format!("{word} {}{within}", text(goal.metric.place))
        });
        let goals: Vec<String> = goals.collect();
        Some(Line::plain(goals.join(" then ")))
    }
}
