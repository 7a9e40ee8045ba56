//! The orders of a run's phases: each with its own mix and length of samples, one behind the other.
//!
//! In come the phases of a plan and the data of each; out come their orders and one hash over all of them. A component that an earlier phase
//! read goes on where that one stopped, so that over phases of one length it is read through before anything is read again. In another
//! length its windows are others, and their shuffle too: what counts on is how often it was read through.

use pleach_plan::{DataPlan, Plan};

use super::{Draw, Order, OrderError, Part, Section};
use crate::prepare::Prepared;

/// The orders of all phases; one of a run without phases.
#[derive(Debug)]
pub struct Phases {
    orders: Vec<Order>,
}

impl Phases {
    /// The orders of a plan's phases over the data that was prepared for each.
    ///
    /// # Errors
    /// As [`Order::of`].
    pub fn open(plan: &Plan, data: &[Prepared]) -> Result<Phases, OrderError> {
        let draw = |phase: &Plan| Draw {
            ordering: phase.data.ordering,
            seed: phase.data.order_seed.unwrap_or(phase.training.seed),
            sequence: phase.training.sequence,
            total: phase.training.phase_samples(phase.training.steps),
        };
        let phases = plan.phases().map(|phase| (&phase.data, draw(phase)));
        Phases::of(phases, data)
    }

    /// The same of what is drawn from, without programs.
    ///
    /// # Errors
    /// As [`Order::of`].
    pub fn of<'p>(
        phases: impl Iterator<Item = (&'p DataPlan, Draw)>,
        data: &[Prepared],
    ) -> Result<Phases, OrderError> {
        let mut orders: Vec<Order> = Vec::new();
        for ((plan, draw), data) in phases.zip(data) {
            let order = Order::behind(plan, draw, data, Section::Training, |part| {
                orders.iter().map(|earlier| earlier.read_of(part)).sum()
            })?;
            orders.push(order);
        }
        Ok(Phases { orders })
    }

    /// They, in order.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// The order of one phase, by its place; none where there are not so many.
    pub fn into_order(mut self, phase: usize) -> Option<Order> {
        (phase < self.orders.len()).then(|| self.orders.swap_remove(phase))
    }

    /// The identity of all samples of the run: of a run without phases that of its order.
    ///
    /// # Errors
    /// As [`Order::hash`].
    pub fn hash(&self) -> Result<String, OrderError> {
        let hashes = self.orders.iter().map(|order| order.hash(order.samples()));
        let hashes: Vec<String> = hashes.collect::<Result<_, _>>()?;
        if let [only] = hashes.as_slice() {
            return Ok(only.clone());
        }
        let mut hasher = blake3::Hasher::new_derive_key("pleach 2026 data order of phases");
        hasher.update(hashes.concat().as_bytes());
        Ok(hasher.finalize().to_hex().to_string())
    }
}

impl Order {
    /// Tokens of a component that all samples together read.
    fn read_of(&self, other: &Part) -> u64 {
        let same = |part: &Part| part.name == other.name && part.fingerprint == other.fingerprint;
        let counts = self.counts(self.draw.total);
        let parts = self.parts.iter().zip(counts).enumerate();
        let own = parts.filter(|(_, (part, _))| same(part));
        own.map(|(number, (_, count))| self.tokens(number, count))
            .sum()
    }
}

#[cfg(test)]
mod tests;
