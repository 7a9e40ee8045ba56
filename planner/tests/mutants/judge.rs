//! The judge: two plans mean the same if the reference interpreter cannot tell them apart.
//!
//! It runs two steps from values and tokens that depend only on names and indices, with two seeds, and one step with a head so
//! large that a cross-entropy without the true maximum overflows. No parameter starts at zero or one, and every program clips: a
//! coincidence in the values, or a factor that is one whatever it is made of, must not hide a difference.

use pleach_plan::reference::{Inputs, Outcome, distance, run};
use pleach_plan::{Init, Op, Plan};

use crate::random::mix;

/// What the interpreter says of a plan, for each way to start.
pub struct Outcomes {
    normal: [Option<Outcome>; 2],
    large: Option<Outcome>,
}

/// Beyond this, outcomes are different; sums in another order differ by less.
const SAME: f64 = 1e-12;
/// The norm to which gradients are clipped where a plan clips none: smaller than theirs, and none that a plan or a mutant names.
const CLIP: f64 = 3e-3;

fn value(name: &str, index: u64, seed: u64) -> f64 {
    let name = name
        .bytes()
        .fold(seed, |word, byte| mix(word ^ u64::from(byte)));
    let unit = (mix(name ^ index.wrapping_mul(0x9E37_79B9)) >> 11) as f64 / (1_u64 << 53) as f64;
    unit - 0.5 + if name.is_multiple_of(2) { 0.1 } else { -0.1 }
}

/// The plan with gradients that are clipped.
fn clipping(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let code = plan.bodies.iter_mut().flat_map(|body| &mut body.code);
    for instr in code {
        if let Op::ClipFactor { max_norm, .. } = &mut instr.op {
            max_norm.get_or_insert(CLIP);
        }
    }
    plan
}

fn outcome(plan: &Plan, steps: u64, seed: u64, head: f64) -> Option<Outcome> {
    let (vocab, length) = (plan.data.vocab, plan.training.sequence);
    let initial = |name: &str, index: u64| {
        let ones = plan.parameters.iter().any(|known| {
            known.init == Init::Ones
                && name.ends_with(known.name.rsplit("{layer}").next().unwrap_or_default())
        });
        let scale = if name == "head.weight" { head } else { 1.0 };
        (value(name, index, seed) + if ones { 1.0 } else { 0.0 }) * scale
    };
    let tokens = |sample: u64| {
        (0..=length)
            .map(|position| (mix(seed ^ (sample * 1000 + position)) % vocab) as i64)
            .collect()
    };
    run(
        plan,
        &Inputs {
            initial: &initial,
            tokens: &tokens,
            gradients: false,
        },
        steps,
    )
    .ok()
}

impl Outcomes {
    /// The outcomes of a plan that should run.
    pub fn of(plan: &Plan) -> Self {
        let plan = &clipping(plan);
        let normal = [5, 6].map(|seed| outcome(plan, 2, seed, 1.0));
        Outcomes {
            normal,
            large: outcome(plan, 1, 5, 1e4),
        }
    }

    /// Whether a plan ran to its end every time, with numbers.
    pub fn complete(&self) -> bool {
        let finite = |outcome: &Option<Outcome>| {
            outcome
                .as_ref()
                .is_some_and(|outcome| distance(outcome, outcome) == 0.0)
        };
        self.normal.iter().all(finite) && finite(&self.large)
    }

    /// Whether a changed plan means the same. Stops at the first difference.
    pub fn same(&self, mutant: &Plan) -> bool {
        let mutant = &clipping(mutant);
        let near = |left: &Option<Outcome>, right: Option<Outcome>, bound: f64| match (left, right)
        {
            (Some(left), Some(right)) => distance(left, &right) <= bound,
            _ => false,
        };
        near(&self.normal[0], outcome(mutant, 2, 5, 1.0), SAME)
            && near(&self.normal[1], outcome(mutant, 2, 6, 1.0), SAME)
            && near(&self.large, outcome(mutant, 1, 5, 1e4), 1e-5)
    }
}
