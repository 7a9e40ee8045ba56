//! An experiment is the same on every placement: nothing of model, data or training may be computed from machines or placement, settled or not,
//! not through a `let` either.

use std::collections::BTreeSet;

use crate::origin::Layer;
use crate::problem::Problem;
use crate::resolve::{Content, Resolver};
use crate::syntax::{ExpressionKind, Place};

/// Sections of the experiment's identity.
const EXPERIMENT: [&str; 4] = ["model", "data", "train", "seed"];

/// Sections of the placement's.
const PLACEMENT: [&str; 2] = ["cluster", "plan"];

/// The rule.
pub fn check(resolver: &mut Resolver) {
    let cells = resolver.tree.reachable().into_iter().filter(|id| {
        let node = resolver.tree.node(*id);
        let settable = matches!(node.content, Content::Cell { field: Some(_), .. });
        settable && node.layer != Layer::Default && belongs(&node.path, &EXPERIMENT)
    });
    for id in cells.collect::<Vec<_>>() {
        let node = resolver.tree.node(id);
        let (path, Content::Cell { value, .. }) = (node.path.clone(), &node.content) else {
            continue;
        };
        let (place, table) = (value.place, matches!(value.kind, ExpressionKind::Table(_)));
        // What waits for the planner, or is wrong otherwise, was reported where it was evaluated.
        if !table && resolver.value(id).is_err() {
            continue;
        }
        if let Some(found) = reached(resolver, id) {
            let problem = dependent(&path, &found, place);
            resolver.report(problem);
        }
    }
}

/// The path of the placement that a cell's formula mentions, itself or through the constants it mentions.
fn reached(resolver: &mut Resolver, start: usize) -> Option<String> {
    let mut open = vec![start];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        for path in resolver.mentioned(id) {
            if belongs(&path, &PLACEMENT) {
                return Some(path);
            }
            let Some(next) = resolver.tree.find(&path) else {
                continue;
            };
            let constant = matches!(
                resolver.tree.node(next).content,
                Content::Cell { field: None, .. }
            );
            if constant && seen.insert(next) {
                open.push(next);
            }
        }
    }
    None
}

fn belongs(path: &str, sections: &[&str]) -> bool {
    let first = path.split('.').next().unwrap_or_default();
    sections.contains(&first)
}

fn dependent(path: &str, found: &str, place: Place) -> Problem {
    let title = format!("`{path}` cannot depend on the placement");
    let label = format!("mentions `{found}`, which another placement changes");
    Problem::error("pleach::field::placement", title, place, label).help(
        "write the number here; or say it once as a `let` of the experiment and use it in both places",
    )
}
