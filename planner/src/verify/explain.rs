//! Why a program ends differently: the first instruction that goes wrong, or contributions that are missing or doubled.
//!
//! Only asked when something differs, so the program is walked again with a log.

use std::collections::BTreeMap;

use pleach_plan::check::Place;
use pleach_plan::{Plan, TensorId};

use super::declared;
use super::fault::{Fault, What};
use super::held::{Held, State};
use super::memory::logical_name;
use super::number::Number;
use super::unsharded::Expected;
use super::walker::{Entry, walk_step};

/// The most contributions that are listed.
const CONTRIBUTIONS: usize = 8;

/// The causes that can be named: the first one decides what follows it.
pub fn causes(plan: &Plan, expected: &Expected) -> Vec<Fault> {
    let log = walk_step(plan, true).log;
    let first = log
        .iter()
        .find_map(|entry| meaningless(plan, entry).or_else(|| stranger(plan, entry, expected)));
    match first {
        Some(first) => vec![first],
        None => contributions(plan, &log, expected),
    }
}

fn place(entry: &Entry) -> Place {
    declared::place(entry.stage, &entry.visit, entry.index)
}

fn name(plan: &Plan, id: TensorId) -> String {
    plan.tensors[id.0 as usize].name.clone()
}

fn meaningless(plan: &Plan, entry: &Entry) -> Option<Fault> {
    let operands = entry.operands.as_ref()?;
    let instr = &entry.visit.body.code[entry.index];
    let names = instr
        .ins
        .iter()
        .chain(&instr.updates)
        .map(|&id| name(plan, id));
    let operands: Vec<String> = names
        .zip(operands)
        .map(|(name, held)| format!("`{name}` {}", say(held)))
        .collect();
    let what = What::Meaningless {
        operands: operands.join(", "),
    };
    Some(Fault {
        place: place(entry),
        what,
    })
}

fn say(held: &Held) -> String {
    let state = |axis: &str, state: State| match state {
        State::Whole => format!("whole over {axis}"),
        State::Shard(dim) => format!("cut in dimension {dim} over {axis}"),
        State::Sum => format!("a sum over {axis}"),
        State::Blocks => format!("a sum over blocks of {axis}"),
        State::Largest => format!("a maximum over {axis}"),
        State::Odd => format!("of no meaning over {axis}"),
    };
    match held {
        Held::One(item) => format!(
            "{} and {}",
            state("dp", item.states[0]),
            state("tp", item.states[1])
        ),
        Held::Flat(flat) => match flat.cut {
            Some(axis) => format!("flat, cut over {}", ["dp", "tp"][axis]),
            None => "flat".to_owned(),
        },
    }
}

/// A result of the micro-batches' work that the unsharded program never makes.
fn stranger(plan: &Plan, entry: &Entry, expected: &Expected) -> Option<Fault> {
    let foreign = |held: &Held| matches!(held, Held::One(item) if !item.is_odd() && !expected.made.contains(&item.number));
    let (id, _) = entry.made.iter().find(|(_, held)| foreign(held))?;
    Some(Fault {
        place: place(entry),
        what: What::Stranger {
            result: name(plan, *id),
        },
    })
}

/// Contributions to gradients by parameter: how often each occurs, and where first.
fn contributions(plan: &Plan, log: &[Entry], expected: &Expected) -> Vec<Fault> {
    let mut here: BTreeMap<(String, Number), (usize, Place)> = BTreeMap::new();
    for entry in log {
        for &(id, number) in &entry.gained {
            let mut parameters = plan.parameters.iter();
            let of = parameters.find(|parameter| parameter.gradient == id);
            let logical = |parameter| logical_name(parameter, entry.visit.layer);
            let key = (of.map_or_else(|| name(plan, id), logical), number);
            here.entry(key).or_insert_with(|| (0, place(entry))).0 += 1;
        }
    }
    let missing = expected.gains.iter();
    let missing = missing.filter(|(key, _)| !here.contains_key(key));
    let missing = missing.map(|(_, (_, contribution))| Fault {
        place: Place::default(),
        what: What::Lacks {
            contribution: contribution.clone(),
        },
    });
    let surplus = here.iter().filter_map(|(key, (found, place))| {
        let wanted = expected.gains.get(key).map_or(0, |(wanted, _)| *wanted);
        let what = What::Gains {
            parameter: key.0.clone(),
            found: *found,
            wanted,
        };
        let place = place.clone();
        (*found != wanted).then_some(Fault { place, what })
    });
    missing.chain(surplus).take(CONTRIBUTIONS).collect()
}
