//! Learning-rate schedules with a name: `schedule long extends cosine { over = 300_000 steps }`, and `lr = long { peak = 3e-4 }`.
//!
//! A schedule is one of two things that share their words: a rate over the whole run, with a peak and an end, or what a phase does to the
//! rate, from where it was to another. Which one a declaration is, its fields say.

use super::{NodeId, Resolver};
use crate::origin::Layer;
use crate::problem::Problem;
use crate::schema::{Field, RATES, SEGMENTS, Section};
use crate::syntax::{Block, Declaration, Entry, Kind, Path, Place};

/// Fields that only the rate of a phase has.
const OF_PHASES: [&str; 3] = ["from", "to", "at"];

/// Whether a name is a kind of schedule.
pub(super) fn is_schedule(name: &str) -> bool {
    let mut kinds = RATES.iter().chain(SEGMENTS);
    kinds.any(|kind| kind.name == name)
}

impl<'files> Resolver<'files> {
    /// Makes a section from a named schedule; says whether the name is one.
    pub(super) fn instantiate_schedule(
        &mut self,
        parent: NodeId,
        (field, kinds): (&'static Field, &'static [&'static Section]),
        path: &Path,
        block: Option<&Block>,
        at: (Layer, Place),
    ) -> bool {
        if field.named != Some(Kind::Schedule) {
            return false;
        }
        let (chain, root) = self.extended(path.place.file, &path.text);
        let Some(declaration) = chain.first().copied() else {
            return false;
        };
        if declaration.kind != Kind::Schedule {
            return false;
        }
        let Some(kind) = kinds.iter().find(|kind| kind.name == root) else {
            if is_schedule(&root) {
                self.report(unfit(field, kinds, path, &root));
            }
            self.poison(parent, field.name, at);
            return true;
        };
        let child = self.section_node(Some(parent), field.name, kind, kind.name, at);
        self.tree.attach(parent, child);
        self.apply_declaration(child, declaration, Layer::Base);
        if let Some(block) = block {
            self.apply_block(child, block, at.0);
        }
        true
    }

    /// Builds only what a schedule says, to find names in it that nobody knows.
    pub(super) fn schedule_alone(&mut self, declaration: &'files Declaration) {
        let name = &declaration.name;
        let at = (Layer::Override, name.place);
        let root = self.experiment_root("", name.place);
        let (mut chain, kind) = match &declaration.base {
            Some(base) => self.extended(declaration.place.file, &base.text),
            None => (Vec::new(), String::new()),
        };
        chain.push(declaration);
        let kinds = if chain.iter().any(|one| is_of_phases(&one.block)) {
            SEGMENTS
        } else {
            RATES
        };
        let kinds = [kinds, RATES, SEGMENTS].concat();
        let Some(schema) = kinds.into_iter().find(|known| known.name == kind) else {
            // What it extends is reported; its fields cannot be known.
            let nowhere = self.section_node(Some(root), name.text.as_str(), RATES[0], "", at);
            return self.apply_base(nowhere, declaration);
        };
        if let Some(train) = self.tree.child(root, "train") {
            let child = self.section_node(Some(train), "lr", schema, schema.name, at);
            self.tree.attach(train, child);
            self.apply_declaration(child, declaration, Layer::Override);
        }
    }
}

/// Whether a block sets something that only the rate of a phase has.
fn is_of_phases(block: &Block) -> bool {
    block.entries.iter().any(|entry| match entry {
        Entry::Binding { path, .. } => OF_PHASES.contains(&path.text.as_str()),
        _ => false,
    })
}

/// A schedule of a kind that does not fit here.
fn unfit(field: &Field, kinds: &[&Section], path: &Path, root: &str) -> Problem {
    let title = format!(
        "`{}` is a `{root}`, which `{}` cannot be here",
        path.text, field.name
    );
    let names: Vec<String> = kinds
        .iter()
        .map(|kind| format!("`{}`", kind.name))
        .collect();
    Problem::error(
        "pleach::schedule::unfit",
        title,
        path.place,
        format!("a `{root}`"),
    )
    .help(format!("here it is one of {}", names.join(", ")))
}
