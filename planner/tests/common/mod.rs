//! A small experiment from text, and its placements.

use std::collections::BTreeMap;

use pleach_dsl::experiment::Experiment;
use pleach_plan::Recompute;
use pleach_planner::placement::Placement;

const SPEC: &str = include_str!("small.pleach");

/// The experiment of `small.pleach` with some values replaced, and fewer vocabulary rows than bytes have.
pub fn experiment(changes: &[(&str, &str)]) -> Experiment {
    let changes: Vec<_> = changes
        .iter()
        .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
        .collect();
    let files = BTreeMap::from([("small.pleach".to_owned(), SPEC.to_owned())]);
    let loaded = pleach_dsl::load("small.pleach", &files, &changes, None);
    let mut experiment = loaded
        .into_result()
        .map_err(|problems| problems.render(false))
        .expect("the small experiment is right")
        .0;
    experiment.model.vocab = 32;
    experiment
}

/// A placement of the small experiment.
pub fn placement(dp: u32, pp: u32, tp: u32) -> Placement {
    Placement {
        tp,
        pp,
        vpp: 1,
        dp,
        zero: 0,
        shards: dp,
        sequence_parallel: false,
        micro_batch: 2,
        recompute: Recompute::None,
        engine: "pleach".into(),
    }
}
