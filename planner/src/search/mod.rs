//! The search: an experiment and a device in, the best placement out, with what came near it and why the rest did not.
//!
//! Branch and bound. [`space`] lists what is possible, [`bound`] gives each a lower bound of time and memory from bodies priced
//! once per shape, and candidates are emitted and simulated in the order of their bounds until the bound passes the best found.
//! Where the spec leaves the size of the cluster open, it is one more axis: a body's price does not depend on it, so many sizes
//! cost little more than one. So the answer is the optimum of the simulation, and everything printed has been simulated. Ties break by the canonical order.

pub mod bound;
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
    /// The best placement; the one that needs least memory where none fits.
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

#[derive(Clone, Debug)]
struct Candidate<'s> {
    /// The size of the cluster, by its number.
    size: usize,
    placement: &'s Placement,
    bound: Bound,
    value: f64,
}

/// Candidates that can be tried.
struct Candidates<'s> {
    /// Those whose bounds leave them room.
    able: Vec<Candidate<'s>>,
    /// Of all the one that needs least memory by its bound.
    nearest: Option<Candidate<'s>>,
}

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
    /// The best value of the first goal, and the shortest step, of what was found.
    best: (f64, u64),
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
    candidates.able.sort_by(|one, other| {
        one.value
            .total_cmp(&other.value)
            .then_with(|| one.bound.step.cmp(&other.bound.step))
    });
    search.run(&candidates, options.alternatives);
    if search.found.is_empty() && search.broken > 0 {
        search.pardon(&candidates);
    }
    *known = std::mem::take(&mut search.known);
    search.answer(merged(spaces), total, options.alternatives)
}

