//! The walk over the tree: opens what has to be opened, puts comments and blank lines back where they were.

use super::columns::Aligned;
use super::flat::space_before;
use super::lines::Lines;
use super::{COMMENTS, WIDEST};
use crate::parse::{Concrete, Node, Shape};

/// Lays one text out.
pub struct Layout<'text> {
    /// The text as it was written.
    pub text: &'text str,
    /// Its tree and comments.
    pub written: &'text Concrete,
    /// What is laid out so far.
    pub lines: Lines,
}

impl<'text> Layout<'text> {
    /// For a text and its tree.
    pub fn new(text: &'text str, written: &'text Concrete) -> Self {
        let lines = Lines::default();
        Self {
            text,
            written,
            lines,
        }
    }

    /// The whole text, laid out.
    pub fn file(mut self) -> String {
        let written = self.written;
        self.entries(&written.root.children, 0, self.text.len(), 0);
        self.lines.finish()
    }

    /// Entries on lines of their own, with what stands between them.
    fn entries(&mut self, entries: &[Node], open: usize, close: usize, depth: usize) {
        let aligned = self.aligned(entries, depth);
        let mut at = open;
        for (index, (entry, aligned)) in entries.iter().zip(aligned).enumerate() {
            self.next_line(at, entry.start, index == 0, depth);
            self.entry(entry, aligned, depth);
            at = entry.end;
        }
        self.between(at, close, entries.is_empty(), depth);
    }

    /// Begins the line of an element behind what stands between it and the one before.
    pub fn next_line(&mut self, from: usize, to: usize, first: bool, depth: usize) {
        if self.between(from, to, first, depth) {
            self.lines.blank();
        }
        self.lines.begin(depth);
    }

    /// Comments between two elements; says whether a blank line separates them from the second. `first`: nothing is in front of them in their brackets.
    pub fn between(&mut self, from: usize, to: usize, first: bool, depth: usize) -> bool {
        let (text, written) = (self.text, self.written);
        let line_ends = |from: usize, to: usize| text[from..to].matches('\n').count();
        let (mut at, mut first) = (from, first);
        for comment in written.comments_in(from, to) {
            let ends = line_ends(at, comment.start);
            let words = &text[comment.start..comment.end];
            if ends == 0 && !self.lines.is_empty() {
                self.lines.comment(words);
            } else {
                if ends > 1 && !first {
                    self.lines.blank();
                }
                self.lines.begin(depth);
                self.lines.put(words);
                first = false;
            }
            at = comment.end;
        }
        line_ends(at, to) > 1 && !first
    }

    /// One entry on the line that was begun.
    fn entry(&mut self, entry: &Node, aligned: Aligned, depth: usize) {
        let wide = self.is_wide(entry, depth);
        let parts = &entry.children;
        match (entry.shape, aligned) {
            (_, Aligned::Text(text)) => self.lines.put(&text),
            (Shape::Binding | Shape::Domain | Shape::Constant, aligned) => {
                let value = parts.len() - 1;
                let name = usize::from(entry.shape == Shape::Constant);
                let names: Vec<&str> = parts[..=name]
                    .iter()
                    .map(|part| part.text(self.text))
                    .collect();
                self.lines.put(&names.join(" "));
                if let Aligned::Sign(column) = aligned {
                    self.lines.put_to(2 * depth + column);
                } else {
                    self.lines.put(" ");
                }
                let sign = if entry.shape == Shape::Domain {
                    "in "
                } else {
                    "= "
                };
                self.lines.put(sign);
                self.node(&parts[value], wide, depth);
            }
            (Shape::Require, _) => self.require(entry, wide, depth),
            _ => self.node(entry, wide, depth),
        }
    }

    /// A law; its reason stands in the column of comments where it was set apart.
    fn require(&mut self, entry: &Node, wide: bool, depth: usize) {
        for (index, part) in entry.children.iter().enumerate() {
            let set_apart = index == 2 && part.start.saturating_sub(entry.children[1].end) > 1;
            match index {
                0 => {}
                2 if set_apart => self.lines.put_to(COMMENTS),
                _ => self.lines.put(" "),
            }
            self.node(part, wide, depth);
        }
    }

    /// A node behind what stands on the line; `wide`: the entry does not fit, so the outermost brackets are opened.
    pub fn node(&mut self, node: &Node, wide: bool, depth: usize) {
        let open = self.must_open(node);
        let wide_here = wide && !node.children.is_empty();
        match node.shape {
            Shape::Leaf | Shape::Negate | Shape::Range => self.lines.put(node.text(self.text)),
            Shape::Table => self.table(node, depth),
            Shape::Block if open || wide_here => self.block(node, depth),
            Shape::List if open || wide_here => self.list(node, depth),
            Shape::Block | Shape::List => {
                let flat = self.flat(node);
                self.lines.put(&flat);
            }
            Shape::Call => {
                self.lines.put(node.children[0].text(self.text));
                self.arguments(&node.children[1..], node, wide, depth);
            }
            Shape::Parentheses => self.arguments(&node.children, node, wide, depth),
            _ => {
                for (index, child) in node.children.iter().enumerate() {
                    let space = match node.shape {
                        Shape::Expression => space_before(&node.children, index),
                        _ if index == 0 => "",
                        _ => " ",
                    };
                    self.lines.put(space);
                    self.node(child, wide, depth);
                }
            }
        }
    }

    fn block(&mut self, node: &Node, depth: usize) {
        self.lines.put("{");
        self.entries(&node.children, node.start + 1, node.end - 1, depth + 1);
        self.lines.begin(depth);
        self.lines.put("}");
    }

    /// What stands in parentheses: one to a line where there are comments, else one behind the other.
    fn arguments(&mut self, arguments: &[Node], node: &Node, wide: bool, depth: usize) {
        self.lines.put("(");
        let open = self.must_open(node);
        let mut at = node.start + 1;
        for (index, argument) in arguments.iter().enumerate() {
            if open {
                self.next_line(at, argument.start, index == 0, depth + 1);
                let wide = self.is_wide(argument, depth + 1);
                self.node(argument, wide, depth + 1);
            } else {
                self.node(argument, wide, depth);
            }
            if index + 1 < arguments.len() {
                self.lines.put(if open { "," } else { ", " });
            }
            at = argument.end;
        }
        if open {
            self.between(at, node.end - 1, arguments.is_empty(), depth + 1);
            self.lines.begin(depth);
        }
        self.lines.put(")");
    }

    /// A list over several lines.
    fn list(&mut self, node: &Node, depth: usize) {
        let rows = self.rows(node, depth + 1);
        let widths = self.item_widths(&rows);
        self.lines.put("[");
        let mut at = node.start + 1;
        for (index, row) in rows.iter().enumerate() {
            self.next_line(at, row[0].start, index == 0, depth + 1);
            for (index, item) in row.iter().enumerate() {
                let before = self.lines.width();
                let wide = row.len() == 1 && self.is_wide(item, depth + 1);
                self.node(item, wide, depth + 1);
                if index + 1 < row.len() {
                    self.lines.put(",");
                    let width = widths.get(index).map_or(0, |width| before + width + 2);
                    self.lines.put_to(width);
                }
                at = item.end;
            }
        }
        self.between(at, node.end - 1, rows.is_empty(), depth + 1);
        self.lines.begin(depth);
        self.lines.put("]");
    }

    /// Whether an entry has no line of its own that fits.
    pub fn is_wide(&self, node: &Node, depth: usize) -> bool {
        !self.holds_open(node) && 2 * depth + self.flat_width(node) > WIDEST
    }
}
