//! A node on one line, and whether it may stand there.

use super::WIDEST;
use super::layout::Layout;
use crate::parse::{Node, Shape};

impl Layout<'_> {
    /// The node on one line.
    pub fn flat(&self, node: &Node) -> String {
        let parts = || node.children.iter().map(|child| self.flat(child));
        let joined = |between: &str| parts().collect::<Vec<_>>().join(between);
        match node.shape {
            Shape::Leaf | Shape::Negate | Shape::Range => node.text(self.text).to_string(),
            Shape::Binding => joined(" = "),
            Shape::Constant => {
                let parts: Vec<String> = parts().collect();
                format!("{} {} = {}", parts[0], parts[1], parts[2])
            }
            Shape::Expression => {
                let mut text = String::new();
                for (index, child) in node.children.iter().enumerate() {
                    text.push_str(space_before(&node.children, index));
                    text.push_str(&self.flat(child));
                }
                text
            }
            Shape::Call => {
                let arguments: Vec<String> = parts().skip(1).collect();
                format!("{}({})", self.flat(&node.children[0]), arguments.join(", "))
            }
            Shape::Parentheses => format!("({})", joined("")),
            Shape::Block if node.children.is_empty() => "{}".to_string(),
            Shape::Block => format!("{{ {} }}", joined(", ")),
            Shape::List => format!("[{}]", joined(", ")),
            Shape::Row => joined(" | "),
            _ => joined(" "),
        }
    }

    /// Columns of the node on one line.
    pub fn flat_width(&self, node: &Node) -> usize {
        self.flat(node).chars().count()
    }

    /// Whether the node itself has to be opened: written over several lines, or with comments between its parts.
    pub fn must_open(&self, node: &Node) -> bool {
        match node.shape {
            Shape::Table => true,
            Shape::Block | Shape::List => {
                let filled = !node.children.is_empty() || self.has_comments(node);
                filled && node.text(self.text).contains('\n')
            }
            Shape::Call | Shape::Parentheses => {
                self.has_own_comments(node) || self.is_long_over_lines(node)
            }
            _ => false,
        }
    }

    /// Whether the node or something in it has to be opened.
    pub fn holds_open(&self, node: &Node) -> bool {
        self.must_open(node) || node.children.iter().any(|child| self.holds_open(child))
    }

    /// Whether a line ends between the node's own parts, and one line is not enough for all of them.
    fn is_long_over_lines(&self, node: &Node) -> bool {
        let mut at = node.start;
        let mut ends = false;
        for child in &node.children {
            ends |= self.text[at..child.start].contains('\n');
            at = child.end;
        }
        ends |= self.text[at..node.end].contains('\n');
        ends && self.flat_width(node) > WIDEST
    }

    /// Whether there is a comment anywhere inside.
    pub fn has_comments(&self, node: &Node) -> bool {
        !self.written.comments_in(node.start, node.end).is_empty()
    }

    /// Whether there is a comment between the node's own parts.
    fn has_own_comments(&self, node: &Node) -> bool {
        let own = self.written.comments_in(node.start, node.end).len();
        let inner = node
            .children
            .iter()
            .map(|child| self.written.comments_in(child.start, child.end).len());
        own > inner.sum()
    }
}

/// What separates a part of a formula from the part in front of it.
pub fn space_before(parts: &[Node], index: usize) -> &'static str {
    let Some(before) = index.checked_sub(1).map(|before| parts[before].shape) else {
        return "";
    };
    let tight =
        matches!(before, Shape::Negate | Shape::Range) || parts[index].shape == Shape::Range;
    if tight { "" } else { " " }
}
