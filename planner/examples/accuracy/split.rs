//! Which rows constants and bands are learned from, and how they are held out: by configuration within each source, and source by source.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::Row;

/// Parts that the configurations of each source are dealt to.
pub const FOLDS: usize = 4;

/// Sources whose rows nothing is learned from: the run that predictions are shown against, and rows that were composed and not measured.
const APART: [&str; 2] = ["gpt-neox", "vtrain-single"];

/// Whether something is learned from a row; of nanotron's thousand runs from the sample that the file of all sources holds.
pub fn is_trained(row: &Row) -> bool {
    row.is_measured() && !APART.contains(&row.group()) && !row.is_extra()
}

/// The part that each configuration is dealt to.
pub struct Split(BTreeMap<String, usize>);

impl Split {
    /// Deals the configurations of each source in turn.
    pub fn of(rows: &[Row]) -> Self {
        let mut sources: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for row in rows.iter().filter(|row| is_trained(row)) {
            sources
                .entry(row.group())
                .or_default()
                .insert(row.configuration());
        }
        let dealt = sources.into_values().flat_map(|configurations| {
            configurations
                .into_iter()
                .enumerate()
                .map(|(index, configuration)| (configuration, index % FOLDS))
        });
        Split(dealt.collect())
    }

    /// The part that a row is held out with.
    pub fn fold(&self, row: &Row) -> usize {
        self.0.get(&row.configuration()).copied().unwrap_or(FOLDS)
    }

    /// What the constants are called that a part was held out from.
    pub fn fold_name(chip: &str, fold: usize) -> String {
        format!("{chip} without part {fold}")
    }

    /// What the constants are called that a source was held out from.
    pub fn source_name(chip: &str, group: &str) -> String {
        format!("{chip} without {group}")
    }
}
