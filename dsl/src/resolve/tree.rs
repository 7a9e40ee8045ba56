//! The tree of cells: the experiment as composed, before anything is computed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::phases::Rows;
use super::stack::Pattern;
use crate::origin::Layer;
use crate::schema::{Field, Section};
use crate::syntax::{Expression, ExpressionKind, Place};

/// How many values that were replaced, one after the other, a cell remembers.
const LONGEST_HISTORY: usize = 32;

/// Number of a node.
pub type NodeId = usize;

/// A cell or a section.
#[derive(Debug)]
pub struct Node {
    /// Its name in its section.
    pub name: String,
    /// Its dotted path from the experiment: `train.lr.peak`.
    pub path: String,
    /// The section it is in.
    pub parent: Option<NodeId>,
    /// The entry that set it last.
    pub place: Place,
    /// The layer of that entry.
    pub layer: Layer,
    /// What it replaced, the newest first.
    pub before: Vec<(Layer, Place)>,
    /// What it holds.
    pub content: Content,
}

/// What a node holds.
#[derive(Debug)]
pub enum Content {
    /// Fields by name.
    Section(Body),
    /// A formula.
    Cell {
        /// The formula.
        value: Arc<Expression>,
        /// The field it sets; none for a `let`.
        field: Option<&'static Field>,
        /// Whether it was set by `in`.
        domain: bool,
    },
}

/// The inside of a section.
#[derive(Debug)]
pub struct Body {
    /// Its fields.
    pub schema: &'static Section,
    /// The kind or declaration it was made from: `cosine`, `the_pile`.
    pub kind: String,
    /// Its nodes.
    pub children: BTreeMap<String, NodeId>,
    /// Whether a line of it could not be read, so that a field that seems missing may be there.
    pub incomplete: bool,
    /// Whether what it is made from could not be read, so that it may hold any name.
    pub torn: bool,
    /// Names that its lines that could not be read may have set.
    pub unread: BTreeSet<String>,
    /// Fields that a misspelt name probably meant, and that are therefore not missing.
    pub meant: Vec<&'static str>,
    /// The order of its children, where they are layers.
    pub pattern: Option<Pattern>,
    /// The order of its children, where they are rows of a table.
    pub rows: Option<Rows>,
}

impl Body {
    /// Whether a name that seems missing may stand in what could not be read.
    pub fn may_hold(&self, name: &str) -> bool {
        self.torn || self.unread.contains(name)
    }
}

/// All nodes; the first is the experiment.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// Adds a node that no section knows yet.
    pub fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The inside of a section; none for a cell.
    pub fn body(&self, id: NodeId) -> Option<&Body> {
        match &self.nodes[id].content {
            Content::Section(body) => Some(body),
            Content::Cell { .. } => None,
        }
    }

    /// The inside of a section, to change it.
    pub fn body_mut(&mut self, id: NodeId) -> Option<&mut Body> {
        match &mut self.nodes[id].content {
            Content::Section(body) => Some(body),
            Content::Cell { .. } => None,
        }
    }

    /// A child by name.
    pub fn child(&self, id: NodeId, name: &str) -> Option<NodeId> {
        self.body(id)?.children.get(name).copied()
    }

    /// A node by its dotted path from the experiment.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        if path.is_empty() {
            Some(0)
        } else {
            path.split('.')
                .try_fold(0, |node, part| self.child(node, part))
        }
    }

    /// The path of a child that may not exist yet.
    pub fn path_of(&self, parent: NodeId, name: &str) -> String {
        let path = &self.nodes[parent].path;
        if path.is_empty() {
            name.to_string()
        } else {
            [path, ".", name].concat()
        }
    }

    /// Puts a node into its section, in place of what was there.
    pub fn attach(&mut self, parent: NodeId, id: NodeId) {
        let name = self.nodes[id].name.clone();
        let old = self
            .body_mut(parent)
            .and_then(|body| body.children.insert(name, id));
        if let Some(old) = old.filter(|old| *old != id) {
            let mut before = vec![(self.nodes[old].layer, self.nodes[old].place)];
            let older = self.nodes[old].before.iter().copied();
            before.extend(older.take(LONGEST_HISTORY));
            self.nodes[id].before = before;
        }
    }

    /// Takes a child out of its section.
    pub fn detach(&mut self, parent: NodeId, name: &str) {
        if let Some(body) = self.body_mut(parent) {
            body.children.remove(name);
        }
    }

    /// Lets a section have a node of another as its own, under the name of a field.
    pub fn attach_as(&mut self, parent: NodeId, name: &str, id: NodeId) {
        if let Some(body) = self.body_mut(parent) {
            body.children.insert(name.to_string(), id);
        }
    }

    /// Moves a cell into another section of the same path.
    pub fn adopt(&mut self, parent: NodeId, id: NodeId) {
        self.nodes[id].parent = Some(parent);
        self.attach(parent, id);
    }

    /// Whether a cell holds something that was reported already.
    pub fn is_broken(&self, id: NodeId) -> bool {
        matches!(&self.nodes[id].content, Content::Cell { value, .. } if matches!(value.kind, ExpressionKind::Broken))
    }

    /// Says where a section that is always there is first written about.
    pub fn written_at(&mut self, id: NodeId, layer: Layer, place: Place) {
        let node = &mut self.nodes[id];
        if node.layer == Layer::Default {
            (node.layer, node.place) = (layer, place);
        }
    }

    /// All nodes that are reachable from the experiment, by path.
    pub fn reachable(&self) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut open = vec![0];
        while let Some(id) = open.pop() {
            found.push(id);
            if let Some(body) = self.body(id) {
                open.extend(body.children.values().rev());
            }
        }
        found
    }
}
