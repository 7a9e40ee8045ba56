//! Conditions that cannot hold together, and what helps.

use pleach_dsl::wish::Choice;

use super::changes::{Change, Helped, helping, obeys};
use super::conditions::{Condition, all, smallest, under};
use super::*;
use crate::hardware;
use crate::search::tests::experiment;
use crate::search::why::Field;

fn case() -> (Experiment, Hardware) {
    let mut experiment = experiment("a100_40g", [1, 4], [4, 512, 8, 16]);
    experiment.plan.micro_batch = Choice::OneOf(vec![1, 2]);
    experiment.plan.recompute = Choice::Fixed("none".into());
    (experiment, hardware::plain("a100_40g").unwrap())
}

/// The law `figure <= factor times what the best reaches`.
fn law(experiment: &Experiment, hardware: &Hardware, figure: &str, factor: f64) -> Requirement {
    let mut best = experiment.clone();
    best.plan.objectives = vec![Objective::minimize(figure)];
    let answer = super::super::plan(&best, hardware, Options { alternatives: 0 }).unwrap();
    let value = best.plan.objectives[0]
        .evaluate(&answer.chosen.scope(&best))
        .unwrap();
    Requirement::at_most(figure, value * factor)
}

/// What helps, from the conflict to the changes.
fn helped(experiment: &Experiment, asker: &mut Asker<'_>) -> Vec<Helped> {
    let conflict = smallest(experiment, asker);
    let laws: Vec<usize> = (0..experiment.plan.requirements.len()).collect();
    let near = |law: usize, asker: &mut Asker<'_>| Some((law, asker.nearest(experiment, law)?));
    let nearest: Vec<_> = laws
        .into_iter()
        .filter_map(|law| near(law, asker))
        .collect();
    helping(experiment, &conflict, &nearest, asker)
}

fn changes(helped: &[Helped]) -> Vec<&Change> {
    helped.iter().map(|helped| &helped.change).collect()
}

#[test]
fn what_cannot_hold_is_minimal_and_names_no_innocent() {
    let (mut experiment, hardware) = case();
    let fast = law(&experiment, &hardware, "step_time", 0.6);
    let lax = law(&experiment, &hardware, "memory.peak", 4.0);
    experiment.plan.requirements = vec![lax, fast];
    let mut asker = Asker::new(&hardware);
    assert!(asker.any(&experiment).is_none());
    let conflict = smallest(&experiment, &mut asker);
    assert_eq!(conflict, [Condition::Law(1), Condition::Gpus]);
    // Minimal: without any one of them there is a placement, with all there is none.
    assert!(asker.any(&under(&experiment, &conflict)).is_none());
    for left_out in &conflict {
        let rest: Vec<Condition> = conflict
            .iter()
            .copied()
            .filter(|one| one != left_out)
            .collect();
        assert!(
            asker.any(&under(&experiment, &rest)).is_some(),
            "{left_out:?}"
        );
    }
}

#[test]
fn a_pin_is_named_where_it_is_to_blame() {
    let (mut experiment, hardware) = case();
    experiment.plan.requirements = vec![law(&experiment, &hardware, "step_time", 1.001)];
    experiment.plan.tp = Choice::Fixed(4);
    experiment.plan.zero = Choice::Fixed(0);
    let mut asker = Asker::new(&hardware);
    let conflict = smallest(&experiment, &mut asker);
    assert!(
        conflict.contains(&Condition::Pin(Field::Tp)),
        "{conflict:?}"
    );
    assert!(
        !conflict.contains(&Condition::Pin(Field::Zero)),
        "{conflict:?}"
    );
    let helped = helped(&experiment, &mut asker);
    assert!(
        helped
            .iter()
            .any(|helped| helped.change == Change::Open(Field::Tp)),
        "{:?}",
        changes(&helped)
    );
}

#[test]
fn every_change_that_is_offered_reaches_the_goal() {
    let (mut experiment, hardware) = case();
    experiment.plan.requirements = vec![law(&experiment, &hardware, "time", 0.6)];
    let mut asker = Asker::new(&hardware);
    let helped = helped(&experiment, &mut asker);
    let nodes = helped
        .iter()
        .any(|helped| matches!(helped.change, Change::Nodes(_)));
    let steps = helped
        .iter()
        .any(|helped| matches!(helped.change, Change::Steps(40..=60)));
    assert!(nodes && steps, "{:?}", changes(&helped));
    for one in &helped {
        assert!(obeys(&one.experiment, &one.found), "{:?}", one.change);
    }
}

#[test]
fn the_nearest_placement_is_the_best_in_what_the_law_limits() {
    let (mut experiment, hardware) = case();
    experiment.plan.requirements = vec![law(&experiment, &hardware, "memory.peak", 0.9)];
    experiment.plan.recompute = Choice::Auto;
    experiment.plan.requirements[0] = law(&experiment, &hardware, "memory.peak", 0.9);
    let nearest = Asker::new(&hardware).nearest(&experiment, 0).unwrap();
    let mut open = experiment.clone();
    open.plan.requirements.clear();
    let fastest = super::super::plan(&open, &hardware, Options { alternatives: 0 }).unwrap();
    assert!(nearest.peak() < fastest.chosen.peak());
    assert!(all(&experiment).contains(&Condition::Law(0)));
}
