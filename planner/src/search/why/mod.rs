//! "Why?" and "why not?": the best placement with one field at other values, beside the chosen one, or the reason there is none.

pub mod pin;
#[cfg(test)]
mod tests;

use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::{Hardware, Kind};

pub use pin::{Field, NoPin, Pin};

use super::figures::Scoped;
use super::space::{self, Space};
use super::wishes::Wish;
use super::{Answer, Evaluated, Options, Rejected, plan};

/// One value of a field, tried.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The question: `tp = 8`, or `tp = 2, pp = 4`.
    pub question: String,
    /// The value: `8`, `full`; several with commas.
    pub value: String,
    /// Whether it is the chosen placement's.
    pub is_chosen: bool,
    /// Whether the spec leaves it open.
    pub is_allowed: bool,
    /// The best placement with it, where there is one (it may not fit).
    pub best: Option<Evaluated>,
    /// Why it is not chosen, in a sentence.
    pub verdict: String,
    /// What was rejected under it, by reason.
    pub rejected: Vec<Rejected>,
}

/// Why a field has its value.
#[derive(Clone, Debug)]
pub struct Why {
    /// The field.
    pub field: Field,
    /// Every value that is possible, rising.
    pub tried: Vec<Tried>,
    /// Larger values that were not tried, as a smaller one leaves no room.
    pub beyond: u64,
    /// Values that are impossible, with their reasons.
    pub impossible: Vec<Rejected>,
}

/// Answers why a field has its value: every other one is planned, whether the spec leaves it open or not.
pub fn why(experiment: &Experiment, hardware: &Hardware, answer: &Answer, field: Field) -> Why {
    let (allowed, _) = values(experiment, field);
    let (mut pins, impossible) = values(&field.open(experiment), field);
    if let ([Pin::Nodes(nodes)], Kind::Gpu) = (&pins[..], hardware.kind) {
        pins = [nodes / 2, *nodes, nodes * 2].map(Pin::Nodes).to_vec();
        pins.retain(|pin| pin.rank() > 0);
    }
    pins.sort_by_key(Pin::rank);
    let (mut tried, mut beyond): (Vec<Tried>, Option<u64>) = (Vec::new(), None);
    for pin in pins {
        if let Some(more) = &mut beyond {
            *more += 1;
            continue;
        }
        let is_allowed = allowed.contains(&pin);
        let one = attempt(experiment, hardware, answer, (&[pin], is_allowed));
        let full = one.best.as_ref().is_some_and(|best| !best.fits());
        beyond = (full && field == Field::MicroBatch).then_some(0);
        tried.push(one);
    }
    Why {
        field,
        tried,
        beyond: beyond.unwrap_or(0),
        impossible,
    }
}

/// Answers why the chosen placement is not one with these pins.
pub fn why_not(
    experiment: &Experiment,
    hardware: &Hardware,
    answer: &Answer,
    pins: &[Pin],
) -> Tried {
    let mut fields = pins
        .iter()
        .map(|pin| (pin, values(experiment, pin.field()).0));
    let is_allowed = fields.all(|(pin, allowed)| allowed.contains(pin));
    attempt(experiment, hardware, answer, (pins, is_allowed))
}

/// The values of a field that have placements, the rest of the spec as it stands, and the reasons of those that have none.
fn values(experiment: &Experiment, field: Field) -> (Vec<Pin>, Vec<Rejected>) {
    let (mut pins, mut spaces): (Vec<Pin>, Vec<Space>) = (Vec::new(), Vec::new());
    let named = format!("{} ", field.name());
    for size in experiment.sizes() {
        let settled = experiment.on_nodes(size);
        let mut space = space::enumerate(&settled);
        for placement in &space.candidates {
            let pin = field.of(&Scoped::of(&settled, placement));
            pins.extend(pin.filter(|pin| !pins.contains(pin)));
        }
        space
            .impossible
            .retain(|region| region.what.starts_with(&named));
        spaces.push(space);
    }
    (pins, super::merged(spaces))
}

/// Plans with pins; whether the spec leaves them open stands beside them.
fn attempt(
    experiment: &Experiment,
    hardware: &Hardware,
    answer: &Answer,
    (pins, is_allowed): (&[Pin], bool),
) -> Tried {
    let held = |pin: &Pin| pin.field().chosen(experiment, &answer.chosen).as_ref() == Some(pin);
    let pinned = pins
        .iter()
        .fold(experiment.clone(), |pinned, pin| pin.apply(&pinned));
    let options = Options { alternatives: 0 };
    let (best, verdict, rejected) = match plan(&pinned, hardware, options) {
        Err(nowhere) => {
            let reason = |region: &Rejected| format!("{}: {}", region.what, region.why);
            let reasons: Vec<String> = nowhere.rejected.iter().map(reason).collect();
            let verdict = format!("it cannot be: {}", reasons.join("; "));
            (None, verdict, nowhere.rejected)
        }
        Ok(other) => {
            let verdict = compare(experiment, answer, &other);
            (Some(other.chosen), verdict, other.rejected)
        }
    };
    let joined = |text: fn(&Pin) -> String| {
        let all: Vec<String> = pins.iter().map(text).collect();
        all.join(", ")
    };
    Tried {
        question: joined(|pin| format!("{} = {}", pin.field().name(), pin.value())),
        value: joined(Pin::value),
        is_chosen: pins.iter().all(held),
        is_allowed,
        best,
        verdict,
        rejected,
    }
}

/// Why the best of another search is not the chosen placement.
fn compare(experiment: &Experiment, answer: &Answer, other: &Answer) -> String {
    let (chosen, best) = (&answer.chosen, &other.chosen);
    if (best.nodes, &best.placement) == (chosen.nodes, &chosen.placement) {
        return "it is the chosen placement".to_owned();
    }
    if !best.fits() {
        let [peak, capacity] = [best.peak(), best.capacity].map(super::gibibytes);
        let stage = best.fullest();
        return format!("it does not fit: {peak} of {capacity} on stage {stage} at best");
    }
    let scope = best.scope(experiment);
    if let Some((_, why)) = space::broken_law(&experiment.plan.requirements, &scope) {
        return format!("it {why}");
    }
    Wish::of(experiment).against(experiment, answer, best)
}
