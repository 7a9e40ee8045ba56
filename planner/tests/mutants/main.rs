//! The verifier against random mutants of random programs, with the reference interpreter as the judge.
//!
//! Every generated program must be accepted. A mutant whose outcome differs, or that gets stuck, must be refused by the structural
//! check or by the verifier; a mutant whose outcome is the same must be accepted. At least 500 harmful ones are tried.

mod bodies;
mod experiments;
mod judge;
mod random;
mod roles;

use std::collections::BTreeMap;

use pleach_dsl::experiment::Experiment;
use pleach_plan::Plan;
use pleach_plan::text;
use pleach_planner::program::emit;
use pleach_planner::verify::verify;

use bodies::Mutation;
use judge::Outcomes;
use random::Random;

const PROGRAMS: usize = 40;
const MUTANTS: usize = 25;
const HARMFUL: usize = 500;

/// Harmful and harmless mutants of one kind.
type Tally = BTreeMap<&'static str, [usize; 2]>;

#[test]
fn harmful_mutants_are_refused_and_harmless_ones_accepted() {
    let mut random = Random::new(20);
    let mut tally = Tally::new();
    let mut wrong = Vec::new();
    for program in 0..PROGRAMS {
        let placement = experiments::placement(&mut random);
        let experiment = experiments::experiment(&mut random, &placement);
        let plan =
            emit(&experiment, &placement).unwrap_or_else(|why| panic!("{placement:?}: {why}"));
        if let Err(faults) = verify(&plan, &experiment) {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!(
                "program {program} {placement:?} is refused:\n{}\n{}",
                faults.join("\n"),
                text::write(&plan)
            );
        }
        let outcomes = Outcomes::of(&plan);
        assert!(
            outcomes.complete(),
            "program {program} {placement:?} does not run"
        );
        for _ in 0..MUTANTS {
            wrong.extend(
                one(&plan, &experiment, &outcomes, &mut random, &mut tally)
                    .map(|why| format!("{program}: {why}")),
            );
        }
    }
    let harmful: usize = tally.values().map(|[harmful, _]| harmful).sum();
    let harmless: usize = tally.values().map(|[_, harmless]| harmless).sum();
    for (name, [harmful, harmless]) in &tally {
        println!("{harmful:>4} harmful, {harmless:>4} harmless: {name}");
    }
    println!("{harmful} harmful mutants, {harmless} harmless ones of {PROGRAMS} programs");
    assert!(
        wrong.is_empty(),
        "{} judged wrongly:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    assert!(harmful >= HARMFUL && harmless > 0);
}

/// Makes one mutant and compares the verdicts; says what is wrong.
fn one(
    plan: &Plan,
    experiment: &Experiment,
    outcomes: &Outcomes,
    random: &mut Random,
    tally: &mut Tally,
) -> Option<String> {
    let all: Vec<(&str, Mutation)> = bodies::MUTATIONS
        .into_iter()
        .chain(roles::MUTATIONS)
        .collect();
    let (name, mutant) = loop {
        let (name, mutation) = random.pick(&all);
        let mut mutant = plan.clone();
        if mutation(&mut mutant, random).is_some() && mutant != *plan {
            break (name, mutant);
        }
    };
    let same = outcomes.same(&mutant);
    tally.entry(name).or_default()[usize::from(same)] += 1;
    let difference = || difference(&text::write(plan), &text::write(&mutant));
    match (same, verify(&mutant, experiment)) {
        (true, Ok(())) | (false, Err(_)) => None,
        (false, Ok(())) => Some(format!("harmful, but accepted ({name}):\n{}", difference())),
        (true, Err(faults)) => Some(format!(
            "harmless, but refused ({name}): {}\n{}",
            faults[0],
            difference()
        )),
    }
}

/// The lines that a mutation changed.
fn difference(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    let same = before
        .iter()
        .zip(&after)
        .take_while(|(left, right)| left == right)
        .count();
    let (old, new) = (&before[same..], &after[same..]);
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(left, right)| left == right)
        .count();
    let show = |sign: &str, lines: &[&str]| {
        lines
            .iter()
            .map(|line| format!("{sign} {line}\n"))
            .collect::<String>()
    };
    show("-", &old[..old.len() - tail]) + &show("+", &new[..new.len() - tail])
}
