//! Mistakes that are seen in a sweep as a whole: two runs of one name, and an axis that stands inside of a section.

use std::collections::{BTreeMap, BTreeSet};

use super::{Axis, MOST_CHECKED, Sweep};
use crate::problem::Problem;
use crate::syntax::{Block, Entry, Name};

impl Sweep {
    /// Two runs whose labels make up one name, as `x` with `y-z` and `x-y` with `z` do.
    pub(super) fn runs_of_one_name(&self) -> Option<Problem> {
        if self.broken || !self.axes.iter().any(is_ambiguous) {
            return None;
        }
        let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for run in 0..self.total().min(MOST_CHECKED as u64) {
            let picks = self.picks(run);
            let name = self.run_name(&picks);
            if let Some(first) = seen.get(&name) {
                let title = format!("two runs of this sweep would be called `{name}`");
                let label = format!("{}, and {}", self.labels(first), self.labels(&picks));
                let problem = Problem::error("pleach::sweep::twice", title, self.name.place, label);
                return Some(problem.help("rename a choice: `-` stands between those of one run"));
            }
            seen.insert(name, picks);
        }
        None
    }

    /// The choices of a run: `` `x` with `y-z` ``.
    fn labels(&self, picks: &[usize]) -> String {
        let chosen = self.axes.iter().zip(picks);
        let labels = chosen.map(|(axis, pick)| format!("`{}`", axis.choices[*pick].label));
        labels.collect::<Vec<_>>().join(" with ")
    }
}

/// Whether one choice's label is the beginning of another's, up to a `-`.
fn is_ambiguous(axis: &Axis) -> bool {
    let labels: BTreeSet<&str> = axis
        .choices
        .iter()
        .map(|choice| choice.label.as_str())
        .collect();
    let begins = |label: &str| {
        let mut ends = label.match_indices('-').map(|(end, _)| end);
        ends.any(|end| labels.contains(&label[..end]))
    };
    labels.iter().any(|label| begins(label))
}

/// Whether an axis stands inside of a section. In `plan` and `cluster`, `in` is the planner's.
pub(super) fn has_axis(name: &Name, block: &Block) -> bool {
    let planned = ["plan", "cluster"].contains(&name.text.as_str());
    !planned && !misplaced_axes(&name.text, block).is_empty()
}

/// The axes inside of a section, told where they belong.
pub(super) fn misplaced_axes(path: &str, block: &Block) -> Vec<Problem> {
    let inside = |entry: &Entry| match entry {
        Entry::Domain {
            path: inner, place, ..
        } => {
            let title = "an axis stands directly in the block of its sweep";
            let label = format!("inside of `{path}`");
            let problem = Problem::error("pleach::sweep::axis", title, *place, label);
            vec![problem.help(format!("move it out: `{path}.{} in …`", inner.text))]
        }
        Entry::Section { name, block } => misplaced_axes(&format!("{path}.{}", name.text), block),
        _ => Vec::new(),
    };
    block.entries.iter().flat_map(inside).collect()
}
