//! Lines that could not be read: what they may have set is neither missing nor unknown, and everything else still is.

use super::{NodeId, Resolver};
use crate::syntax::Place;

impl Resolver<'_> {
    /// A line that could not be read: the fields and constants it may have set are neither missing nor unknown.
    pub(super) fn unread(&mut self, node: NodeId, place: Place) {
        let text = self.sources.text(place).to_string();
        let torn = text.contains('{');
        for path in names_set_in(&text) {
            let mut section = Some(node);
            for part in path.split('.') {
                let Some(body) = section.and_then(|at| self.tree.body_mut(at)) else {
                    break;
                };
                body.incomplete = true;
                body.torn |= torn;
                body.unread.insert(part.to_string());
                section = body.children.get(part).copied();
            }
        }
        if let Some(body) = self.tree.body_mut(node) {
            body.incomplete = true;
        }
    }
}

/// The dotted names that a text that could not be read may set: those it begins with, and those that a sign of setting follows.
fn names_set_in(text: &str) -> Vec<String> {
    let inside = |character: char| character.is_ascii_alphanumeric() || "_.".contains(character);
    let mut names = Vec::new();
    let mut rest = text;
    let mut begins = true;
    while let Some(start) = rest.find(inside) {
        begins &= rest[..start].trim().is_empty();
        rest = &rest[start..];
        let end = rest.find(|next| !inside(next)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let next = after.trim_start();
        let sets = next.starts_with(['=', ':', '{']) || next.starts_with("in ");
        if begins || sets {
            names.push(word.to_string());
        }
        // `let width 4`: the second word is the name.
        begins &= names.len() < 2;
        rest = after;
    }
    names
}
