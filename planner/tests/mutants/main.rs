//! The verifier against random mutants of random programs, with the reference interpreter as the judge.
//!
//! Every generated program must be accepted. A mutant whose outcome differs, or that gets stuck, must be refused by the structural
//! check or by the verifier; a mutant whose outcome is the same must be accepted. The suite tries at least 500 harmful ones;
//! `cargo xtask verify` says how many more.

// How many are tried is the caller's to say.
#![allow(clippy::disallowed_methods)]

mod bodies;
mod experiments;
mod hostile;
mod judge;
mod random;
mod roles;
mod specs;
mod verified;

use std::collections::BTreeMap;

use pleach_dsl::experiment::Experiment;
use pleach_plan::Plan;
use pleach_plan::check::check;
use pleach_plan::text;
use pleach_planner::program::emit;
use pleach_planner::verify::verify;

use bodies::Mutation;
use judge::Outcomes;
use random::Random;

/// Mutants of each program.
const MUTANTS: usize = 22;
/// Harmful mutants that the suite tries, and programs that it makes them of at least.
const HARMFUL: usize = 500;
const PROGRAMS: usize = 36;

/// How many are wanted: what the environment says, or what the suite tries.
fn wanted(variable: &str, usual: usize) -> usize {
    let said = std::env::var(variable).ok();
    said.map_or(usual, |said| said.parse().expect("a count"))
}

/// What became of the mutants of one kind.
#[derive(Clone, Copy, Default)]
struct Tally {
    harmless: usize,
    /// Harmful, refused by the structural check.
    unsafe_ones: usize,
    /// Harmful, refused only because they mean something else.
    wrong_ones: usize,
}

type Tallies = BTreeMap<&'static str, Tally>;

#[test]
fn harmful_mutants_are_refused_and_harmless_ones_accepted() {
    let mut random = Random::new(20);
    let mut tallies = Tallies::new();
    let mut mistakes = Vec::new();
    let wanted = wanted("PLEACH_MUTANTS", HARMFUL);
    let mut program = 0;
    while program < PROGRAMS || harmful(&tallies) < wanted {
        let (plan, experiment) = generate(&mut random);
        let outcomes = Outcomes::of(&plan);
        assert!(outcomes.complete(), "program {program} does not run");
        for _ in 0..MUTANTS {
            let mistake = one(&plan, &experiment, &outcomes, &mut random, &mut tallies);
            mistakes.extend(mistake.map(|why| format!("{program}: {why}")));
        }
        program += 1;
    }
    let total = summary(&tallies, program);
    let count = mistakes.len();
    assert!(
        count == 0,
        "{count} judged wrongly:\n{}",
        mistakes.join("\n\n")
    );
    assert!(
        total.wrong_ones >= wanted / 4,
        "too few that only mean something else"
    );
    assert!(total.harmless > 0, "no harmless mutant");
}

/// A random program, which must be accepted.
fn generate(random: &mut Random) -> (Plan, Experiment) {
    let placement = experiments::placement(random);
    let experiment = experiments::experiment(random, &placement);
    let plan = emit(&experiment, &placement).unwrap_or_else(|why| panic!("{placement:?}: {why}"));
    if let Err(faults) = verify(&plan, &experiment) {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!(
            "{placement:?} is refused:\n{}\n{}",
            faults.join("\n"),
            text::write(&plan)
        );
    }
    (plan, experiment)
}

fn harmful(tallies: &Tallies) -> usize {
    let of = |tally: &Tally| tally.unsafe_ones + tally.wrong_ones;
    tallies.values().map(of).sum()
}

/// Prints what became of each kind of mutant of so many programs; gives the sum.
fn summary(tallies: &Tallies, programs: usize) -> Tally {
    let mut total = Tally::default();
    println!("unsafe, wrong, harmless");
    for (name, tally) in tallies {
        println!(
            "{:>6} {:>6} {:>9}: {name}",
            tally.unsafe_ones, tally.wrong_ones, tally.harmless
        );
        total.harmless += tally.harmless;
        total.unsafe_ones += tally.unsafe_ones;
        total.wrong_ones += tally.wrong_ones;
    }
    let harmful = total.unsafe_ones + total.wrong_ones;
    println!(
        "{harmful} harmful mutants refused, {} of them by their meaning alone",
        total.wrong_ones
    );
    println!(
        "{} harmless mutants accepted, of {programs} programs",
        total.harmless
    );
    total
}

/// Makes one mutant and compares the verdicts; says what is wrong.
fn one(
    plan: &Plan,
    experiment: &Experiment,
    outcomes: &Outcomes,
    random: &mut Random,
    tallies: &mut Tallies,
) -> Option<String> {
    let (name, mutant) = loop {
        let (name, mutation): (&str, Mutation) = match random.below(3) {
            0 => random.pick(&roles::MUTATIONS),
            _ => random.pick(&bodies::MUTATIONS),
        };
        let mut mutant = plan.clone();
        if mutation(&mut mutant, random).is_some() && mutant != *plan {
            break (name, mutant);
        }
    };
    let same = outcomes.same(&mutant);
    let tally = tallies.entry(name).or_default();
    match (same, check(&mutant)) {
        (true, _) => tally.harmless += 1,
        (false, Err(_)) => tally.unsafe_ones += 1,
        (false, Ok(())) => tally.wrong_ones += 1,
    }
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
