//! The search: an experiment and a device in, the best placement out, with what came near it and why the rest did not.
//!
//! Branch and bound. [`space`] lists what is possible, [`bound`] gives each a lower bound of time and memory from bodies priced
//! once per shape, and candidates are emitted and simulated in the order of their bounds until the bound passes the best found.
//! Where the spec leaves the size of the cluster open, it is one more axis: a body's price does not depend on it, so many sizes
//! cost little more than one. So the answer is the optimum of the simulation, and everything printed has been simulated. Ties break by the canonical order.

pub mod bound;
mod candidates;
pub mod evaluate;
pub mod figures;
pub mod observe;
pub mod outline;
pub mod reach;
mod replicas;
pub mod space;
#[cfg(test)]
mod tests;
pub mod why;
pub mod wishes;

use std::collections::BTreeMap;

use pleach_dsl::experiment::Experiment;
use pleach_dsl::wish::Requirement;
use pleach_plan::hardware::Hardware;

use crate::placement::Placement;
use crate::program::{self, Layouts};
use bound::{Bound, Key, Priced};
use candidates::{Candidate, Candidates, Sized};
pub use evaluate::Evaluated;
use outline::Outlines;
pub use space::Rejected;
use space::Space;
use wishes::Wish;

/// What is asked of a search.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many alternatives to return beside the best.
    pub alternatives: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { alternatives: 3 }
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The best placement; where none fits, one that needs little memory: of those whose bounds do not exclude them the least, else the
    /// one with the least bound.
    pub chosen: Evaluated,
    /// The next best, in order.
    pub alternatives: Vec<Evaluated>,
    /// What was left out, and why.
    pub rejected: Vec<Rejected>,
    /// Placements that the spec allows on this cluster, impossible ones included.
    pub candidates: u64,
    /// Those of them that were found to fit.
    pub feasible: u64,
    /// Those that were given their bounds.
    pub priced: u64,
    /// Those that were simulated.
    pub simulated: u64,
}

/// There is no placement at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no placement is possible: {}", reasons(rejected))]
pub struct Nowhere {
    /// Every reason.
    pub rejected: Vec<Rejected>,
}

fn reasons(rejected: &[Rejected]) -> String {
    let all: Vec<String> = rejected
        .iter()
        .map(|region| format!("{}: {}", region.what, region.why))
        .collect();
    all.join("; ")
}

/// How many candidates are put in order first.
const FIRST: usize = 256;

/// What searches for one model with one batch on one device share: the layouts of its blocks and the prices of their bodies.
#[derive(Default)]
struct Known {
    prices: BTreeMap<Key, Priced>,
    layouts: Layouts,
    outlines: Outlines,
    /// Whether nothing is left out by its bounds.
    is_exhaustive: bool,
}

struct Search<'e> {
    /// The experiment on each size of the cluster that the spec allows; they differ in nothing else.
    sizes: &'e [Experiment],
    experiment: &'e Experiment,
    hardware: &'e Hardware,
    wish: Wish<'e>,
    laws: &'e [Requirement],
    known: Known,
    found: Vec<Evaluated>,
    misfits: Vec<Evaluated>,
    fates: BTreeMap<(u32, &'static str), Fate>,
    /// Values of the first goal of what was found, the best first, and the shortest step.
    values: Vec<f64>,
    fastest: u64,
    priced: u64,
    simulated: u64,
    broken: u64,
}

/// Figures of a placement that rise with its lower bounds.
const BOUNDED: [&str; 4] = ["memory.peak", "step_time", "time", "cost"];

/// How many placements of a region had one fate, and the one that came nearest.
struct Fate {
    count: u64,
    nearest: u64,
    why: String,
}

/// Finds the best placement.
///
/// # Errors
/// Nothing is possible at all. Where placements are possible and none fits, the answer's `chosen` does not fit.
pub fn plan(
    experiment: &Experiment,
    hardware: &Hardware,
    options: Options,
) -> Result<Answer, Nowhere> {
    plan_knowing(experiment, hardware, options, &mut Known::default())
}

