//! Where another placement differs from the chosen one: its fields and the parts of its step in, what to say of them out.

use serde::Serialize;

use super::parts::Placed;
use super::screen::seconds;
use crate::cost::PICO;
use crate::search::Evaluated;
use crate::simulate::RoleTime;

/// Seconds that are worth a word.
const LEAST: f64 = 1e-6;

/// A field that two placements have at different values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name in a spec.
    pub field: &'static str,
    /// The other placement's value.
    pub value: String,
    /// The chosen one's.
    pub chosen: String,
}

/// A part of the step, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Part {
    /// `computing`, `communicating`, `waiting` or `once a step`.
    pub part: &'static str,
    /// The other placement's.
    pub seconds: f64,
    /// What it takes longer than the chosen one's.
    pub more: f64,
}

/// What two placements differ in, and what that makes of the step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Differs {
    /// Fields at different values.
    pub fields: Vec<Field>,
    /// The parts of the step.
    pub parts: Vec<Part>,
}

impl Differs {
    /// The other placement beside the chosen one.
    pub fn of(chosen: &Evaluated, other: &Evaluated) -> Self {
        let [theirs, own] = [other, chosen].map(|one| fields(&Placed::of(one)));
        let pairs = theirs.into_iter().zip(own);
        let differing = pairs.filter(|((_, value), (_, chosen))| value != chosen);
        let field = |((field, value), (_, chosen))| Field {
            field,
            value,
            chosen,
        };
        let [theirs, own] = [other, chosen].map(|one| parts(&one.simulation.mean()));
        let part = |((part, seconds), (_, chosen)): ((&'static str, f64), (_, f64))| Part {
            part,
            seconds,
            more: seconds - chosen,
        };
        Differs {
            fields: differing.map(field).collect(),
            parts: theirs.into_iter().zip(own).map(part).collect(),
        }
    }

    /// Two sentences for people.
    pub fn lines(&self) -> Vec<String> {
        let field = |one: &Field| format!("{} {} (not {})", one.field, one.value, one.chosen);
        let fields: Vec<String> = self.fields.iter().map(field).collect();
        let part = |one: &Part| {
            let more = match one.more {
                same if same.abs() < LEAST => "as long".to_owned(),
                less if less < 0.0 => format!("-{}", seconds(-less)),
                more => format!("+{}", seconds(more)),
            };
            format!("{} {} ({more})", one.part, seconds(one.seconds))
        };
        let parts: Vec<String> = self.parts.iter().map(part).collect();
        if fields.is_empty() {
            return Vec::new();
        }
        vec![
            format!("it has {}", fields.join(", ")),
            format!("of its step: {}", parts.join(", ")),
        ]
    }
}

fn fields(placed: &Placed) -> Vec<(&'static str, String)> {
    vec![
        ("tp", placed.tp.to_string()),
        ("pp", placed.pp.to_string()),
        ("vpp", placed.vpp.to_string()),
        ("dp", placed.dp.to_string()),
        ("zero", placed.zero.to_string()),
        ("micro_batch", placed.micro_batch.to_string()),
        ("recompute", placed.recompute.clone()),
        ("sequence_parallel", placed.sp.to_string()),
    ]
}

fn parts(time: &RoleTime) -> [(&'static str, f64); 4] {
    let parts = [
        ("computing", time.compute),
        ("communicating", time.communication),
        ("waiting", time.bubble),
        ("once a step", time.optimizer),
    ];
    parts.map(|(name, ps)| (name, ps as f64 / PICO))
}
