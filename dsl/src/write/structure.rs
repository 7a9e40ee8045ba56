//! What is written over several lines in brackets of its own: tables, phases, and the layers of a model.

use super::literal::{literal, quoted};
use super::{Line, Writer, identifier};
use crate::evaluate::Value;
use crate::resolve::{NodeId, Pattern};
use crate::schema::{Field, Section};
use crate::syntax::{KEYWORDS, Table};

impl Writer<'_, '_> {
    /// A table of values; a dash stays, since it keeps a value and not a formula.
    pub(super) fn table(&mut self, id: NodeId, field: &'static Field, table: &Table) -> Vec<Line> {
        let path = self.resolver.tree.node(id).path.clone();
        let header: Vec<&str> = table.header.iter().map(|name| name.text.as_str()).collect();
        let mut lines = vec![
            Line {
                text: format!("{} = table {{", field.name),
                path: Some(path.clone()),
            },
            Line::plain(header.join(" | ")),
        ];
        for row in &table.rows {
            let mut cells = vec![row_name(&row.name.text)];
            for cell in &row.cells {
                let value = cell
                    .as_ref()
                    .map(|cell| self.resolver.table_value(id, cell));
                cells.push(match value {
                    None => "-".to_string(),
                    Some(value) => value.and_then(|value| literal(&value)).unwrap_or_default(),
                });
            }
            lines.push(Line {
                text: cells.join(" | "),
                path: Some(format!("{path}.{}", row.name.text)),
            });
        }
        lines.push(Line::plain("}"));
        lines
    }

    /// The phases of a run: every column that one of them fills.
    pub(super) fn phases(
        &mut self,
        id: NodeId,
        name: &str,
        columns: &'static Section,
    ) -> Vec<Line> {
        let rows = self.resolver.phases().unwrap_or_default();
        let tree = &self.resolver.tree;
        let filled = |field: &&Field| {
            rows.iter()
                .any(|row| tree.child(*row, field.name).is_some())
        };
        let columns: Vec<&'static Field> = columns
            .fields
            .iter()
            .filter(|field| field.name != "name" && filled(field))
            .collect();
        let names: Vec<&str> = columns.iter().map(|field| field.name).collect();
        let path = tree.node(id).path.clone();
        let mut lines = vec![
            Line {
                text: format!("{name} = table {{"),
                path: Some(path),
            },
            Line::plain(format!("name | {}", names.join(" | "))),
        ];
        for row in rows {
            lines.push(self.phase(row, &columns));
        }
        lines.push(Line::plain("}"));
        lines
    }

    fn phase(&mut self, row: NodeId, columns: &[&'static Field]) -> Line {
        let node = self.resolver.tree.node(row);
        let (name, path) = (node.name.clone(), node.path.clone());
        let mut cells = vec![row_name(&name)];
        for field in columns {
            let lines = match self.resolver.tree.child(row, field.name) {
                Some(child) => self.field(row, field, child),
                None => Vec::new(),
            };
            cells.push(on_one_line(&lines, field.name).unwrap_or_else(|| "-".to_string()));
        }
        Line {
            text: cells.join(" | "),
            path: Some(path),
        }
    }

    /// `stack = 4 * [layer { … }, …]`.
    pub(super) fn stack(&mut self, id: NodeId, name: &str) -> Vec<Line> {
        let tree = &self.resolver.tree;
        let Some(pattern) = tree.body(id).and_then(|body| body.pattern.clone()) else {
            return Vec::new();
        };
        let (model, path) = (
            tree.node(id).parent.unwrap_or(0),
            tree.node(id).path.clone(),
        );
        let mut lines = self.pattern(&pattern, model);
        if let Some(first) = lines.first_mut() {
            first.text = format!("{name} = {}", first.text);
            first.path = Some(path);
        }
        lines
    }

    fn pattern(&mut self, pattern: &Pattern, model: NodeId) -> Vec<Line> {
        match pattern {
            Pattern::Layer(layer) => self.section(*layer, "layer {"),
            Pattern::Sequence(parts) => {
                let mut lines = vec![Line::plain("[")];
                for part in parts {
                    lines.extend(self.pattern(part, model));
                }
                lines.push(Line::plain("]"));
                lines
            }
            Pattern::Repeat(times, inner) => {
                let count = self.resolver.repeats(times, model).unwrap_or(1);
                let mut lines = self.pattern(inner, model);
                if let (Pattern::Layer(_), Some(last)) = (&**inner, lines.last_mut()) {
                    last.text.push(']');
                }
                let open = if matches!(**inner, Pattern::Layer(_)) {
                    "["
                } else {
                    ""
                };
                if let Some(first) = lines.first_mut() {
                    first.text = format!("{} * {open}{}", plain(count), first.text);
                }
                lines
            }
        }
    }
}

/// A row's name, quoted where it is no plain one.
fn row_name(name: &str) -> String {
    let plain = identifier(name) == name && !KEYWORDS.contains(&name);
    if plain {
        name.to_string()
    } else {
        quoted(name)
    }
}

fn plain(count: usize) -> String {
    literal(&Value::count(count as u64)).unwrap_or_default()
}

/// The lines of one field as the cell of a table: without the field's name.
fn on_one_line(lines: &[Line], name: &str) -> Option<String> {
    let mut text = String::new();
    for line in lines {
        let opened = text.is_empty() || text.ends_with('{') || line.text == "}";
        text.push_str(if text.is_empty() {
            ""
        } else if opened {
            " "
        } else {
            ", "
        });
        text.push_str(&line.text);
    }
    let value = text.strip_prefix(name)?.trim_start().strip_prefix('=')?;
    Some(value.trim_start().to_string())
}