/// Finds the best placement by simulating every one of them: what [`plan`] must agree with.
///
/// # Errors
/// As [`plan`].
pub fn exhaustive(
    experiment: &Experiment,
    hardware: &Hardware,
    options: Options,
) -> Result<Answer, Nowhere> {
    let mut known = Known {
        is_exhaustive: true,
        ..Known::default()
    };
    plan_knowing(experiment, hardware, options, &mut known)
}

/// The same with what is known already; what is found on the way is left for the next search.
fn plan_knowing(
    experiment: &Experiment,
    hardware: &Hardware,
    options: Options,
    known: &mut Known,
) -> Result<Answer, Nowhere> {
    let sizes: Vec<Experiment> = experiment
        .sizes()
        .into_iter()
        .map(|nodes| experiment.on_nodes(nodes))
        .collect();
    let spaces: Vec<Space> = sizes.iter().map(space::enumerate).collect();
    let mut search = Search::new(experiment, &sizes, hardware);
    search.known = std::mem::take(known);
    let total = spaces.iter().map(Space::total).sum();
    let placements: Vec<Sized> = spaces
        .iter()
        .enumerate()
        .flat_map(|(size, space)| space.candidates.iter().map(move |one| (size, one)))
        .collect();
    let mut candidates = search.price(&placements);
    drop(placements);
    search.run(&mut candidates, options.alternatives);
    if search.found.is_empty() && search.broken > 0 {
        search.pardon(&mut candidates);
    }
    let answer = search.answer(merged(spaces), total, options.alternatives);
    *known = search.known;
    answer
}

/// What is impossible on any size, the same of several counted together.
fn merged(spaces: Vec<Space>) -> Vec<Rejected> {
    let mut all: Vec<Rejected> = Vec::new();
    for region in spaces.into_iter().flat_map(|space| space.impossible) {
        match all
            .iter_mut()
            .find(|known| known.what == region.what && known.why == region.why)
        {
            Some(known) => known.count += region.count,
            None => all.push(region),
        }
    }
    all
}

impl<'e> Search<'e> {
    fn new(experiment: &'e Experiment, sizes: &'e [Experiment], hardware: &'e Hardware) -> Self {
        Search {
            sizes,
            experiment,
            hardware,
            wish: Wish::of(experiment),
            laws: &experiment.plan.requirements,
            known: Known::default(),
            found: Vec::new(),
            misfits: Vec::new(),
            fates: BTreeMap::new(),
            values: Vec::new(),
            fastest: u64::MAX,
            priced: 0,
            simulated: 0,
            broken: 0,
        }
    }

    /// Where every placement that fits breaks a law, the best without laws is the one to show.
    fn pardon(&mut self, candidates: &mut Candidates<'_>) {
        let fates = std::mem::take(&mut self.fates);
        let simulated = self.simulated;
        self.laws = &[];
        self.run(candidates, 0);
        let mut pardoned = std::mem::take(&mut self.found);
        self.values.clear();
        if !pardoned.is_empty() {
            self.wish.sort(&mut pardoned, self.experiment);
            pardoned.truncate(1);
            self.misfits = pardoned;
        }
        (self.fates, self.simulated) = (fates, simulated);
    }

    /// A law that is broken whatever a placement's figures are above its bounds.
    fn broken_at_least(&self, candidate: &Candidate<'_>) -> Option<String> {
        let bounds = candidate.bound;
        if bounds.step == 0 {
            return None;
        }
        let scope = self.scope(candidate.size, candidate.placement, &bounds);
        let ceilings = self.laws.iter().filter(|law| law.is_ceiling_of(&BOUNDED));
        let broken = |law| space::broken_law(std::slice::from_ref(law), &scope);
        ceilings.into_iter().find_map(broken).map(|(_, why)| why)
    }

