//! A declaration by itself, used or not: its formulas name only what can be there, and what is written as a number is one of its field's kind.
//!
//! Whatever it mentions of the experiment it may one day be part of is not known yet, so nothing else of it is evaluated.

use super::cells::Standing;
use super::defer::gather_paths;
use super::{Content, NodeId, Resolver};
use crate::origin::Layer;
use crate::schema::{NAMES, WORDS};
use crate::syntax::{ExpressionKind, Kind, Path};

impl Resolver<'_> {
    /// Checks the cells of a declaration that was elaborated alone; experiments are evaluated as a whole elsewhere.
    pub fn check_alone(&mut self, kind: Kind) {
        if matches!(kind, Kind::Experiment | Kind::Sweep) {
            return;
        }
        for id in self.tree.reachable() {
            self.check_cell_alone(id);
        }
    }

    fn check_cell_alone(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        let Content::Cell { value, field, .. } = &node.content else {
            return;
        };
        let structure = matches!(
            value.kind,
            ExpressionKind::Table(_) | ExpressionKind::Broken | ExpressionKind::Amend(..)
        );
        if structure || node.layer == Layer::Default {
            return;
        }
        let (value, settable) = (value.clone(), field.is_some());
        let section = node.parent.unwrap_or(0);
        let mut paths = Vec::new();
        gather_paths(&value, &mut paths);
        if paths.is_empty() && settable {
            // The mistakes are what matters; a value that needs more than this waits silently.
            let _ = self.value(id);
        }
        let standing = Standing {
            section,
            itself: Some(id),
        };
        for path in paths {
            if !self.may_mean(&path, section) {
                let problem = self.unknown_name(&path, standing);
                self.report(problem);
            }
        }
    }

    /// Whether a name could stand for something in an experiment that uses this declaration.
    fn may_mean(&self, path: &Path, section: NodeId) -> bool {
        let first = path.parts().next().unwrap_or_default();
        let mut around = Some(section);
        while let Some(at) = around {
            if self.tree.child(at, first).is_some() {
                return true;
            }
            if self.tree.body(at).is_some_and(|body| body.incomplete) {
                return true;
            }
            around = self.tree.node(at).parent;
        }
        NAMES.contains(first) || WORDS.contains(first)
    }
}
