//! What was written, word for word: a tree that keeps parentheses, the spelling of numbers and, beside it, every comment.
//!
//! In comes text that parses without a problem, out comes a [`Concrete`]. The tree of [`crate::syntax`] is for meaning and forgets all that; the
//! formatter needs it. Both come from the same pairs of the same grammar, and neither shows them.

use pest::iterators::{Pair, Pairs};

use super::Rule;

/// What a node is, as far as laying it out asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The whole text.
    File,
    /// `experiment name extends base { … }`: words, then a block.
    Declaration,
    /// `name { … }`.
    Section,
    /// `path = value`: the path, then the value.
    Binding,
    /// `path in choices`: the path, `in`, the choices.
    Domain,
    /// `let name = value`: `let`, the name, the value.
    Constant,
    /// `require condition because "…"`: each word a node.
    Require,
    /// Parts with a space between them: an import, a goal, `if a then b else c`, `adamw { … }`, a number and its unit.
    Words,
    /// Operands and operators, in order.
    Expression,
    /// The sign of a negative.
    Negate,
    /// `..`.
    Range,
    /// `name(…)`: the name, then the arguments.
    Call,
    /// `(…)`.
    Parentheses,
    /// `{ … }`.
    Block,
    /// `[…]`.
    List,
    /// `table { … }`: rows, the header first.
    Table,
    /// A row: its name and its cells.
    Row,
    /// A word, a number, a string: text as it stands.
    Leaf,
}

/// A node and where its code stands, in bytes: comments and spaces behind it are outside.
#[derive(Debug)]
pub struct Node {
    /// What it is.
    pub shape: Shape,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// What it is made of; brackets, commas and `=` go without saying.
    pub children: Vec<Node>,
}

/// A comment: from `#` to the line's end.
#[derive(Clone, Copy, Debug)]
pub struct Comment {
    /// The `#`.
    pub start: usize,
    /// One past the last byte that is no space.
    pub end: usize,
}

/// A text as it was written.
#[derive(Debug)]
pub struct Concrete {
    /// The tree of its code.
    pub root: Node,
    /// Its comments, in order.
    pub comments: Vec<Comment>,
}

/// The tree and comments of the pairs of a text without problems.
pub fn concrete(mut pairs: Pairs<Rule>) -> Option<Concrete> {
    let file = pairs.next()?;
    let mut comments = Vec::new();
    let root = node(file, &mut comments)?;
    comments.sort_by_key(|comment| comment.start);
    Some(Concrete { root, comments })
}

/// The node of a pair; comments go beside the tree.
fn node(pair: Pair<Rule>, comments: &mut Vec<Comment>) -> Option<Node> {
    let (start, end) = (pair.as_span().start(), pair.as_span().end());
    let code_end = start + pair.as_str().trim_end().len();
    let shape = match pair.as_rule() {
        Rule::EOI => return None,
        Rule::comment => {
            // The pair begins behind the `#`.
            let (start, end) = (start - 1, code_end);
            comments.push(Comment { start, end });
            return None;
        }
        rule => shape_of(rule),
    };
    if shape == Shape::Leaf {
        let end = code_end;
        let children = Vec::new();
        return Some(Node {
            shape,
            start,
            end,
            children,
        });
    }
    let children: Vec<Node> = pair
        .into_inner()
        .filter_map(|inner| node(inner, comments))
        .collect();
    let end = match (closed(shape), children.last()) {
        (false, Some(last)) => last.end,
        _ => end,
    };
    Some(Node {
        shape,
        start,
        end,
        children,
    })
}

/// Whether it ends with its own bracket rather than with its last part.
fn closed(shape: Shape) -> bool {
    use Shape::{Block, Call, File, List, Parentheses, Table};
    matches!(shape, File | Block | List | Table | Call | Parentheses)
}

fn shape_of(rule: Rule) -> Shape {
    match rule {
        Rule::file => Shape::File,
        Rule::declaration => Shape::Declaration,
        Rule::section => Shape::Section,
        Rule::binding => Shape::Binding,
        Rule::domain => Shape::Domain,
        Rule::constant => Shape::Constant,
        Rule::require => Shape::Require,
        Rule::import
        | Rule::objective
        | Rule::first_goal
        | Rule::goal
        | Rule::choose
        | Rule::amend
        | Rule::quantity => Shape::Words,
        Rule::expr => Shape::Expression,
        Rule::negate => Shape::Negate,
        Rule::range => Shape::Range,
        Rule::call => Shape::Call,
        Rule::paren => Shape::Parentheses,
        Rule::block => Shape::Block,
        Rule::list => Shape::List,
        Rule::table => Shape::Table,
        Rule::header | Rule::row => Shape::Row,
        _ => Shape::Leaf,
    }
}

impl Node {
    /// The text of it.
    pub fn text<'text>(&self, text: &'text str) -> &'text str {
        &text[self.start..self.end]
    }
}

impl Concrete {
    /// The comments between two bytes.
    pub fn comments_in(&self, start: usize, end: usize) -> &[Comment] {
        let first = self
            .comments
            .partition_point(|comment| comment.start < start);
        let last = self.comments.partition_point(|comment| comment.start < end);
        &self.comments[first..last.max(first)]
    }
}