    fn scope(&self, size: usize, placement: &Placement, bound: &Bound) -> figures::Scoped<'e> {
        let mut scope = figures::Scoped::of(&self.sizes[size], placement);
        scope.capacity = Some(evaluate::capacity(self.experiment, self.hardware));
        scope.peak = Some(bound.peak);
        scope.step = Some(bound.step);
        scope
    }

    /// Evaluates in the order of bounds until they pass what was found. Only as many are put in order as are looked at.
    fn run(&mut self, candidates: &mut Candidates<'_>, alternatives: usize) {
        let (mut rest, mut part) = (&mut candidates.able[..], FIRST);
        while !rest.is_empty() {
            if part < rest.len() {
                rest.select_nth_unstable_by(part, Candidate::before);
            }
            let (next, others) = rest.split_at_mut(part.min(rest.len()));
            next.sort_unstable_by(Candidate::before);
            next.iter()
                .for_each(|candidate| self.look(candidate, alternatives));
            let ended = next
                .last()
                .is_some_and(|last| self.is_passed(last, alternatives));
            if ended {
                others.iter().for_each(|candidate| self.slower(candidate));
                break;
            }
            (rest, part) = (others, 4 * part);
        }
        if self.found.is_empty() && self.misfits.is_empty() {
            // Every bound was beyond the memory: the nearest miss is shown with its real figures.
            let nearest = candidates.nearest.as_ref();
            let found = nearest.and_then(|candidate| self.evaluated(candidate).ok());
            self.misfits.extend(found);
        }
    }

    /// Whether a candidate's bound is beyond what was found, and with it those of all behind it.
    fn is_passed(&self, candidate: &Candidate<'_>, alternatives: usize) -> bool {
        !self.known.is_exhaustive && candidate.value > self.threshold(alternatives)
    }

    fn look(&mut self, candidate: &Candidate<'_>, alternatives: usize) {
        if self.is_passed(candidate, alternatives) {
            return self.slower(candidate);
        }
        let broken = self.broken_at_least(candidate);
        match broken.filter(|_| !self.known.is_exhaustive) {
            Some(why) => {
                self.broken += 1;
                self.reject(candidate.placement, "law", candidate.bound.step, || why);
            }
            None => self.evaluate(candidate),
        }
    }

    /// What stands behind the best already by its bound.
    fn slower(&mut self, candidate: &Candidate<'_>) {
        let (step, best) = (candidate.bound.step, self.values.first().copied());
        let values = [candidate.value, best.unwrap_or(f64::INFINITY)];
        let (wish, steps) = (Wish::of(self.experiment), [step, self.fastest]);
        let why = || wish.behind("at least ", values, steps);
        self.reject(candidate.placement, "slower", step, why);
    }

    fn evaluate(&mut self, candidate: &Candidate<'_>) {
        let placement = candidate.placement;
        let mut evaluated = match self.evaluated(candidate) {
            Ok(evaluated) => evaluated,
            Err(why) => return self.reject(placement, "no plan", 0, || why),
        };
        if self.known.prices.contains_key(&Key::of(placement)) {
            evaluated.shed();
        }
        self.simulated += 1;
        if !evaluated.fits() {
            let [peak, capacity] = [evaluated.peak(), evaluated.capacity].map(gibibytes);
            let stage = evaluated.fullest();
            let why = || format!("does not fit: {peak} of {capacity} on stage {stage}");
            self.reject(placement, "memory", evaluated.peak(), why);
            return self.misfits.push(evaluated);
        }
        if let Some((_, why)) = space::broken_law(self.laws, &evaluated.scope(self.experiment)) {
            self.broken += 1;
            self.reject(placement, "law", 0, || why);
            return self.misfits.push(evaluated);
        }
        let value = self.wish.first(&evaluated.scope(self.experiment));
        let place = self
            .values
            .partition_point(|known| known.total_cmp(&value).is_le());
        self.values.insert(place, value);
        self.fastest = self.fastest.min(evaluated.simulation.step);
        self.found.push(evaluated);
    }

    fn evaluated(&self, candidate: &Candidate<'_>) -> Result<Evaluated, String> {
        let (experiment, placement) = (&self.sizes[candidate.size], candidate.placement);
        match self.known.prices.get(&Key::of(placement)) {
            Some(price) => evaluate::evaluate_cut(experiment, self.hardware, placement, &price.cut),
            None => evaluate::evaluate(experiment, self.hardware, placement),
        }
    }

    /// With its plan, sealed with its hash.
    fn restored(&self, found: Evaluated) -> Evaluated {
        let size = self
            .sizes
            .iter()
            .find(|size| size.cluster.nodes == found.nodes);
        let experiment = size.unwrap_or(self.experiment);
        let mut plan = match self.known.prices.get(&Key::of(&found.placement)) {
            Some(price) => program::emit_cut(experiment, &found.placement, &price.cut)
                .expect("it had a plan when it was evaluated"),
            None => found.plan,
        };
        program::seal(&mut plan);
        Evaluated { plan, ..found }
    }

    /// The value that a bound must not pass: that of the last alternative wanted, and never below what counts as best.
    fn threshold(&self, alternatives: usize) -> f64 {
        let Some(&best) = self.values.first() else {
            return f64::INFINITY;
        };
        let wanted = self.values.get(alternatives);
        let wanted = wanted.copied().unwrap_or(f64::INFINITY);
        wanted.max(self.wish.slack(best))
    }

    fn reject(
        &mut self,
        placement: &Placement,
        kind: &'static str,
        measure: u64,
        why: impl FnOnce() -> String,
    ) {
        let entry = self.fates.entry((placement.tp, kind));
        let fate = entry.or_insert(Fate {
            count: 0,
            nearest: u64::MAX,
            why: String::new(),
        });
        fate.count += 1;
        if measure < fate.nearest {
            (fate.nearest, fate.why) = (measure, why());
        }
    }

    fn answer(
        &mut self,
        impossible: Vec<Rejected>,
        candidates: u64,
        alternatives: usize,
    ) -> Result<Answer, Nowhere> {
        let feasible = self.found.len() as u64;
        let mut found = std::mem::take(&mut self.found);
        self.wish.sort(&mut found, self.experiment);
        if found.is_empty() {
            found = std::mem::take(&mut self.misfits);
            found.sort_by_key(|misfit| (misfit.peak(), misfit.simulation.step));
            found.truncate(1);
        }
        let beaten = found.split_off(found.len().min(alternatives + 1));
        if let Some(best) = found.first() {
            let bests = self
                .wish
                .bests(self.experiment, found.iter().chain(&beaten));
            let told = |other: &Evaluated| self.wish.loses(self.experiment, best, &bests, other);
            let reasons: Vec<String> = beaten.iter().map(told).collect();
            for (other, why) in beaten.iter().zip(reasons) {
                self.reject(&other.placement, "slower", other.simulation.step, || why);
            }
        }
        let fates = std::mem::take(&mut self.fates).into_iter();
        let left = fates.map(|((tp, _), fate)| Rejected {
            what: format!("tp {tp}"),
            why: fate.why,
            count: fate.count,
        });
        let rejected: Vec<Rejected> = impossible.into_iter().chain(left).collect();
        let mut found = found.into_iter().map(|found| self.restored(found));
        let Some(chosen) = found.next() else {
            return Err(Nowhere { rejected });
        };
        let alternatives = found.collect();
        Ok(Answer {
            chosen,
            alternatives,
            rejected,
            candidates,
            feasible,
            priced: self.priced,
            simulated: self.simulated,
        })
    }
}

/// Bytes in GiB, for reasons.
pub fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Picoseconds in seconds or milliseconds, for reasons.
pub fn seconds(ps: u64) -> String {
    let seconds = ps as f64 / crate::cost::PICO;
    if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}
