//! Transfers in line with the computation, as DeepSpeed's and Megatron-LM's pipelines make them.
//!
//! Between two passes a stage first hands on what the last one made, then takes what the next one needs, and waits for each. Only
//! between a forward and the backward of the very next clock tick it takes first: there its neighbour hands on first, so that
//! the two meet. Interleaved stages exchange everything at once, once for each pass while the pipeline fills or drains, and once
//! for each forward with its backward in between.

use std::collections::BTreeMap;

use pleach_plan::{Body, BodyKind, Call, Plan, Slot, Wire};

use super::actions::{Action, Side};
use crate::program::passes::Pipeline;

/// A pass of a micro-batch through a chunk: the wire it reads and fills, the chunk, the micro-batch.
pub type Pass = (Wire, u32, u32);

/// The transfers of one role, and where its passes stand.
pub struct Inline {
    /// By direction (sending) and pass.
    sides: BTreeMap<(bool, Pass), Side>,
    /// All passes, in order, each with the number of its exchange.
    passes: Vec<(Pass, usize)>,
    /// How many passes have begun.
    begun: usize,
    /// Stages after this one: so many forwards are ahead of a backward in the same tick.
    ahead: u32,
    interleaved: bool,
}

impl Inline {
    /// The transfers of a stage's slots.
    pub fn new(
        plan: &Plan,
        stage: u32,
        slots: &[Slot],
        sides: BTreeMap<(bool, Pass), Side>,
    ) -> Self {
        let mut passes: Vec<(Pass, usize)> = Vec::new();
        let (warm, mut forwards) = (warm(plan, stage, slots), 0);
        for slot in slots {
            let Slot::Call(call) = slot else { continue };
            let Some(pass) = pass(&plan.bodies[call.body.0 as usize], call) else {
                continue;
            };
            let last = passes.last().copied();
            if last.is_some_and(|(last, _)| last == pass) {
                continue;
            }
            let turns = |last: Pass| last.0 == Wire::Hidden && pass.0 == Wire::Gradient;
            // What only fills the pipeline has no backward beside it.
            let filled = forwards > warm;
            let next = |(last, exchange)| exchange + usize::from(!(filled && turns(last)));
            passes.push((pass, last.map_or(0, next)));
            forwards += u32::from(pass.0 == Wire::Hidden);
        }
        Inline {
            sides,
            passes,
            begun: 0,
            ahead: (plan.mesh.pp - 1).saturating_sub(stage),
            interleaved: plan.chunk_count() > 1,
        }
    }

    /// What happens before a call: nothing within a pass, else the exchange between two passes.
    pub fn before(&mut self, body: &Body, call: &Call) -> Vec<Action> {
        let next = pass(body, call);
        let last = self.begun.checked_sub(1).map(|index| self.passes[index]);
        if next == last.map(|(pass, _)| pass) {
            return Vec::new();
        }
        if next.is_none() && self.begun < self.passes.len() {
            return Vec::new();
        }
        let next = self.passes.get(self.begun).copied();
        self.begun += usize::from(next.is_some());
        let ended = next.is_none() && last.is_none();
        match (ended, self.interleaved) {
            (true, _) => Vec::new(),
            (false, true) => self.at_once(last, next),
            (false, false) => self.in_turn(last, next),
        }
    }

    fn in_turn(&self, last: Option<(Pass, usize)>, next: Option<(Pass, usize)>) -> Vec<Action> {
        let (last, next) = (last.map(|(pass, _)| pass), next.map(|(pass, _)| pass));
        let turns = match (last, next) {
            (Some((Wire::Hidden, _, forward)), Some((Wire::Gradient, _, backward))) => {
                forward == backward + self.ahead
            }
            _ => false,
        };
        let (send, receive) = (
            last.map(|pass| (true, pass)),
            next.map(|pass| (false, pass)),
        );
        let order = if turns {
            [receive, send]
        } else {
            [send, receive]
        };
        let sides = order.into_iter().flatten();
        sides
            .filter_map(|key| self.sides.get(&key))
            .flat_map(|&side| [Action::Start(side), Action::Wait(side)])
            .collect()
    }

    /// Everything that one exchange's passes made and the next one's need.
    fn at_once(&self, last: Option<(Pass, usize)>, next: Option<(Pass, usize)>) -> Vec<Action> {
        let [last, next] = [last, next].map(|at| at.map(|(_, exchange)| exchange));
        if last == next {
            return Vec::new();
        }
        let of = |exchange: Option<usize>, sends: bool| {
            let passes = self.passes.iter();
            passes
                .filter(move |(_, own)| Some(*own) == exchange)
                .filter_map(move |(pass, _)| self.sides.get(&(sends, *pass)).copied())
        };
        let sides: Vec<Side> = of(last, true).chain(of(next, false)).collect();
        let starts = sides.iter().map(|&side| Action::Start(side));
        let waits = sides.iter().map(|&side| Action::Wait(side));
        starts.chain(waits).collect()
    }
}

/// Passes of a stage before its first backward.
fn warm(plan: &Plan, stage: u32, slots: &[Slot]) -> u32 {
    let micro_batch = |slot: &Slot| match slot {
        Slot::Call(call) => call.micro_batch + 1,
        _ => 0,
    };
    let pipeline = Pipeline {
        stage,
        stages: plan.mesh.pp,
        chunks: plan.chunk_count(),
        micro_steps: slots.iter().map(micro_batch).max().unwrap_or(0),
    };
    pipeline.warm()
}

/// The pass that a call is a part of; none for what is done once a step.
fn pass(body: &Body, call: &Call) -> Option<Pass> {
    let wire = match body.kind {
        BodyKind::Forward => Wire::Hidden,
        BodyKind::Backward => Wire::Gradient,
        BodyKind::Begin | BodyKind::Fold | BodyKind::Reduce | BodyKind::Update => {
            return None;
        }
    };
    Some((wire, call.chunk, call.micro_batch))
}