/// A placement, and the number of the cluster's size that it is for.
type Sized<'s> = (usize, &'s Placement);

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
            best: (f64::INFINITY, u64::MAX),
            priced: 0,
            simulated: 0,
            broken: 0,
        }
    }

    /// Where every placement that fits breaks a law, the best without laws is the one to show.
    fn pardon(&mut self, candidates: &Candidates<'_>) {
        let fates = std::mem::take(&mut self.fates);
        let simulated = self.simulated;
        self.laws = &[];
        self.run(candidates, 0);
        let mut pardoned = std::mem::take(&mut self.found);
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

    /// Gives every candidate its bounds; those whose shape has no plan are rejected. One alone needs none.
    ///
    /// Shapes that differ only in the micro-batch are priced in rising order: where the smaller one fits on no mesh, the larger
    /// ones, which keep more of everything, need not be looked at.
    fn price<'s>(&mut self, placements: &[Sized<'s>]) -> Candidates<'s> {
        if let [(size, placement)] = *placements {
            let only = Candidate {
                size,
                placement,
                bound: Bound { step: 0, peak: 0 },
                value: f64::NEG_INFINITY,
            };
            return Candidates {
                able: vec![only],
                nearest: None,
            };
        }
        let mut shapes: BTreeMap<Key, Vec<Sized>> = BTreeMap::new();
        for &(size, placement) in placements {
            let shape = shapes.entry(Key::of(placement)).or_default();
            shape.push((size, placement));
        }
        let capacity = evaluate::capacity(self.experiment, self.hardware);
        let (mut able, mut nearest) = (Vec::new(), None::<Candidate<'s>>);
        let mut full: Option<(Key, u64)> = None;
        for (key, placements) in shapes {
            if let Some((_, peak)) = full.filter(|(smaller, _)| smaller.grows(&key)) {
                placements
                    .iter()
                    .for_each(|(_, placement)| self.misfit(placement, peak, capacity));
                continue;
            }
            let mut bounded = self.bounded(key, &placements);
            self.priced += bounded.len() as u64;
            let least = bounded.iter().min_by_key(|candidate| candidate.bound.peak);
            let peak = least.map(|least| least.bound.peak);
            full = peak
                .filter(|&peak| peak > capacity && !self.known.is_exhaustive)
                .map(|peak| (key, peak));
            let nearer = |least: &&Candidate<'_>| {
                let known = nearest.as_ref();
                known.is_none_or(|known| least.bound.peak < known.bound.peak)
            };
            if let Some(least) = least.filter(nearer) {
                nearest = Some(least.clone());
            }
            bounded.retain(|candidate| self.has_room(candidate, capacity));
            able.extend(bounded);
        }
        Candidates { able, nearest }
    }

    /// The candidates of one shape with their bounds.
    fn bounded<'s>(&mut self, key: Key, placements: &[Sized<'s>]) -> Vec<Candidate<'s>> {
        let known = self.known.prices.remove(&key).map(Ok);
        let price = known.unwrap_or_else(|| {
            bound::price(self.experiment, self.hardware, key, &mut self.known.layouts)
        });
        let mut price = match price {
            Ok(price) => price,
            Err(why) => {
                placements.iter().for_each(|(_, placement)| {
                    self.reject(placement, "no plan", 0, || why.clone())
                });
                return Vec::new();
            }
        };
        let (sizes, hardware) = (self.sizes, self.hardware);
        let outlines = &mut self.known.outlines;
        let mut bounded = |&(size, placement): &Sized<'s>| {
            let bound = price.bound(&sizes[size], hardware, placement, outlines);
            let value = self.wish.least(&sizes[size], &bound);
            Candidate {
                size,
                placement,
                bound,
                value,
            }
        };
        let candidates = placements.iter().map(&mut bounded).collect();
        price.forget();
        self.known.prices.insert(key, price);
        candidates
    }

    /// Whether a candidate's bound leaves it room; if not, that is counted.
    fn has_room(&mut self, candidate: &Candidate<'_>, capacity: u64) -> bool {
        let peak = candidate.bound.peak;
        let room = peak <= capacity || self.known.is_exhaustive;
        if !room {
            self.misfit(candidate.placement, peak, capacity);
        }
        room
    }

    fn misfit(&mut self, placement: &Placement, peak: u64, capacity: u64) {
        let why = || {
            let [peak, capacity] = [peak, capacity].map(gibibytes);
            format!("does not fit: at least {peak} of {capacity}")
        };
        self.reject(placement, "memory", peak, why);
    }

    fn scope(&self, size: usize, placement: &Placement, bound: &Bound) -> figures::Scoped<'e> {
        let mut scope = figures::Scoped::of(&self.sizes[size], placement);
        scope.capacity = Some(evaluate::capacity(self.experiment, self.hardware));
        scope.peak = Some(bound.peak);
        scope.step = Some(bound.step);
        scope
    }

    /// Evaluates in the order of bounds until they pass what was found.
    fn run(&mut self, candidates: &Candidates<'_>, alternatives: usize) {
        let mut threshold = self.threshold(alternatives);
        for candidate in &candidates.able {
            if self.known.is_exhaustive {
                self.evaluate(candidate);
            } else if candidate.value > threshold {
                self.slower(candidate);
            } else if let Some(why) = self.broken_at_least(candidate) {
                self.broken += 1;
                self.reject(candidate.placement, "law", candidate.bound.step, || why);
            } else {
                self.evaluate(candidate);
                threshold = self.threshold(alternatives);
            }
        }
        if self.found.is_empty() && self.misfits.is_empty() {
            // Every bound was beyond the memory: the nearest miss is shown with its real figures.
            let nearest = candidates.nearest.as_ref();
            let found = nearest.and_then(|candidate| self.evaluated(candidate).ok());
            self.misfits.extend(found);
        }
    }

    /// What stands behind the best already by its bound.
    fn slower(&mut self, candidate: &Candidate<'_>) {
        let (step, (value, best)) = (candidate.bound.step, self.best);
        let values = [candidate.value, value];
        let wish = Wish::of(self.experiment);
        let why = || wish.behind("at least ", values, [step, best]);
        self.reject(candidate.placement, "slower", step, why);
    }

    fn evaluate(&mut self, candidate: &Candidate<'_>) {
        let placement = candidate.placement;
        let evaluated = match self.evaluated(candidate) {
            Ok(evaluated) => evaluated,
            Err(why) => return self.reject(placement, "no plan", 0, || why),
        };
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
        let (best, step) = self.best;
        self.best = (best.min(value), step.min(evaluated.simulation.step));
        self.found.push(evaluated);
    }

    fn evaluated(&self, candidate: &Candidate<'_>) -> Result<Evaluated, String> {
        let (experiment, placement) = (&self.sizes[candidate.size], candidate.placement);
        match self.known.prices.get(&Key::of(placement)) {
            Some(price) => evaluate::evaluate_cut(experiment, self.hardware, placement, &price.cut),
            None => evaluate::evaluate(experiment, self.hardware, placement),
        }
    }

    /// The value that a bound must not pass: that of the last alternative wanted, and never below what counts as best.
    fn threshold(&self, alternatives: usize) -> f64 {
        let mut values: Vec<f64> = self
            .found
            .iter()
            .map(|found| self.wish.first(&found.scope(self.experiment)))
            .collect();
        values.sort_by(f64::total_cmp);
        let Some(&best) = values.first() else {
            return f64::INFINITY;
        };
        let wanted = values.get(alternatives).copied().unwrap_or(f64::INFINITY);
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
        mut self,
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
            let value = |one: &Evaluated| self.wish.first(&one.scope(self.experiment));
            let told = |other: &Evaluated| {
                let steps = [other.simulation.step, best.simulation.step];
                self.wish.behind("", [value(other), value(best)], steps)
            };
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
        found
            .iter_mut()
            .for_each(|found| program::seal(&mut found.plan));
        let mut found = found.into_iter();
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
