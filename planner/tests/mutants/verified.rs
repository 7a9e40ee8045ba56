//! Random specs, from their text on: every one is read, its placement cut and its program verified.
//!
//! The suite tries a few hundred; `cargo xtask verify` sets how many.

use std::collections::BTreeMap;

use pleach_dsl::experiment::Experiment;
use pleach_plan::Recompute;
use pleach_planner::placement::Placement;
use pleach_planner::program::emit;
use pleach_planner::search::space;
use pleach_planner::support;
use pleach_planner::verify::verify;

use crate::random::Random;
use crate::{specs, wanted};

/// How many the suite tries.
const SPECS: usize = 150;
/// Refused specs that are shown.
const SHOWN: usize = 12;

/// What was met on the way, by name: everything must be.
type Met = BTreeMap<String, usize>;

#[test]
fn random_specs_give_plans_that_verify() {
    let mut random = Random::new(31);
    let (mut met, mut wrong) = (Met::new(), Vec::new());
    for number in 0..wanted("PLEACH_SPECS", SPECS) {
        let text = specs::spec(&mut random);
        let tried = placed(&text, &mut random).and_then(|(experiment, placement)| {
            note(&mut met, &experiment, &placement);
            verified(&experiment, &placement)
        });
        wrong.extend(
            tried
                .err()
                .map(|why| format!("spec {number}: {why}\n{text}")),
        );
    }
    let count = wrong.len();
    wrong.truncate(SHOWN);
    assert!(count == 0, "{count} are refused:\n{}", wrong.join("\n"));
    println!("{met:#?}");
    let all = [
        "tp",
        "pp",
        "vpp",
        "dp",
        "zero 0",
        "zero 1",
        "zero 2",
        "zero 3",
        "none",
        "selective",
        "full",
        "along the sequence",
        "micro-batches",
        "tied",
        "kinds",
        "written stages",
        "blocks",
        "weights of targets",
    ];
    let missing: Vec<&str> = all
        .into_iter()
        .filter(|name| !met.contains_key(*name))
        .collect();
    assert!(missing.is_empty(), "never tried: {missing:?}");
}

/// Cuts a placement and verifies its program.
fn verified(experiment: &Experiment, placement: &Placement) -> Result<(), String> {
    let plan = emit(experiment, placement).map_err(|why| format!("{placement:?}: {why}"))?;
    verify(&plan, experiment).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        format!("{placement:?} is refused: {}", faults.join("\n"))
    })
}

/// The experiment of a spec, and one of the placements that it allows.
fn placed(text: &str, random: &mut Random) -> Result<(Experiment, Placement), String> {
    let files = BTreeMap::from([("one.pleach".to_owned(), text.to_owned())]);
    let loaded = pleach_dsl::load("one.pleach", &files, &[], None);
    let problems = loaded.problems.render(false);
    let experiment = loaded.experiment.ok_or(problems)?;
    let space = space::enumerate(&experiment);
    if space.candidates.is_empty() {
        return Err(format!("no placement: {:?}", space.impossible));
    }
    let placement = random.pick(&space.candidates);
    Ok((experiment, placement))
}

fn note(met: &mut Met, experiment: &Experiment, placement: &Placement) {
    let recompute = match placement.recompute {
        Recompute::None => "none",
        Recompute::Selective => "selective",
        Recompute::Full => "full",
    };
    let replicas = u64::from(placement.dp) * placement.micro_batch;
    let zero = format!("zero {}", placement.zero);
    let things = [
        ("tp", placement.tp > 1),
        ("pp", placement.pp > 1),
        ("vpp", placement.vpp > 1),
        ("dp", placement.dp > 1),
        (&zero, true),
        (recompute, true),
        (&placement.engine, true),
        ("along the sequence", placement.sequence_parallel),
        ("micro-batches", experiment.train.global_batch > replicas),
        ("tied", experiment.model.tied),
        ("kinds", experiment.model.kinds.len() > 1),
        ("written stages", experiment.plan.stages.is_some()),
        ("blocks", placement.blocks().is_some()),
        ("weights of targets", support::is_weighted(&experiment.data)),
    ];
    for (name, _) in things.into_iter().filter(|(_, is)| *is) {
        *met.entry(name.to_owned()).or_default() += 1;
    }
}
