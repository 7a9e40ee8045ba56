//! Candidates: placements in, their lower bounds out, in the order in which they are tried.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::bound::{self, Bound, Key};
use super::{Search, evaluate, gibibytes};
use crate::placement::Placement;

/// A placement, and the number of the cluster's size that it is for.
pub type Sized<'s> = (usize, &'s Placement);

/// A placement with its bounds.
#[derive(Clone, Debug)]
pub struct Candidate<'s> {
    /// The size of the cluster, by its number.
    pub size: usize,
    /// The placement.
    pub placement: &'s Placement,
    /// Its bounds.
    pub bound: Bound,
    /// The bound of the first goal's value.
    pub value: f64,
    /// Its place among those that were given bounds.
    pub number: u64,
}

impl Candidate<'_> {
    /// The order in which candidates are tried: by the bound of the first goal, then of the step, then as they were listed.
    pub fn before(&self, other: &Self) -> Ordering {
        let values = self.value.total_cmp(&other.value);
        let steps = values.then_with(|| self.bound.step.cmp(&other.bound.step));
        steps.then_with(|| self.number.cmp(&other.number))
    }
}

/// Candidates that can be tried.
pub struct Candidates<'s> {
    /// Those whose bounds leave them room.
    pub able: Vec<Candidate<'s>>,
    /// Of all the one that needs least memory by its bound.
    pub nearest: Option<Candidate<'s>>,
}

impl Search<'_> {
    /// Gives every candidate its bounds; those whose shape has no plan are rejected. One alone needs none.
    ///
    /// Shapes that differ only in the micro-batch are priced in rising order: where the smaller one fits on no mesh, the larger
    /// ones, which keep more of everything, need not be looked at.
    pub(super) fn price<'s>(&mut self, placements: &[Sized<'s>]) -> Candidates<'s> {
        if let [(size, placement)] = *placements {
            let only = Candidate {
                size,
                placement,
                bound: Bound { step: 0, peak: 0 },
                value: f64::NEG_INFINITY,
                number: 0,
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
        let (sizes, hardware, mut number) = (self.sizes, self.hardware, self.priced);
        let outlines = &mut self.known.outlines;
        let mut bounded = |&(size, placement): &Sized<'s>| {
            let bound = price.bound(&sizes[size], hardware, placement, outlines);
            let value = self.wish.least(&sizes[size], &bound);
            number += 1;
            Candidate {
                size,
                placement,
                bound,
                value,
                number,
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

    pub(super) fn misfit(&mut self, placement: &Placement, peak: u64, capacity: u64) {
        let why = || {
            let [peak, capacity] = [peak, capacity].map(gibibytes);
            format!("does not fit: at least {peak} of {capacity}")
        };
        self.reject(placement, "memory", peak, why);
    }
}
