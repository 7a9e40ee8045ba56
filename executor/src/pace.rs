//! How fast a rank computes, against the plan and against the other ranks: who holds a run up without being at fault.
//!
//! In come instructions as they begin and end, without those that wait for others; out comes, some steps long, how many times as long as the
//! plan says the rank computed, and from all ranks' figures who has fallen behind and who has recovered. A plan that is wrong is so for
//! all, so a rank is held against the median of the others; how far each is from the plan is said with it. The run goes on.

use std::time::{Duration, Instant};

use pleach_plan::walk::{Event, walk};
use pleach_plan::{Plan, Role};

use crate::interpreter::{Memory, Observer};
use crate::place::{Place, What};

/// Steps of a comparison, and the least time that they take: a moment's disturbance is not a rank's pace.
const STEPS: u64 = 8;
const SPAN: Duration = Duration::from_secs(1);
/// Above this share of the others' pace a rank has fallen behind, below that one it has recovered.
const BEHIND: f64 = 1.5;
const RECOVERED: f64 = 1.2;
/// Comparisons behind one another that must say so.
const TIMES: u32 = 2;

/// Millionths, in which ranks exchange figures.
const MILLION: f64 = 1e6;

/// The pace of one rank.
#[derive(Debug)]
pub struct Pace {
    /// Seconds that the rank computes in a step by the plan; none where it does not say.
    planned: Option<f64>,
    began: Option<Instant>,
    computed: Duration,
    steps: u64,
    since: Instant,
}

impl Pace {
    /// Of a role of a plan.
    pub fn new(plan: &Plan, role: &Role) -> Self {
        let seconds = planned(plan, role);
        Pace {
            planned: Some(seconds).filter(|seconds| *seconds > 0.0 && plan.mesh.ranks() > 1),
            began: None,
            computed: Duration::ZERO,
            steps: 0,
            since: Instant::now(),
        }
    }

    /// A step has ended; says whether it is time to compare.
    pub fn step_ended(&mut self) -> bool {
        self.steps += 1;
        self.planned.is_some() && self.steps >= STEPS && self.since.elapsed() >= SPAN
    }

    /// How many times as long as the plan says it computed since it was asked last, in millionths.
    pub fn take(&mut self) -> i64 {
        let planned = self.planned.unwrap_or(f64::INFINITY) * self.steps.max(1) as f64;
        let ratio = self.computed.as_secs_f64() / planned;
        self.computed = Duration::ZERO;
        self.steps = 0;
        self.since = Instant::now();
        (ratio * MILLION).round() as i64
    }
}

/// Seconds of a step's instructions that wait for nobody.
fn planned(plan: &Plan, role: &Role) -> f64 {
    let Some(prediction) = &plan.prediction else {
        return 0.0;
    };
    let time = |event: Event<'_>| match event {
        Event::Run(visit, index, instr) if instr.op.group().is_none() => {
            let body = prediction.instructions_ps.get(visit.body.id.0 as usize)?;
            body.get(index).copied()
        }
        _ => None,
    };
    walk(plan, role).filter_map(time).sum::<u64>() as f64 / 1e12
}

impl Observer for Pace {
    fn begin(&mut self, place: &Place<'_>, _memory: &dyn Memory) {
        let computes =
            matches!(place.what, What::Instruction { instr, .. } if instr.op.group().is_none());
        self.began = computes.then(Instant::now);
    }

    fn end(&mut self, _place: &Place<'_>, _memory: &dyn Memory) {
        self.computed += self
            .began
            .take()
            .map_or(Duration::ZERO, |began| began.elapsed());
    }
}

/// A rank that has fallen behind, or recovered.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The rank.
    pub rank: u32,
    /// How many times as long as the plan says it computes.
    pub ratio: f64,
    /// The median of the others.
    pub others: f64,
    /// Whether it has recovered.
    pub recovered: bool,
}

/// Who is behind, from comparison to comparison. All ranks compute the same.
#[derive(Debug, Default)]
pub struct Stragglers {
    /// For each rank, whether it was named, and how often the opposite was seen behind one another.
    seen: Vec<(bool, u32)>,
}

impl Stragglers {
    /// Takes a comparison in, in millionths for each rank; gives what has changed.
    pub fn judge(&mut self, paces: &[i64]) -> Vec<Change> {
        self.seen.resize(paces.len(), (false, 0));
        let mut changes = Vec::new();
        for (rank, (named, times)) in self.seen.iter_mut().enumerate() {
            let (ratio, others) = (paces[rank] as f64 / MILLION, median(paces, rank) / MILLION);
            let turns = if *named {
                ratio < RECOVERED * others
            } else {
                ratio > BEHIND * others
            };
            *times = if turns { *times + 1 } else { 0 };
            if *times == TIMES {
                (*named, *times) = (!*named, 0);
                let (rank, recovered) = (rank as u32, !*named);
                changes.push(Change {
                    rank,
                    ratio,
                    others,
                    recovered,
                });
            }
        }
        changes
    }
}

/// The median of all but one, the lower of two.
fn median(paces: &[i64], but: usize) -> f64 {
    let others = paces.iter().enumerate().filter(|(rank, _)| *rank != but);
    let mut others: Vec<i64> = others.map(|(_, pace)| *pace).collect();
    others.sort_unstable();
    others
        .get(others.len().saturating_sub(1) / 2)
        .map_or(f64::INFINITY, |&pace| pace as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_is_named_once_and_again_when_it_recovers() {
        let mut own = Stragglers::default();
        let slow = [6_100_000, 6_000_000, 10_800_000, 6_300_000];
        let even = [6_100_000, 6_000_000, 6_400_000, 6_300_000];
        assert_eq!(own.judge(&slow), [], "a moment is not enough");
        assert_eq!(own.judge(&even), []);
        assert_eq!(own.judge(&slow), []);
        let [ref named] = own.judge(&slow)[..] else {
            panic!("one")
        };
        let wanted = Change {
            rank: 2,
            ratio: 10.8,
            others: 6.1,
            recovered: false,
        };
        assert_eq!(*named, wanted);
        assert_eq!(own.judge(&slow), [], "once");
        assert_eq!(own.judge(&even), []);
        let [ref recovered] = own.judge(&even)[..] else {
            panic!("one")
        };
        assert!(recovered.recovered && recovered.rank == 2);
        assert_eq!(own.judge(&even), []);
    }

    #[test]
    fn a_plan_that_is_wrong_for_all_names_nobody_and_of_two_the_slower_is_named() {
        let mut own = Stragglers::default();
        (0..4).for_each(|_| assert_eq!(own.judge(&[20_000_000, 21_000_000]), []));
        assert_eq!(own.judge(&[1_000_000, 1_800_000]), []);
        let changes = own.judge(&[1_050_000, 1_800_000]);
        assert_eq!(
            (changes.len(), changes[0].rank, changes[0].others),
            (1, 1, 1.05)
        );
    }
}
